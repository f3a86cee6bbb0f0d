"""Two exercises of notebook 08: the densities of a mixture and of a flow."""

import math
from collections.abc import Callable

from vae_helpers.exercises.engine import Exercise, Inputs, Wrong, normal, uniform

import torch
from torch import Generator, Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal


def _hills(generator: Generator) -> Inputs:
    """Three hills, samples near them, and one z that is far from all."""
    means = 3 * normal(generator, 3, 2)
    far = torch.tensor([[60.0, -60.0]]).to(means)
    return {
        "z": torch.cat([means + 0.5 * normal(generator, 3, 2), far]),
        "means": means,
        "sigmas": uniform(generator, 3, low=0.4, high=1.2),
        "weights": uniform(generator, 3, low=0.1).log().softmax(0),
    }


def _log_hills(z: Tensor, means: Tensor, sigmas: Tensor) -> Tensor:
    """log N of each z under each hill, by dimension: (H, N, D)."""
    return Normal(means[:, None], sigmas[:, None, None]).log_prob(z)


def _mixed(change: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """From log N of each hill (H, N) and log weights (H, 1)."""
    return lambda z, means, sigmas, weights: change(
        _log_hills(z, means, sigmas).sum(2), weights.log()[:, None]
    )


def _mixture_by_torch(
    z: Tensor, means: Tensor, sigmas: Tensor, weights: Tensor
) -> Tensor:
    hills = Independent(Normal(means, sigmas[:, None].expand_as(means)), 1)
    return MixtureSameFamily(Categorical(weights), hills).log_prob(z)


check_mixture_log_p = Exercise(
    name="mixture_log_p",
    fresh=_hills,
    referee=_mixture_by_torch,
    remember="sum over the dimensions of each hill, add the log of its weight, and "
    "only then logsumexp over the hills.",
    wrongs=[
        Wrong(
            "Each dimension chooses a hill for itself. Who has to be asked first: the "
            "dimensions of one hill, or the hills of one dimension?",
            lambda z, means, sigmas, weights: (
                (_log_hills(z, means, sigmas) + weights.log()[:, None, None])
                .logsumexp(0)
                .sum(1)
            ),
        ),
        Wrong(
            "All hills count equally. Where do the weights go?",
            _mixed(lambda hills, log_w: hills.logsumexp(0) - math.log(len(hills))),
        ),
        Wrong(
            "You add the hills without weights, so the density integrates to three.",
            _mixed(lambda hills, _: hills.logsumexp(0)),
        ),
        Wrong(
            "You add the weight to a *log*-density. What does a factor become there?",
            _mixed(lambda hills, log_w: (hills + log_w.exp()).logsumexp(0)),
        ),
        Wrong(
            "You multiply a *log*-density by the weight. What does a factor become "
            "there?",
            _mixed(lambda hills, log_w: (hills * log_w.exp()).logsumexp(0)),
        ),
        Wrong(
            "You average log-densities. A mixture averages densities.",
            _mixed(lambda hills, log_w: (hills * log_w.exp()).sum(0)),
        ),
        Wrong(
            "You take the most probable hill only. The others contribute, too.",
            _mixed(lambda hills, log_w: (hills + log_w).max(0).values),
        ),
        Wrong(
            "For a z far from all hills every density is 0 on a computer, and log 0 is "
            "−∞. Which function avoids it?",
            _mixed(lambda hills, log_w: (hills + log_w).exp().sum(0).log()),
        ),
    ],
)


def _coupling_inputs(generator: Generator) -> Inputs:
    return {
        "z": normal(generator, 4, 3),
        "a": normal(generator, 4, 2),
        "b": normal(generator, 4, 2),
    }


def _coupled(
    u_rest: Tensor, z: Tensor, log_det: Tensor, constant: float = 2 * math.pi
) -> Tensor:
    u = torch.cat([z[:, :1], u_rest], 1)
    return -0.5 * (u**2 + math.log(constant)).sum(1) + log_det


def _with_log_det(change: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    """The right u, and another log-determinant."""
    return lambda z, a, b: _coupled((z[:, 1:] - b) * a.exp(), z, change(a))


def _coupling_by_torch(z: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Given the first coordinate, the others are normal around b."""
    rest = Normal(b, (-a).exp()).log_prob(z[:, 1:]).sum(1)
    return Normal(0.0, 1.0).log_prob(z[:, 0]) + rest


check_coupling_log_p = Exercise(
    name="coupling_log_p",
    fresh=_coupling_inputs,
    referee=_coupling_by_torch,
    remember="log N(u; 0, I), and once for each z the log-determinant Σ a: it adds up "
    "over the stretched dimensions, and is added to nothing else.",
    wrongs=[
        Wrong(
            "The log-determinant is missing: your density does not integrate to one.",
            _with_log_det(lambda a: 0 * a[:, 0]),
        ),
        Wrong(
            "The log-determinant has the wrong sign. If a is positive, is a unit of "
            "area in z larger or smaller in u?",
            _with_log_det(lambda a: -a.sum(1)),
        ),
        Wrong(
            "You add the log-determinant once for each dimension. It belongs to the "
            "whole z.",
            _with_log_det(lambda a: 3 * a.sum(1)),
        ),
        Wrong(
            "You average the a. The determinant of a triangular matrix is the "
            "*product* of its diagonal.",
            _with_log_det(lambda a: a.mean(1)),
        ),
        Wrong(
            "You add the stretches themselves. What is the log of their product?",
            _with_log_det(lambda a: a.exp().sum(1)),
        ),
        Wrong(
            "You add the determinant. What becomes of it in log p(z)?",
            _with_log_det(lambda a: a.sum(1).exp()),
        ),
        Wrong(
            "Your u is stretched the wrong way. Check the sign of a in u.",
            lambda z, a, b: _coupled((z[:, 1:] - b) * (-a).exp(), z, a.sum(1)),
        ),
        Wrong(
            "You stretch first and shift afterwards. Where is the bracket in u?",
            lambda z, a, b: _coupled(z[:, 1:] * a.exp() - b, z, a.sum(1)),
        ),
        Wrong(
            "The first coordinate is not stretched, but it has a density, too.",
            lambda z, a, b: Normal(b, (-a).exp()).log_prob(z[:, 1:]).sum(1),
        ),
        Wrong(
            "½ log 2π is missing, once for each dimension.",
            lambda z, a, b: _coupled((z[:, 1:] - b) * a.exp(), z, a.sum(1), 1),
        ),
    ],
)
