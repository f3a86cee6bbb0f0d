"""Figures of notebooks 04 and 04b: the VAE."""

from collections.abc import Mapping, Sequence
from itertools import cycle

from vae_helpers.plots import (
    CLASS_COLORS,
    COLORS,
    add_ellipses,
    running_mean,
    spread_apart,
    to_numpy,
)

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike


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
