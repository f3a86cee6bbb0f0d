"""Figures in one style: functions take arrays and return figures, and know no model.

A notebook calls `use_style()` once and shows each figure with `show(fig, alt=…)`.
"""

import base64
import contextlib
import html
import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import display
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import EllipseCollection
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from numpy.typing import ArrayLike
from PIL import Image

# Ten colours that stay apart under colour-blindness (Petroff 2021).
CLASS_COLORS = plt.style.library["petroff10"]["axes.prop_cycle"].by_key()["color"]
# One colour for each quantity, in figures, widgets and schematics of the whole course.
COLORS = {
    "q": "#3f90da",  # the encoder and q(z|x)
    "decoder": "#bd1f01",  # the decoder and p(x|z)
    "prior": "#717581",  # p(z)
    "posterior": "#1f8a70",  # p(z|x)
    "kl": "#ffa90e",  # every KL divergence, and every gap that is one
    "elbo": "#832db6",
    "log_px": "#1b1b1b",  # log p(x)
}
# A density's shades, from none to the highest.
POSTERIOR_SHADES = LinearSegmentedColormap.from_list(
    "posterior", ["white", COLORS["posterior"], "#0a3328"]
)
STYLE: dict[Any, Any] = {
    "axes.prop_cycle": plt.style.library["petroff10"]["axes.prop_cycle"],
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 12,
    "axes.labelsize": 11,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.08,
    "figure.constrained_layout.w_pad": 0.08,
    "figure.dpi": 100,
    "font.size": 11,
    "image.cmap": "gray_r",
    "legend.frameon": False,
}


def use_style() -> None:
    """Give every figure of this notebook the course's look."""
    plt.rcParams.update(STYLE)


@contextlib.contextmanager
def ignore_missing_glyphs() -> Iterator[None]:
    """Draw without a warning where a text has signs that matplotlib's font lacks."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        yield


@ignore_missing_glyphs()
def to_png(fig: Figure) -> bytes:
    """Render a figure, whatever backend is active, in 256 colours to keep it small."""
    canvas = FigureCanvasAgg(fig)
    canvas.draw()
    pixels = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    with io.BytesIO() as buffer:
        pixels.quantize(256).save(buffer, format="png", optimize=True)
        return buffer.getvalue()


def picture(fig_or_png: Figure | bytes, alt: str) -> tuple[dict, dict]:
    """The data and metadata of a PNG output that carries its alternative text."""
    png = fig_or_png if isinstance(fig_or_png, bytes) else to_png(fig_or_png)
    data = {"image/png": base64.b64encode(png).decode(), "text/plain": alt}
    return data, {"image/png": {"alt": alt}}


def show(fig: Figure, alt: str) -> None:
    """Display a figure with alternative text and close it."""
    data, metadata = picture(fig, alt)
    display(data, metadata=metadata, raw=True)
    display({"text/html": spoken(alt)}, raw=True)
    plt.close(fig)


def spoken(alt: str) -> str:
    """HTML that screen readers read out, and that is nowhere seen.

    JupyterLab drops the alternative text of a picture. In a notebook that is not yet
    trusted it also drops `aria-label`, but keeps the title of a canvas. Where a viewer
    allows neither, this shows nothing at all, so that no text is ever seen twice.
    """
    title = html.escape(alt)
    size = 'width="1" height="1" style="display: block"'
    return f'<canvas class="spoken" role="img" title="{title}" {size}></canvas>'


# ── images ──────────────────────────────────────────────────────────────────────────


def to_numpy(values: ArrayLike) -> np.ndarray:
    """Tensors on any device, arrays and lists as a NumPy array."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
    return np.asarray(values)


def image_rows(
    rows: Mapping[str, ArrayLike],
    title: str = "",
    captions: Sequence[str] | None = None,
) -> Figure:
    """Labelled rows of images, such as originals above their reconstructions.

    rows: label → images (n, C, H, W) or (n, H, W); pixels are shown from 0 (white) to 1
        (black), or as colours if C is 3. captions: one short text above each column.
    """
    batches = [as_images(images) for images in rows.values()]
    n_rows, n_columns = len(batches), max(len(images) for images in batches)
    blank = float(batches[0].ndim == 4)  # white, for colours and for grey values
    filled = np.full((n_rows, n_columns, *batches[0].shape[1:]), blank)
    for row, images in zip(filled, batches, strict=True):
        row[: len(images)] = images
    tiles = tile(filled.reshape(-1, *filled.shape[2:]), n_columns, gap=4)
    label_width = 0.11 * max(len(label) for label in rows) + 0.2
    size = min(0.8, (9.3 - label_width) / n_columns, 5.6 / n_rows)  # fits a screen
    heading = 0.35 * bool(title) + 0.3 * bool(captions)
    fig, ax = plt.subplots(
        figsize=(label_width + n_columns * size, n_rows * size + heading)
    )
    show_image(ax, tiles)
    ax.set_title(title)
    ax.tick_params(length=0)
    ax.set_yticks((np.arange(n_rows) + 0.5) * len(tiles) / n_rows, list(rows))
    if captions:
        ax.xaxis.tick_top()
        pitch = tiles.shape[1] / n_columns
        ax.set_xticks((np.arange(len(captions)) + 0.5) * pitch, captions)
    return fig


def tile(images: ArrayLike, n_columns: int, *, gap: int = 0) -> np.ndarray:
    """Images (n, C, H, W) or (n, H, W) as one, row by row, with a white gap in pixels.

    Returns (height, width), or (height, width, 3) in colour.
    """
    arrays = as_images(images)
    if len(arrays) == 1:
        return arrays[0]
    n_images, height, width, *colours = arrays.shape
    n_columns = min(n_columns, n_images)
    n_rows = -(-n_images // n_columns)
    white, kept = (1 if colours else 0), [(0, 0)] * len(colours)
    # Each image gets its gap above and to the left; the last ones, another all around.
    around = [(0, n_rows * n_columns - n_images), (gap, 0), (gap, 0), *kept]
    cells = np.pad(arrays, around, constant_values=white)
    cells = cells.reshape(n_rows, n_columns, gap + height, gap + width, *colours)
    shape = (n_rows * (gap + height), n_columns * (gap + width), *colours)
    grid = cells.swapaxes(1, 2).reshape(shape)
    return np.pad(grid, [(0, gap), (0, gap), *kept], constant_values=white)


def show_image(
    ax: Axes,
    image: ArrayLike,
    extent: tuple[float, float, float, float] | None = None,
) -> AxesImage:
    """Draw one image without ticks, grey from 0 white to 1 black; returns the artist.

    image: (H, W), (1, H, W) or, in colour, (3, H, W) or (H, W, 3).
    extent: left, right, bottom and top, in the units of the axes.
    """
    pixels = np.squeeze(to_numpy(image))
    if pixels.ndim == 3 and pixels.shape[-1] != 3:
        pixels = np.moveaxis(pixels, 0, -1)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    return ax.imshow(pixels, vmin=0, vmax=1, cmap="gray_r", extent=extent)


def as_images(images: ArrayLike) -> np.ndarray:
    """Images as matplotlib shows them: (n, H, W) or, in colour, (n, H, W, 3).

    images: (n, H, W), (n, 1, H, W), (n, 3, H, W), or what this function returns.
    """
    arrays = to_numpy(images)
    if arrays.ndim == 4 and arrays.shape[1] == 1:
        return arrays[:, 0]
    if arrays.ndim == 4 and arrays.shape[-1] != 3:
        return np.moveaxis(arrays, 1, -1)
    return arrays


# ── curves ──────────────────────────────────────────────────────────────────────────


def curves(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    xlabel: str,
    ylabel: str,
    title: str,
) -> Figure:
    """Several curves on one pair of axes: label → (x values, y values)."""
    fig, ax = plt.subplots(figsize=(7, 3.8))
    for (label, (x, y)), marker in zip(lines.items(), cycle("os^Dvx*P")):
        ax.plot(x, y, label=label, marker=marker if len(x) <= 30 else None)
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    if len(lines) > 1:
        ax.legend()
    return fig


def running_mean(values: Sequence[float], width: int = 50) -> tuple[range, np.ndarray]:
    """Steps 1…n and the mean of the last `width` values at each: a readable curve."""
    total = np.cumsum([0.0, *values])
    steps = np.arange(1, len(values) + 1)
    first = np.maximum(steps - width, 0)
    return range(1, len(values) + 1), (total[steps] - total[first]) / (steps - first)


def heatmap(
    values: ArrayLike,
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
    unit: str,
    ax: Axes | None = None,
    top: float | None = None,
    cmap: str | Colormap = "Blues",
) -> Figure:
    """A table of numbers (R, C) as shades from 0 (white) to `top`, each written in.

    rows, columns: their labels. unit: what a cell holds, beside the scale.
    cmap: the shades, from white to dark.
    """
    table = to_numpy(values)
    top = top or table.max() or 1.0  # all zeros: any scale will do
    if ax is None:
        n_rows, n_columns = table.shape
        _, ax = plt.subplots(figsize=(2.6 + 0.62 * n_columns, 1.3 + 0.36 * n_rows))
    shades = ax.imshow(table, cmap=cmap, vmin=0, vmax=top, aspect="auto")
    for (row, column), value in np.ndenumerate(table):
        color = "white" if value > 0.6 * top else "black"
        text = f"{value:.2f}" if top < 10 else f"{value:.1f}"
        ax.text(column, row, text, ha="center", va="center", color=color, fontsize=9)
    ax.set_xticks(range(len(columns)), columns)
    ax.set_yticks(range(len(rows)), rows)
    ax.tick_params(length=0)
    ax.set_title(title)
    ax.figure.colorbar(shades, ax=ax, label=unit)
    return ax.figure  # type: ignore[return-value]


# ── the latent plane ────────────────────────────────────────────────────────────────


def latent_scatter(
    codes: ArrayLike,
    labels: ArrayLike,
    *,
    title: str,
    ax: Axes | None = None,
    legend: bool = True,
    clear_of: ArrayLike = (),
    class_names: Sequence[str] | None = None,
) -> Figure:
    """Codes (N, 2) on the plane; a class is a colour and, near its median, a numeral.

    class_names: what is written instead of the numeral of each label, such as letters;
        after ten classes the colours come again, and the names tell them apart.
    legend: whether to write the numerals. They make room for each other and for the
        points clear_of (n, 2), where a cross will stand.
    """
    codes, labels = to_numpy(codes), to_numpy(labels)
    if ax is None:
        _, ax = plt.subplots(figsize=(6.2, 5.8))
    classes = [int(label) for label in np.unique(labels)]
    for label in classes:
        z1, z2 = codes[labels == label].T
        look = {"s": 6, "color": CLASS_COLORS[label % 10], "linewidths": 0}
        ax.scatter(z1, z2, alpha=0.5, **look)
    ax.set_aspect("equal", adjustable="datalim")
    ax.set(xlabel="$z_1$", ylabel="$z_2$", title=title)
    if legend:
        medians = np.array([np.median(codes[labels == n], axis=0) for n in classes])
        names = {n: str(class_names[n] if class_names else n) for n in classes}
        _add_numerals(ax, medians, names, to_numpy(clear_of).reshape(-1, 2))
    return ax.figure  # type: ignore[return-value]


def _add_numerals(
    ax: Axes, medians: np.ndarray, names: Mapping[int, str], crosses: np.ndarray
) -> None:
    size = np.array(ax.get_window_extent().size) / ax.figure.dpi * 72  # points
    unit = min(size / np.abs(np.diff([ax.get_xlim(), ax.get_ylim()])[:, 0]))
    places = spread_apart(medians, 18 / unit, clear_of=crosses, berth=20 / unit)
    for place, (label, name) in zip(places, names.items(), strict=True):
        color = CLASS_COLORS[label % 10]
        box = {"boxstyle": "circle,pad=0.2", "fc": "white", "ec": color, "lw": 2}
        x, y = place
        ax.text(
            x, y, name, parse_math=False, ha="center", va="center", bbox=box, zorder=4
        )


def spread_apart(
    homes: ArrayLike, gap: float, *, clear_of: ArrayLike = (), berth: float = 0.0
) -> np.ndarray:
    """Places (n, 2) at least `gap` apart and at least `berth` away from `clear_of`.

    homes: where each would best lie; those that are too near are pushed apart until
        none is, as `spreadApart` in latent.js does.
    """
    places = np.array(homes, dtype=float)
    crosses = to_numpy(clear_of).reshape(-1, 2)
    is_moving = True
    for _ in range(200):
        if not is_moving:
            break
        is_moving = False
        for i, place in enumerate(places):
            for other in places[:i]:
                push = _push(other, place, gap)
                is_moving |= np.hypot(*push) > 0.02 * gap
                other -= push / 2
                place += push / 2
            for cross in crosses:
                push = _push(cross, place, berth)
                is_moving |= np.hypot(*push) > 0.02 * gap
                place += push
    return places


def _push(origin: np.ndarray, place: np.ndarray, least: float) -> np.ndarray:
    """What brings a place so far from another point; nothing if it is further off."""
    way = place - origin
    length = np.hypot(*way)
    direction = way / length if length else np.array([1.0, 0.0])
    return direction * max(least - length, 0.0)


def posterior_map(
    log_joint: ArrayLike,
    z1: ArrayLike,
    z2: ArrayLike,
    *,
    mu: ArrayLike | None = None,
    sigma: ArrayLike | None = None,
    n_sigma: Sequence[float] = (1.0, 2.0),
    limits: Sequence[Sequence[float]] | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Figure:
    """The exact p(z|x) over a grid as shades, and Gaussians q outlined on it.

    log_joint: (n₂, n₁), log p(x, z) in nats up to a constant; row j is z2[j], column i
        is z1[i], both evenly spaced.
    mu, sigma: (2,) or (n, 2), outlined at each of n_sigma standard deviations.
    limits: ((left, right), (bottom, top)); without them, the square that holds the
        density down to e^−5 of its height, and the outlines.

    The shade is the root of the density, so that the tails can be seen.
    """
    log_joint, z1, z2 = to_numpy(log_joint), to_numpy(z1), to_numpy(z2)
    if ax is None:
        _, ax = plt.subplots(figsize=(4.8, 4.8))
    half1, half2 = (z1[1] - z1[0]) / 2, (z2[1] - z2[0]) / 2
    ax.imshow(
        np.exp((log_joint - log_joint.max()) / 2),
        origin="lower",
        interpolation="bilinear",
        cmap=POSTERIOR_SHADES,
        extent=(z1[0] - half1, z1[-1] + half1, z2[0] - half2, z2[-1] + half2),
    )
    rows, columns = np.nonzero(log_joint > log_joint.max() - 5)
    corners = [np.stack([z1[columns], z2[rows]], axis=1)]
    if mu is not None and sigma is not None:
        mu, sigma = np.atleast_2d(to_numpy(mu)), np.atleast_2d(to_numpy(sigma))
        for n in n_sigma:
            add_ellipses(ax, mu, sigma, n_sigma=n, edgecolors="white", linewidths=4)
            add_ellipses(ax, mu, sigma, n_sigma=n, edgecolors=COLORS["q"], linewidths=2)
        reach = max(n_sigma) * sigma
        corners += [mu - reach, mu + reach]
    left, right, bottom, top = _square_around(np.concatenate(corners))
    xlim, ylim = ((left, right), (bottom, top)) if limits is None else limits
    ax.set(xlim=xlim, ylim=ylim, xlabel="$z_1$", ylabel="$z_2$", title=title)
    return ax.figure  # type: ignore[return-value]


def _square_around(points: np.ndarray) -> tuple[float, float, float, float]:
    """Left, right, bottom and top of the square around points (n, 2), with some air."""
    low, high = points.min(0), points.max(0)
    middle, half = (low + high) / 2, 0.55 * (high - low).max()
    return middle[0] - half, middle[0] + half, middle[1] - half, middle[1] + half


def add_thumbnails(
    ax: Axes, codes: ArrayLike, images: ArrayLike, *, spacing: float = 0.1
) -> None:
    """Put images (N, C, H, W) at their codes (N, 2), as many as fit without overlap.

    spacing: the smallest distance between two of them, as a share of the axes' width.
    """
    codes = to_numpy(codes)
    low, high = np.quantile(codes, [0.005, 0.995], axis=0)
    places = (codes - low) / (high - low).max()
    chosen = np.empty((0, 2))
    for code, place, image in zip(codes, places, as_images(images), strict=True):
        outside = ((code < low) | (code > high)).any()
        if outside or (np.linalg.norm(chosen - place, axis=1) < spacing).any():
            continue
        chosen = np.vstack([chosen, place])
        thumbnail = OffsetImage(image, cmap="gray_r", zoom=0.55)
        thumbnail.image.set_clim(0, 1)
        ax.add_artist(AnnotationBbox(thumbnail, code, pad=0.05, frameon=True))


def add_ellipses(
    ax: Axes,
    mu: ArrayLike,
    sigma: ArrayLike,
    *,
    n_sigma: float = 1.0,
    **style: object,
) -> None:
    """Outline N(mu, diag sigma²) at n_sigma standard deviations: mu, sigma (N, 2)."""
    style = {"facecolors": "none", "edgecolors": "black", "linewidths": 0.8, **style}
    mu, (widths, heights) = to_numpy(mu), 2 * n_sigma * to_numpy(sigma).T
    angles = np.zeros(len(mu))
    outlines = EllipseCollection(
        widths, heights, angles, units="xy", offsets=mu, transOffset=ax.transData
    )
    outlines.set(**style)
    ax.add_collection(outlines)
    ax.autoscale_view()


def plane_and_picture(
    codes: ArrayLike, labels: ArrayLike, title: str
) -> tuple[Figure, Line2D, AxesImage]:
    """The plane of codes beside a picture, both ready to follow a slider.

    Returns the figure, a cross on the plane (`cross.set_data`) and the picture
    (`picture.set_data`).
    """
    fig, (plane, frame) = plt.subplots(1, 2, figsize=(9, 4.4))
    latent_scatter(codes, labels, title=title, ax=plane)
    (cross,) = plane.plot([], [], "X", c="black", mec="white", ms=13, zorder=9)
    frame.set_title("decoded")
    return fig, cross, show_image(frame, np.zeros((28, 28)))
