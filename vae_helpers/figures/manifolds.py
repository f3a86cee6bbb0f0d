"""Figures of notebook 06: the plane of codes as a whole, and the prior."""

from vae_helpers.plots import (
    COLORS,
    to_numpy,
)

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike


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
    log_ratio = np.log2(np.maximum(aggregate, 1e-300) / prior)
    log_ratio[np.hypot(axis, axis[:, None]) > reach] = np.nan
    one_scale = {"vmin": 0, "vmax": np.sqrt(2 * prior.max())}
    panels = {
        "prior p(z)": (np.sqrt(prior), {"cmap": "Greys", **one_scale}),
        "aggregated posterior": (np.sqrt(aggregate), {"cmap": "Blues", **one_scale}),
        "aggregate / prior": (log_ratio, {"cmap": "RdBu", "vmin": -2, "vmax": 2}),
    }
    fig, axes = plt.subplots(1, 3, figsize=(10.4, 3.9), sharey=True)
    for ax, (title, (values, look)) in zip(axes, panels.items(), strict=True):
        extent = (axis[0] - half, axis[-1] + half) * 2
        shades = ax.imshow(values, origin="lower", extent=extent, **look)
        circle = plt.Circle((0, 0), reach, fill=False, ls="--", color=COLORS["prior"])
        ax.add_patch(circle)
        ax.set(xlim=(-reach - 0.3, reach + 0.3), ylim=(-reach - 0.3, reach + 0.3))
        ax.set(title=title, xlabel="$z_1$")
    axes[0].set_ylabel("$z_2$")
    bar = fig.colorbar(shades, ax=axes[2], shrink=0.8, ticks=range(-2, 3))
    bar.ax.set_yticklabels(["≤ 1/4", "1/2", "1", "2", "≥ 4"])
    return fig
