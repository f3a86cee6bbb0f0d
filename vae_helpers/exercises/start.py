"""The exercises of notebook 00: log-likelihoods and a latent class."""

import math
from collections.abc import Callable

from vae_helpers.exercises.engine import Exercise, Wrong, normal, uniform

import torch
from scipy.special import logsumexp as scipy_logsumexp
from scipy.special import softmax
from torch import Generator, Tensor
from torch.distributions import Bernoulli


def _class_log_probabilities(generator: Generator) -> dict:
    n = int(torch.randint(4, 60, (), generator=generator))
    scores = normal(generator, n, 3)
    labels = torch.randint(3, (n,), generator=generator)
    labels[0] = scores[0].argmin()  # at least one answer is wrong
    return {"log_p": scores.log_softmax(1), "labels": labels}


def _right(log_p: Tensor, labels: Tensor) -> Tensor:
    return log_p.gather(1, labels[:, None])


check_typical_p = Exercise(
    name="typical_p",
    fresh=_class_log_probabilities,
    referee=lambda log_p, labels: math.prod(
        row[label] ** (1 / len(log_p))
        for row, label in zip(log_p.exp().tolist(), labels.tolist(), strict=True)
    ),
    remember="e to the mean of log p is the geometric mean of p. A few tiny p pull it "
    "down, and the loss with it.",
    wrongs=[
        Wrong(
            "You have the ordinary mean of p. In which order do the mean and the "
            "exponential have to come?",
            lambda log_p, labels: _right(log_p, labels).exp().mean(),
        ),
        Wrong(
            "Your number is above 1. What is the sign of a log-probability, and which "
            "of log p and the loss do you exponentiate?",
            lambda log_p, labels: (-_right(log_p, labels).mean()).exp(),
        ),
        Wrong(
            "You use the most probable class of each image. Which class counts?",
            lambda log_p, labels: log_p.max(1).values.mean().exp(),
        ),
        Wrong(
            "That is the product over all images. Which mean belongs in the exponent?",
            lambda log_p, labels: _right(log_p, labels).sum().exp(),
        ),
        Wrong(
            "You average over all classes. Which one is the right class of each image?",
            lambda log_p, labels: log_p.mean().exp(),
        ),
        Wrong(
            "That is still a number of nats. How do you undo a logarithm?",
            lambda log_p, labels: _right(log_p, labels).mean(),
        ),
    ],
)


def _pixels_and_logits(generator: Generator) -> dict:
    x = (uniform(generator, 3, 1, 4, 4) < 0.5).to(torch.get_default_dtype())
    logits = 2 * normal(generator, 3, 1, 4, 4)
    logits[0, 0, 0, :2] = torch.tensor([-150.0, 150.0])
    x[0, 0, 0, :2] = torch.tensor([1.0, 0.0])  # very sure, and wrong
    return {"x": x, "logits": logits}


def _pixel_sum(values: Tensor) -> Tensor:
    return values.flatten(1).sum(1)


def _log_p(x: Tensor, logits: Tensor) -> Tensor:
    return x * logits - logits.clamp(min=0) - (-logits.abs()).exp().log1p()


def _naive_log_p(x: Tensor, logits: Tensor) -> Tensor:
    theta = logits.sigmoid()
    return x * theta.log() + (1 - x) * (1 - theta).log()


def _limit_theta(smallest: float) -> Callable[[Tensor, Tensor], Tensor]:
    def log_p(x: Tensor, logits: Tensor) -> Tensor:
        theta = logits.sigmoid().clamp(smallest, 1 - smallest)
        return _pixel_sum(x * theta.log() + (1 - x) * (1 - theta).log())

    return log_p


def _add_to_theta(small: float) -> Callable[[Tensor, Tensor], Tensor]:
    def log_p(x: Tensor, logits: Tensor) -> Tensor:
        theta = logits.sigmoid()
        return _pixel_sum(
            x * (theta + small).log() + (1 - x) * (1 - theta + small).log()
        )

    return log_p


LIMITED = (  # of use in 04, too
    "You limit θ or its logarithm, or add a small number, to stay finite. That gives a "
    "wrong number just where the network is most wrong. Can you avoid θ altogether?"
)
LIMITS = [
    lambda x, logits: _pixel_sum(_naive_log_p(x, logits).clamp(min=-100)),
    *(_limit_theta(smallest) for smallest in (1e-7, 1e-6, 1e-5, 1e-4)),
    *map(_add_to_theta, (1e-30, 1e-20, 1e-12, 1e-10, 1e-9, 1e-8)),
    *map(_add_to_theta, (1e-7, 1e-6, 1e-5, 1e-4)),
]

check_log_p_from_logits = Exercise(
    name="log_p_from_logits",
    fresh=_pixels_and_logits,
    referee=lambda x, logits: Bernoulli(logits=logits).log_prob(x).sum((1, 2, 3)),
    remember="from logits the log-likelihood is safe, however sure the network is; it "
    "is a sum over pixels, in nats per image.",
    wrongs=[
        Wrong(
            "For logits of ±150 it is not a finite number, or not the right one. "
            "There a 32-bit θ or 1 − θ is rounded to 0, and exp(logit) to ∞. Which "
            "function of PyTorch gives log θ from the logit itself? And log(1 − θ)?",
            lambda x, logits: _pixel_sum(_naive_log_p(x, logits)),
        ),
        *(Wrong(LIMITED, answer) for answer in LIMITS),
        Wrong(
            "You average over the pixels. To which of the two belongs one log p(x), a "
            "pixel or an image?",
            lambda x, logits: _log_p(x, logits).flatten(1).mean(1),
        ),
        Wrong(
            "Closer to zero must be better. Look at the sign: is it log p or the loss?",
            lambda x, logits: -_pixel_sum(_log_p(x, logits)),
        ),
        Wrong(
            "You count the ink only. What does a pixel that is paper contribute?",
            lambda x, logits: _pixel_sum(_log_p(x, logits) * x),
        ),
        Wrong(
            "Ink and paper are exchanged. Which of the two has the probability θ?",
            lambda x, logits: _pixel_sum(_log_p(1 - x, logits)),
        ),
        Wrong(
            "You sum over everything. How many numbers belong to a batch of B images?",
            lambda x, logits: _log_p(x, logits).sum(),
        ),
    ],
)


def _log_terms(generator: Generator) -> Tensor:
    """Three rows, around −200, −400 and −600; one term is far below its row."""
    terms = 3 * normal(generator, 3, 4) - 200 * torch.arange(1.0, 4.0)[:, None]
    terms[0, 0] -= 150
    return terms


def _shift_by_one_for_all(log_terms: Tensor) -> Tensor:
    shifted = log_terms.float() - log_terms.max()
    return shifted.exp().sum(1).log() + log_terms.max()


check_log_sum_exp = Exercise(
    name="log_sum_exp",
    fresh=lambda generator: {"log_terms": _log_terms(generator)},
    referee=lambda log_terms: scipy_logsumexp(log_terms.numpy(), axis=1),
    remember="take the largest term of a row out, add up what remains, and put it "
    "back: so the sum of tiny probabilities stays exact.",
    wrongs=[
        Wrong(
            "e to the −200 is zero in 32 bits, and log 0 is −∞. By which number could "
            "you divide all terms of a row first, so that one of them becomes 1?",
            lambda log_terms: (log_terms.float().exp() + 0).sum(1).log(),
        ),
        Wrong(
            "You take out the largest term of the whole batch. What if the rows are "
            "far apart? Each has its own largest term.",
            _shift_by_one_for_all,
        ),
        Wrong(
            "You take out the *smallest* term of a row. If another is larger by 150, "
            "what is its exponential?",
            lambda log_terms: (
                (log_terms - log_terms.min(1, True).values).float().exp().sum(1).log()
                + log_terms.min(1).values
            ),
        ),
        *(
            Wrong(
                "You add a small number, and stay finite with a wrong result. By which "
                "number could you divide all terms of a row first, so that one of them "
                "becomes 1?",
                lambda log_terms, small=small: (
                    log_terms.float().exp().sum(1) + small
                ).log(),
            )
            for small in (1e-30, 1e-20, 1e-12, 1e-10, 1e-9, 1e-8, 1e-7, 1e-6)
        ),
        Wrong(
            "You took the largest term out. Where does it come back?",
            lambda log_terms: (
                (log_terms - log_terms.max(1, True).values).exp().sum(1).log()
            ),
        ),
        Wrong(
            "That is the largest term alone. What do the others add?",
            lambda log_terms: log_terms.max(1).values,
        ),
        Wrong(
            "A sum of logarithms is the logarithm of a *product*. Which do we need?",
            lambda log_terms: log_terms.sum(1),
        ),
        Wrong(
            "You have the log of the mean. Does p(x) divide the sum by the number of "
            "terms?",
            lambda log_terms: log_terms.logsumexp(1) - math.log(4),
        ),
        Wrong(
            "You add over the images. Rows are images, columns are classes: over which "
            "of them does the sum run?",
            lambda log_terms: log_terms.logsumexp(0),
        ),
    ],
)


check_class_posterior = Exercise(
    name="class_posterior",
    fresh=lambda generator: {"log_joint": _log_terms(generator)},
    referee=lambda log_joint: softmax(log_joint.numpy(), axis=1),
    remember="p(y|x) = p(x|y) p(y) / p(x): a generative model is a classifier too, as "
    "soon as one can divide by p(x).",
    wrongs=[
        Wrong(
            "e to the −200 is zero in 32 bits. Divide before you leave the logarithms: "
            "what is a division there?",
            lambda log_joint: (
                log_joint.float().exp() / log_joint.float().exp().sum(1, keepdim=True)
            ),
        ),
        Wrong(
            "Your rows do not add up to one. Which term of Bayes' rule is missing?",
            lambda log_joint: log_joint.exp(),
        ),
        Wrong(
            "Your columns add up to one, your rows do not. What varies in a row?",
            lambda log_joint: log_joint.softmax(0),
        ),
        Wrong(
            "These are logarithms. What remains to be done?",
            lambda log_joint: log_joint.log_softmax(1),
        ),
        Wrong(
            "Your rows add up to one, but Bayes' rule divides *probabilities*. What do "
            "you divide?",
            lambda log_joint: log_joint / log_joint.sum(1, keepdim=True),
        ),
    ],
)
