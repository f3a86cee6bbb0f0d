"""The exercises of notebook 04b: what a loss claims about pixels."""

import math

from vae_helpers.exercises.engine import Exercise, Inputs, Wrong, uniform

import torch
from scipy.integrate import quad
from torch import Generator, Tensor
from torch.distributions import Normal


def _gaussian_pixels(generator: Generator) -> Inputs:
    return {
        "x": uniform(generator, 3, 1, 4, 4),
        "x_hat": uniform(generator, 3, 1, 4, 4),
        "sigma": float(uniform(generator, 1, low=0.2, high=0.8)),
    }


def _gaussian_parts(x: Tensor, x_hat: Tensor, sigma: float) -> tuple[Tensor, float]:
    return (x - x_hat).square().flatten(1), math.log(sigma)


def _gaussian_log_p(
    x: Tensor, x_hat: Tensor, sigma: float, constant: float = math.log(2 * math.pi)
) -> Tensor:
    squares, log_sigma = _gaussian_parts(x, x_hat, sigma)
    return -(squares / (2 * sigma**2) + log_sigma + constant / 2).sum(1)


check_gaussian_log_p = Exercise(
    name="gaussian_log_p",
    fresh=_gaussian_pixels,
    referee=lambda x, x_hat, sigma: Normal(x_hat, sigma).log_prob(x).sum((1, 2, 3)),
    remember="squared error over 2σ², and for *each* pixel log σ + ½ log 2π. Without "
    "these, two σ cannot be compared.",
    wrongs=[
        Wrong(
            "½ log 2π is missing, once for each pixel.",
            lambda x, x_hat, sigma: _gaussian_log_p(x, x_hat, sigma, 0),
        ),
        Wrong(
            "log σ is missing. Without it, what would the best σ be?",
            lambda x, x_hat, sigma: _gaussian_log_p(
                x, x_hat, sigma, math.log(2 * math.pi) - 2 * math.log(sigma)
            ),
        ),
        Wrong(
            "The constants are there once. How many pixels bring one?",
            lambda x, x_hat, sigma: (
                -_gaussian_parts(x, x_hat, sigma)[0].sum(1) / (2 * sigma**2)
                - math.log(sigma)
                - math.log(2 * math.pi) / 2
            ),
        ),
        Wrong(
            "You divide by 2σ. What does the formula divide by?",
            lambda x, x_hat, sigma: (
                _gaussian_log_p(x, x_hat, sigma)
                + _gaussian_parts(x, x_hat, sigma)[0].sum(1)
                * (1 / (2 * sigma**2) - 1 / (2 * sigma))
            ),
        ),
        Wrong(
            "The squared error has lost its ½.",
            lambda x, x_hat, sigma: (
                _gaussian_log_p(x, x_hat, sigma)
                - _gaussian_parts(x, x_hat, sigma)[0].sum(1) / (2 * sigma**2)
            ),
        ),
        Wrong(
            "You average over the pixels. In which unit is log p(x|z) of an image?",
            lambda x, x_hat, sigma: _gaussian_log_p(x, x_hat, sigma) / 16,
        ),
        Wrong(
            "That is −log p, the loss. Asked for is log p(x|z).",
            lambda x, x_hat, sigma: -_gaussian_log_p(x, x_hat, sigma),
        ),
    ],
)


def _thetas(generator: Generator) -> Inputs:
    low = uniform(generator, 2, low=0.02, high=0.45)
    high = uniform(generator, 2, low=0.55, high=0.98)
    return {"theta": torch.cat([low, torch.tensor([0.5]).to(low), high])}


def _log_integral(theta: Tensor) -> Tensor:
    half = theta == 0.5
    safe = torch.where(half, 0.3, theta)
    return torch.where(half, 0.5, (2 * safe - 1) / safe.logit()).log()


def _integral(theta: float) -> float:
    return quad(lambda x: theta**x * (1 - theta) ** (1 - x), 0, 1)[0]


check_log_integral = Exercise(
    name="log_integral",
    fresh=_thetas,
    referee=lambda theta: [math.log(_integral(t)) for t in theta.tolist()],
    remember="subtract it from the grey cross-entropy's log, and the result integrates "
    "to one: the continuous Bernoulli.",
    wrongs=[
        Wrong(
            "At θ = ½ you have 0/0. What is the expression θˣ(1 − θ)¹⁻ˣ there, for "
            "every x?",
            lambda theta: ((2 * theta - 1) / theta.logit()).log(),
        ),
        Wrong(
            "That is the integral. Asked for is its logarithm.",
            lambda theta: _log_integral(theta).exp(),
        ),
        Wrong(
            "The integral is below one. Which sign must its logarithm have?",
            lambda theta: -_log_integral(theta),
        ),
        Wrong(
            "That is the value half-way, at x = ½. The integral is the area below the "
            "whole curve.",
            lambda theta: 0.5 * (theta * (1 - theta)).log(),
        ),
        Wrong(
            "You take the mean of both ends. Between them the curve is not straight.",
            lambda theta: torch.full_like(theta, 0.5).log(),
        ),
        Wrong(
            "For θ below ½ you take the log of a negative number. Which two negative "
            "numbers could be divided first?",
            lambda theta: (
                torch.where(theta == 0.5, 0.5, 2 * theta - 1).log()
                - torch.where(theta == 0.5, 0.5, theta.logit()).log() * (theta != 0.5)
            ),
        ),
    ],
    tolerance=1e-3,  # a sum over a fine grid is right as well
)
