"""Figures of notebook 08: the bug hunt."""

from collections.abc import Mapping, Sequence

from vae_helpers.figures.elbo import recolor
from vae_helpers.plots import (
    COLORS,
    curves,
    to_numpy,
)

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.figure import Figure
from numpy.typing import ArrayLike


def maps_with_samples(
    panels: Mapping[str, tuple[ArrayLike, ArrayLike]], quantity: str, *, reach: float
) -> Figure:
    """Densities on planes of one scale, with samples as crosses, side by side.

    panels: title → a density (n, n), its rows along z_2 and its columns along z_1 from
    −reach to reach, and samples (N, 2). quantity: of `COLORS`, whose density it is. All
    panels share one scale of shades, which grow as the square root, so that a low
    density is visible.
    """
    fig, axes = plt.subplots(1, len(panels), figsize=(4.6 * len(panels), 4.4))
    top = max(to_numpy(density).max() for density, _ in panels.values())
    around = [-reach, reach, -reach, reach]
    shade = LinearSegmentedColormap.from_list("one", ["white", COLORS[quantity]])
    for ax, (title, (density, samples)) in zip(axes, panels.items(), strict=True):
        shades = {"cmap": shade, "norm": PowerNorm(0.5, vmin=0, vmax=top)}
        image = ax.imshow(to_numpy(density), origin="lower", extent=around, **shades)
        ax.plot(*to_numpy(samples).T, "x", color="black", markersize=4, alpha=0.5)
        ax.set(title=title, xlabel="$z_1$", ylabel="$z_2$")
        ax.set(xlim=around[:2], ylim=around[2:])
    fig.colorbar(image, ax=list(axes), label="density", shrink=0.8)
    return fig


def verdict_table(
    verdicts: Mapping[str, Mapping[str, bool]], columns: Sequence[str], *, title: str
) -> Figure:
    """A table of ✓ and ✗: row → column → verdict; empty where there is none."""
    fig, ax = plt.subplots(figsize=(8, 0.45 * len(verdicts) + 0.8))
    for row, of_row in enumerate(verdicts.values()):
        for column, name in enumerate(columns):
            mark, fill = "", "whitesmoke"
            if name in of_row:
                mark, fill = ("✓", "white") if of_row[name] else ("✗", "#f2b134")
            ax.add_patch(plt.Rectangle((column, row), 1, 1, fc=fill, ec="lightgrey"))
            place = column + 0.5, row + 0.5
            ax.text(*place, mark, ha="center", va="center", fontsize=15)
    ax.set(xlim=(0, len(columns)), ylim=(len(verdicts), 0), title=title)
    ax.set_xticks(np.arange(len(columns)) + 0.5, columns)
    ax.set_yticks(np.arange(len(verdicts)) + 0.5, list(verdicts))
    ax.tick_params(length=0)
    return fig


def versions(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    xlabel: str,
    ylabel: str,
    title: str,
) -> Figure:
    """Curves of one program's versions: "suspect", "half cured" or "cured" → (x, y)."""
    fig = curves(lines, xlabel=xlabel, ylabel=ylabel, title=title)
    colors = {"suspect": "C6", "half cured": "C7", "cured": "C5"}  # of no quantity
    recolor(fig, *(colors[name] for name in lines))
    return fig


def bounds_over_k(
    lines: Mapping[str, tuple[Sequence[int], Sequence[float]]], *, title: str
) -> Figure:
    """Versions of a bound over K, on a log scale: label → (K, nats above log p(x))."""
    labels = {"xlabel": "K, samples per image", "ylabel": "nats above log p(x)"}
    fig = versions(lines, title=title, **labels)
    (ax,) = fig.axes
    ax.axhline(0, color=COLORS["log_px"], linestyle="--", label="log p(x)")
    ax.set_xscale("log", base=2)
    for sizes, _ in lines.values():
        ax.set_xticks(sizes, map(str, sizes))
    ax.legend()
    return fig
