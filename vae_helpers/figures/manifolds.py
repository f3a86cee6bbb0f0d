"""Figures of notebook 06: the plane of codes as a whole, the prior, and posteriors."""

from collections.abc import Sequence
from typing import Any

from vae_helpers.plots import (
    COLORS,
    as_images,
    show_image,
    spread_apart,
    to_numpy,
)

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import ArrayLike
from torch.nn import functional


def aggregate_and_prior(
    axis: ArrayLike, aggregate: ArrayLike, prior: ArrayLike, *, reach: float = 3.0
) -> Figure:
    """The prior, the aggregated posterior and their ratio on the plane, side by side.

    axis: (n,), the grid's values of z₁ and of z₂, evenly spaced. aggregate, prior:
    densities (n, n); row j is z₂, column i is z₁. The ratio is left white further than
    `reach` from the origin, where there is hardly any prior; a circle says where.

    Shades are the root of a density, so that thin places can be seen; both have one
    scale. The ratio is shown from 1/4 to 4, in equal steps of its logarithm.
    """
    axis, aggregate, prior = (to_numpy(part) for part in (axis, aggregate, prior))
    half = (axis[1] - axis[0]) / 2
    one_scale = {"vmin": 0, "vmax": np.sqrt(2 * prior.max())}
    panels = {
        "prior p(z)": (prior, "Greys"),
        "aggregated posterior (same scale)": (aggregate, "Blues"),
    }
    fig, axes = plt.subplots(1, 3, figsize=(10.4, 3.9), sharey=True)
    for ax, (title, (density, cmap)) in zip(axes, panels.items(), strict=False):
        extent = (axis[0] - half, axis[-1] + half) * 2
        look = {"cmap": cmap, "origin": "lower", "extent": extent}
        ax.imshow(np.sqrt(density), **look, **one_scale)
        ax.set_title(title)
        _mark_reach(ax, reach)
    shades = _draw_ratio(axes[2], axis, aggregate, prior, reach)
    axes[0].set_ylabel("$z_2$")
    bar = fig.colorbar(shades, ax=axes[2], shrink=0.8, ticks=range(-2, 3))
    bar.ax.set_yticklabels(["≤ 1/4", "1/2", "1", "2", "≥ 4"])
    return fig


def walk_over_seams(
    axis: ArrayLike,
    aggregate: ArrayLike,
    prior: ArrayLike,
    walk: ArrayLike,
    images: ArrayLike,
    captions: Sequence[str],
    *,
    numerals: ArrayLike = (),
    reach: float = 3.0,
) -> Figure:
    """A walk (n, 2) over the map of aggregate / prior; below, its n images in a row.

    axis, aggregate, prior, reach: as in `aggregate_and_prior`. captions: n, one above
        each image; the first, the middle and the last also stand beside their points.
    numerals: (k, 2), near which on the map 0, 1, …, k − 1 are written.
    """
    walk = to_numpy(walk)
    fig = plt.figure(figsize=(8.2, 6.0))
    grid = fig.add_gridspec(2, len(walk), height_ratios=[7, 1])
    plane = fig.add_subplot(grid[0, :])
    axis, aggregate, prior = (to_numpy(part) for part in (axis, aggregate, prior))
    shades = _draw_ratio(plane, axis, aggregate, prior, reach)
    plane.set_ylabel("$z_2$")
    bar = fig.colorbar(shades, ax=plane, shrink=0.8, ticks=range(-2, 3))
    bar.ax.set_yticklabels(["≤ 1/4", "1/2", "1", "2", "≥ 4"])
    plane.plot(*walk.T, "o-", color="black", ms=4, mec="white", mew=0.6)
    frame = {"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.8}
    for i in (0, len(walk) // 2, -1):
        plane.annotate(
            captions[i],
            walk[i],
            xytext=(0, 9),
            textcoords="offset points",
            ha="center",
            bbox=frame,
            fontsize=9,
        )
    taken = np.concatenate([walk, walk[[0, len(walk) // 2, -1]] + [0, 0.3]])
    places = spread_apart(numerals, 0.45, clear_of=taken, berth=0.4)
    for number, place in enumerate(places):
        text = plane.text(place[0], place[1], str(number), ha="center", va="center")
        text.set(fontweight="bold", fontsize=10, bbox={**frame, "boxstyle": "circle"})
    for i, image in enumerate(as_images(images)):
        ax = fig.add_subplot(grid[1, i])
        show_image(ax, image)
        ax.set_title(captions[i], fontsize=10)
    return fig


def outline_mass(
    ax: Axes,
    axis: ArrayLike,
    log_density: ArrayLike,
    shares: Sequence[float] = (0.393, 0.865),
) -> None:
    """Outline where a density on the plane is highest, so that each share is inside.

    axis: (n,), the grid's values of z₁ and of z₂. log_density: (n, n), up to a
        constant; row j is z₂. The default shares are what lies within one and within
        two standard deviations of a Gaussian in two dimensions, 1 − e^−½ and 1 − e^−2.
    """
    log_density = torch.as_tensor(to_numpy(log_density))
    n_fine = 4 * len(log_density) - 3  # three more points between any two
    mass = functional.interpolate(
        (log_density - log_density.max())[None, None],
        size=(n_fine, n_fine),
        mode="bicubic",
        align_corners=True,
    )
    mass = to_numpy(mass[0, 0].exp())
    down = np.sort(mass.ravel())[::-1]
    inside = down.cumsum() / down.sum()
    levels = sorted(down[np.searchsorted(inside, share)] for share in shares)
    fine = np.linspace(to_numpy(axis)[0], to_numpy(axis)[-1], n_fine)
    ax.contour(fine, fine, mass, levels=levels, colors="black", linewidths=1)


def _draw_ratio(
    ax: Axes, axis: np.ndarray, aggregate: np.ndarray, prior: np.ndarray, reach: float
) -> AxesImage:
    """Aggregate / prior in steps of its logarithm, red below 1, within `reach`."""
    half = (axis[1] - axis[0]) / 2
    log_ratio = np.log2(np.maximum(aggregate, 1e-300) / prior)
    log_ratio[np.hypot(axis, axis[:, None]) > reach] = np.nan
    extent = (axis[0] - half, axis[-1] + half) * 2
    look: dict[str, Any] = {"cmap": "RdBu", "vmin": -2, "vmax": 2, "origin": "lower"}
    shades = ax.imshow(log_ratio, extent=extent, **look)
    ax.set_title("aggregate / prior")
    _mark_reach(ax, reach)
    return shades


def _mark_reach(ax: Axes, reach: float) -> None:
    circle = plt.Circle((0, 0), reach, fill=False, ls="--", color=COLORS["prior"])
    ax.add_patch(circle)
    ends = (-reach - 0.3, reach + 0.3)
    ax.set(xlim=ends, ylim=ends, xlabel="$z_1$")
