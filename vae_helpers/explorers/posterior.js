// The posterior explorer: one image's exact posterior, and a Gaussian q over it.

/**
 * `PosteriorSetup` in packing.py.
 * @typedef {object} PosteriorSetup
 * @property {"posterior"} kind
 * @property {string} title
 * @property {string} alt
 * @property {Record<string, string>} colors  quantity → colour
 * @property {Bytes} shades  256 colours (red, green, blue), for a density of 0 to the top
 * @property {DecoderSetup} decoder
 * @property {Bytes} image
 * @property {GridSetup} grid
 * @property {Bytes} log_px_z  in nats; rows are z₂, columns z₁
 * @property {number} log_px  in nats
 * @property {Interval[]} window  what the plane shows
 * @property {{mu: Interval[], sigma: Interval[]}} limits
 * @property {Gaussian} encoder
 * @property {number} encoder_elbo  in nats
 * @property {string} note  empty where the grid resolves the encoder's q
 * @property {Gaussian} best
 */

/**
 * `GridSetup` in packing.py: n × n square cells, from their lower left corner.
 * @typedef {object} GridSetup
 * @property {Point} low
 * @property {number} step
 * @property {number} n
 */

/**
 * `Gaussian` in packing.py: N(mu, diag sigma²).
 * @typedef {object} Gaussian
 * @property {Point} mu
 * @property {Point} sigma
 */

const GRIP = 14; // how near to a handle a press must be, CSS pixels
const REACH = 26; // handles are drawn at least this far from the centre, CSS pixels

/**
 * @param {Model} model
 * @param {Element} body
 * @param {PosteriorSetup} setup
 */
function showPosterior(model, body, setup) {
  const { decoder, limits, colors } = setup;
  const decode = makeDecoder(decoder);
  const measure = makeMeter(setup);
  const plane = makePlane(body, setup.window, setup.alt);
  paintPosterior(plane, setup);
  paintAxes(plane, setup.window, ["z₁", "z₂"]);
  const panel = add(body, "div", "vae-side vae-posterior");
  const pictures = add(panel, "div", "vae-pictures");
  makePicture(pictures, decoder.shape, "image x")(floatsOf(setup.image));
  const putImage = makePicture(pictures, decoder.shape, "decoded μ");
  const drawBars = makeBars(panel, setup.log_px, setup.encoder_elbo, colors);
  const controls = add(panel, "div", "vae-controls");
  /** @type {Gaussian} */
  let q = { mu: [...model.get("mu")], sigma: [...model.get("sigma")] };
  const muSliders = ["μ₁", "μ₂"].map((name, d) => makeSlider(controls, name, limits.mu[d],
    (value) => put({ mu: replaced(q.mu, d, value), sigma: q.sigma })));
  const sigmaSliders = ["σ₁", "σ₂"].map((name, d) => makeSlider(controls, name,
    limits.sigma[d], (value) => put({ mu: q.mu, sigma: replaced(q.sigma, d, value) })));
  const readOut = makeReadOut(controls);
  const buttons = add(controls, "div", "vae-buttons");
  if (!setup.note) makeButton(buttons, "encoder’s q", () => put(setup.encoder));
  makeButton(buttons, "best Gaussian", () => put(setup.best));
  if (setup.note) add(controls, "div", "vae-note").textContent = setup.note;
  const link = makeLink(model, { mu: () => q.mu, sigma: () => q.sigma }, () => {
    q = { mu: [...model.get("mu")], sigma: [...model.get("sigma")] };
    draw();
  });
  plane.onDrag((start) => beginDrag(plane, q, start, put));
  plane.onArrows((dx, dy) => put({ mu: [q.mu[0] + dx, q.mu[1] + dy], sigma: q.sigma }));

  /** @param {Gaussian} next */
  function put({ mu, sigma }) {
    q = {
      mu: mu.map((value, d) => clamp(value, limits.mu[d])),
      sigma: sigma.map((value, d) => clamp(value, limits.sigma[d])),
    };
    draw();
    link.send();
  }

  function draw() {
    putImage(decode(q.mu));
    plane.drawBackground();
    clipped(plane, plane.context, () => drawEllipse(plane, q, colors.q));
    const { elbo, kl } = measure(q);
    drawBars(elbo, kl);
    muSliders.forEach((show, d) => show(q.mu[d]));
    sigmaSliders.forEach((show, d) => show(q.sigma[d]));
    readOut(`ELBO ${format(elbo)} + KL ${format(kl)} = log p(x) ${format(elbo + kl)} nats`);
  }

  draw();
  return link.end;
}

/**
 * What a press at `start` takes hold of: a handle widens q, unless the centre is nearer;
 * within the ellipse q moves along; elsewhere its centre comes to the pointer.
 * @type {(plane: Plane, q: Gaussian, start: Point, put: (q: Gaussian) => void) => (z: Point) => void}
 */
function beginDrag(plane, { mu, sigma }, start, put) {
  const places = handles(plane, { mu, sigma });
  const far = places.map((place) => distance(plane, place, start));
  const d = far[0] <= far[1] ? 0 : 1;
  if (far[d] < GRIP && far[d] < distance(plane, mu, start)) {
    const beyond = places[d][d] - mu[d] - sigma[d]; // a handle stands off a narrow q
    return (z) => put({ mu, sigma: replaced(sigma, d, Math.abs(z[d] - mu[d]) - beyond) });
  }
  const isInside = Math.hypot(...mu.map((value, i) => (start[i] - value) / sigma[i])) < 2;
  const isNear = isInside || distance(plane, mu, start) < GRIP;
  const offset = mu.map((value, i) => (isNear ? value - start[i] : 0));
  return (z) => put({ mu: z.map((value, i) => value + offset[i]), sigma });
}

/**
 * Where q is taken to be widened: at one sigma to the right and above, or further off.
 * @type {(plane: Plane, q: Gaussian) => [Point, Point]}
 */
function handles({ scale }, { mu, sigma }) {
  const [right, up] = sigma.map((value) => Math.max(value, REACH / scale));
  return [[mu[0] + right, mu[1]], [mu[0], mu[1] + up]];
}

/**
 * ELBO and KL(q ‖ p(z|x)) of a Gaussian q in nats, each by its own sum over the grid.
 * @type {(setup: Pick<PosteriorSetup, "grid" | "log_px_z" | "log_px">) => (q: Gaussian) => {elbo: number, kl: number}}
 */
function makeMeter({ grid, log_px_z, log_px }) {
  const { low, step, n } = grid;
  const logLikelihood = floatsOf(log_px_z);
  const axes = low.map((edge) =>
    Float64Array.from({ length: n }, (_, i) => edge + (i + 0.5) * step));
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
    /** @param {number} d */
    const klOf = (d) => (mu[d] ** 2 + sigma[d] ** 2 - 1) / 2 - Math.log(sigma[d]);
    return { elbo: expected - klOf(0) - klOf(1), kl };
  };
}

/** @type {(z: number, mu: number, sigma: number) => number} */
function logNormal(z, mu, sigma) {
  return -0.5 * ((z - mu) / sigma) ** 2 - Math.log(sigma) - 0.5 * Math.log(2 * Math.PI);
}

/**
 * The exact posterior as shades, and the prior's rings where they pass.
 * @type {(plane: Plane, setup: PosteriorSetup) => void}
 */
function paintPosterior(plane, { grid, log_px_z, window: range, colors, shades, encoder }) {
  const { low, step, n } = grid;
  const logLikelihood = floatsOf(log_px_z);
  const [left, bottom] = range.map(([edge], d) => Math.round((edge - low[d]) / step));
  const size = Math.round((range[0][1] - range[0][0]) / step);
  const logJoint = new Float64Array(size * size).map((_, k) => {
    const [i, j] = [left + (k % size), bottom + size - 1 - Math.floor(k / size)]; // z₂ upwards
    return logLikelihood[j * n + i] + logNormal(low[0] + (i + 0.5) * step, 0, 1)
      + logNormal(low[1] + (j + 0.5) * step, 0, 1);
  });
  const highest = logJoint.reduce((a, b) => Math.max(a, b));
  const palette = bytesOf(shades);
  const image = makeImage([3, size, size]);
  image.put(Float32Array.from({ length: 3 * size * size }, (_, k) => {
    const density = Math.exp(logJoint[k % (size * size)] - highest);
    const shade = Math.round(255 * Math.sqrt(density)); // the root lets the tails be seen
    return palette[3 * shade + Math.floor(k / (size * size))] / 255;
  }));
  const { background: context } = plane;
  context.imageSmoothingEnabled = true;
  context.drawImage(image.canvas, ...plane.box);
  clipped(plane, context, () => {
    context.strokeStyle = colors.prior;
    context.setLineDash([4, 4]);
    strokeRings(context, plane.toPixels([0, 0]), plane.scale, 4);
    context.setLineDash([]);
  });
  const peak = logJoint.indexOf(highest);
  const cell = plane.box[2] / size; // in pixels
  const summit = [plane.box[0] + (peak % size) * cell, plane.box[1] + (peak / size) * cell];
  paintInset(plane, range, colors, [summit, plane.toPixels(encoder.mu)]);
}

/**
 * Where the window lies in the prior's plane: a small chart in the corner that is
 * farthest from what must be seen.
 * @type {(plane: Plane, range: Interval[], colors: Record<string, string>, seen: Point[]) => void}
 */
function paintInset({ background: context, box }, [[left, right], [bottom, top]], colors, seen) {
  const size = 76;
  const [x1, x2] = [box[0] + size / 2 + 6, box[0] + box[2] - size / 2 - 6];
  const [y1, y2] = [box[1] + size / 2 + 6, box[1] + box[3] - size / 2 - 22];
  /** @param {Point} corner */
  const room = ([a, b]) => Math.min(...seen.map((place) => Math.hypot(place[0] - a, place[1] - b)));
  const [x, y] = [[x2, y1], [x1, y1], [x2, y2], [x1, y2]].reduce(
    (best, corner) => (room(corner) > room(best) ? corner : best));
  const reach = Math.max(3.5, ...[left, right, bottom, top].map(Math.abs)) * 1.05;
  const scale = size / 2 / reach;
  context.fillStyle = "rgba(255, 255, 255, 0.85)";
  [context.strokeStyle, context.lineWidth] = [FAINT, 1];
  context.fillRect(x - size / 2, y - size / 2, size, size);
  context.strokeRect(x - size / 2, y - size / 2, size, size);
  context.strokeStyle = colors.prior;
  strokeRings(context, [x, y], scale, 3);
  [context.strokeStyle, context.lineWidth] = [colors.posterior, 2];
  context.strokeRect(x + left * scale, y - top * scale,
    Math.max(3, (right - left) * scale), Math.max(3, (top - bottom) * scale));
  context.font = `11px ${FONT}`;
  [context.fillStyle, context.textAlign, context.textBaseline] = [INK, "center", "top"];
  context.fillText("prior", x, y + size / 2 + 3);
}

/** @type {(context: CanvasRenderingContext2D, centre: Point, scale: number, n: number) => void} */
function strokeRings(context, [x, y], scale, n) {
  context.lineWidth = 1;
  for (let radius = 1; radius <= n; radius++) {
    context.beginPath();
    context.arc(x, y, radius * scale, 0, 2 * Math.PI);
    context.stroke();
  }
}

/**
 * q at one and at two standard deviations, its centre and its handles.
 * @type {(plane: Plane, q: Gaussian, color: string) => void}
 */
function drawEllipse(plane, { mu, sigma }, color) {
  const { context, toPixels, scale } = plane;
  const [x, y] = toPixels(mu);
  const ends = handles(plane, { mu, sigma }).map(toPixels);
  for (const deviations of [2, 1]) {
    context.beginPath();
    const [across, up] = sigma.map((value) => deviations * value * scale);
    context.ellipse(x, y, across, up, 0, 0, 2 * Math.PI);
    context.fillStyle = color;
    context.globalAlpha = 0.12;
    context.fill();
    context.globalAlpha = 1;
    for (const [width, style] of /** @type {Array<[number, string]>} */ (
      [[4, "white"], [2, color]])) {
      [context.lineWidth, context.strokeStyle] = [width, style];
      context.stroke();
    }
  }
  for (const [end, radius] of /** @type {Array<[Point, number]>} */ (
    [[ends[0], 6], [ends[1], 6], [[x, y], 3]])) {
    context.beginPath();
    context.moveTo(x, y);
    context.lineTo(end[0], end[1]);
    context.stroke();
    context.beginPath();
    context.arc(end[0], end[1], radius, 0, 2 * Math.PI);
    context.fillStyle = "white";
    context.fill();
    context.stroke();
  }
}

/**
 * One bar: the ELBO, then KL(q ‖ p(z|x)), which fills what is missing to log p(x). Its
 * scale holds the encoder's ELBO, and some more.
 * @type {(parent: Element, logPx: number, start: number, colors: Record<string, string>) => (elbo: number, kl: number) => void}
 */
function makeBars(parent, logPx, start, colors) {
  const [width, height] = [380, 108];
  const { context } = makeCanvas(parent, width, height, "vae-bars", {
    role: "img", "aria-label": "Bars: the ELBO and the KL divergence add up to log p(x)" });
  const [left, middle, right, top, bar] = [14, 150, width - 48, 34, 26];
  const span = Math.max(30, 1.2 * (logPx - start)); // nats
  /** @param {number} below  nats below log p(x) */
  const toX = (below) => right - (below / span) * (right - left);
  return (elbo, kl) => {
    context.fillStyle = "white";
    context.fillRect(0, 0, width, height);
    const isOff = logPx - elbo > span;
    const end = isOff ? left : toX(Math.max(logPx - elbo, 0));
    context.fillStyle = colors.elbo;
    context.fillRect(left, top, end - left, bar);
    context.fillRect(left, top - 26, 11, 11);
    context.fillStyle = colors.kl;
    context.fillRect(end, top, right - end, bar);
    context.fillRect(middle, top - 26, 11, 11);
    context.fillStyle = colors.log_px;
    context.fillRect(right - 1, top - 8, 2, bar + 16);
    context.fillStyle = INK;
    context.font = `13px ${FONT}`;
    [context.textBaseline, context.textAlign] = ["middle", "left"];
    context.fillText(`ELBO ${format(elbo)}`, left + 16, top - 20);
    context.fillText(`KL(q ‖ p(z|x)) ${format(kl)}`, middle + 16, top - 20);
    if (isOff) context.fillText("◀", left - 13, top + bar / 2);
    context.textAlign = "right";
    context.fillText(`log p(x) ${format(logPx)}`, width - 4, top + bar + 38);
    context.font = `11px ${FONT}`;
    context.textAlign = "center";
    for (const [tick, text] of ticks([-span, 0])) {
      context.fillRect(toX(-tick) - 0.5, top + bar, 1, 4);
      context.fillText(text, toX(-tick), top + bar + 14);
    }
    context.textAlign = "left";
    context.fillText("nats per image, below log p(x)", left, top + bar + 38);
  };
}
