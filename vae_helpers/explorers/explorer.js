// The browser's half of vae_helpers/explorer.py: one plain ES module, no build step.
// Python sends the decoder's weights once (`_setup`); from then on nothing that moves
// waits for the kernel. The page written by `to_html` holds this same file.

const INK = "#1b1b1b", FAINT = "#c8c8c8", RED = "#bd1f01";
const BLUE = "#3f90da", ORANGE = "#ffa90e";
const PAUSE = 50; // ms between two messages to the kernel
const MARGIN = { left: 46, right: 8, top: 8, bottom: 46 }; // around a square, CSS pixels
const PLANE = 400; // its width and height with margins, CSS pixels
const FONT = "system-ui, sans-serif";

/** What anywidget calls for each view; returns the function that ends the view. */
function render({ model, el }) {
  const setup = model.get("_setup");
  const root = add(el, "section", "vae-explorer", { "aria-label": setup.title || setup.alt });
  if (setup.title) add(root, "h4", "vae-title").textContent = setup.title;
  const show = setup.kind === "latent" ? showLatent : showPosterior;
  return show(model, add(root, "div", "vae-body"), setup);
}

export default { render };
export { makeDecoder, makeMeter }; // for the tests

/** Stands in for the kernel's model on a page of its own. */
export function pageModel(state) {
  const listeners = {};
  return {
    get: (name) => state[name],
    set(name, value) {
      state[name] = value;
      (listeners[`change:${name}`] ?? []).forEach((listener) => listener());
    },
    on: (event, listener) => (listeners[event] ??= []).push(listener),
    off() {},
    save_changes() {},
  };
}

// ── the latent explorer ─────────────────────────────────────────────────────────────

function showLatent(model, body, setup) {
  const decode = makeDecoder(setup.decoder);
  const { limits, names } = setup;
  const hasMap = limits.length === 2;
  const plane = hasMap && makePlane(body, limits, names, setup.alt);
  const side = add(body, "div", "vae-side");
  const picture = makePicture(side, setup.decoder.side, "decoded");
  const wide = hasMap ? "" : ` vae-columns${limits.length > 7 ? " vae-many" : ""}`;
  const controls = add(hasMap ? side : body, "div", `vae-controls${wide}`);
  if (hasMap) {
    if (setup.background === "manifold") paintManifold(plane, decode, setup.decoder.side);
    plane.drawAxes();
    paintCodes(plane, setup);
  }
  const point = Float64Array.from(model.get("z"));
  const sliders = limits.map(([low, high], d) =>
    makeSlider(controls, names[d], low, high, (value) => moveTo({ [d]: value })));
  const readOut = makeReadOut(controls);
  makeButton(controls, "reset", () => moveTo(setup.start));
  const link = makeLink(model, { z: () => [...point] }, () => {
    point.set(model.get("z"));
    draw();
  });
  if (hasMap) {
    plane.onDrag(() => ([x, y]) => moveTo([clamp(x, limits[0]), clamp(y, limits[1])]));
    plane.onArrows((dx, dy) => moveTo([
      clamp(point[0] + dx, limits[0]), clamp(point[1] + dy, limits[1])]));
  }

  function moveTo(values) {
    Object.entries(values).forEach(([d, value]) => (point[d] = value));
    draw();
    link.send();
  }

  function draw() {
    picture.draw(decode(point));
    if (hasMap) {
      plane.drawBackground();
      drawCross(plane, point, setup.background === "manifold" ? RED : INK);
    }
    sliders.forEach((slider, d) => slider.show(point[d]));
    readOut(point.length > 12 ? "" : `z = (${Array.from(point, (value) => format(value)).join(", ")})`);
  }

  draw();
  return link.end;
}

/** The classes: a dot for each code, a numeral at each median. */
function paintCodes(plane, { codes, background, classes }) {
  if (!codes) return;
  const places = new Float32Array(bytesOf(codes.places).buffer);
  const owners = bytesOf(codes.classes);
  const { context } = plane.background;
  plane.clip(() => {
    if (background === "manifold") return; // dots would hide the digits
    context.globalAlpha = places.length > 8000 ? 0.45 : 0.6;
    owners.forEach((owner, i) => {
      const [x, y] = plane.toPixels([places[2 * i], places[2 * i + 1]]);
      context.fillStyle = classes[owner].color;
      context.fillRect(x - 1, y - 1, 2, 2);
    });
    context.globalAlpha = 1;
  });
  context.font = `bold 13px ${FONT}`;
  [context.textAlign, context.textBaseline, context.lineWidth] = ["center", "middle", 2];
  for (const { name, color, median } of classes) {
    if (!name) continue; // codes without labels
    const [x, y] = plane.toPixels(median);
    const half = Math.max(10, context.measureText(name).width / 2 + 5);
    context.beginPath();
    context.roundRect(x - half, y - 10, 2 * half, 20, 10);
    context.fillStyle = "white";
    context.fill();
    context.strokeStyle = color;
    context.stroke();
    context.fillStyle = INK;
    context.fillText(name, x, y + 1);
  }
}

/** The manifold itself: the plane tiled with what it decodes to. */
function paintManifold(plane, decode, side, nTiles = 18) {
  const tile = makeImage(side);
  const { context } = plane.background;
  context.imageSmoothingQuality = "high";
  const [left, top, width, height] = plane.box;
  for (let row = 0; row < nTiles; row++) {
    for (let column = 0; column < nTiles; column++) {
      const [x, y] = [left + (column / nTiles) * width, top + (row / nTiles) * height];
      const centre = [x + width / nTiles / 2, y + height / nTiles / 2];
      tile.put(decode(plane.toLatent(centre)));
      context.drawImage(tile.canvas, x, y, width / nTiles, height / nTiles);
    }
  }
}

function drawCross({ context, toPixels }, z, color) {
  const [x, y] = toPixels(z);
  for (const [width, style, arm] of [[6, "white", 7.5], [3, color, 6.5]]) {
    context.beginPath();
    for (const sign of [1, -1]) {
      context.moveTo(x - arm, y - sign * arm);
      context.lineTo(x + arm, y + sign * arm);
    }
    [context.lineWidth, context.strokeStyle, context.lineCap] = [width, style, "round"];
    context.stroke();
  }
}

// ── the posterior explorer ──────────────────────────────────────────────────────────

function showPosterior(model, body, setup) {
  const decode = makeDecoder(setup.decoder);
  const { side } = setup.decoder;
  const measure = makeMeter(setup);
  const plane = makePlane(body, setup.window, ["z₁", "z₂"], setup.alt);
  paintPosterior(plane, setup);
  plane.drawAxes();
  const panel = add(body, "div", "vae-side vae-posterior");
  const pictures = add(panel, "div", "vae-pictures");
  makePicture(pictures, side, "image x").draw(floatsOf(setup.image));
  const picture = makePicture(pictures, side, "decoded μ");
  const bars = makeBars(panel, setup.log_px);
  const controls = add(panel, "div", "vae-controls");
  const q = { mu: [...model.get("mu")], sigma: [...model.get("sigma")] };
  const { limits } = setup;
  const sliders = ["mu", "sigma"].flatMap((part) => [0, 1].map((d) => ({
    part, d, ...makeSlider(controls, `${part === "mu" ? "μ" : "σ"}${"₁₂"[d]}`,
      ...limits[part][d], (value) => set(part, d, value)),
  })));
  const readOut = makeReadOut(controls);
  const buttons = add(controls, "div", "vae-buttons");
  makeButton(buttons, "encoder’s q", () => put(setup.encoder));
  makeButton(buttons, "best Gaussian", () => put(setup.best));
  const link = makeLink(model, { mu: () => [...q.mu], sigma: () => [...q.sigma] }, () => {
    Object.assign(q, { mu: [...model.get("mu")], sigma: [...model.get("sigma")] });
    draw();
  });
  plane.onDrag((start) => {
    const handle = handles().findIndex((place) => distance(plane, place, start) < 14);
    if (handle >= 0) return (z) => set("sigma", handle, Math.abs(z[handle] - q.mu[handle]));
    const inside = Math.hypot(...[0, 1].map((d) => (start[d] - q.mu[d]) / q.sigma[d])) < 2;
    const offset = [0, 1].map((d) => (inside ? q.mu[d] - start[d] : 0)); // else it jumps
    return (z) => put({ mu: [z[0] + offset[0], z[1] + offset[1]], sigma: q.sigma });
  });
  plane.onArrows((dx, dy) => put({ mu: [q.mu[0] + dx, q.mu[1] + dy], sigma: q.sigma }));

  function handles() {
    return [[q.mu[0] + q.sigma[0], q.mu[1]], [q.mu[0], q.mu[1] + q.sigma[1]]];
  }

  function set(part, d, value) {
    const next = { mu: [...q.mu], sigma: [...q.sigma] };
    next[part][d] = value;
    put(next);
  }

  function put({ mu, sigma }) {
    q.mu = mu.map((value, d) => clamp(value, limits.mu[d]));
    q.sigma = sigma.map((value, d) => clamp(value, limits.sigma[d]));
    draw();
    link.send();
  }

  function draw() {
    picture.draw(decode(q.mu));
    plane.drawBackground();
    plane.clip(() => drawEllipse(plane, q, handles()), plane.context);
    const { elbo, kl } = measure(q);
    bars(elbo, kl);
    for (const { part, d, show } of sliders) show(q[part][d]);
    readOut(`ELBO ${format(elbo)} + KL ${format(kl)} = log p(x) ${format(elbo + kl)} nats`);
  }

  draw();
  return link.end;
}

/** ELBO and KL(q ‖ p(z|x)) of a Gaussian q, each by its own sum over the grid. */
function makeMeter({ grid, log_px_z, log_px }) {
  const { low, step, n } = grid;
  const logLikelihood = floatsOf(log_px_z); // row j: z₂, column i: z₁
  const axis = (d) => Float64Array.from({ length: n }, (_, i) => low[d] + (i + 0.5) * step);
  const axes = [axis(0), axis(1)];
  const logPosterior = Float64Array.from(logLikelihood, (value, k) =>
    value + logNormal(axes[0][k % n], 0, 1) + logNormal(axes[1][Math.floor(k / n)], 0, 1)
    - log_px);
  return ({ mu, sigma }) => {
    const [logQ1, logQ2] = axes.map((z, d) => z.map((value) => logNormal(value, mu[d], sigma[d])));
    const [q1, q2] = [logQ1, logQ2].map((logQ) => logQ.map((value) => step * Math.exp(value)));
    let [expected, kl] = [0, 0];
    for (let j = 0, k = 0; j < n; j++) {
      let [rowExpected, rowKl] = [0, 0];
      for (let i = 0; i < n; i++, k++) {
        rowExpected += q1[i] * logLikelihood[k];
        rowKl += q1[i] * (logQ1[i] + logQ2[j] - logPosterior[k]);
      }
      expected += q2[j] * rowExpected;
      kl += q2[j] * rowKl;
    }
    const klOf = (d) => (mu[d] ** 2 + sigma[d] ** 2 - 1) / 2 - Math.log(sigma[d]);
    return { elbo: expected - klOf(0) - klOf(1), kl };
  };
}

function logNormal(z, mu, sigma) {
  return -0.5 * ((z - mu) / sigma) ** 2 - Math.log(sigma) - 0.5 * Math.log(2 * Math.PI);
}

/** The exact posterior as shades of blue, and the prior's rings where they pass. */
function paintPosterior(plane, { grid, log_px_z, window: [[left, right], [bottom, top]] }) {
  const { low, step, n } = grid;
  const logLikelihood = floatsOf(log_px_z);
  const first = [left, bottom].map((edge, d) => Math.round((edge - low[d]) / step));
  const size = Math.round((right - left) / step);
  const logJoint = (i, j) => logLikelihood[j * n + i]
    + logNormal(low[0] + (i + 0.5) * step, 0, 1) + logNormal(low[1] + (j + 0.5) * step, 0, 1);
  let highest = -Infinity;
  const values = new Float64Array(size * size);
  for (let row = 0; row < size; row++) {
    for (let column = 0; column < size; column++) {
      const value = logJoint(first[0] + column, first[1] + size - 1 - row); // z₂ upwards
      values[row * size + column] = value;
      highest = Math.max(highest, value);
    }
  }
  const image = makeImage(size);
  image.put(values.map((value) => Math.exp(value - highest)), shadeOfBlue);
  const { context } = plane.background;
  context.imageSmoothingEnabled = true;
  context.drawImage(image.canvas, ...plane.box);
  plane.clip(() => {
    [context.strokeStyle, context.lineWidth] = ["#8a8a8a", 1];
    context.setLineDash([4, 4]);
    const [x, y] = plane.toPixels([0, 0]);
    for (const radius of [1, 2, 3, 4]) {
      context.beginPath();
      context.arc(x, y, radius * plane.scale, 0, 2 * Math.PI);
      context.stroke();
    }
    context.setLineDash([]);
  });
  paintInset(plane, [[left, right], [bottom, top]]);
}

/** Where the window lies in the prior's plane: a small chart in the corner. */
function paintInset(plane, [[left, right], [bottom, top]], size = 76) {
  const { context } = plane.background;
  const reach = Math.max(3.5, ...[left, right, bottom, top].map(Math.abs)) * 1.05;
  const centre = [plane.box[0] + plane.box[2] - size / 2 - 6, plane.box[1] + size / 2 + 6];
  const scale = size / 2 / reach;
  context.fillStyle = "rgba(255, 255, 255, 0.85)";
  [context.strokeStyle, context.lineWidth] = [FAINT, 1];
  context.fillRect(centre[0] - size / 2, centre[1] - size / 2, size, size);
  context.strokeRect(centre[0] - size / 2, centre[1] - size / 2, size, size);
  context.strokeStyle = "#8a8a8a";
  for (const radius of [1, 2, 3]) {
    context.beginPath();
    context.arc(...centre, radius * scale, 0, 2 * Math.PI);
    context.stroke();
  }
  [context.strokeStyle, context.lineWidth] = [BLUE, 2];
  context.strokeRect(centre[0] + left * scale, centre[1] - top * scale,
    Math.max(3, (right - left) * scale), Math.max(3, (top - bottom) * scale));
  context.font = `11px ${FONT}`;
  [context.fillStyle, context.textAlign, context.textBaseline] = [INK, "center", "top"];
  context.fillText("prior", centre[0], centre[1] + size / 2 + 3);
}

function shadeOfBlue(density) {
  const t = Math.sqrt(density); // the root lets the tails be seen
  const stops = [[255, 255, 255], [142, 190, 234], [24, 78, 140]];
  const [from, to, part] = t < 0.5 ? [stops[0], stops[1], 2 * t] : [stops[1], stops[2], 2 * t - 1];
  return from.map((value, c) => value + part * (to[c] - value));
}

function drawEllipse({ context, toPixels, scale }, { mu, sigma }, handles) {
  const [x, y] = toPixels(mu);
  for (const [deviations, color] of [[2, "rgba(189, 31, 1, 0.08)"], [1, "rgba(189, 31, 1, 0.12)"]]) {
    context.beginPath();
    context.ellipse(x, y, ...sigma.map((value) => deviations * value * scale), 0, 0, 2 * Math.PI);
    [context.fillStyle, context.strokeStyle, context.lineWidth] = [color, RED, 2];
    context.fill();
    context.stroke();
  }
  [context.fillStyle, context.strokeStyle] = ["white", RED];
  for (const [place, radius] of [[mu, 3], [handles[0], 6], [handles[1], 6]]) {
    context.beginPath();
    context.arc(...toPixels(place), radius, 0, 2 * Math.PI);
    context.fill();
    context.stroke();
  }
}

/** One bar: the ELBO, then KL(q ‖ p(z|x)), which fills what is missing to log p(x). */
function makeBars(parent, logPx, width = 380, height = 108) {
  const { context } = makeCanvas(parent, width, height, "vae-bars", {
    role: "img", "aria-label": "Bars: the ELBO and the KL divergence add up to log p(x)" });
  const [left, middle, right, top, bar] = [14, 150, width - 48, 34, 26];
  const low = logPx - 30;
  const toX = (nats) => left + ((nats - low) / 30) * (right - left);
  return (elbo, kl) => {
    context.fillStyle = "white";
    context.fillRect(0, 0, width, height);
    const isOff = elbo < low;
    const end = isOff ? left : toX(Math.min(elbo, logPx));
    context.fillStyle = BLUE;
    context.fillRect(left, top, end - left, bar);
    context.fillStyle = ORANGE;
    context.fillRect(end, top, right - end, bar);
    context.fillStyle = INK;
    context.fillRect(right - 1, top - 8, 2, bar + 16);
    context.font = `13px ${FONT}`;
    [context.textBaseline, context.textAlign] = ["middle", "left"];
    context.fillText(`ELBO ${format(elbo)}`, left + 16, top - 20);
    context.fillText(`KL(q ‖ p(z|x)) ${format(kl)}`, middle + 16, top - 20);
    if (isOff) context.fillText("◀", left - 13, top + bar / 2);
    context.fillStyle = BLUE;
    context.fillRect(left, top - 26, 11, 11);
    context.fillStyle = ORANGE;
    context.fillRect(middle, top - 26, 11, 11);
    context.fillStyle = INK;
    context.textAlign = "right";
    context.fillText(`log p(x) ${format(logPx)}`, width - 4, top + bar + 38);
    context.font = `11px ${FONT}`;
    context.textAlign = "center";
    for (const below of [30, 20, 10, 0]) {
      context.fillRect(toX(logPx - below) - 0.5, top + bar, 1, 4);
      context.fillText(below ? `−${below}` : "0", toX(logPx - below), top + bar + 14);
    }
    context.textAlign = "left";
    context.fillText("nats per image, below log p(x)", left, top + bar + 38);
  };
}

// ── the decoder ─────────────────────────────────────────────────────────────────────

/** z → pixels in [0, 1], by the layers that Python packed (`_pack_decoder`). */
function makeDecoder({ layers, output, floats, integers }) {
  const reals = floatsOf(floats);
  const bytes = bytesOf(integers);
  const wholes = new Int16Array(bytes.buffer);
  let [atReal, atWhole] = [0, 0];
  const steps = layers.map((layer) => {
    if (layer.kind !== "linear") return activations[layer.kind](layer);
    const { n_in: nIn, n_out: nOut } = layer;
    const scales = reals.subarray(atReal, (atReal += nOut));
    const biases = reals.subarray(atReal, (atReal += nOut));
    const weights = new Float32Array(nIn * nOut);
    for (let k = 0; k < weights.length; k++) {
      weights[k] = scales[Math.floor(k / nIn)] * wholes[atWhole++];
    }
    return linear(weights, biases, nIn, nOut);
  });
  steps.push(activations[output]({}));
  return (z) => steps.reduce((values, step) => step(values), z);
}

function linear(weights, biases, nIn, nOut) {
  const result = new Float32Array(nOut);
  return (values) => {
    for (let row = 0, k = 0; row < nOut; row++) {
      let sum = biases[row];
      for (let i = 0; i < nIn; i++) sum += weights[k++] * values[i];
      result[row] = sum;
    }
    return result;
  };
}

const inPlace = (f) => (values) => {
  for (let i = 0; i < values.length; i++) values[i] = f(values[i]);
  return values;
};
const activations = {
  leaky_relu: ({ slope }) => inPlace((a) => (a > 0 ? a : slope * a)),
  tanh: () => inPlace(Math.tanh),
  sigmoid: () => inPlace((a) => 1 / (1 + Math.exp(-a))),
  clamp: () => inPlace((a) => Math.min(Math.max(a, 0), 1)),
};

// ── a plane with axes, to be dragged on ─────────────────────────────────────────────

/** A square chart of two latents at equal scales; what stands still is painted once. */
function makePlane(parent, limits, names, alt) {
  const holder = add(parent, "div", "vae-plane");
  const { canvas, context } = makeCanvas(holder, PLANE, PLANE, "vae-map", {
    role: "application", tabindex: 0, "data-lm-suppress-shortcuts": "true",
    "aria-label": `${alt} Arrow keys move the point; with Shift, in larger steps.` });
  const background = makeCanvas(null, PLANE, PLANE);
  const [left, top] = [MARGIN.left, MARGIN.top];
  const width = PLANE - left - MARGIN.right, height = PLANE - top - MARGIN.bottom;
  const [[low1, high1], [low2, high2]] = limits;
  const plane = {
    context, background, box: [left, top, width, height], scale: width / (high1 - low1),
    toPixels: ([z1, z2]) => [left + ((z1 - low1) / (high1 - low1)) * width,
      top + ((high2 - z2) / (high2 - low2)) * height],
    toLatent: ([x, y]) => [low1 + ((x - left) / width) * (high1 - low1),
      high2 - ((y - top) / height) * (high2 - low2)],
    drawBackground() {
      context.drawImage(background.canvas, 0, 0, PLANE, PLANE);
    },
    clip(paint, on = background.context) {
      on.save();
      on.beginPath();
      on.rect(left, top, width, height);
      on.clip();
      paint();
      on.restore();
    },
    drawAxes: () => drawAxes(background.context, plane, limits, names),
    onDrag: (begin) => onDrag(canvas, plane, begin),
    onArrows: (move) => onArrows(canvas, (high1 - low1) / 60, move),
  };
  background.context.fillStyle = "white";
  background.context.fillRect(0, 0, PLANE, PLANE);
  return plane;
}

function drawAxes(context, { box, toPixels }, limits, names) {
  const [left, top, width, height] = box;
  [context.strokeStyle, context.lineWidth, context.fillStyle] = ["#8a8a8a", 1, INK];
  context.strokeRect(left - 0.5, top - 0.5, width + 1, height + 1);
  context.font = `12px ${FONT}`;
  [context.textAlign, context.textBaseline] = ["center", "top"];
  for (const [tick, text] of ticks(limits[0])) {
    const [x] = toPixels([tick, 0]);
    context.fillRect(x - 0.5, top + height, 1, 4);
    context.fillText(text, x, top + height + 7);
  }
  [context.textAlign, context.textBaseline] = ["right", "middle"];
  for (const [tick, text] of ticks(limits[1])) {
    const [, y] = toPixels([0, tick]);
    context.fillRect(left - 5, y - 0.5, 4, 1);
    context.fillText(text, left - 8, y);
  }
  context.font = `14px ${FONT}`;
  context.textAlign = "center";
  context.fillText(names[0], left + width / 2, PLANE - 9);
  context.save();
  context.translate(9, top + height / 2);
  context.rotate(-Math.PI / 2);
  context.fillText(names[1], 0, 0);
  context.restore();
}

function ticks([low, high]) {
  const rough = (high - low) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const places = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) {
    places.push([k * step, format(k * step, digits)]);
  }
  return places;
}

/** `begin(z)` at the press returns what each later move, and the press itself, calls. */
function onDrag(canvas, plane, begin) {
  let pointer = null, move = null;
  const place = (event) => {
    const { left, top, width, height } = canvas.getBoundingClientRect();
    return plane.toLatent([((event.clientX - left) / width) * PLANE,
      ((event.clientY - top) / height) * PLANE]);
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button || pointer !== null) return; // the main button, one finger
    pointer = event.pointerId;
    canvas.setPointerCapture(pointer);
    canvas.focus({ preventScroll: true });
    move = begin(place(event));
    move(place(event));
  });
  canvas.addEventListener("pointermove", (event) => {
    if (event.pointerId === pointer) move(place(event));
  });
  canvas.addEventListener("lostpointercapture", () => (pointer = null));
}

function onArrows(element, step, move) {
  element.addEventListener("keydown", (event) => {
    const arrow = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1] };
    if (!arrow[event.key] || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const length = step * (event.shiftKey ? 5 : 1);
    move(...arrow[event.key].map((part) => part * length));
  });
}

function distance(plane, a, b) {
  const [[ax, ay], [bx, by]] = [plane.toPixels(a), plane.toPixels(b)];
  return Math.hypot(ax - bx, ay - by);
}

// ── the other parts ─────────────────────────────────────────────────────────────────

function makePicture(parent, side, caption) {
  const figure = add(parent, "figure", "vae-picture");
  const image = makeImage(side);
  figure.append(image.canvas);
  image.canvas.setAttribute("role", "img");
  image.canvas.setAttribute("aria-label", caption);
  add(figure, "figcaption").textContent = caption;
  return { draw: image.put };
}

/** A canvas of side × side pixels; `put` paints values in [0, 1], 0 white to 1 black. */
function makeImage(side) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [side, side];
  const context = canvas.getContext("2d");
  const image = context.createImageData(side, side);
  image.data.fill(255);
  const put = (values, colorOf) => {
    for (let i = 0; i < values.length; i++) {
      if (colorOf) image.data.set(colorOf(values[i]), 4 * i);
      else image.data.fill(255 * (1 - values[i]), 4 * i, 4 * i + 3);
    }
    context.putImageData(image, 0, 0);
  };
  return { canvas, put };
}

/** A canvas that is sharp on dense screens and measured in CSS pixels. */
function makeCanvas(parent, width, height, className, attributes) {
  const canvas = parent
    ? add(parent, "canvas", className, attributes) : document.createElement("canvas");
  const density = Math.min(Math.max(window.devicePixelRatio || 1, 1), 3);
  [canvas.width, canvas.height] = [width * density, height * density];
  const context = canvas.getContext("2d");
  context.scale(density, density);
  return { canvas, context };
}

function makeSlider(parent, name, low, high, onInput) {
  const label = add(parent, "label", "vae-slider");
  add(label, "span").textContent = name;
  const input = add(label, "input", "", { type: "range", min: low, max: high, step: "any",
    "aria-label": name, "data-lm-suppress-shortcuts": "true" });
  const output = add(label, "output");
  input.addEventListener("input", () => onInput(input.valueAsNumber));
  onArrows(input, (high - low) / 60, (dx, dy) =>
    onInput(clamp(input.valueAsNumber + dx + dy, [low, high])));
  return {
    show(value) {
      input.value = value;
      output.textContent = format(value);
      input.setAttribute("aria-valuetext", output.textContent);
    },
  };
}

/** A line of text that screen readers announce; it waits so as not to stutter. */
function makeReadOut(parent) {
  const line = add(parent, "div", "vae-readout", { role: "status", "aria-live": "polite" });
  let timer = null, latest = "";
  return (text) => {
    latest = text;
    if (timer === null) line.textContent = text;
    timer ??= setTimeout(() => {
      line.textContent = latest;
      timer = null;
    }, 150);
  };
}

function makeButton(parent, text, onClick) {
  const button = add(parent, "button", "vae-button", { type: "button" });
  button.textContent = text;
  button.addEventListener("click", onClick);
}

/** Keeps the kernel's traits and the view in step: the last to change them wins. */
function makeLink(model, readers, onKernel) {
  const names = Object.keys(readers);
  let timer = null, isOwn = false;
  const stop = () => {
    clearTimeout(timer);
    timer = null;
  };
  // Set and save at once: to ipywidgets, a value that is set but not yet saved looks old,
  // and the kernel's echo of the one before would overwrite it.
  const sendNow = () => {
    timer = null;
    isOwn = true;
    try {
      names.forEach((name) => model.set(name, readers[name]()));
      model.save_changes();
    } catch {
      // The kernel is gone; the picture follows all the same.
    }
    isOwn = false;
  };
  const listen = () => {
    if (isOwn) return;
    stop(); // what was still to be sent is older
    onKernel();
  };
  names.forEach((name) => model.on(`change:${name}`, listen));
  return {
    send: () => (timer ??= setTimeout(sendNow, PAUSE)),
    end() {
      stop();
      names.forEach((name) => model.off(`change:${name}`, listen));
    },
  };
}

function add(parent, tag, className = "", attributes = {}) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  Object.entries(attributes).forEach(([name, value]) => element.setAttribute(name, value));
  parent.append(element);
  return element;
}

/** Own bytes from the kernel's DataView or from a page's base64, at offset zero. */
function bytesOf(value) {
  if (value.base64 !== undefined) {
    return Uint8Array.from(atob(value.base64), (letter) => letter.charCodeAt(0));
  }
  return new Uint8Array(value.buffer, value.byteOffset, value.byteLength).slice();
}

function floatsOf(value) {
  return new Float32Array(bytesOf(value).buffer);
}

function clamp(value, [low, high]) {
  return Math.min(Math.max(value, low), high);
}

function format(value, digits = 2) {
  const text = value.toFixed(digits);
  return Number(text) === 0 ? text.replace("-", "") : text.replace("-", "−");
}
