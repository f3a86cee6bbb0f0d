"""Figures of notebook 01: the plane of codes."""

from collections.abc import Mapping, Sequence

from vae_helpers.plots import (
    as_images,
    latent_scatter,
    show_image,
    to_numpy,
)

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike


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
