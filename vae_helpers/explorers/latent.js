// The latent explorer: a point, and the image that it decodes to.

/**
 * `LatentSetup` in packing.py.
 * @typedef {object} LatentSetup
 * @property {"latent"} kind
 * @property {string} title
 * @property {string} alt
 * @property {Record<string, string>} colors  quantity → colour
 * @property {DecoderSetup} decoder
 * @property {Interval[]} limits  of each latent dimension
 * @property {string[]} names  of each latent dimension
 * @property {Point} start
 * @property {"codes" | "manifold"} background
 * @property {CodesSetup | null} codes
 * @property {ClassSetup[]} classes
 */

/**
 * `CodesSetup` in packing.py.
 * @typedef {object} CodesSetup
 * @property {Bytes} places  z₁ and z₂ of each code
 * @property {Bytes} owners  to which of the classes each belongs
 */

/**
 * `ClassSetup` in packing.py.
 * @typedef {object} ClassSetup
 * @property {string} name  empty for codes without labels
 * @property {string} color
 * @property {Point} median
 */

const ARM = 6.5; // of the cross, CSS pixels

/**
 * @param {Model} model
 * @param {Element} body
 * @param {LatentSetup} setup
 */
function showLatent(model, body, setup) {
  const { limits, names, decoder, colors, background } = setup;
  const decode = makeDecoder(decoder);
  const plane = limits.length === 2 ? makePlane(body, limits, setup.alt) : null;
  const side = add(body, "div", "vae-side");
  const putImage = makePicture(side, decoder.shape, "decoded");
  const controls = plane ? add(side, "div", "vae-controls")
    : add(body, "div", `vae-controls vae-columns${limits.length > 7 ? " vae-many" : ""}`);
  /** @type {Point} */
  let point = [...model.get("z")];
  const sliders = limits.map((range, d) =>
    makeSlider(controls, names[d], range, (value) => moveTo(replaced(point, d, value))));
  const readOut = makeReadOut(controls);
  makeButton(controls, "reset", () => moveTo(setup.start));
  const link = makeLink(model, { z: () => point }, () => {
    point = [...model.get("z")];
    draw();
  });
  const drawNumerals = plane && paintMap(plane, setup, decode);
  plane?.onDrag(() => (z) => moveTo(inside(z)));
  plane?.onArrows((dx, dy) => moveTo(inside([point[0] + dx, point[1] + dy])));

  /** @param {Point} z */
  function inside(z) {
    return z.map((value, d) => clamp(value, limits[d]));
  }

  /** @param {Point} z */
  function moveTo(z) {
    point = z;
    draw();
    link.send();
  }

  function draw() {
    putImage(decode(point));
    if (plane) {
      plane.drawBackground();
      drawNumerals?.(plane.toPixels(point));
      drawCross(plane, point, background === "manifold" ? colors.decoder : INK);
    }
    sliders.forEach((show, d) => show(point[d]));
    const texts = point.map((value) => format(value));
    readOut(point.length > 12 ? "" : `z = (${texts.join(", ")})`);
  }

  draw();
  return link.end;
}

/**
 * What stands still on the map; returns what draws the numerals, clear of a cross.
 * @param {Plane} plane
 * @param {LatentSetup} setup
 * @param {Decode} decode
 */
function paintMap(plane, { limits, names, decoder, background, codes, classes }, decode) {
  if (background === "manifold") paintManifold(plane, decode, decoder.shape);
  else if (codes) paintCodes(plane, codes, classes); // dots would hide the images
  paintAxes(plane, limits, names);
  const named = classes.filter(({ name }) => name);
  /** @param {Point} cross  in pixels */
  return (cross) => drawNumerals(plane, named, cross);
}

/** @type {(plane: Plane, codes: CodesSetup, classes: ClassSetup[]) => void} */
function paintCodes(plane, codes, classes) {
  const { background: context } = plane;
  const places = floatsOf(codes.places);
  clipped(plane, context, () => {
    context.globalAlpha = places.length > 8000 ? 0.45 : 0.6;
    bytesOf(codes.owners).forEach((owner, i) => {
      const [x, y] = plane.toPixels([places[2 * i], places[2 * i + 1]]);
      context.fillStyle = classes[owner].color;
      context.fillRect(x - 1, y - 1, 2, 2);
    });
  });
}

/**
 * The manifold itself: the plane tiled with what it decodes to.
 * @type {(plane: Plane, decode: Decode, shape: number[], nTiles?: number) => void}
 */
function paintManifold({ background: context, box, toLatent }, decode, shape, nTiles = 18) {
  const { canvas, put } = makeImage(shape);
  const [left, top, width] = box;
  const size = width / nTiles; // of a tile, a square; the image in it keeps its shape
  const zoom = size / Math.max(canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  for (let row = 0; row < nTiles; row++) {
    for (let column = 0; column < nTiles; column++) {
      const [x, y] = [left + (column + 0.5) * size, top + (row + 0.5) * size];
      put(decode(toLatent([x, y])));
      const [w, h] = [zoom * canvas.width, zoom * canvas.height];
      context.drawImage(canvas, x - w / 2, y - h / 2, w, h);
    }
  }
}

/** @type {(plane: Plane, classes: ClassSetup[], cross: Point) => void} */
function drawNumerals({ context, box, toPixels }, classes, cross) {
  context.font = `bold 13px ${FONT}`;
  [context.textAlign, context.textBaseline, context.lineWidth] = ["center", "middle", 2];
  const halves = classes.map(({ name }) => Math.max(10, context.measureText(name).width / 2 + 5));
  const widest = Math.max(...halves);
  const places = spreadApart(
    classes.map(({ median }) => toPixels(median)), 2 * widest + 2, cross, widest + 2.4 * ARM, box);
  classes.forEach(({ name, color }, i) => {
    const [[x, y], half] = [places[i], halves[i]];
    context.beginPath();
    context.roundRect(x - half, y - 10, 2 * half, 20, 10);
    context.fillStyle = "white";
    context.fill();
    context.strokeStyle = color;
    context.stroke();
    context.fillStyle = INK;
    context.fillText(name, x, y + 1);
  });
}

/**
 * Places at least `gap` from each other, at least `berth` from a cross and in a box, as
 * near to where they were as pushing brings them (`spread_apart` in plots.py).
 * @param {Point[]} homes
 * @param {number} gap
 * @param {Point} cross
 * @param {number} berth
 * @param {[number, number, number, number]} box
 * @returns {Point[]}
 */
function spreadApart(homes, gap, cross, berth, [left, top, width, height]) {
  const places = homes.map((home) => [...home]);
  /** @type {(from: Point, place: Point, least: number) => Point} */
  const push = (from, place, least) => {
    const [dx, dy] = [place[0] - from[0], place[1] - from[1]];
    const length = Math.hypot(dx, dy);
    if (length >= least) return [0, 0];
    const [ux, uy] = length ? [dx / length, dy / length] : [1, 0];
    return [ux * (least - length), uy * (least - length)];
  };
  for (let round = 0, isMoving = true; isMoving && round < 200; round++) {
    isMoving = false;
    places.forEach((place, i) => {
      for (let j = 0; j < i; j++) {
        const [dx, dy] = push(places[j], place, gap);
        isMoving ||= Math.hypot(dx, dy) > 0.5;
        [places[j][0], places[j][1]] = [places[j][0] - dx / 2, places[j][1] - dy / 2];
        [place[0], place[1]] = [place[0] + dx / 2, place[1] + dy / 2];
      }
      const [dx, dy] = push(cross, place, berth);
      isMoving ||= Math.hypot(dx, dy) > 0.5;
      place[0] = clamp(place[0] + dx, [left + gap / 2, left + width - gap / 2]);
      place[1] = clamp(place[1] + dy, [top + gap / 2, top + height - gap / 2]);
    });
  }
  return places;
}

/** @type {(plane: Plane, z: Point, color: string) => void} */
function drawCross({ context, toPixels }, z, color) {
  const [x, y] = toPixels(z);
  for (const [width, style, arm] of /** @type {Array<[number, string, number]>} */ (
    [[6, "white", ARM + 1], [3, color, ARM]])) {
    context.beginPath();
    for (const sign of [1, -1]) {
      context.moveTo(x - arm, y - sign * arm);
      context.lineTo(x + arm, y + sign * arm);
    }
    [context.lineWidth, context.strokeStyle, context.lineCap] = [width, style, "round"];
    context.stroke();
  }
}
