// A plane with axes, to be dragged on.

const PLANE = 400; // its width and height with margins, CSS pixels
const MARGIN = { left: 46, right: 8, top: 8, bottom: 46 }; // around a square, CSS pixels

/**
 * A square chart of two latent dimensions at equal scales, and what is painted on it:
 * `background` once, `context` at each move. `box` is the square's left, top, width and
 * height on the canvas; `scale` is how many pixels a unit has.
 * @typedef {object} Plane
 * @property {CanvasRenderingContext2D} context
 * @property {CanvasRenderingContext2D} background
 * @property {[number, number, number, number]} box
 * @property {number} scale
 * @property {(z: Point) => Point} toPixels
 * @property {(place: Point) => Point} toLatent
 * @property {() => void} drawBackground
 * @property {(begin: (z: Point) => (z: Point) => void) => void} onDrag
 * @property {(move: (dx: number, dy: number) => void) => void} onArrows
 */

/**
 * @param {Element} parent
 * @param {Interval[]} limits
 * @param {string} alt
 * @returns {Plane}
 */
function makePlane(parent, limits, alt) {
  const holder = add(parent, "div", "vae-plane");
  const { canvas, context } = makeCanvas(holder, PLANE, PLANE, "vae-map", {
    role: "application", tabindex: 0, "data-lm-suppress-shortcuts": "true",
    "aria-label": `${alt} Arrow keys move the point; with Shift, in larger steps.` });
  const { canvas: behind, context: background } = makeCanvas(null, PLANE, PLANE);
  background.fillStyle = "white";
  background.fillRect(0, 0, PLANE, PLANE);
  const [left, top] = [MARGIN.left, MARGIN.top];
  const width = PLANE - left - MARGIN.right, height = PLANE - top - MARGIN.bottom;
  const [[low1, high1], [low2, high2]] = limits;
  /** @type {Plane} */
  const plane = {
    context, background, box: [left, top, width, height], scale: width / (high1 - low1),
    toPixels: ([z1, z2]) => [left + ((z1 - low1) / (high1 - low1)) * width,
      top + ((high2 - z2) / (high2 - low2)) * height],
    toLatent: ([x, y]) => [low1 + ((x - left) / width) * (high1 - low1),
      high2 - ((y - top) / height) * (high2 - low2)],
    drawBackground: () => context.drawImage(behind, 0, 0, PLANE, PLANE),
    onDrag: (begin) => onDrag(canvas, plane, begin),
    onArrows: (move) => onArrows(canvas, (high1 - low1) / 60, move),
  };
  return plane;
}

/**
 * Paint on a plane's context or background, and nowhere outside the square.
 * @type {(plane: Plane, context: CanvasRenderingContext2D, paint: () => void) => void}
 */
function clipped({ box }, context, paint) {
  context.save();
  context.beginPath();
  context.rect(...box);
  context.clip();
  paint();
  context.restore();
}

/** @type {(plane: Plane, limits: Interval[], names: string[]) => void} */
function paintAxes({ background: context, box, toPixels }, limits, names) {
  const [left, top, width, height] = box;
  [context.strokeStyle, context.lineWidth, context.fillStyle] = [GREY, 1, INK];
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

/**
 * Round numbers within a range, and each as a text.
 * @param {Interval} range
 */
function ticks([low, high]) {
  const rough = (high - low) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5].find((factor) => factor * power >= rough) ?? 10);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  /** @type {Array<[number, string]>} */
  const places = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) {
    places.push([k * step, format(k * step, digits)]);
  }
  return places;
}

/**
 * `begin(z)` at the press returns what each later move, and the press itself, calls.
 * @type {(canvas: HTMLCanvasElement, plane: Plane, begin: (z: Point) => (z: Point) => void) => void}
 */
function onDrag(canvas, plane, begin) {
  /** @type {number | null} */
  let pointer = null;
  /** @type {(z: Point) => void} */
  let move;
  /** @param {PointerEvent} event */
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

/**
 * How many pixels lie between two points of the plane.
 * @type {(plane: Plane, a: Point, b: Point) => number}
 */
function distance({ scale }, a, b) {
  return scale * Math.hypot(a[0] - b[0], a[1] - b[1]);
}
