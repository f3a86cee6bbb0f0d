"""The exercises of notebook 03b: baselines and relaxed samples."""

from collections.abc import Callable

from vae_helpers.exercises.engine import Exercise, Inputs, Wrong, normal, uniform

import numpy as np
import torch
from scipy import stats
from scipy.special import softmax
from torch import Generator, Tensor


def _costs_and_scores(generator: Generator) -> Inputs:
    score = normal(generator, 20, 3)
    noise = normal(generator, 20)
    return {"f": 3 + 2 * noise + score.square() @ torch.arange(3.0).to(score) / 2} | {
        "score": score
    }


def _baseline_by_fit(f: Tensor, score: Tensor) -> list[float]:
    """The b that fits f·g by b·g with least squares, for each component g."""
    columns = [(g[:, None].numpy(), (f * g).numpy()) for g in score.T]
    return [float(np.linalg.lstsq(*pair, rcond=None)[0][0]) for pair in columns]


def _weighed(weight: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    """A mean cost in which each sample counts with a function of its score."""
    return lambda f, score: (f[:, None] * weight(score)).mean(0) / weight(score).mean(0)


check_best_baseline = Exercise(
    name="best_baseline",
    fresh=_costs_and_scores,
    referee=_baseline_by_fit,
    remember="the best constant baseline is a mean cost that weighs each sample by the "
    "square of its score.",
    wrongs=[
        Wrong(
            "That is the mean cost: close, but samples with a large score count more. "
            "With which weight?",
            _weighed(torch.ones_like),
        ),
        Wrong(
            "The score has both signs and averages to zero, so it cannot be a weight. "
            "What stands before each (f − b)² in the variance?",
            _weighed(lambda g: g),
        ),
        Wrong(
            "You weigh by the size of the score. Look at the exponent in ((f − b) g)².",
            _weighed(torch.abs),
        ),
        Wrong(
            "The weights must be divided by their own mean. What is the mean of g² of "
            "your samples?",
            lambda f, score: (f[:, None] * score**2).mean(0),
        ),
        Wrong(
            "One number, the mean cost? Each component has a score of its own, and "
            "samples with a large score count more.",
            lambda f, score: f.mean(),
        ),
        Wrong(
            "One baseline for all components? Each has a score of its own.",
            lambda f, score: (f[:, None] * score**2).mean() / (score**2).mean(),
        ),
        Wrong(
            "You add up the squares of all components first. For component d, which "
            "scores count?",
            lambda f, score: (
                (f * score.square().sum(1)).mean() / score.square().sum(1).mean()
            ).expand(3),
        ),
        Wrong(
            "You subtract the mean of (f − b) g, as in a sample variance. On average "
            "it does not depend on b; the exercise asks for the plain mean square.",
            lambda f, score: (
                (f[:, None] * score * (score - score.mean(0))).mean(0)
                / score.var(0, correction=0)
            ),
        ),
        Wrong(
            "There is a g too few above. Set the derivative of the mean of (f − b)² g² "
            "in b to zero.",
            lambda f, score: (f[:, None] * score).mean(0) / (score**2).mean(0),
        ),
    ],
)


def _logits_and_uniforms(generator: Generator) -> Inputs:
    return {
        "logits": normal(generator, 2, 3),
        "u": uniform(generator, 2, 3, low=0.05, high=0.95),
        "tau": float(uniform(generator, 1, low=0.3, high=0.8)),
    }


def _gumbel(u: Tensor) -> Tensor:
    return -(-u.log()).log()


check_relaxed_sample = Exercise(
    name="relaxed_sample",
    fresh=_logits_and_uniforms,
    referee=lambda logits, u, tau: softmax(
        (logits.numpy() + stats.gumbel_r.ppf(u.numpy())) / tau, axis=1
    ),
    remember="logits plus Gumbel noise, divided by τ, then a softmax. With argmax in "
    "place of softmax it would be an exact sample, without a gradient.",
    wrongs=[
        Wrong(
            "τ divides the logits only. What about the noise?",
            lambda logits, u, tau: (logits / tau + _gumbel(u)).softmax(1),
        ),
        Wrong(
            "τ divides the noise only. What about the logits?",
            lambda logits, u, tau: (logits + _gumbel(u) / tau).softmax(1),
        ),
        Wrong(
            "There is no τ in it. What makes the result as close to 0 or 1 as one "
            "likes?",
            lambda logits, u, tau: (logits + _gumbel(u)).softmax(1),
        ),
        Wrong(
            "You add u itself. How do you get from uniform to Gumbel noise?",
            lambda logits, u, tau: ((logits + u) / tau).softmax(1),
        ),
        Wrong(
            "That is F, which turns g into u. Solve F(g) = u for g.",
            lambda logits, u, tau: ((logits + (-(-u).exp()).exp()) / tau).softmax(1),
        ),
        Wrong(
            "u and 1 − u are exchanged: a u near 1 should favour its outcome strongly.",
            lambda logits, u, tau: ((logits + _gumbel(1 - u)) / tau).softmax(1),
        ),
        Wrong(
            "Your rows do not add up to one. Which step comes last?",
            lambda logits, u, tau: (logits + _gumbel(u)) / tau,
        ),
        Wrong(
            "You multiply by τ. A small τ must bring the result close to 0 or 1.",
            lambda logits, u, tau: ((logits + _gumbel(u)) * tau).softmax(1),
        ),
        Wrong(
            "Your noise has the wrong sign. Which u should favour an outcome?",
            lambda logits, u, tau: ((logits - _gumbel(u)) / tau).softmax(1),
        ),
        Wrong(
            "That is exponential noise. How many logarithms has Gumbel's?",
            lambda logits, u, tau: ((logits - u.log()) / tau).softmax(1),
        ),
        Wrong(
            "There is no noise in it. What makes it a sample?",
            lambda logits, u, tau: (logits / tau).softmax(1),
        ),
        Wrong(
            "Over what does the softmax run? Rows are samples, columns are outcomes.",
            lambda logits, u, tau: ((logits + _gumbel(u)) / tau).softmax(0),
        ),
        Wrong(
            "You add the noise to the probabilities. The noise belongs to the logits.",
            lambda logits, u, tau: ((logits.softmax(1) + _gumbel(u)) / tau).softmax(1),
        ),
        Wrong(
            "That is the exact sample, made with argmax: it has no gradient. Which "
            "ramp takes the place of the step?",
            lambda logits, u, tau: torch.nn.functional.one_hot(
                (logits + _gumbel(u)).argmax(1), 3
            ),
        ),
    ],
)
