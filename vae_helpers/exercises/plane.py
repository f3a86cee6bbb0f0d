"""The exercises of notebook 06 on the plane: a round sheet, and the gap on a grid."""

import math
from collections.abc import Callable

from vae_helpers.exercises.engine import Exercise, Inputs, Wrong, uniform

import numpy as np
import torch
from scipy.special import log_softmax, rel_entr
from scipy.stats import rayleigh
from torch import Generator, Tensor
from torch.distributions import MultivariateNormal, Normal


def _around(radius: Tensor, turn: Tensor, full: float = 2 * math.pi) -> Tensor:
    angle = full * turn
    circle = torch.stack([angle.cos(), angle.sin()], -1)
    return radius[:, None, None] * circle


def _radius(u: Tensor) -> Tensor:
    return (-2 * (1 - u).log()).sqrt()


def _rings(radius: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """The sheet with other radii."""
    return lambda u, turn: _around(radius(u), turn)


def _sheet_by_scipy(u: Tensor, turn: Tensor) -> np.ndarray:
    z = rayleigh.ppf(u.numpy())[:, None] * np.exp(2j * np.pi * turn.numpy())
    return np.stack([z.real, z.imag], -1)


check_round_sheet = Exercise(
    name="round_sheet",
    fresh=lambda generator: {
        "u": uniform(generator, 4, low=0.05, high=0.95),
        "turn": uniform(generator, 3),
    },
    referee=_sheet_by_scipy,
    remember="set the share within r equal to u, and solve for r: equal steps in u are "
    "rings of equal prior mass.",
    wrongs=[
        Wrong(
            "That inverts the distribution of one *coordinate*, and half of your radii "
            "are negative. Which distribution function does the radius have?",
            _rings(torch.special.ndtri),
        ),
        Wrong(
            "That is |z₁|, the size of one coordinate. The radius has two.",
            _rings(lambda u: torch.special.ndtri((1 + u) / 2)),
        ),
        Wrong(
            "A whole turn is 1 for `turn`. Yours is half a turn: how much is a whole "
            "one for cos and sin?",
            lambda u, turn: _around(_radius(u), turn, math.pi),
        ),
        Wrong(
            "You turn the other way: ¼ should point to +z₂.",
            lambda u, turn: _around(_radius(u), turn, -2 * math.pi),
        ),
        Wrong(
            "Your rings are equally far apart. What share of the prior lies between "
            "two of them?",
            _rings(lambda u: u),
        ),
        Wrong(
            "That is r², not r.",
            _rings(lambda u: -2 * (1 - u).log()),
        ),
        Wrong(
            "The 2 of r²/2 is lost on the way to r.",
            _rings(lambda u: (-(1 - u).log()).sqrt()),
        ),
        Wrong(
            "u = 0.05 gives your *largest* ring. Which share lies within it?",
            _rings(lambda u: (-2 * u.log()).sqrt()),
        ),
        Wrong(
            "That divides the area of a disc evenly. The prior has more mass per area "
            "in the middle.",
            _rings(torch.sqrt),
        ),
        Wrong(
            "That is the share within a radius u. Asked for is the other way round: "
            "the radius within which the share is u.",
            _rings(lambda u: 1 - (-(u**2) / 2).exp()),
        ),
        Wrong(
            "A whole turn is 1 for `turn`. How much is it for cos and sin?",
            lambda u, turn: _around(_radius(u), turn / (2 * math.pi)),
        ),
        Wrong(
            "Your rings and angles are exchanged: which of them are the rows?",
            lambda u, turn: _around(_radius(u), turn).transpose(0, 1),
        ),
        Wrong(
            "z₁ and z₂ are exchanged. In which direction does turn = 0 lie?",
            lambda u, turn: _around(_radius(u), turn).flip(-1),
        ),
    ],
    tolerance=5e-4,  # log(1 − u) in 32 bits
)


def _on_grid(generator: Generator) -> Inputs:
    """p(x, z) of an image with log p(x) near −900, and a q, on 51 × 51 points."""
    axis = torch.linspace(-5, 5, 51, dtype=torch.float64)
    points = torch.cartesian_prod(axis, axis)
    # No share of the posterior is 0 in 32 bits, so that its logarithm is finite; and
    # the gap is larger than what the tolerance leaves open at −900.
    scale = uniform(generator, 4, low=0.8, high=0.9).double()
    tilt = torch.diag(scale[:2])
    tilt[1, 0] = 0.3 * scale[0]
    center = uniform(generator, 2, low=0.8, high=1.0).double()
    mu = uniform(generator, 2, low=-1.0, high=-0.8).double()
    log_joint = MultivariateNormal(center, scale_tril=tilt).log_prob(points)
    log_joint -= 900 + 50 * uniform(generator, 1).item()
    log_q = Normal(mu, scale[2:]).log_prob(points).sum(1)
    dtype = torch.get_default_dtype()
    area = (axis[1] - axis[0]).item() ** 2
    return {"log_joint": log_joint.to(dtype), "log_q": log_q.to(dtype), "area": area}


def _log_posterior(log_joint: Tensor, area: float) -> Tensor:
    return log_joint - log_joint.logsumexp(0) - math.log(area)


def _gap(log_joint: Tensor, log_q: Tensor, area: float) -> Tensor:
    return (log_q.exp() * (log_q - _log_posterior(log_joint, area))).sum() * area


def _gap_by_scipy(log_joint: Tensor, log_q: Tensor, area: float) -> float:
    shares = np.exp(log_softmax(log_joint.numpy()))
    return rel_entr(np.exp(log_softmax(log_q.numpy())), shares).sum()


def _weighted(log_q: Tensor, values: Tensor, area: float) -> Tensor:
    return (log_q.exp() * values).sum() * area


_NO_SUM_EXP = (
    "exp(−900) is 0 on a computer, so log p(x) becomes −∞, or p(z|x) 0/0. How does 00 "
    "take the log of a sum of exponentials?"
)

check_grid_gap = Exercise(
    name="grid_gap",
    fresh=_on_grid,
    referee=_gap_by_scipy,
    remember="an integral is a sum times the area, its logarithm a log-sum-exp plus "
    "log area; and the gap needs p(z|x), not p(x, z).",
    wrongs=[
        Wrong(
            "Your log p(x) lacks the area that a point stands for: the gap is off by "
            "log area.",
            lambda log_joint, log_q, area: (
                _gap(log_joint, log_q, area) - math.log(area)
            ),
        ),
        Wrong(
            _NO_SUM_EXP,
            lambda log_joint, log_q, area: (
                (log_joint.exp().sum() * area).log()
                - _weighted(log_q, log_joint - log_q, area)
            ),
        ),
        Wrong(
            _NO_SUM_EXP,
            lambda log_joint, log_q, area: (
                _gap(log_joint, log_q, area) * torch.nan  # 0/0
            ),
        ),
        Wrong(
            "That is KL(p(z|x) ‖ q). Under which of the two is the average taken?",
            lambda log_joint, log_q, area: _weighted(
                _log_posterior(log_joint, area),
                _log_posterior(log_joint, area) - log_q,
                area,
            ),
        ),
        Wrong(
            "Your average over q lacks the area: do its weights sum to one?",
            lambda log_joint, log_q, area: _gap(log_joint, log_q, area) / area,
        ),
        Wrong(
            "The area is nowhere in yours. log_q is the log of a *density*: what makes "
            "a share of it that a point stands for?",
            lambda log_joint, log_q, area: (
                _gap(log_joint, log_q, area) / area
                + log_q.exp().sum() * math.log(1 / area)
            ),
        ),
        Wrong(
            "That is the ELBO. How far is it below log p(x)?",
            lambda log_joint, log_q, area: _weighted(log_q, log_joint - log_q, area),
        ),
        Wrong(
            "That is log p(x). By how much is the ELBO below it?",
            lambda log_joint, log_q, area: log_joint.logsumexp(0) + math.log(area),
        ),
        Wrong(
            "That is −ELBO: you compare q with p(x, z). Divide by p(x) first.",
            lambda log_joint, log_q, area: _weighted(log_q, log_q - log_joint, area),
        ),
        Wrong(
            "A KL is never negative. Which of the two logs comes first?",
            lambda log_joint, log_q, area: -_gap(log_joint, log_q, area),
        ),
        Wrong(
            "You average over all points alike. In E_q, which of them count more?",
            lambda log_joint, log_q, area: (
                log_q - _log_posterior(log_joint, area)
            ).mean(),
        ),
        Wrong(
            "That is −E_q[log p(z|x)] alone. Which part of the KL is missing?",
            lambda log_joint, log_q, area: _weighted(
                log_q, -_log_posterior(log_joint, area), area
            ),
        ),
    ],
    tolerance=2e-3,  # sums of numbers near 900, in 32 bits
)
