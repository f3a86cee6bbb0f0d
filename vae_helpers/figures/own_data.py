"""Figures of notebook 09: your own data."""

import math
from collections.abc import Sequence

from vae_helpers.plots import (
    image_rows,
    to_numpy,
)

from matplotlib.figure import Figure
from numpy.typing import ArrayLike


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
