"""The exercises of notebook 05 about latent dimensions: active ones, and MIG."""

import math
from collections.abc import Callable

from vae_helpers.exercises.engine import Exercise, Inputs, Wrong, normal, uniform

import numpy as np
import torch
from scipy.stats import entropy
from torch import Generator, Tensor

# mean and standard deviation in the first batch, in the second; in parentheses, what
# the whole test set has
_UNITS = [
    ((-1.0, 0.02), (1.0, 0.02)),  # each batch has images of one kind (active)
    ((0.5, 0.02), (0.5, 0.02)),  # a constant, but not zero (inactive)
    ((0.0, 0.05), (0.0, 0.05)),  # variance 0.0025 (inactive)
    ((0.2, 0.30), (0.2, 0.30)),  # variance 0.09 (active)
    ((0.0, 0.005), (0.0, 0.005)),  # (inactive)
    ((0.0, 0.005), (0.0, 0.40)),  # variance 0.04 (active)
    ((0.0, 0.005), (0.0, 0.12)),  # variance 0.0036 (inactive)
    ((0.0, 0.40), (0.0, 0.005)),  # variance 0.12 (active)
    # variance 0.0091 (inactive), but 0.0121 if both batches weighed the same
    ((-0.11, 0.005), (0.11, 0.005)),
]


def _column(generator: Generator, n: int, mean: float, std: float) -> Tensor:
    """n numbers with exactly this mean and standard deviation."""
    noise = normal(generator, n)
    noise = noise - noise.mean()
    return mean + std * noise / noise.std(correction=0)


def _two_batches(generator: Generator) -> Inputs:
    order = torch.randperm(len(_UNITS), generator=generator).tolist()
    halves = [
        torch.stack([_column(generator, n, *_UNITS[j][half]) for j in order], 1)
        for half, n in enumerate((60, 20))
    ]
    return {"mu_1": halves[0], "mu_2": halves[1]}


def _both(mu_1: Tensor, mu_2: Tensor) -> Tensor:
    return torch.cat([mu_1, mu_2])


check_active_units = Exercise(
    name="active_units",
    fresh=_two_batches,
    referee=lambda mu_1, mu_2: (
        np.var(np.concatenate([mu_1.numpy(), mu_2.numpy()]), axis=0) > 0.01
    ),
    remember="the variance is over all images: neither the average of the batches' "
    "variances, nor the mean square, which a constant has too.",
    wrongs=[
        Wrong(
            "You average the variances of the batches. Suppose all 0s come first and "
            "all 1s last: does a dimension that tells them apart move in a batch?",
            lambda mu_1, mu_2: (mu_1.var(0) + mu_2.var(0)) / 2 > 0.01,
        ),
        Wrong(
            "You ask whether a dimension moves in any one batch. Over which images is "
            "the variance meant?",
            lambda mu_1, mu_2: torch.stack([mu_1.var(0), mu_2.var(0)]).amax(0) > 0.01,
        ),
        Wrong(
            "Both batches weigh the same in yours, but one has three times as many "
            "images.",
            lambda mu_1, mu_2: (
                (mu_1.square().mean(0) + mu_2.square().mean(0)) / 2
                - ((mu_1.mean(0) + mu_2.mean(0)) / 2).square()
                > 0.01
            ),
        ),
        Wrong(
            "You ask that a dimension moves in each batch. Over which images is the "
            "variance meant?",
            lambda mu_1, mu_2: torch.stack([mu_1.var(0), mu_2.var(0)]).amin(0) > 0.01,
        ),
        Wrong(
            "Return True or False for each dimension, not the numbers of the active "
            "ones.",
            lambda mu_1, mu_2: (_both(mu_1, mu_2).var(0) > 0.01).nonzero().flatten(),
        ),
        Wrong(
            "You average μ². A dimension that is 0.5 for every image tells nothing: "
            "what has to be subtracted?",
            lambda mu_1, mu_2: _both(mu_1, mu_2).square().mean(0) > 0.01,
        ),
        Wrong(
            "You compare the standard deviation with 0.01. Burda's criterion is about "
            "…?",
            lambda mu_1, mu_2: _both(mu_1, mu_2).std(0) > 0.01,
        ),
        Wrong(
            "Your variance runs over the dimensions of each image. Which "
            "axis has the images?",
            lambda mu_1, mu_2: _both(mu_1, mu_2).var(1) > 0.01,
        ),
        Wrong(
            "These are the variances. Return for each whether it is above 0.01.",
            lambda mu_1, mu_2: _both(mu_1, mu_2).var(0),
        ),
        Wrong(
            "That is how many are active. Which ones?",
            lambda mu_1, mu_2: (_both(mu_1, mu_2).var(0) > 0.01).sum(),
        ),
        Wrong(
            "You looked at the first batch only.",
            lambda mu_1, mu_2: mu_1.var(0) > 0.01,
        ),
        Wrong(
            "These are the ones that are *not* active.",
            lambda mu_1, mu_2: _both(mu_1, mu_2).var(0) <= 0.01,
        ),
    ],
)


def _table_and_factors(generator: Generator) -> Inputs:
    """Four factors: the third never varies, the others' values are not equally many."""
    shape = (60, 4)
    skewed = uniform(generator, *shape) ** 2 * torch.tensor([3.0, 6.0, 1.0, 4.0])
    skewed[:3, :] = torch.tensor([[0.0], [1.0], [2.0]]).to(skewed)  # all occur
    skewed[:, 2] = 0
    skewed[3, 1] = 5
    skewed[skewed.long() == 4] = 5  # a value between others never occurs
    table = 0.8 * uniform(generator, 4, 5)
    table[2] = 0
    return {"table": table, "factors": skewed.long()}


def _shares(factors: Tensor) -> list[Tensor]:
    return [c.unique(return_counts=True)[1] / len(c) for c in factors.unbind(1)]


def _entropies(factors: Tensor) -> Tensor:
    return torch.stack([torch.special.entr(p).sum() for p in _shares(factors)])


def _best_two(table: Tensor, dim: int = 1) -> tuple[Tensor, Tensor]:
    best, second = table.topk(2, dim).values.unbind(dim)
    return best, second


def _varying(
    score: Callable[[Tensor, Tensor], Tensor],
) -> Callable[[Tensor, Tensor], Tensor]:
    """The mean of a score over the factors that vary."""

    def answer(table: Tensor, factors: Tensor) -> Tensor:
        H = _entropies(factors).to(table)
        return score(table[H > 0], H[H > 0]).mean()

    return answer


def _lead(table: Tensor) -> Tensor:
    best, second = _best_two(table)
    return best - second


def _mig_by_numpy(table: Tensor, factors: Tensor) -> float:
    gaps = []
    for row, column in zip(table.numpy(), factors.T.numpy(), strict=True):
        if len(set(column)) > 1:
            ordered = np.sort(row)
            H = entropy(np.unique(column, return_counts=True)[1])
            gaps.append((ordered[-1] - ordered[-2]) / H)
    return float(np.mean(gaps))


def _log_counts(table: Tensor, factors: Tensor) -> Tensor:
    counts = torch.tensor([len(p) for p in _shares(factors)]).to(table)
    return (_lead(table) / counts.log())[counts > 1].mean()


def _lead_over_log_k(table: Tensor, factors: Tensor) -> Tensor:
    """k counts the values that never occur as well."""
    counts = factors.amax(0) + 1
    return (_lead(table) / counts.to(table).log())[counts > 1].mean()


def _without_gaps(table: Tensor, factors: Tensor) -> Tensor:
    """Only factors that vary and have every value."""
    counts = torch.tensor([len(p) for p in _shares(factors)])
    kept = (counts > 1) & (counts == factors.amax(0) + 1)
    return (_lead(table) / _entropies(factors).to(table))[kept].mean()


check_mig = Exercise(
    name="mig",
    fresh=_table_and_factors,
    referee=_mig_by_numpy,
    remember="the lead of the best dimension over the second, as a share of what there "
    "is to know, averaged over the factors that vary.",
    wrongs=[
        Wrong(
            "log k is the entropy of k values that are *equally likely*. Count how "
            "often each occurs.",
            _log_counts,
        ),
        Wrong(
            "log k is the entropy of k values that are *equally likely*. Count how "
            "often each occurs.",
            _lead_over_log_k,
        ),
        Wrong(
            "A factor with a value that never occurs is lost in yours. Is its entropy "
            "NaN, from 0 · log 0? (NaN > 0 is false.)",
            _without_gaps,
        ),
        Wrong(
            "You leave the gaps in nats. A factor with more values has more to tell: "
            "by what do you divide?",
            _varying(lambda table, H: _lead(table)),
        ),
        Wrong(
            "A factor with one value counts as a gap of 0 in yours. There is nothing "
            "to know about it: leave it out of the mean.",
            lambda table, factors: (
                (_lead(table) / _entropies(factors).to(table)).nan_to_num(0.0).mean()
            ),
        ),
        Wrong(
            "The result is not a number. A value that never occurs adds nothing to an "
            "entropy: is there a 0 · log 0 in yours? And one factor never varies, so "
            "its entropy is 0: is there a 0/0?",
            lambda table, factors: (
                _lead(table) / _entropies(factors).to(table)
            ).mean(),
        ),
        Wrong(
            "You compare the best one with the *mean* of the others. The gap is to "
            "the runner-up.",
            _varying(
                lambda table, H: (
                    (table.amax(1) - (table.sum(1) - table.amax(1)) / 4 + 0 * H) / H
                )
            ),
        ),
        Wrong(
            "That is how much the best dimension knows. A second may know as much; "
            "what does the *gap* subtract?",
            _varying(lambda table, H: table.amax(1) / H),
        ),
        Wrong(
            "You divide by what the best one knows. The share is of all there is "
            "to know, the entropy.",
            _varying(lambda table, H: _lead(table) / table.amax(1)),
        ),
        Wrong(
            "The table is in nats, and your entropy in bits.",
            _varying(lambda table, H: _lead(table) / H * math.log(2)),
        ),
        Wrong(
            "For each dimension you compare two *factors*. Which axis of the table has "
            "the factors?",
            _varying(
                lambda table, H: (
                    (_best_two(table, 0)[0] - _best_two(table, 0)[1])
                    / H[table.argmax(0)]
                )
            ),
        ),
        Wrong(
            "You add up all leads and divide by the sum of the entropies. Which comes "
            "first, the share or the mean?",
            _varying(lambda table, H: _lead(table).sum() / H.sum()),
        ),
    ],
)
