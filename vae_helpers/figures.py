"""Figures of single lessons; what they share is in `plots`."""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle

from vae_helpers.plots import (
    CLASS_COLORS,
    COLORS,
    add_ellipses,
    as_images,
    image_rows,
    latent_scatter,
    running_mean,
    show_image,
    spread_apart,
    to_numpy,
)

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

# ── notebook 01: the plane of codes ─────────────────────────────────────────────────


def framed_images(images: Mapping[str, ArrayLike]) -> Figure:
    """Images (1, 28, 28) or (28, 28) side by side in frames, with their titles."""
    fig, axes = plt.subplots(1, len(images), figsize=(2 * len(images), 2.3))
    for ax, (title, image) in zip(np.atleast_1d(axes), images.items(), strict=True):
        show_image(ax, image)
        ax.spines[:].set_visible(True)
        ax.set_title(title)
    return fig


def planes(codes_by_title: Mapping[str, ArrayLike], labels: ArrayLike) -> Figure:
    """Planes of codes side by side, title → codes (N, 2), all at the same scale."""
    n_planes, both = len(codes_by_title), [to_numpy(c) for c in codes_by_title.values()]
    fig, axes = plt.subplots(1, n_planes, figsize=(5 * n_planes, 4.8), squeeze=False)
    for ax, title, codes in zip(axes.flat, codes_by_title, both, strict=True):
        latent_scatter(codes, labels, title=title, ax=ax, legend=False)
    low, high = (end(np.vstack(both), axis=0) for end in (np.min, np.max))
    middle, half = (low + high) / 2, 0.53 * (high - low).max()
    for ax in axes.flat:
        ax.set_aspect("equal", adjustable="box")
        ax.set_xlim(middle[0] - half, middle[0] + half)
        ax.set_ylim(middle[1] - half, middle[1] + half)
    return fig


def marked_places(
    codes: ArrayLike,
    labels: ArrayLike,
    places: ArrayLike,
    images: ArrayLike,
    captions: Sequence[str],
    *,
    title: str,
) -> Figure:
    """The plane of codes (N, 2) with places (k, 2) marked A, B, …, and their images.

    images: (k, 1, 28, 28), what the places decode to. captions: k texts under them.
    """
    fig = plt.figure(figsize=(10, 4.8))
    left, right = fig.subfigures(1, 2, width_ratios=[1.1, 1])  # type: ignore[misc]
    plane = left.subplots()
    latent_scatter(codes, labels, title=title, ax=plane, clear_of=places)
    letters = [chr(ord("A") + k) for k in range(len(captions))]
    square = {"boxstyle": "square,pad=0.15", "fc": "black", "ec": "white"}
    style = {
        "color": "white",
        "ha": "center",
        "va": "center",
        "size": 9,
        "bbox": square,
    }
    for place, letter in zip(to_numpy(places), letters, strict=True):
        plane.text(*place, letter, zorder=6, **style)
    frames = right.subplots(2, -(-len(letters) // 2)).flatten()
    for frame in frames[len(letters) :]:
        frame.set_axis_off()
    shown = zip(frames, as_images(images), letters, captions, strict=False)
    for frame, image, letter, caption in shown:
        show_image(frame, image)
        frame.set_title(f"{letter}: {caption}")
    return fig


# ── latent variables, KL and ELBO (notebooks 02, 03) ────────────────────────────────


def densities(
    z: ArrayLike,
    curves: Mapping[str, tuple[ArrayLike, str]],
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
    return ax.figure  # type: ignore[return-value]


def kl_area(
    z: ArrayLike, log_first: ArrayLike, log_second: ArrayLike, *, names: tuple[str, str]
) -> Figure:
    """Two densities and, shaded, the signed area that is KL(first ‖ second) in nats."""
    z, first, second = (to_numpy(values) for values in (z, log_first, log_second))
    integrand = np.exp(first) * (first - second)
    curves = {names[0]: (np.exp(first), "C5"), names[1]: (np.exp(second), "C3")}
    area = np.trapezoid(integrand, z)
    title = f"The area, below zero counted as negative, is the KL: {area:.3f} nats"
    fig = densities(z, curves, title=title)
    (ax,) = fig.axes
    label = f"{names[0][0]} · (log {names[0][0]} − log {names[1][0]})"
    ax.fill_between(z, integrand, color=COLORS["kl"], alpha=0.5, label=label)
    ax.set_ylabel("density; nats per unit of z")
    ax.legend()
    return fig


def image_and_posterior(
    image: ArrayLike,
    table: ArrayLike,
    poses: ArrayLike,
    blurs: ArrayLike,
    kinds: Sequence[str],
    shares: ArrayLike,
    truth: tuple[float, float],
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


def target_and_bars(
    z: ArrayLike, target: ArrayLike, *names: str
) -> tuple[Figure, Line2D, BarContainer]:
    """A target density beside one bar for each name, ready to follow sliders.

    Returns the figure, the line of q (`set_ydata`) and the bars (`set_height`, [nats]).
    """
    fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.3), width_ratios=[2.4, 1])
    curves = {
        "target t": (target, "posterior"),
        "q": (np.zeros(np.size(to_numpy(z))), "q"),
    }
    densities(z, curves, title="one q, two peaks", ax=left)
    left.set_ylim(0, 1.2)
    bars = right.bar(names, [0] * len(names), color=COLORS["kl"], width=0.6)
    right.set(ylim=(0, 8), ylabel="KL [nats]", title="both directions")
    return fig, left.lines[1], bars


def posterior_and_stack(
    z: ArrayLike, posterior: ArrayLike, log_px: float, *, bottom: float = -12
) -> tuple[Figure, Line2D, Callable[[float, float], list]]:
    """A posterior density beside a stack of ELBO and KL, ready to follow sliders.

    Returns the figure, the line of q (`set_ydata`), and a function `stack(elbo, kl)`
    that moves the two bars, in nats, and returns their artists.
    """
    fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), width_ratios=[2, 1])
    curves = {
        "posterior p(z|x)": (posterior, "posterior"),
        "q": (np.zeros(np.size(to_numpy(z))), "q"),
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
    right.set_title("ELBO plus KL to the posterior")

    def stack(elbo: float, kl: float) -> list:
        lower.set(y=bottom, height=float(elbo) - bottom)
        upper.set(y=float(elbo), height=float(kl))
        texts[0].set(text=f"ELBO −{abs(elbo):.2f}", y=max(elbo - 0.6, bottom + 0.5))
        texts[1].set(text=f"KL {kl:.2f}", y=min(elbo + kl / 2, log_px - 0.6))
        return [lower, upper, *texts]

    return fig, left.lines[1], stack


def medians(
    runs: Mapping[str, tuple[Sequence[float], ArrayLike, str]],
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


def noise_and_cloud(eps: ArrayLike) -> tuple[Figure, Callable[..., list]]:
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
    right.text(1.5, 1, "target", va="center")
    pointer = right.annotate(
        "", (0, 0), (0, 0), arrowprops={"arrowstyle": "->", "lw": 2}
    )
    caption = right.text(-6.7, 6.1, "")
    left.set(xlabel="$ε_1$", ylabel="$ε_2$", title="The noise ε stays", aspect="equal")
    right.set(xlabel="$z_1$", ylabel="$z_2$", title="The cloud z = μ + σε moves")
    right.set(xlim=(-7, 7), ylim=(-7, 7), aspect="equal")

    def show(z: ArrayLike, mu: ArrayLike, arrow: ArrayLike, text: str) -> list:
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
    samples: Mapping[str, ArrayLike],
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
    clouds: Mapping[str, tuple[ArrayLike, ArrayLike]],
    labels: ArrayLike,
    *,
    n_sigma: float = 2.0,
) -> Figure:
    """q(z|x) of several models on planes of one scale, each with the prior's circle.

    clouds: title → mu and sigma, both (N, 2). labels: (N,), the class of each image: a
    colour and, near its median, a numeral. Ellipses and circle are drawn at n_sigma
    standard deviations.
    """
    size = (5.2 * len(clouds), 6)
    fig, axes = plt.subplots(1, len(clouds), figsize=size, squeeze=False)
    fig.set_layout_engine("constrained", rect=(0, 0, 1, 0.96))  # room for titles
    reach = max(np.abs(to_numpy(mu)).max() for mu, _ in clouds.values())
    reach = 1.05 * max(reach, n_sigma)
    labels = to_numpy(labels)
    colors = [CLASS_COLORS[int(label) % 10] for label in labels]
    for ax, (title, (mu, sigma)) in zip(axes[0], clouds.items(), strict=True):
        ax.scatter(*to_numpy(mu).T, s=5, color=colors, label="μ, coloured by class")
        add_ellipses(ax, mu, sigma, n_sigma=n_sigma, edgecolors=colors)
        circle = plt.Circle((0, 0), n_sigma, fill=False, ls="--", lw=2)
        circle.set(edgecolor=COLORS["prior"])
        ax.add_patch(circle)
        of = f"{n_sigma:g} standard deviations of"
        ax.plot([], [], "o", mfc="none", c="black", label=f"{of} one q(z|x)")
        ax.plot([], [], "--", c=COLORS["prior"], lw=2, label=f"{of} p(z)")
        ax.set(xlabel="$z_1$", ylabel="$z_2$", title=title, aspect="equal")
        ax.set(xlim=(-reach, reach), ylim=(-reach, reach))
        _add_classes(ax, to_numpy(mu), labels, gap=0.1 * reach)
    handles, names = axes[0, 0].get_legend_handles_labels()
    fig.legend(handles, names, loc="outside lower center", ncols=3)
    return fig


def _add_classes(ax: Axes, codes: np.ndarray, labels: np.ndarray, gap: float) -> None:
    """A small numeral near the median of each class, at least `gap` apart."""
    classes = np.unique(labels)
    medians = [np.median(codes[labels == label], axis=0) for label in classes]
    for (z1, z2), label in zip(spread_apart(medians, gap), classes, strict=True):
        color = CLASS_COLORS[int(label) % 10]
        box = {"boxstyle": "circle,pad=0.1", "fc": "white", "ec": color, "lw": 1.5}
        name, middle = str(int(label)), "center"
        ax.text(z1, z2, name, ha=middle, va=middle, size=8, bbox=box, zorder=4)


def paths_and_pushes(
    paths: Mapping[str, tuple[ArrayLike, ArrayLike]],
    pushes: Mapping[str, tuple[ArrayLike, ArrayLike]],
) -> Figure:
    """Tests 3 and 4 of notebook 01 for several models, side by side.

    paths: model → (shares of the way, distances to the nearest training image).
    pushes: model → (pushes in standard deviations, how far the decoded image moves).
    """
    fig, axes = plt.subplots(1, 2, figsize=(9.8, 3.8))
    for ax, lines in zip(axes, (paths, pushes), strict=True):
        looks = cycle([("C5", "o--"), ("C6", "s-"), ("C7", "^:")])  # of no quantity
        for (label, (x, y)), (color, style) in zip(lines.items(), looks, strict=False):
            ax.plot(x, y, style, color=color, label=label)
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


# ── your own data (notebook 09) ─────────────────────────────────────────────────────


def class_rows(
    images: ArrayLike,
    labels: ArrayLike,
    names: Sequence[str],
    *,
    n_rows: int = 9,
    n_columns: int = 12,
) -> Figure:
    """Images (N, C, H, W) of each class in a row; of many classes, about n_rows.

    labels: (N,), indices into `names`. A class has the same number of images as the
    others, as far as it reaches, taken evenly; one without images is left out.
    """
    pixels, owners = to_numpy(images), to_numpy(labels)
    rows = {}
    for i in range(0, len(names), math.ceil(len(names) / n_rows)):
        of_class = pixels[owners == i]
        if len(of_class):
            rows[names[i]] = of_class[:: math.ceil(len(of_class) / n_columns)]
    return image_rows(rows, "Training images as they were read")
