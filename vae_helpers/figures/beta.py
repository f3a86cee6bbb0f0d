"""Figures of notebook 05: β-VAEs."""

from collections.abc import Callable, Mapping, Sequence
from itertools import cycle

from vae_helpers.plots import (
    COLORS,
    as_images,
    heatmap,
    image_rows,
    show_image,
    to_numpy,
)

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike


def rate_distortion(
    betas: Sequence[float], rate: ArrayLike, distortion: ArrayLike
) -> Figure:
    """The models of a sweep over β: D over R, and D + R over R around its minimum.

    rate, distortion: (n,), in nats per image. Grey lines join points of equal ELBO:
    they have slope −1 on the left and lie flat on the right.
    """
    rate, distortion = to_numpy(rate), to_numpy(distortion)
    total = rate + distortion
    fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), width_ratios=[1.25, 1])
    best, end = total.min(), rate.max() + 4
    color = COLORS["elbo"]
    for level in best + np.array([0, 20, 40, 60, 80]):
        look = {"color": color, "lw": 2, "label": "the best ELBO"}
        if level > best:
            look = {"color": COLORS["prior"], "lw": 0.8}
        left.plot([0, end], [level, level - end], zorder=0, **look)
    near = total < best + 6
    for ax, height in ((left, distortion), (right, total)):
        ax.plot(rate, height, "o-", color="C5", label="one model for each β")
        for i, (beta, r, h) in enumerate(zip(betas, rate, height, strict=True)):
            if near[i] if ax is right else i % 2 == 0 or not near[i]:
                below = ax is right and h == total.min()  # clear of its line
                place = (-12, -16) if below else (6, 6)
                ax.annotate(f"β = {beta:g}", (r, h), place, textcoords="offset points")
        ax.set_xlabel("rate R [nats per image]")
    right.axhline(best, color=color, lw=2, zorder=0)
    right.set_xlim(rate[near].min() - 1.5, rate[near].max() + 4)
    right.set_ylim(best - 0.8, total[near].max() + 1.2)
    left.set(xlim=(-1, end), ylim=(distortion.min() - 8, distortion.max() + 12))
    left.set(ylabel="distortion D [nats per image]", title="The curve of the sweep")
    right.set_ylabel("D + R = −ELBO [nats per image]")
    right.set_title("Close to where it touches the best ELBO")
    left.legend()
    return fig


def bars_and_panel(
    n_bars: int, panel: ArrayLike, *, top: float
) -> tuple[Figure, Callable[[ArrayLike, ArrayLike, str], list]]:
    """Bars of KL for each unit beside a panel of images, ready to follow a slider.

    panel: (3 rows of images): test images, reconstructions and samples. top: the
    highest bar, in nats. Returns the figure and a function `show(heights, panel, text)`
    that changes bars, panel and the heading above both, and returns their artists.
    """
    fig, (left, right) = plt.subplots(1, 2, figsize=(9.6, 3.7), width_ratios=[1, 1.5])
    bars = left.bar(range(1, n_bars + 1), [0] * n_bars, color=COLORS["kl"])
    left.set(xlabel="unit, sorted by its KL", ylabel="KL [nats]", ylim=(0, 1.05 * top))
    left.set_xticks(range(1, n_bars + 1))
    shown = show_image(right, panel)
    height = np.shape(to_numpy(panel))[0]
    names = ["image", "reconstruction", "sample"]
    right.set_yticks((np.arange(3) + 0.5) * height / 3, names)
    right.tick_params(length=0)
    fig.set_layout_engine("constrained", rect=(0, 0, 1, 0.9))
    heading = fig.text(0.5, 0.97, "", ha="center", va="top", size=13)

    def show(heights: ArrayLike, panel: ArrayLike, text: str) -> list:
        for bar, value in zip(bars, to_numpy(heights), strict=True):
            bar.set_height(value)
        shown.set_data(to_numpy(panel))
        heading.set_text(text)
        return [*bars, shown, heading]

    return fig, show


def framed_rows(rows: Mapping[str, ArrayLike], title: str) -> Figure:
    """As `plots.image_rows`, each image in a frame, so that a shape's motion shows."""
    fig = image_rows(rows, title)
    (ax,) = fig.axes
    sizes = [as_images(images).shape for images in rows.values()]
    n_columns, gap = max(shape[0] for shape in sizes), 4
    (shown,) = ax.images
    _, width = shown.get_size()
    pitch = (width - gap) / n_columns
    for row, (n, *_) in enumerate(sizes):
        for column in range(n):
            corner = (gap - 1.5 + column * pitch, gap - 1.5 + row * pitch)
            side = pitch - gap + 2
            frame = plt.Rectangle(corner, side, side, fill=False)
            frame.set(ec=COLORS["prior"], lw=0.8)
            ax.add_patch(frame)
    return fig


def information_tables(
    tables: Mapping[float, ArrayLike], factors: Sequence[str], *, top: float
) -> Figure:
    """Mutual information of factor and unit in nats, β → (F, D), side by side."""
    fig, axes = plt.subplots(1, len(tables), figsize=(10, 2.9))
    for ax, (beta, table) in zip(np.atleast_1d(axes), tables.items(), strict=True):
        n_units = np.shape(to_numpy(table))[1]
        columns = [str(unit + 1) for unit in range(n_units)]
        heatmap(
            table,
            rows=factors,
            columns=columns,
            unit="I [nats]",
            title=f"β = {beta:g}",
            ax=ax,
            top=top,
        )
        ax.set_xlabel("unit, sorted by its KL")
    fig.suptitle("How many nats a unit tells about a factor")
    return fig


def seeds_by_beta(runs: Sequence[Mapping], labels: Mapping[str, str]) -> Figure:
    """One panel for each key: a dot for each seed and a line through the means, over β.

    runs: each with `beta` and the keys. labels: key → what its panel's y axis says.
    """
    fig, axes = plt.subplots(1, len(labels), figsize=(10, 3.4), squeeze=False)
    betas = sorted({run["beta"] for run in runs})
    for ax, (key, label) in zip(axes[0], labels.items(), strict=True):
        color = COLORS.get(key, "C5")
        seeds = [[run[key] for run in runs if run["beta"] == beta] for beta in betas]
        for beta, values in zip(betas, seeds, strict=True):
            ax.plot([beta] * len(values), values, "o", color=color, ms=5, alpha=0.5)
        ax.plot(betas, [np.mean(values) for values in seeds], color=color, lw=2)
        ax.set_xscale("log", base=2)
        ax.set_xticks(betas, [f"{beta:g}" for beta in betas])
        ax.set(xlabel="β", ylabel=label)
    fig.suptitle("Five seeds for each β (dots) and their mean (line)")
    return fig


def turned_gaps(
    angles: Sequence[float], gaps: ArrayLike, factors: Sequence[str]
) -> Figure:
    """The gap of each factor and their mean, the MIG, over the angle of a rotation.

    gaps: (n angles, F).
    """
    gaps = to_numpy(gaps)
    fig, ax = plt.subplots(figsize=(7, 3.8))
    styles = cycle(["--", "-.", ":"])
    for factor, gap, style in zip(factors, gaps.T, styles, strict=False):
        ax.plot(angles, gap, style, lw=1.8, label=f"gap of {factor}")
    ax.plot(angles, gaps.mean(1), color="black", lw=2.5, label="their mean: MIG")
    ax.set(xlabel="angle by which two units are turned [degrees]", ylabel="gap")
    ax.set(title="The worst angle lies 45° from the best", xticks=angles[::3])
    ax.set_ylim(bottom=0)
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return fig
