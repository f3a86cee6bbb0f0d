"""Figures in one style: functions take arrays and return figures, and know no model.

A notebook calls `use_style()` once and shows each figure with `show(fig, alt=…)`.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import display
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import EllipseCollection
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
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
STYLE = {
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


def to_numpy(values) -> np.ndarray:
    """Tensors on any device, arrays and lists as a NumPy array."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
    return np.asarray(values)


def image_rows(
    rows: Mapping[str, object], title: str = "", captions: Sequence[str] | None = None
) -> Figure:
    """Labelled rows of images, such as originals above their reconstructions.

    rows: label → images (n, 1, 28, 28) or (n, 28, 28); pixels are shown from 0 (white)
        to 1 (black). captions: one short text above each column.
    """
    arrays = [as_images(images) for images in rows.values()]
    n_columns = max(len(images) for images in arrays)
    pitch = arrays[0].shape[-1] + 4  # a gap of four pixels between two images
    tiles = np.zeros((len(arrays) * pitch, n_columns * pitch))
    for row, images in enumerate(arrays):
        for column, image in enumerate(images):
            y, x = row * pitch + 2, column * pitch + 2
            tiles[y : y + image.shape[0], x : x + image.shape[1]] = image
    label_width = 0.11 * max(len(label) for label in rows) + 0.2
    size = min(0.8, (9.3 - label_width) / n_columns, 6 / len(arrays))  # fits a screen
    heading = 0.35 * bool(title) + 0.3 * bool(captions)
    fig, ax = plt.subplots(
        figsize=(label_width + n_columns * size, len(arrays) * size + heading)
    )
    show_image(ax, tiles)
    ax.set_title(title)
    ax.tick_params(length=0)
    ax.set_yticks((np.arange(len(arrays)) + 0.5) * pitch, rows)
    if captions:
        ax.xaxis.tick_top()
        ax.set_xticks((np.arange(len(captions)) + 0.5) * pitch, captions)
    return fig


def show_image(ax: Axes, image) -> object:
    """Draw one image (28, 28) without ticks, 0 white to 1 black; returns the artist."""
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    return ax.imshow(np.squeeze(to_numpy(image)), vmin=0, vmax=1, cmap="gray_r")


def as_images(images) -> np.ndarray:
    """Images (n, 1, h, w) or (n, h, w) as an array (n, h, w)."""
    images = to_numpy(images)
    return images[:, 0] if images.ndim == 4 else images


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
    values,
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
    values = to_numpy(values)
    top = top or values.max() or 1.0  # all zeros: any scale will do
    if ax is None:
        n_rows, n_columns = values.shape
        _, ax = plt.subplots(figsize=(2.6 + 0.62 * n_columns, 1.3 + 0.36 * n_rows))
    shades = ax.imshow(values, cmap="Blues", vmin=0, vmax=top, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        color = "white" if value > 0.6 * top else "black"
        text = f"{value:.2f}" if top < 10 else f"{value:.1f}"
        ax.text(column, row, text, ha="center", va="center", color=color, fontsize=9)
    ax.set_xticks(range(len(columns)), columns)
    ax.set_yticks(range(len(rows)), rows)
    ax.tick_params(length=0)
    ax.set_title(title)
    ax.figure.colorbar(shades, ax=ax, label=unit)
    return ax.figure


# ── the latent plane ────────────────────────────────────────────────────────────────


def latent_scatter(
    codes, labels, *, title: str, ax: Axes | None = None, legend: bool = True
) -> Figure:
    """Codes (N, 2) on the plane; a class is a colour and, at its centre, a numeral."""
    codes, labels = to_numpy(codes), to_numpy(labels)
    if ax is None:
        _, ax = plt.subplots(figsize=(6.2, 5.8))
    for label in np.unique(labels):
        own = codes[labels == label]
        color = CLASS_COLORS[int(label) % 10]
        ax.scatter(*own.T, s=6, color=color, alpha=0.5, linewidths=0)
        if legend:
            _add_numeral(ax, np.median(own, axis=0), int(label), color)
    ax.set_aspect("equal", adjustable="datalim")
    ax.set(xlabel="$z_1$", ylabel="$z_2$", title=title)
    return ax.figure


def _add_numeral(ax: Axes, position, label: int, color) -> None:
    box = {"boxstyle": "circle,pad=0.2", "fc": "white", "ec": color, "lw": 2}
    ax.text(*position, str(label), ha="center", va="center", bbox=box, zorder=4)


def add_thumbnails(ax: Axes, codes, images, *, spacing: float = 0.1) -> None:
    """Put images (N, 1, 28, 28) at their codes (N, 2), as many as fit without overlap.

    spacing: the smallest distance between two of them, as a share of the axes' width.
    """
    codes, images = to_numpy(codes), as_images(images)
    low, high = np.quantile(codes, [0.005, 0.995], axis=0)
    places = (codes - low) / (high - low).max()
    chosen = np.empty((0, 2))
    for code, place, image in zip(codes, places, images, strict=True):
        outside = ((code < low) | (code > high)).any()
        if outside or (np.linalg.norm(chosen - place, axis=1) < spacing).any():
            continue
        chosen = np.vstack([chosen, place])
        thumbnail = OffsetImage(image, cmap="gray_r", zoom=0.7)
        thumbnail.image.set_clim(0, 1)
        ax.add_artist(AnnotationBbox(thumbnail, code, pad=0.05, frameon=True))


def add_ellipses(ax: Axes, mu, sigma, *, n_sigma: float = 1.0, **style) -> None:
    """Outline N(mu, diag sigma²) at n_sigma deviations: mu, sigma (N, 2)."""
    style = {"facecolors": "none", "edgecolors": "black", "linewidths": 0.8, **style}
    mu, sizes = to_numpy(mu), 2 * n_sigma * to_numpy(sigma)
    outlines = EllipseCollection(
        *sizes.T, np.zeros(len(mu)), units="xy", offsets=mu, transOffset=ax.transData
    )
    outlines.set(**style)
    ax.add_collection(outlines)
    ax.autoscale_view()


def plane_and_picture(codes, labels, title: str):
    """The plane of codes beside a picture, both ready to follow a slider.

    Returns the figure, a cross on the plane (`cross.set_data`) and the picture
    (`picture.set_data`).
    """
    fig, (plane, frame) = plt.subplots(1, 2, figsize=(9, 4.4))
    latent_scatter(codes, labels, title=title, ax=plane)
    (cross,) = plane.plot([], [], "X", c="black", mec="white", ms=13, zorder=9)
    frame.set_title("decoded")
    return fig, cross, show_image(frame, np.zeros((28, 28)))


# ── the VAE (notebooks 04 and 04b) ──────────────────────────────────────────────────


def stacked_loss(
    log_px_z: Sequence[float], kl: Sequence[float], *, title: str, width: int = 50
) -> Figure:
    """The two parts of −ELBO over the steps, one on top of the other; their sum on top.

    log_px_z, kl: the means of each minibatch, in nats per image. Every curve is the
    mean of the last `width` steps.
    """
    steps, low = running_mean(kl, width)
    _, high = running_mean([k - p for p, k in zip(log_px_z, kl, strict=True)], width)
    fig, ax = plt.subplots(figsize=(7.5, 4))
    ax.fill_between(steps, 0, low, color=COLORS["kl"], alpha=0.6, lw=0, label="KL")
    ax.fill_between(
        steps, low, high, color=COLORS["decoder"], alpha=0.25, lw=0, label="−log p(x|z)"
    )
    ax.plot(steps, high, color=COLORS["elbo"], lw=2, label="their sum: −ELBO")
    ax.set(xlabel="step", ylabel="nats per image", title=title, xlim=(1, len(steps)))
    ax.set_ylim(bottom=0)
    handles, labels = ax.get_legend_handles_labels()
    ax.legend(handles[::-1], labels[::-1])  # in the order of the figure, from the top
    return fig


def posterior_planes(
    clouds: Mapping[str, tuple[object, object]], labels, *, n_sigma: float = 2.0
) -> Figure:
    """q(z|x) of several models on planes of one scale, each with the prior's circle.

    clouds: title → mu and sigma, both (N, 2). labels: (N,), the class of each image.
    Ellipses and circle are drawn at n_sigma standard deviations.
    """
    fig, axes = plt.subplots(
        1, len(clouds), figsize=(4.9 * len(clouds), 5.3), squeeze=False
    )
    reach = max(np.abs(to_numpy(mu)).max() for mu, _ in clouds.values())
    reach = 1.05 * max(reach, n_sigma)
    colors = [CLASS_COLORS[int(label) % 10] for label in to_numpy(labels)]
    for ax, (title, (mu, sigma)) in zip(axes[0], clouds.items(), strict=True):
        ax.scatter(*to_numpy(mu).T, s=5, color=colors, label="μ, coloured by class")
        add_ellipses(ax, mu, sigma, n_sigma=n_sigma, edgecolors=colors)
        circle = plt.Circle((0, 0), n_sigma, fill=False, ls="--", lw=2)
        circle.set(edgecolor=COLORS["prior"])
        ax.add_patch(circle)
        ax.plot([], [], "--", c=COLORS["prior"], lw=2, label=f"prior, {n_sigma:g} σ")
        ax.plot([], [], "o", mfc="none", c="black", label=f"one q(z|x), {n_sigma:g} σ")
        ax.set(xlabel="$z_1$", ylabel="$z_2$", title=title, aspect="equal")
        ax.set(xlim=(-reach, reach), ylim=(-reach, reach))
    handles, names = axes[0, 0].get_legend_handles_labels()
    fig.legend(handles, names, loc="outside lower center", ncols=3)
    return fig


def tile(images) -> np.ndarray:
    """Images (n, 1, h, w) side by side as one array (h, n · w)."""
    return np.hstack(as_images(images))


def image_strips(originals, reconstructions):
    """Originals above reconstructions, ready to follow a slider: (n, 1, h, w) each.

    Returns the figure, the lower strip (`strip.set_data(tile(images))`) and its title
    (`heading.set_text`).
    """
    fig, axes = plt.subplots(2, 1, figsize=(8, 2.9))
    strips = [
        show_image(ax, tile(images))
        for ax, images in zip(axes, (originals, reconstructions), strict=True)
    ]
    axes[0].set_title("test images")
    return fig, strips[1], axes[1].set_title("reconstructions", fontsize=11)


def paths_and_pushes(paths: Mapping, pushes: Mapping) -> Figure:
    """Tests 3 and 4 of notebook 01 for several models, side by side.

    paths: model → (shares of the way, distances to the nearest training image).
    pushes: model → (pushes in standard deviations, how far the decoded image moves).
    """
    fig, axes = plt.subplots(1, 2, figsize=(9.8, 3.8))
    for ax, lines in zip(axes, (paths, pushes), strict=True):
        for (label, (x, y)), marker in zip(lines.items(), cycle("os^D")):
            ax.plot(x, y, label=label, marker=marker)
        ax.set_ylim(bottom=0)
        ax.legend(loc="lower right")
    axes[0].set(
        title="Test 3: a path leaves the data half-way",
        xlabel="share of the way between two codes",
        ylabel="distance to the nearest\ntraining image [pixel space]",
    )
    axes[1].set(
        title="Test 4: how far a push moves the image",
        xlabel="push [standard deviations of the codes]",
        ylabel="distance it moves [pixel space]",
    )
    return fig
