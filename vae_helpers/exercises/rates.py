"""The exercises of notebook 05 about nats: a target for the rate, and a budget."""

import math
from collections.abc import Callable

from vae_helpers.exercises.engine import Exercise, Inputs, Wrong, normal, uniform

import torch
from scipy.optimize import brentq
from torch import Generator, Tensor


def _batch(generator: Generator) -> Inputs:
    """Terms of five images; their mean KL is by turns above and below the target."""
    kl = 3 + 6 * uniform(generator, 5)
    side = 1 if generator.initial_seed() % 2 else -1
    return {
        "log_px_z": -80 + 5 * normal(generator, 5),
        "kl": kl,
        "gamma": uniform(generator, 1, low=2.0, high=8.0).item(),
        "target": kl.mean().item() + side * (0.5 + uniform(generator, 1).item()),
    }


def _with_price(price: Callable[[Tensor, float, float], Tensor]) -> Callable:
    """The right distortion, and another price of the rate."""
    return lambda log_px_z, kl, gamma, target: (
        price(kl, gamma, target) - log_px_z.mean()
    )


check_target_rate = Exercise(
    name="target_rate",
    fresh=_batch,
    referee=lambda log_px_z, kl, gamma, target: (
        gamma * math.sqrt((sum(kl.tolist()) / len(kl) - target) ** 2)
        - sum(log_px_z.tolist()) / len(kl)
    ),
    gradients=("log_px_z", "kl"),
    remember="below the target a nat of rate is rewarded with γ, above it costs γ: a "
    "price that turns at the target.",
    wrongs=[
        Wrong(
            "When the rate is below the target, your loss rewards it for falling "
            "further. What makes a difference count on both sides?",
            _with_price(lambda kl, gamma, target: gamma * (kl.mean() - target)),
        ),
        Wrong(
            "You hold *every* image to the target. The rate is the mean over images: "
            "may one image cost more than another?",
            _with_price(lambda kl, gamma, target: gamma * (kl - target).abs().mean()),
        ),
        Wrong(
            "You square the difference. Then the price depends on how far the rate is "
            "from the target; here it is γ everywhere.",
            _with_price(lambda kl, gamma, target: gamma * (kl.mean() - target) ** 2),
        ),
        Wrong(
            "Only a rate *above* the target costs anything in yours. A collapsed code "
            "would be free.",
            _with_price(lambda kl, gamma, target: gamma * (kl.mean() - target).relu()),
        ),
        Wrong(
            "γ multiplies the KL alone in yours, before the target is subtracted. What "
            "does it have to multiply?",
            _with_price(lambda kl, gamma, target: (gamma * kl.mean() - target).abs()),
        ),
        Wrong(
            "The first term has the wrong sign for a loss. What is the distortion?",
            lambda log_px_z, kl, gamma, target: (
                log_px_z.mean() + gamma * (kl.mean() - target).abs()
            ),
        ),
        Wrong(
            "You add up the images. The terms of the course are means over them.",
            lambda log_px_z, kl, gamma, target: (
                gamma * (kl.sum() - target).abs() - log_px_z.sum()
            ),
        ),
    ],
)


def _budget(generator: Generator) -> Inputs:
    """Three strong directions and two weak ones, which the budget does not reach.

    The larger of the two has a positive rate as long as the other one is on: it goes
    in a second step.
    """
    strong = uniform(generator, 3, low=3.0, high=8.0)
    weak = uniform(generator, 1, low=0.4, high=0.5)
    tiny = uniform(generator, 1, low=1e-5, high=2e-4)
    order = torch.randperm(5, generator=generator)
    return {
        "variances": torch.cat([strong, weak, tiny])[order],
        "rate": uniform(generator, 1, low=1.0, high=2.0).item(),
    }


def _fill(variances: Tensor, rate: float) -> tuple[Tensor, Tensor]:
    """The rates and the level: with as many on as have no negative rate."""
    logs = variances.log().sort(descending=True).values
    n = torch.arange(1, len(logs) + 1)
    levels = (logs.cumsum(0) - 2 * rate) / n  # log of the level, with n on
    level = levels[logs > levels][-1]
    return 0.5 * (variances.log() - level).relu(), level.exp()


def _fill_by_root(variances: Tensor, rate: float) -> list[float]:
    def rates(log_level: float) -> list[float]:
        return [max(0.0, 0.5 * (math.log(v) - log_level)) for v in variances.tolist()]

    return rates(brentq(lambda level: sum(rates(level)) - rate, -30, 30, xtol=1e-10))


def _fill_all(variances: Tensor, rate: float) -> Tensor:
    """With all of them on, some at a negative rate."""
    logs = variances.log()
    return 0.5 * (logs - logs.mean()) + rate / len(logs)


def _without_once(variances: Tensor, rate: float) -> Tensor:
    """What was negative with all of them on is off; the others have one level."""
    on = _fill_all(variances, rate) > 0
    rates = torch.zeros_like(variances)
    rates[on] = _fill_all(variances[on], rate)
    return rates


def _rescaled(variances: Tensor, rate: float) -> Tensor:
    kept = _fill_all(variances, rate).relu()
    return kept * rate / kept.sum()


check_spend_rate = Exercise(
    name="spend_rate",
    fresh=_budget,
    referee=_fill_by_root,
    remember="strong directions get the first nats; a weak one gets none until the "
    "level falls below its variance.",
    wrongs=[
        Wrong(
            "All get the same in yours. Where does a nat reduce the error the most?",
            lambda variances, rate: torch.full_like(variances, rate / len(variances)),
        ),
        Wrong(
            "You divide the nats in proportion to the variances. In the formula a "
            "direction's rate is the *log* of its variance over the level.",
            lambda variances, rate: rate * variances / variances.sum(),
        ),
        Wrong(
            "The sum is right, but some of your rates are negative. What does the "
            "formula say where the level is above the variance?",
            _fill_all,
        ),
        Wrong(
            "You set negative rates to zero *after* you had found the level, so you "
            "spend too much. At which level does the sum fit again?",
            lambda variances, rate: _fill_all(variances, rate).relu(),
        ),
        *(
            Wrong(
                "You took out the directions whose rates were negative, once. Is "
                "another one negative at the level that you have now?",
                answer,
            )
            for answer in (_without_once, lambda *inputs: _without_once(*inputs).relu())
        ),
        Wrong(
            "You set negative rates to zero and then rescaled the others. Then each "
            "has a level of its own; it must be one for all.",
            _rescaled,
        ),
        Wrong(
            "The ½ is lost in front of the log: your level is too high.",
            lambda variances, rate: 2 * _fill(variances, rate / 2)[0],
        ),
        Wrong(
            "All nats go to the strongest direction. Does its next nat still "
            "bring more than the first nat of the second?",
            lambda variances, rate: rate * (variances == variances.max()),
        ),
        Wrong(
            "That is the squared error which is left in each direction. Asked for are "
            "the nats.",
            lambda variances, rate: variances.clamp(max=_fill(variances, rate)[1]),
        ),
    ],
    tolerance=2e-3,  # a level found by trying a fine grid is right as well
)
