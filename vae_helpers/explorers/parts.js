// The browser's half of vae_helpers/explorers. `page.py` joins these plain scripts into
// one module: parts.js, plane.js, latent.js, posterior.js; there is no build step.
// Python sends the decoder's weights once (`_setup`); from then on nothing that moves
// waits for the kernel. The page written by `to_html` holds this same code.

/**
 * A point is an array of numbers everywhere: of the latent space or, in pixels, of a
 * canvas. Bytes are what the kernel sends, or base64 on a page of its own.
 * @typedef {number[]} Point
 * @typedef {[number, number]} Interval  lowest and highest
 * @typedef {DataView<ArrayBuffer> | {base64: string}} Bytes
 * @typedef {Float32Array<ArrayBuffer>} Pixels  values of an image, in [0, 1]
 * @typedef {(z: Point) => Pixels} Decode
 */

/**
 * `DecoderSetup` in packing.py.
 * @typedef {object} DecoderSetup
 * @property {Array<{kind: string, n_in?: number, n_out?: number, slope?: number}>} layers
 * @property {"sigmoid" | "clamp"} output
 * @property {[number, number, number]} shape  channels, height and width of an image
 * @property {Bytes} floats  for each linear layer: a scale and a bias for each row
 * @property {Bytes} integers  the weights in 16 bits, to be multiplied by the scales
 */

/**
 * anywidget's model, or `pageModel`.
 * @typedef {object} Model
 * @property {(name: string) => any} get
 * @property {(name: string, value: any) => void} set
 * @property {(event: string, listener: () => void) => void} on
 * @property {(event: string, listener: () => void) => void} off
 * @property {() => void} save_changes
 */

const INK = "#1b1b1b", GREY = "#8a8a8a", FAINT = "#c8c8c8"; // quantities: setup.colors
const PAUSE = 50; // ms between two messages to the kernel
const FONT = "system-ui, sans-serif";

/**
 * What anywidget calls for each view; returns the function that ends the view.
 * @param {{model: Model, el: HTMLElement}} view
 */
function render({ model, el }) {
  const setup = model.get("_setup");
  const root = add(el, "section", "vae-explorer vae-live", { "aria-label": setup.title || setup.alt });
  if (setup.title) add(root, "h4", "vae-title").textContent = setup.title;
  const show = setup.kind === "latent" ? showLatent : showPosterior;
  return show(model, add(root, "div", "vae-body"), setup);
}

/**
 * Stands in for the kernel's model on a page of its own.
 * @param {Record<string, any>} state
 * @returns {Model}
 */
function pageModel(state) {
  /** @type {Record<string, Array<() => void>>} */
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

/**
 * Keeps the kernel's traits and the view in step: the last to change them wins.
 * @param {Model} model
 * @param {Record<string, () => Point>} readers  trait → its value in this view
 * @param {() => void} onKernel  called when the kernel has changed a trait
 */
function makeLink(model, readers, onKernel) {
  const names = Object.keys(readers);
  /** @type {number | undefined} */
  let timer;
  let isOwn = false;
  const stop = () => {
    clearTimeout(timer);
    timer = undefined;
  };
  // Set and save at once: to ipywidgets, a value that is set but not yet saved looks old,
  // and the kernel's echo of the one before would overwrite it.
  const sendNow = () => {
    timer = undefined;
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

// ── the decoder ─────────────────────────────────────────────────────────────────────

/**
 * z → pixels in [0, 1], by the layers that `pack_decoder` packed.
 * @param {DecoderSetup} decoder
 * @returns {Decode}
 */
function makeDecoder({ layers, output, floats, integers }) {
  const reals = floatsOf(floats);
  const wholes = new Int16Array(bytesOf(integers).buffer);
  let [atReal, atWhole] = [0, 0];
  const steps = layers.map((layer) => {
    if (layer.kind !== "linear") return activations[layer.kind](layer);
    const { n_in: nIn = 0, n_out: nOut = 0 } = layer;
    const scales = reals.subarray(atReal, (atReal += nOut));
    const biases = reals.subarray(atReal, (atReal += nOut));
    const weights = new Float32Array(nIn * nOut);
    for (let k = 0; k < weights.length; k++) {
      weights[k] = scales[Math.floor(k / nIn)] * wholes[atWhole++];
    }
    return linear(weights, biases, nIn, nOut);
  });
  steps.push(activations[output]({}));
  return (z) => {
    let values = Float32Array.from(z);
    for (const step of steps) values = step(values);
    return values;
  };
}

/** @typedef {(values: Pixels) => Pixels} Layer */

/** @type {(weights: Pixels, biases: Pixels, nIn: number, nOut: number) => Layer} */
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

/** @type {(f: (a: number) => number) => Layer} */
const inPlace = (f) => (values) => {
  for (let i = 0; i < values.length; i++) values[i] = f(values[i]);
  return values;
};
/** @type {Record<string, (layer: {slope?: number}) => Layer>} */
const activations = {
  leaky_relu: ({ slope = 0 }) => inPlace((a) => (a > 0 ? a : slope * a)),
  tanh: () => inPlace(Math.tanh),
  sigmoid: () => inPlace((a) => 1 / (1 + Math.exp(-a))),
  clamp: () => inPlace((a) => clamp(a, [0, 1])),
};

// ── what stands on the page ─────────────────────────────────────────────────────────

/** @type {(parent: Element, shape: number[], caption: string) => (pixels: Pixels) => void} */
function makePicture(parent, shape, caption) {
  const figure = add(parent, "figure", "vae-picture");
  const { canvas, put } = makeImage(shape);
  figure.append(canvas);
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", caption);
  add(figure, "figcaption").textContent = caption;
  return put;
}

/**
 * A canvas for one image (channels, height, width) of values in [0, 1]: grey ones run
 * from white to black as ink does, colours are what they are.
 * @param {number[]} shape
 */
function makeImage([channels, height, width]) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  const context = contextOf(canvas);
  const image = context.createImageData(width, height);
  const size = width * height;
  image.data.fill(255);
  /** @param {Pixels} values */
  const put = (values) => {
    for (let i = 0; i < size; i++) {
      for (let c = 0; c < 3; c++) {
        image.data[4 * i + c] = 255 * (channels === 3 ? values[c * size + i] : 1 - values[i]);
      }
    }
    context.putImageData(image, 0, 0);
  };
  return { canvas, put };
}

/**
 * A canvas measured in CSS pixels, sharp on dense screens and where the page grows.
 * @param {Element | null} parent
 * @param {number} width
 * @param {number} height
 */
function makeCanvas(parent, width, height, className = "", attributes = {}) {
  const canvas = parent
    ? add(parent, "canvas", className, attributes) : document.createElement("canvas");
  const density = clamp(window.devicePixelRatio || 1, [2, 3]);
  [canvas.width, canvas.height] = [width * density, height * density];
  const context = contextOf(canvas);
  context.scale(density, density);
  return { canvas, context };
}

/** @type {(canvas: HTMLCanvasElement) => CanvasRenderingContext2D} */
function contextOf(canvas) {
  return /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
}

/** @type {(parent: Element, name: string, range: Interval, onInput: (value: number) => void) => (value: number) => void} */
function makeSlider(parent, name, [low, high], onInput) {
  const label = add(parent, "label", "vae-slider");
  add(label, "span", "", { title: name }).textContent = name;
  const input = add(label, "input", "", { type: "range", min: low, max: high, step: "any",
    "aria-label": name, "data-lm-suppress-shortcuts": "true" });
  const output = add(label, "output");
  input.addEventListener("input", () => onInput(input.valueAsNumber));
  onArrows(input, (high - low) / 60, (dx, dy) =>
    onInput(clamp(input.valueAsNumber + dx + dy, [low, high])));
  return (value) => {
    input.value = String(value);
    output.textContent = format(value);
    input.setAttribute("aria-valuetext", output.textContent);
  };
}

/** @type {(element: HTMLElement, step: number, move: (dx: number, dy: number) => void) => void} */
function onArrows(element, step, move) {
  /** @type {Record<string, [number, number]>} */
  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1] };
  element.addEventListener("keydown", (event) => {
    if (!arrows[event.key] || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const length = step * (event.shiftKey ? 5 : 1);
    const [dx, dy] = arrows[event.key];
    move(dx * length, dy * length);
  });
}

/**
 * A line of text that screen readers announce; it waits so as not to stutter.
 * @param {Element} parent
 */
function makeReadOut(parent) {
  const line = add(parent, "div", "vae-readout", { role: "status", "aria-live": "polite" });
  /** @type {number | undefined} */
  let timer;
  let latest = "";
  /** @param {string} text */
  return (text) => {
    latest = text;
    if (timer === undefined) line.textContent = text;
    timer ??= setTimeout(() => {
      line.textContent = latest;
      timer = undefined;
    }, 150);
  };
}

/** @type {(parent: Element, text: string, onClick: () => void) => void} */
function makeButton(parent, text, onClick) {
  const button = add(parent, "button", "vae-button", { type: "button" });
  button.textContent = text;
  button.addEventListener("click", onClick);
}

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Element} parent
 * @param {Tag} tag
 * @param {Record<string, any>} attributes
 * @returns {HTMLElementTagNameMap[Tag]}
 */
function add(parent, tag, className = "", attributes = {}) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  Object.entries(attributes).forEach(([name, value]) => element.setAttribute(name, value));
  parent.append(element);
  return element;
}

// ── bytes and numbers ───────────────────────────────────────────────────────────────

/**
 * Own bytes, at offset zero.
 * @param {Bytes} value
 */
function bytesOf(value) {
  if ("base64" in value) {
    return Uint8Array.from(atob(value.base64), (letter) => letter.charCodeAt(0));
  }
  return new Uint8Array(value.buffer, value.byteOffset, value.byteLength).slice();
}

/** @param {Bytes} value */
function floatsOf(value) {
  return new Float32Array(bytesOf(value).buffer);
}

/** @type {(value: number, range: Interval) => number} */
function clamp(value, [low, high]) {
  return Math.min(Math.max(value, low), high);
}

/** @type {(point: Point, d: number, value: number) => Point} */
function replaced(point, d, value) {
  return point.map((old, i) => (i === d ? value : old));
}

/** @param {number} value */
function format(value, digits = 2) {
  const text = value.toFixed(digits);
  return Number(text) === 0 ? text.replace("-", "") : text.replace("-", "−");
}
