"""Figures of notebooks 07 and 07b: how good is it?"""

from collections.abc import Callable, Mapping, Sequence
from itertools import cycle

from vae_helpers.plots import (
    CLASS_COLORS,
    COLORS,
    POSTERIOR_SHADES,
    as_images,
    posterior_map,
    show_image,
    to_numpy,
)

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike


def two_climbs(
    sizes: Sequence[int], from_q: ArrayLike, from_prior: ArrayLike, log_px: float
) -> Figure:
    """L_K over K, with z from q and from the prior (len(sizes),), under log p(x)."""
    fig, ax = plt.subplots(figsize=(7.5, 4))
    label = "z from q(z|x)"
    ax.plot(sizes, to_numpy(from_q), "o-", ms=4, color=COLORS["q"], label=label)
    label = "z from the prior"
    ax.plot(sizes, to_numpy(from_prior), "s-", ms=4, color=COLORS["prior"], label=label)
    ax.axhline(log_px, color=COLORS["log_px"], ls="--", label="exact log p(x)")
    ax.set(xscale="log", xlabel="K, samples per image", ylim=(log_px - 25, log_px + 2))
    ax.set(ylabel="$L_K$ [nats per image]")
    ax.set_title("Both climb towards the exact log p(x), and neither arrives")
    ax.legend(loc="lower right")
    return fig


def stated_and_missed(stated: ArrayLike, missed: ArrayLike) -> Figure:
    """How far each estimate is from log p(x), over the standard error that it states.

    stated, missed: (n,) in nats; missed is positive where the estimate is too low.
    """
    stated, missed = to_numpy(stated), to_numpy(missed)
    low = missed > 0
    points = {
        "estimate below log p(x)": (stated[low], missed[low], True),
        "estimate above log p(x)": (stated[~low], -missed[~low], False),
    }
    fig, ax = _against_diagonal(points, COLORS["q"], "as far off as stated")
    ax.set(xlabel="standard error that the estimate states [nats]")
    ax.set(ylabel="how far it is from log p(x) [nats]")
    ax.set_title("A few images are off by far more than stated")
    ax.legend(loc="lower right")
    return fig


def two_gaps(approximation: ArrayLike, amortization: ArrayLike) -> Figure:
    """The amortization gap over the approximation gap of each image, (n,) in nats."""
    points = {"image": (to_numpy(approximation), to_numpy(amortization), True)}
    fig, ax = _against_diagonal(points, COLORS["kl"], "both are equal")
    ax.set(xlabel="approximation gap [nats]", ylabel="amortization gap [nats]")
    ax.set_title("Above the line, the encoder costs more than q's form")
    return fig


def _against_diagonal(
    points: Mapping[str, tuple[np.ndarray, np.ndarray, bool]], color: str, diagonal: str
) -> tuple[Figure, Axes]:
    """Points on two equal logarithmic axes in nats, and the line where both are equal.

    points: label → (x values, y values, whether the markers are filled). What is
    smaller than 0.001 is put on the edge. diagonal: the words on the line.
    """
    fig, ax = plt.subplots(figsize=(5.6, 5.2))
    low, high = 1e-3, 100
    for label, (x, y, filled) in points.items():
        inside = x.clip(low, high), y.clip(low, high)
        (markers,) = ax.plot(*inside, "o", ms=5, label=label, clip_on=False)
        markers.set(mec=color, mfc=color if filled else "none")
    ax.plot([low, high], [low, high], "--", color="black", lw=1, zorder=0)
    ax.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high))
    ax.set_aspect("equal")
    words = ax.text(60, 45, diagonal, ha="right", va="top")
    words.set(rotation=45, rotation_mode="anchor")
    return fig, ax


def images_and_posteriors(
    images: ArrayLike,
    log_joints: ArrayLike,
    axis: ArrayLike,
    q: tuple[ArrayLike, ArrayLike],
    titles: Sequence[str],
    samples: ArrayLike | None = None,
) -> Figure:
    """Images (k, 1, 28, 28), below each its exact p(z|x) with a Gaussian q outlined.

    log_joints: (k, n, n), log p(x, z) on the square grid axis × axis, row j is z₂.
    q: mu and sigma (k, 2), outlined at one and two standard deviations.
    samples: (m, k, 2), samples of q, drawn as dots.
    """
    k, (mu, sigma) = len(titles), map(to_numpy, q)
    fig, axes = plt.subplots(2, k, figsize=(3.2 * k, 4.7), height_ratios=[1, 3])
    shown = zip(axes.T, as_images(images), to_numpy(log_joints), titles, strict=True)
    for i, ((top, plane), image, log_joint, title) in enumerate(shown):
        show_image(top, image)
        top.set_title(title)
        posterior_map(log_joint, axis, axis, mu=mu[i], sigma=sigma[i], ax=plane)
        if samples is not None:
            plane.plot(*to_numpy(samples)[:, i].T, ".", ms=2, color=COLORS["q"])
    return fig


def within_radius(
    radii: ArrayLike,
    log_shares: Mapping[str, ArrayLike],
    log_squares: Mapping[str, ArrayLike],
    reach: float,
) -> Figure:
    """How p(x) and E_q[w²] add up within so many standard deviations of q's mean.

    log_shares: label → (n,), the log of the share of p(x) within each of the n radii,
        drawn as a share. log_squares: label → (n,), the log of E_q[w²]/p(x)² there.
    reach: how far the samples get.
    """
    fig, axes = plt.subplots(1, 2, figsize=(9.8, 3.8))
    shares = {label: np.exp(to_numpy(values)) for label, values in log_shares.items()}
    for ax, lines in zip(axes, (shares, log_squares), strict=True):
        for (label, values), style in zip(lines.items(), ("-", "--"), strict=True):
            ax.plot(to_numpy(radii), to_numpy(values), f"C5{style}", lw=2, label=label)
        ax.axvline(reach, color=COLORS["q"], lw=2)
        ax.set(xlabel="within so many standard deviations of μ", xlim=(0, None))
    words = "5,000 samples\nreach this far"
    axes[0].text(reach + 0.3, 0.5, words, color=COLORS["q"])
    axes[0].set(ylabel="share of p(x)", title="p(x) is complete, but not within reach")
    axes[1].set(ylabel="log of E[w²] / p(x)² [nats]", title="E[w²] grows without limit")
    axes[1].legend(loc="lower right")
    return fig


def image_posterior_climb(
    axis: ArrayLike, sizes: Sequence[int], reach: float
) -> tuple[Figure, Callable[..., list]]:
    """An image, its posterior, and two climbs to log p(x), ready to follow a slider.

    axis: (n,), the square grid's values of z₁ and of z₂. sizes: the K of the climbs.
    reach: the planes end there. Returns the figure and a function `show(image,
    log_joint (n, n), mu (2,), from_q, from_prior)`, the last two L_K − log p(x)
    (len(sizes),), that moves everything and returns the artists.
    """
    axis = to_numpy(axis)
    fig, (left, middle, right) = plt.subplots(1, 3, figsize=(10, 3.6))
    digit = show_image(left, np.zeros((28, 28)))
    half = (axis[1] - axis[0]) / 2
    ends = (axis[0] - half, axis[-1] + half)
    sheet = middle.imshow(
        np.zeros((len(axis), len(axis))),
        vmin=0,
        vmax=1,
        origin="lower",
        extent=(*ends, *ends),
        cmap=POSTERIOR_SHADES,
    )
    (cross,) = middle.plot([], [], "+", color=COLORS["q"], ms=13, mew=2)
    middle.set(xlim=(-reach, reach), ylim=(-reach, reach), xlabel="$z_1$")
    middle.set(ylabel="$z_2$", title="p(z|x), and q's mean (+)")
    climbs = [
        right.plot(
            sizes, [0.0] * len(sizes), style, ms=4, color=COLORS[name], label=label
        )[0]
        for name, style, label in (
            ("q", "o-", "z from q(z|x)"),
            ("prior", "s-", "z from the prior"),
        )
    ]
    right.axhline(0, color=COLORS["log_px"], ls="--")
    right.set(xscale="log", ylim=(-60, 4), xlabel="K, samples per image")
    right.set(ylabel="$L_K$ − log p(x) [nats]")
    right.legend(loc="lower right")

    def show(
        image: ArrayLike,
        log_joint: ArrayLike,
        mu: ArrayLike,
        from_q: ArrayLike,
        from_prior: ArrayLike,
    ) -> list:
        digit.set_data(as_images(to_numpy(image)[None])[0])
        log_joint = to_numpy(log_joint)
        sheet.set_data(np.exp((log_joint - log_joint.max()) / 2))
        cross.set_data(*to_numpy(mu)[:, None])
        for line, values in zip(climbs, (from_q, from_prior), strict=True):
            line.set_ydata(to_numpy(values))
        return [digit, sheet, cross, *climbs]

    return fig, show


def score_and_ratio(
    scores: Mapping[str, ArrayLike], ratios: Mapping[str, ArrayLike]
) -> Figure:
    """Two histograms: a model's scores by kind of image, and log-ratios to another's.

    Both: kind → (n,) in nats. What lies beyond the axes is counted at their edge.
    """
    fig, axes = plt.subplots(1, 2, figsize=(9.8, 3.6))
    for ax, values in zip(axes, (scores, ratios), strict=True):
        both = np.concatenate([to_numpy(some) for some in values.values()])
        low, high = np.quantile(both, [0.01, 0.99])
        bins = np.linspace(low, high, 41)
        for (kind, some), color in zip(values.items(), CLASS_COLORS, strict=False):
            counts, _ = np.histogram(to_numpy(some).clip(low, high), bins)
            share = counts / counts.sum()
            ax.stairs(share, bins, fill=True, alpha=0.25, color=color)
            ax.stairs(share, bins, lw=1.5, color=color, label=kind)
        ax.set(ylabel="share of images")
    axes[0].set(xlabel="score [nats]", title="The score prefers what it never saw")
    axes[1].set(xlabel="difference of two scores [nats]", title="The ratio does not")
    axes[0].legend(loc="upper left")
    return fig


def bounds_by_size(runs: Sequence[Mapping[str, float]]) -> Figure:
    """Test and training ELBO over the training images seen, a colour for each D.

    runs: each with `latent_dim`, `passes`, `elbo_test` and `elbo_train`, of MNIST.
    """
    fig, ax = plt.subplots(figsize=(8, 4.2))
    sizes = sorted({run["latent_dim"] for run in runs})
    for size, marker, color in zip(sizes, cycle("osv^D"), cycle(CLASS_COLORS)):
        own = [run for run in runs if run["latent_dim"] == size]
        own.sort(key=lambda run: run["passes"])
        n_seen = [60_000 * run["passes"] for run in own]
        test, training = (
            [run[name] for run in own] for name in ("elbo_test", "elbo_train")
        )
        ax.plot(n_seen, test, f"{marker}-", color=color, label=f"{size}")
        ax.plot(n_seen, training, ":", color=color)
    ax.set(xscale="log", xlabel="training images seen", ylabel="ELBO [nats per image]")
    ax.legend(title="D", loc="upper left", bbox_to_anchor=(1, 1))
    return fig


def nll_by_passes_and_minutes(
    runs: Mapping[str, Sequence[Mapping[str, float]]],
) -> Figure:
    """The same runs twice: their NLL over passes, and over minutes of training.

    runs: label → runs, each with `passes`, `training_minutes`, `nll`, `nll_error`.
    """
    fig, axes = plt.subplots(1, 2, figsize=(9.8, 3.8), sharey=True)
    columns = {"passes": (20, 40, 80, 200), "training_minutes": (1, 2, 4, 8, 16, 32)}
    for ax, (name, ticks) in zip(axes, columns.items(), strict=True):
        looks = zip(runs.items(), "osD", ("C5", "C6", "C7"), strict=False)
        for (label, own), marker, color in looks:
            x, y = ([run[key] for run in own] for key in (name, "nll"))
            ax.plot(x, y, f"{marker}-", color=color, label=label)
        ax.set_xscale("log")
        ax.set_xticks(ticks, [str(tick) for tick in ticks])
        ax.minorticks_off()
    axes[0].set(xlabel="passes over MNIST", title="Per pass, IWAE is ahead")
    axes[0].set_ylabel("NLL [nats per image]")
    axes[1].set_xlabel("minutes of training, one thread")
    axes[1].set_title("Per minute, the VAE is ahead")
    axes[1].legend()
    return fig
