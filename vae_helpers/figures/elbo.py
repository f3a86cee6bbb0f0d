"""Figures of notebooks 02 and 03: latent variables, the KL, the ELBO, noise."""

from collections.abc import Callable, Mapping, Sequence
from itertools import cycle

from vae_helpers.plots import (
    COLORS,
    show_image,
    to_numpy,
)

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike


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
