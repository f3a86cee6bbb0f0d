"""Figures of single lessons, a file for each; what they share is in `plots`."""

from vae_helpers.figures.beta import (
    bars_and_panel,
    framed_rows,
    information_tables,
    rate_distortion,
    seeds_by_beta,
    turned_gaps,
)
from vae_helpers.figures.bugs import (
    bounds_over_k,
    maps_with_samples,
    verdict_table,
    versions,
)
from vae_helpers.figures.codes import (
    framed_images,
    marked_places,
    planes,
)
from vae_helpers.figures.elbo import (
    densities,
    histograms,
    image_and_posterior,
    kl_area,
    medians,
    noise_and_cloud,
    posterior_and_stack,
    recolor,
    target_and_bars,
)
from vae_helpers.figures.manifolds import (
    aggregate_and_prior,
)
from vae_helpers.figures.own_data import class_rows
from vae_helpers.figures.quality import (
    bounds_by_size,
    image_posterior_climb,
    images_and_posteriors,
    nll_by_passes_and_minutes,
    score_and_ratio,
    stated_and_missed,
    two_climbs,
    two_gaps,
    within_radius,
)
from vae_helpers.figures.vae import (
    paths_and_pushes,
    posterior_planes,
    stacked_loss,
)

__all__ = [
    "aggregate_and_prior",
    "bars_and_panel",
    "bounds_by_size",
    "bounds_over_k",
    "class_rows",
    "densities",
    "framed_images",
    "framed_rows",
    "histograms",
    "image_and_posterior",
    "image_posterior_climb",
    "images_and_posteriors",
    "information_tables",
    "kl_area",
    "maps_with_samples",
    "marked_places",
    "medians",
    "nll_by_passes_and_minutes",
    "noise_and_cloud",
    "paths_and_pushes",
    "planes",
    "posterior_and_stack",
    "posterior_planes",
    "rate_distortion",
    "recolor",
    "score_and_ratio",
    "seeds_by_beta",
    "stacked_loss",
    "stated_and_missed",
    "target_and_bars",
    "turned_gaps",
    "two_climbs",
    "two_gaps",
    "verdict_table",
    "versions",
    "within_radius",
]
