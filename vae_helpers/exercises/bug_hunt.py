"""Two exercises of notebook 08: an integral over a grid, and a mean over batches."""

import math
from collections.abc import Callable

from vae_helpers.exercises.engine import Exercise, Inputs, Wrong, normal, uniform

import numpy as np
import torch
from torch import Generator, Tensor

LogDensity = Callable[[Tensor], Tensor]


class _Tilted:
    """The log of a tilted normal density in 2-D, times a number that is not one."""

    def __init__(self, generator: Generator, middle: float) -> None:
        self.middle = middle + 0.5 * normal(generator, 2).double()
        widths = uniform(generator, 2, low=0.6, high=1.1).double()
        tilt = torch.tensor([[0.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
        self.stretch = widths.diag() + float(normal(generator, 1)) * 0.3 * tilt
        self.log_mass = float(uniform(generator, 1, low=-1.0, high=1.0))

    def __call__(self, z: Tensor) -> Tensor:
        """z (N, 2) → (N,)."""
        if not isinstance(z, Tensor):
            words = "log_density wants a tensor of points z, of shape (N, 2), and got "
            raise TypeError(words + type(z).__name__)
        if z.ndim != 2 or z.shape[1] != 2:
            words = f"log_density wants points z of shape (N, 2), got {tuple(z.shape)}"
            raise ValueError(words)
        eps = (z.double() - self.middle) @ torch.linalg.inv(self.stretch).T
        log_p = -0.5 * (eps**2).sum(1) - math.log(2 * math.pi)
        return (log_p - self.stretch.det().log() + self.log_mass).to(z.dtype)


def _density_and_axis(generator: Generator) -> Inputs:
    n = int(torch.randint(81, 122, (), generator=generator))
    middle = float(uniform(generator, 1, low=7, high=10))  # not where one would guess
    axis = middle + torch.linspace(-8, 8, n, dtype=torch.float64)
    density = _Tilted(generator, middle)
    return {"log_density": density, "axis": axis.to(torch.get_default_dtype())}


def _on_grid(log_density: LogDensity, axis: Tensor) -> tuple[Tensor, Tensor]:
    """The log-density at all points of the grid, (n²,), and the grid's step."""
    return log_density(torch.cartesian_prod(axis, axis)), axis[1] - axis[0]


def _summed(log_density: LogDensity, axis: Tensor, power: float = 2) -> Tensor:
    log_p, step = _on_grid(log_density, axis)
    return log_p.exp().sum() * step**power


def _integral_by_gauss(log_density: LogDensity, axis: Tensor) -> Tensor:
    nodes, weights = np.polynomial.legendre.leggauss(160)
    half = float(axis[-1] - axis[0]) / 2
    places = torch.from_numpy(half * nodes) + (axis[-1] + axis[0]) / 2
    log_p, _ = _on_grid(log_density, places)
    return half**2 * log_p.exp() @ torch.from_numpy(np.outer(weights, weights)).ravel()


def _diagonal(log_density: LogDensity, axis: Tensor) -> Tensor:
    return log_density(torch.stack([axis, axis], 1)).exp().sum()


check_integral = Exercise(
    name="integral",
    fresh=_density_and_axis,
    referee=_integral_by_gauss,
    remember="all points of the grid, the density at each, times the *area* of a cell. "
    "If this is not one, it is no density.",
    wrongs=[
        Wrong(
            "You add up densities only. Each stands for a small square of the plane: "
            "what is its area?",
            lambda log_density, axis: _summed(log_density, axis, 0),
        ),
        Wrong(
            "You multiply by the length of a step. In the plane, how large is a cell?",
            lambda log_density, axis: _summed(log_density, axis, 1),
        ),
        *(
            Wrong(
                "You look at places of your own. Use those in `axis`.",
                lambda log_density, axis, end=end: _summed(
                    log_density, torch.linspace(-end, end, len(axis)).to(axis)
                ),
            )
            for end in (6, 8, 10)
        ),
        Wrong(
            "That is the mean of the density. A mean becomes an integral times …?",
            lambda log_density, axis: _on_grid(log_density, axis)[0].exp().mean(),
        ),
        Wrong(
            "From the first point to the last, n points make n − 1 steps.",
            lambda log_density, axis: (
                _summed(log_density, axis, 0) * ((axis[-1] - axis[0]) / len(axis)) ** 2
            ),
        ),
        Wrong(
            "Your points lie on the diagonal, z₁ = z₂. How many points has a grid?",
            lambda log_density, axis: (
                _diagonal(log_density, axis) * (axis[1] - axis[0]) ** 2
            ),
        ),
        Wrong(
            "Your points lie on the diagonal, z₁ = z₂. How many points has a grid?",
            lambda log_density, axis: (
                _diagonal(log_density, axis) * (axis[1] - axis[0])
            ),
        ),
        Wrong(
            "You add up *log*-densities. Which function comes first?",
            lambda log_density, axis: (
                _on_grid(log_density, axis)[0].sum() * (axis[1] - axis[0]) ** 2
            ),
        ),
        Wrong(
            "Yours is 1 for every function. Do you divide by your own sum?",
            lambda log_density, axis: 1.0,
        ),
        Wrong(
            "That is the logarithm of the integral. For a density it would be 0; asked "
            "for is what would be 1.",
            lambda log_density, axis: _summed(log_density, axis).log(),
        ),
    ],
    tolerance=1e-3,
)


def _uneven_losses(generator: Generator) -> Inputs:
    """The last batch is small, and its images are harder."""
    losses = 10 * normal(generator, 23) + 100
    losses[-3:] += 30
    return {"losses": losses}


def _batch_statistics(losses: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    batches = losses.split(10)
    means = torch.stack([batch.mean() for batch in batches])
    variances = torch.stack([batch.var(correction=0) for batch in batches])
    return means, variances, torch.tensor([len(batch) for batch in batches])


def _pooled(means: Tensor, variances: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
    share = sizes / sizes.sum()
    mean = (share * means).sum()
    return mean, (share * (variances + (means - mean) ** 2)).sum()


check_pooled = Exercise(
    name="pooled",
    fresh=_uneven_losses,
    arguments=_batch_statistics,
    referee=lambda losses: (np.mean(losses.numpy()), np.var(losses.numpy())),
    returns=("mean", "variance"),
    remember="each batch counts by its size, and the variance is the one within the "
    "batches plus the one between their means.",
    wrongs=[
        Wrong(
            "You average the batches as if they were equally large. How much should "
            "the last one count?",
            lambda means, variances, sizes: (means.mean(), variances.mean()),
        ),
        Wrong(
            "The mean is right. The variance is that *within* the batches. What if all "
            "images of a batch were equal, and the batches were not?",
            lambda *parts: (
                _pooled(*parts)[0],
                (parts[1] * parts[2]).sum() / parts[2].sum(),
            ),
        ),
        Wrong(
            "The mean is right. The variance is that *between* the batch means. Images "
            "within a batch differ as well.",
            lambda *parts: (
                _pooled(*parts)[0],
                _pooled(parts[0], 0 * parts[1], parts[2])[1],
            ),
        ),
        Wrong(
            "The mean is right. In the variance the batches count equally.",
            lambda *parts: (_pooled(*parts)[0], parts[1].mean()),
        ),
        Wrong(
            "The mean is right. In the variance the batches count equally.",
            lambda *parts: (
                _pooled(*parts)[0],
                (parts[1] + (parts[0] - _pooled(*parts)[0]) ** 2).mean(),
            ),
        ),
        Wrong(
            "That is the standard deviation. Asked for is its square.",
            lambda *parts: (_pooled(*parts)[0], _pooled(*parts)[1].sqrt()),
        ),
        Wrong(
            "You weight each batch by its size, and then divide by the number of "
            "batches. By what do you divide a sum over images?",
            lambda means, variances, sizes: tuple(
                sizes.sum() / len(sizes) * value
                for value in _pooled(means, variances, sizes)
            ),
        ),
    ],
)
