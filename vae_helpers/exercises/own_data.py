"""The exercises of notebook 09 about data: a split by originals, and counts."""

from vae_helpers.exercises.engine import Exercise, Inputs, Wrong, normal, uniform

import numpy as np
import torch
from scipy.stats import poisson
from torch import Generator, Tensor


def _families(generator: Generator) -> Inputs:
    groups = torch.arange(9).repeat(3)  # each has some image
    return {
        "group": groups[torch.randperm(27, generator=generator)][:22],
        "shuffled": torch.randperm(9, generator=generator),
        "n_train": 5,
        "n_validation": 2,
    }


def _parts(place: Tensor, n_train: int, n_validation: int) -> Tensor:
    return (place >= n_train).long() + (place >= n_train + n_validation).long()


def _split(group: Tensor, shuffled: Tensor, n_train: int, n_validation: int) -> Tensor:
    return _parts(shuffled.argsort()[group], n_train, n_validation)


def _split_by_lists(
    group: Tensor, shuffled: Tensor, n_train: int, n_validation: int
) -> list[int]:
    order = shuffled.tolist()
    train, rest = set(order[:n_train]), set(order[n_train + n_validation :])
    return [0 if g in train else 2 if g in rest else 1 for g in group.tolist()]


def _by_image(
    group: Tensor, shuffled: Tensor, n_train: int, n_validation: int
) -> Tensor:
    place = torch.arange(len(group)) * len(shuffled) // len(group)
    return _parts(place, n_train, n_validation)


def _images_in_order(
    group: Tensor, shuffled: Tensor, n_train: int, n_validation: int
) -> Tensor:
    part = torch.full_like(group, 2)
    part[shuffled[:n_train]] = 0
    part[shuffled[n_train : n_train + n_validation]] = 1
    return part


check_split = Exercise(
    name="split",
    fresh=_families,
    referee=_split_by_lists,
    remember="what is shuffled and divided are the originals; each image follows its "
    "own.",
    wrongs=[
        Wrong(
            "You divide the images, not the originals, so copies of one land in two "
            "parts. What should be counted?",
            _by_image,
        ),
        Wrong(
            "You divide the images. What is to be divided are the originals, and "
            "copies follow.",
            _images_in_order,
        ),
        Wrong(
            "Validation begins after `n_train` originals. Where does it end?",
            lambda group, shuffled, n_train, n_validation: (
                2 * (shuffled.argsort()[group] >= n_train).long()
            ),
        ),
        Wrong(
            "You take the originals by their numbers, and `shuffled` is not used. If "
            "they are numbered by the alphabet, what would training see?",
            lambda group, shuffled, n_train, n_validation: _parts(
                group, n_train, n_validation
            ),
        ),
        Wrong(
            "`shuffled[g]` is the original at place g. You need the opposite: the "
            "place of original g.",
            lambda group, shuffled, n_train, n_validation: _parts(
                shuffled[group], n_train, n_validation
            ),
        ),
        Wrong(
            "Training and test images are exchanged.",
            lambda *inputs: 2 - _split(*inputs),
        ),
        Wrong(
            "Validation and test images are exchanged: which come after training?",
            lambda *inputs: (3 - _split(*inputs)) % 3,
        ),
        Wrong(
            "One original too many in a part: is place 0 among the first n?",
            lambda group, shuffled, n_train, n_validation: _split(
                group, shuffled, n_train + 1, n_validation
            ),
        ),
        Wrong(
            "You give `n_validation` as the place where validation ends. At which "
            "place does it begin?",
            lambda group, shuffled, n_train, n_validation: _parts(
                shuffled.argsort()[group], n_validation, n_train - n_validation
            ),
        ),
        Wrong(
            "That says whether an image is for training. Three parts are asked for, 0, "
            "1 and 2.",
            lambda *inputs: _split(*inputs) == 0,
        ),
        Wrong(
            "That is the place of each image's original. Which part is it in?",
            lambda group, shuffled, n_train, n_validation: shuffled.argsort()[group],
        ),
    ],
)


def _counts(generator: Generator) -> Inputs:
    x = (6 * uniform(generator, 2, 1, 3, 3)).floor()
    x[:, 0, 0, 0] = 0  # every image has a pixel without any count
    return {"x": x, "log_rate": normal(generator, 2, 1, 3, 3)}


def _sum(pixels: Tensor) -> Tensor:
    return pixels.flatten(1).sum(1)


def _poisson(x: Tensor, log_rate: Tensor) -> Tensor:
    return x * log_rate - log_rate.exp() - (x + 1).lgamma()


check_poisson_log_p = Exercise(
    name="poisson_log_p",
    fresh=_counts,
    referee=lambda x, log_rate: poisson.logpmf(
        x.numpy().flatten().reshape(2, 9), np.exp(log_rate.numpy().reshape(2, 9))
    ).sum(1),
    gradients=("log_rate",),
    remember="x log λ − λ − log x!, with log x! = lgamma(x + 1), summed over pixels.",
    wrongs=[
        Wrong(
            "log x! is missing. It does not change the training, but without it this "
            "is no probability.",
            lambda x, log_rate: _sum(x * log_rate - log_rate.exp()),
        ),
        Wrong(
            "You average over the pixels. In which unit is log p(x|z) of an image?",
            lambda x, log_rate: _poisson(x, log_rate).flatten(1).mean(1),
        ),
        Wrong(
            "That is −log p, the last column of the table. Asked for is log p itself.",
            lambda x, log_rate: -_sum(_poisson(x, log_rate)),
        ),
        Wrong(
            "You subtract log λ where λ belongs. What does the decoder give?",
            lambda x, log_rate: _sum(x * log_rate - log_rate - (x + 1).lgamma()),
        ),
        Wrong(
            "lgamma(n) is log (n − 1)!, and lgamma(0) is infinite. Which n gives "
            "log x!?",
            lambda x, log_rate: _sum(x * log_rate - log_rate.exp() - x.lgamma()),
        ),
        Wrong(
            "You take log x for log x!. For x = 0 the first is −∞; what is 0!?",
            lambda x, log_rate: _sum(x * log_rate - log_rate.exp() - x.log()),
        ),
        Wrong(
            "You multiply x by λ. Which function of λ stands there in the table?",
            lambda x, log_rate: _sum(
                x * log_rate.exp() - log_rate.exp() - (x + 1).lgamma()
            ),
        ),
        Wrong(
            "That is the Gaussian's squared error. Counts have a row of their own.",
            lambda x, log_rate: _sum(-0.5 * (x - log_rate.exp()).square()),
        ),
    ],
)
