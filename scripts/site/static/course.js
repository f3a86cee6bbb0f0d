// Slider demos without a kernel: frames made at build time follow native sliders.
"use strict";

// A page that was opened from the disk may not fetch others to quote them in a search.
if (location.protocol === "file:" && typeof DOCUMENTATION_OPTIONS !== "undefined") {
  DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
}

const courseArrivals = {}; // demo → what to call with its frames

/** Each file of frames calls this: which frame stands at which place, and the frames. */
function courseFrames(name, order, frames) {
  courseArrivals[name](order, frames);
}

function startDemo(figure) {
  const inputs = [...figure.querySelectorAll("input")];
  const change = figure.querySelector(".course-change");
  const labels = inputs.map((input) => input.dataset.values.split(" "));
  let order;
  let frames;

  const show = () => {
    let place = 0;
    inputs.forEach((input, i) => {
      const label = labels[i][input.value];
      place = place * labels[i].length + Number(input.value);
      input.setAttribute("aria-valuetext", label);
      input.nextElementSibling.textContent = label;
    });
    if (!frames) return;
    const frame = frames[order[place]];
    change.hidden = frame === "";
    if (frame) change.src = `data:image/webp;base64,${frame}`;
    figure.dataset.place = place;
  };
  inputs.forEach((input) => {
    input.disabled = false;
    input.addEventListener("input", show);
  });
  show(); // a browser may remember where the sliders were

  courseArrivals[figure.dataset.name] = (newOrder, newFrames) => {
    [order, frames] = [newOrder, newFrames];
    show();
  };
  const load = () => {
    const script = document.createElement("script");
    script.src = figure.dataset.frames;
    document.head.append(script);
  };
  const watch = new IntersectionObserver(
    (entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      watch.disconnect();
      load();
    },
    { rootMargin: "400px" },
  );
  watch.observe(figure);
}

document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll(".course-demo").forEach(startDemo);
});

// An explorer's page says how tall it is.
window.addEventListener("message", ({ data, source }) => {
  const height = Number(data?.vaeExplorerHeight);
  if (!(height > 0)) return;
  for (const frame of document.querySelectorAll("iframe.course-explorer")) {
    if (frame.contentWindow === source) frame.style.height = `${height}px`;
  }
});
