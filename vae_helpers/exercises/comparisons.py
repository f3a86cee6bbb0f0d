"""Exercises of notebooks 07 and 07b: comparing images, and comparing models."""

import math

from vae_helpers.exercises.engine import Exercise, Inputs, Wrong, normal

import torch
from scipy import stats
from sklearn.metrics import roc_auc_score
from torch import Generator, Tensor


def _rounded_scores(generator: Generator) -> Inputs:
    """Two kinds of images, with many equal scores among them."""
    return {
        "usual": (2 * normal(generator, 9) + 1).round(),
        "foreign": (2 * normal(generator, 6)).round(),
    }


def _pairs(usual: Tensor, foreign: Tensor, equal: float) -> Tensor:
    """1 for each pair in which the usual image scores higher; `equal` if neither."""
    gap = usual[:, None] - foreign
    return (gap > 0).to(gap) + equal * (gap == 0).to(gap)


def _auc_by_sklearn(usual: Tensor, foreign: Tensor) -> float:
    kinds = [1] * len(usual) + [0] * len(foreign)
    return float(roc_auc_score(kinds, torch.cat([usual, foreign]).numpy()))


check_auc = Exercise(
    name="auc",
    fresh=_rounded_scores,
    referee=_auc_by_sklearn,
    remember="the share of all pairs in which the usual image wins, a draw being half "
    "a win. No threshold is needed.",
    wrongs=[
        Wrong(
            "Equal scores count as lost. If a score says the same about every image, "
            "what should the AUC be?",
            lambda usual, foreign: _pairs(usual, foreign, 0).mean(),
        ),
        Wrong(
            "Equal scores count as won. If a score says the same about every image, "
            "what should the AUC be?",
            lambda usual, foreign: _pairs(usual, foreign, 1).mean(),
        ),
        Wrong(
            "You count the pairs in which the *foreign* image scores higher.",
            lambda usual, foreign: 1 - _pairs(usual, foreign, 0.5).mean(),
        ),
        Wrong(
            "You count pairs. Which share of all pairs is it?",
            lambda usual, foreign: _pairs(usual, foreign, 0.5).sum(),
        ),
        Wrong(
            "You compare the first with the first, the second with the second, and so "
            "on. Every usual image meets *every* foreign one.",
            lambda usual, foreign: (
                _pairs(usual, foreign, 0.5).diagonal().sum() / len(foreign)
            ),
        ),
        Wrong(
            "You compare with the *mean* score of the foreign images. Which pairs are "
            "there?",
            lambda usual, foreign: (usual > foreign.mean()).double().mean(),
        ),
    ],
)


def _same_images(generator: Generator) -> Inputs:
    """Two models on the same 200 images, some of which are hard for both."""
    hard = 25 * normal(generator, 200) + 90
    return {
        "nll_a": hard + normal(generator, 200) + 1.5,
        "nll_b": hard + normal(generator, 200),
    }


def _with_error(error: Tensor, nll_a: Tensor, nll_b: Tensor) -> tuple[Tensor, Tensor]:
    return (nll_a - nll_b).mean(), error


def _sem(values: Tensor) -> Tensor:
    """Standard error of the mean."""
    return values.std() / math.sqrt(len(values))


def _paired_by_scipy(nll_a: Tensor, nll_b: Tensor) -> tuple[float, float]:
    gain = nll_a.numpy() - nll_b.numpy()
    return float(gain.mean()), float(stats.sem(gain))


check_paired_gain = Exercise(
    name="paired_gain",
    fresh=_same_images,
    referee=_paired_by_scipy,
    returns=("mean gain", "standard error"),
    remember="take differences image by image first. What makes an image hard for both "
    "models cancels, and the error shrinks with it.",
    wrongs=[
        Wrong(
            "That is the error for two *different* sets of images. Here both models "
            "score the same ones: what happens to a hard image in the difference?",
            lambda nll_a, nll_b: _with_error(
                torch.hypot(_sem(nll_a), _sem(nll_b)), nll_a, nll_b
            ),
        ),
        Wrong(
            "You add the two errors. Are they independent? Both models meet the same "
            "hard images.",
            lambda nll_a, nll_b: _with_error(_sem(nll_a) + _sem(nll_b), nll_a, nll_b),
        ),
        Wrong(
            "You subtract the two errors. Compute the difference of each image first, "
            "and then *its* error.",
            lambda nll_a, nll_b: _with_error(_sem(nll_a) - _sem(nll_b), nll_a, nll_b),
        ),
        Wrong(
            "That is how much a single difference varies. What about the mean of n?",
            lambda nll_a, nll_b: _with_error((nll_a - nll_b).std(), nll_a, nll_b),
        ),
        Wrong(
            "You divide by n. The *variance* of a mean falls like 1/n: and its "
            "standard deviation?",
            lambda nll_a, nll_b: _with_error(
                (nll_a - nll_b).std() / len(nll_a), nll_a, nll_b
            ),
        ),
        Wrong(
            "That is the squared error. Which unit should it have?",
            lambda nll_a, nll_b: _with_error(_sem(nll_a - nll_b) ** 2, nll_a, nll_b),
        ),
        Wrong(
            "The sign is reversed. A lower NLL is better: when does the second model "
            "gain?",
            lambda nll_a, nll_b: ((nll_b - nll_a).mean(), _sem(nll_a - nll_b)),
        ),
        Wrong(
            "You take the size of each difference, without its sign. On some images "
            "the second model loses.",
            lambda nll_a, nll_b: (
                (nll_a - nll_b).abs().mean(),
                _sem((nll_a - nll_b).abs()),
            ),
        ),
    ],
    tolerance=1e-3,  # a standard deviation by n or by n − 1
)
