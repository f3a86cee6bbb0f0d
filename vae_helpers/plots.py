"""Figures in one style: functions take arrays and return figures, and know no model.

A notebook calls `use_style()` once and shows each figure with `show(fig, alt=…)`.
"""

import base64
import contextlib
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
from matplotlib.colors import LinearSegmentedColormap
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
    plt.close(fig)


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
    size = min(0.8, (9.3 - label_width) / n_columns, 6 / n_rows)  # fits a screen
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
    import torch
    from torchvision.utils import make_grid

    arrays = as_images(images)
    is_grey = arrays.ndim == 3
    batch = torch.tensor(arrays[:, None] if is_grey else np.moveaxis(arrays, -1, 1))
    white = 0.0 if is_grey else 1.0
    grid = make_grid(batch, nrow=n_columns, padding=gap, pad_value=white)
    return grid[0].numpy() if is_grey else grid.movedim(0, -1).numpy()


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
) -> Figure:
    """A table of numbers (R, C) as shades from 0 (white) to `top`, each written in.

    rows, columns: their labels. unit: what a cell holds, beside the scale.
    """
    table = to_numpy(values)
    top = top or table.max() or 1.0  # all zeros: any scale will do
    if ax is None:
        n_rows, n_columns = table.shape
        _, ax = plt.subplots(figsize=(2.6 + 0.62 * n_columns, 1.3 + 0.36 * n_rows))
    shades = ax.imshow(table, cmap="Blues", vmin=0, vmax=top, aspect="auto")
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
) -> Figure:
    """Codes (N, 2) on the plane; a class is a colour and, near its median, a numeral.

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
        _add_numerals(ax, medians, classes, to_numpy(clear_of).reshape(-1, 2))
    return ax.figure  # type: ignore[return-value]


def _add_numerals(
    ax: Axes, medians: np.ndarray, classes: Sequence[int], crosses: np.ndarray
) -> None:
    size = np.array(ax.get_window_extent().size) / ax.figure.dpi * 72  # points
    unit = min(size / np.abs(np.diff([ax.get_xlim(), ax.get_ylim()])[:, 0]))
    places = spread_apart(medians, 18 / unit, clear_of=crosses, berth=20 / unit)
    for place, label in zip(places, classes, strict=True):
        color = CLASS_COLORS[label % 10]
        box = {"boxstyle": "circle,pad=0.2", "fc": "white", "ec": color, "lw": 2}
        x, y = place
        ax.text(x, y, str(label), ha="center", va="center", bbox=box, zorder=4)


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
        thumbnail = OffsetImage(image, cmap="gray_r", zoom=0.7)
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


# ── latent variables, KL and ELBO (notebooks 02, 03) ────────────────────────────────


def densities(
    z,
    curves: Mapping[str, tuple[Sequence[float], str]],
    *,
    title: str,
    xlim: tuple[float, float] = (-4, 4),
    ax: Axes | None = None,
) -> Figure:
    """Densities over one latent variable: label → (values on z, colour).

    A colour is a name of `COLORS` (such as "prior") or any of matplotlib's.
    """
    if ax is None:
        _, ax = plt.subplots(figsize=(7, 3.3))
    styles = cycle(["-", "--", "-."])  # told apart without colour as well
    for (label, (values, color)), style in zip(curves.items(), styles, strict=False):
        color = COLORS.get(color, color)
        line = to_numpy(values)
        ax.plot(to_numpy(z), line, style, color=color, linewidth=2, label=label)
    ax.set(xlim=xlim, xlabel="z", ylabel="density", title=title)
    ax.legend()
    return ax.figure


def kl_area(z, log_first, log_second, *, names: tuple[str, str]) -> Figure:
    """Two densities and, shaded, the signed area that is KL(first ‖ second) in nats."""
    z, first, second = (to_numpy(values) for values in (z, log_first, log_second))
    integrand = np.exp(first) * (first - second)
    curves = {names[0]: (np.exp(first), "C5"), names[1]: (np.exp(second), "C3")}
    title = f"The shaded area is the KL: {np.trapezoid(integrand, z):.3f} nats"
    fig = densities(z, curves, title=title)
    (ax,) = fig.axes
    label = f"{names[0][0]} · (log {names[0][0]} − log {names[1][0]})"
    ax.fill_between(z, integrand, color=COLORS["kl"], alpha=0.5, label=label)
    ax.legend()
    return fig


def image_and_posterior(
    image, table, poses, blurs, kinds: Sequence[str], shares, truth
) -> Figure:
    """A photograph (28, 28), its posterior over pose and blur, and that of the kind.

    table: probabilities (n_poses, n_blurs). shares: one probability for each kind.
    truth: the pose and the blur that made the image, marked by a cross.
    """
    fig, (left, middle, right) = plt.subplots(
        1, 3, figsize=(9.4, 3.2), width_ratios=[1, 1.5, 0.9]
    )
    low, high = np.quantile(to_numpy(image), [0.01, 0.99])
    show_image(left, (to_numpy(image) - low) / (high - low))
    left.set_title("x, the image we got")
    table = to_numpy(table)
    middle.contourf(
        to_numpy(poses), to_numpy(blurs), table.T / table.max(), 10, cmap="Greens"
    )
    middle.plot(*truth, "P", color="black", mec="white", ms=12)
    middle.set(xlabel="pose", ylabel="blur [pixels]", title="p(pose, blur | x)")
    bars = right.bar(kinds, to_numpy(shares), color=COLORS["posterior"])
    right.bar_label(bars, fmt=lambda share: f"{share:.0%}")
    right.set(ylim=(0, 1.1), ylabel="probability", title="p(kind | x)")
    return fig


def target_and_bars(z, target, *names: str):
    """A target density beside one bar for each name, ready to follow sliders.

    Returns the figure, the line of q (`set_ydata`) and the bars (`set_height`, [nats]).
    """
    fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.3), width_ratios=[2.4, 1])
    curves = {"target t": (target, "posterior"), "q": (np.zeros(len(z)), "q")}
    densities(z, curves, title="one q, two peaks", ax=left)
    left.set_ylim(0, 1.2)
    bars = right.bar(names, [0] * len(names), color=COLORS["kl"], width=0.6)
    right.set(ylim=(0, 8), ylabel="KL [nats]", title="both directions")
    return fig, left.lines[1], bars


def posterior_and_stack(z, posterior, log_px: float, *, bottom: float = -12):
    """A posterior density beside a stack of ELBO and KL, ready to follow sliders.

    Returns the figure, the line of q (`set_ydata`), and a function `stack(elbo, kl)`
    that moves the two bars, in nats, and returns their artists.
    """
    fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), width_ratios=[2, 1])
    curves = {
        "posterior p(z|x)": (posterior, "posterior"),
        "q": (np.zeros(len(z)), "q"),
    }
    densities(z, curves, title="your q", xlim=(-2, 4), ax=left)
    left.set_ylim(0, 1.6)
    (lower,) = right.bar([0], [0], color=COLORS["elbo"], label="ELBO", width=0.6)
    (upper,) = right.bar([0], [0], color=COLORS["kl"], label="KL", width=0.6)
    log_px = float(log_px)
    right.axhline(log_px, color=COLORS["log_px"], linewidth=2, zorder=5)
    right.text(0.98, log_px + 0.15, "log p(x)", ha="right")
    texts = [
        right.text(0.36, 0, "", color=COLORS[name], va="center", weight="bold")
        for name in ("elbo", "kl")
    ]
    right.set(xlim=(-0.5, 1), ylim=(bottom, 0), xticks=[], ylabel="nats")
    right.set_title("the stack ends at log p(x)")

    def stack(elbo: float, kl: float) -> list:
        lower.set(y=bottom, height=float(elbo) - bottom)
        upper.set(y=float(elbo), height=float(kl))
        texts[0].set(text=f"ELBO −{abs(elbo):.2f}", y=max(elbo - 0.6, bottom + 0.5))
        texts[1].set(text=f"KL {kl:.2f}", y=min(elbo + kl / 2, log_px - 0.6))
        return [lower, upper, *texts]

    return fig, left.lines[1], stack


def medians(
    runs: Mapping[str, tuple[Sequence[float], object, str]],
    *,
    xlabel: str,
    ylabel: str,
    title: str,
) -> Figure:
    """The median over runs as a line in a band that holds eight runs of ten.

    runs: label → (n x values, (n, n_runs) values, colour as in `densities`).
    """
    fig, ax = plt.subplots(figsize=(7, 3.6))
    for label, (x, values, color) in runs.items():
        color = COLORS.get(color, color)
        low, middle, high = np.quantile(to_numpy(values), [0.1, 0.5, 0.9], axis=1)
        ax.plot(x, middle, "o-" if len(x) <= 30 else "-", color=color, label=label)
        ax.fill_between(x, low, high, color=color, alpha=0.25, linewidth=0)
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    ax.legend()
    return fig


def noise_and_cloud(eps):
    """Noise (n, 2) beside the cloud z that is made of it, ready to follow sliders.

    Four samples, one on each side, have a mark in both. Returns the figure and a
    function `show(z, mu, arrow, text)` that moves the cloud (n, 2), an arrow from mu
    in the direction `arrow` (2,), and a line of text; it returns their artists.
    """
    eps = to_numpy(eps)
    sides = np.array([[-2, 0], [0, -2], [2, 0], [0, 2]])
    marked = np.linalg.norm(eps - sides[:, None], axis=-1).argmin(axis=1)
    fig, (left, right) = plt.subplots(1, 2, figsize=(9, 4.4), sharex=True, sharey=True)
    left.scatter(*eps.T, s=8, color=COLORS["prior"])
    cloud, marks = right.scatter(*eps.T, s=8, color=COLORS["q"]), []
    for marker, i in zip("os^D", marked, strict=True):
        look = {"marker": marker, "ms": 10, "color": "black", "mec": "white"}
        left.plot(*eps[i], **look)
        marks += right.plot(*eps[i], **look)
    right.plot(1, 1, "X", color="black", mec="white", ms=13)
    pointer = right.annotate(
        "", (0, 0), (0, 0), arrowprops={"arrowstyle": "->", "lw": 2}
    )
    caption = right.text(-6.7, 6.1, "")
    left.set(xlabel="$ε_1$", ylabel="$ε_2$", title="The noise ε stays", aspect="equal")
    right.set(xlabel="$z_1$", ylabel="$z_2$", title="The cloud z = μ + σε moves")
    right.set(xlim=(-7, 7), ylim=(-7, 7), aspect="equal")

    def show(z, mu, arrow, text: str) -> list:
        z, mu = to_numpy(z), to_numpy(mu)
        cloud.set_offsets(z)
        for mark, i in zip(marks, marked, strict=True):
            mark.set_data(*z[i, :, None])
        pointer.set_position(mu)
        pointer.xy = mu + 0.25 * to_numpy(arrow)  # a quarter fits the axes
        caption.set_text(text)
        return [cloud, *marks, pointer, caption]

    return fig, show


def histograms(
    samples: Mapping[str, object],
    colors: Sequence[str],
    *,
    xlabel: str,
    limits: tuple[float, float],
) -> Figure:
    """Densities of samples (n,) as steps over a hundred bins: label → samples."""
    fig, ax = plt.subplots(figsize=(7, 3.4))
    for (label, values), color in zip(samples.items(), colors, strict=True):
        values = to_numpy(values)
        counts, edges = np.histogram(values, bins=100, range=limits)
        share = counts / len(values) / (edges[1] - edges[0])
        ax.stairs(share, edges, fill=True, alpha=0.25, color=color)
        ax.stairs(share, edges, color=color, linewidth=1.5, label=label)
    ax.set(xlabel=xlabel, ylabel="density", xlim=limits)
    ax.legend()
    return fig


def recolor(fig: Figure, *colors: str) -> None:
    """Give the curves of a figure other colours, where `COLORS` names none of them."""
    (ax,) = fig.axes
    for line, color in zip(ax.lines, colors, strict=True):
        line.set_color(color)
    if ax.get_legend():
        ax.legend()
