"""The exercises of notebook 09 about priors: an unknown label, and a mixture."""

import math
from collections.abc import Callable

from vae_helpers.exercises.engine import Exercise, Inputs, Wrong, normal, uniform

import numpy as np
import torch
from scipy.special import logsumexp
from scipy.stats import norm
from torch import Generator, Tensor
from torch.distributions import Categorical, kl_divergence


def _without_label(generator: Generator) -> Inputs:
    return {
        "elbos": -80 + 3 * normal(generator, 3, 4),
        "logits": normal(generator, 3, 4),
    }


def _under_q(
    values: Callable[[Tensor, Tensor], Tensor],
) -> Callable[[Tensor, Tensor], Tensor]:
    """The average under q(y|x) of something else, from the ELBOs and log q."""

    def answer(elbos: Tensor, logits: Tensor) -> Tensor:
        log_q = logits.log_softmax(1)
        return (log_q.exp() * values(elbos, log_q)).sum(1)

    return answer


_LOG_4 = math.log(4)


def _unlabelled_by_torch(elbos: Tensor, logits: Tensor) -> Tensor:
    q, prior = Categorical(logits=logits), Categorical(torch.ones_like(logits))
    return (q.probs * elbos).sum(1) - kl_divergence(q, prior)


check_unlabelled_elbo = Exercise(
    name="unlabelled_elbo",
    fresh=_without_label,
    referee=_unlabelled_by_torch,
    gradients=("elbos", "logits"),
    remember="an unknown label is one more latent variable: an average under q(y|x), "
    "less the KL of q(y|x) to p(y).",
    wrongs=[
        Wrong(
            "Neither p(y) nor the entropy of q(y|x) is in it. For a latent y, which KL "
            "belongs to the bound?",
            _under_q(lambda elbos, log_q: elbos),
        ),
        Wrong(
            "The entropy of q(y|x) is missing. Without it the classifier is paid for "
            "being certain.",
            _under_q(lambda elbos, log_q: elbos - _LOG_4),
        ),
        Wrong(
            "log p(y) is missing: a label costs something, too.",
            _under_q(lambda elbos, log_q: elbos - log_q),
        ),
        Wrong(
            "The entropy has the wrong sign: what is −E_q[log q]?",
            _under_q(lambda elbos, log_q: elbos - _LOG_4 + log_q),
        ),
        Wrong(
            "log p(y) has the wrong sign. Is log (1/C) above or below zero?",
            _under_q(lambda elbos, log_q: elbos + _LOG_4 - log_q),
        ),
        Wrong(
            "That is the best bound that *any* q(y|x) could give. The classifier has "
            "disappeared from it. (A fine bound, where one can afford all classes.)",
            lambda elbos, logits: (elbos - _LOG_4).logsumexp(1) + 0 * logits.sum(1),
        ),
        Wrong(
            "You take the classifier's first choice only. Which average is E_q(y|x)?",
            lambda elbos, logits: (
                elbos.gather(1, logits.argmax(1, keepdim=True))[:, 0]
                - _LOG_4
                + 0 * logits.sum(1)
            ),
        ),
        Wrong(
            "You average over the classes alike. Which of them does q(y|x) believe in?",
            lambda elbos, logits: elbos.mean(1) + 0 * logits.sum(1),
        ),
        Wrong(
            "Logits are not log q(y|x) yet. What makes them sum to one?",
            lambda elbos, logits: (logits.softmax(1) * (elbos - _LOG_4 - logits)).sum(
                1
            ),
        ),
        Wrong(
            "The number is right, but no gradient reaches the classifier. What cuts "
            "its path?",
            lambda elbos, logits: (
                _unlabelled_by_torch(elbos, logits.detach()) + 0 * logits.sum(1)
            ),
        ),
    ],
)


def _mixture(generator: Generator) -> Inputs:
    """Three Gaussians on the plane; the first z is far away from all of them."""
    z = 2 * normal(generator, 5, 2)
    z[0] += 80
    weights = uniform(generator, 3, low=0.1, high=1.0)
    return {
        "z": z,
        "weights": weights / weights.sum(),
        "means": 2 * normal(generator, 3, 2),
        "sigmas": uniform(generator, 3, 2, low=0.4, high=1.6),
    }


def _log_parts(z: Tensor, means: Tensor, sigmas: Tensor) -> Tensor:
    """log N of each dimension under each component: (B, K, D)."""
    eps = (z[:, None] - means) / sigmas
    return -0.5 * (eps**2 + math.log(2 * math.pi)) - sigmas.log()


def _mixed(change: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """log p(z) from something else in the place of log N, (B, K)."""
    return lambda z, weights, means, sigmas: (
        change(z, means, sigmas) + weights.log()
    ).logsumexp(1)


def _mixture_by_scipy(
    z: Tensor, weights: Tensor, means: Tensor, sigmas: Tensor
) -> np.ndarray:
    parts = norm.logpdf(z.numpy()[:, None], means.numpy(), sigmas.numpy())
    return logsumexp(parts.sum(2), axis=1, b=weights.numpy())


check_mixture_log_p = Exercise(
    name="mixture_log_p",
    fresh=_mixture,
    referee=_mixture_by_scipy,
    remember="sum the dimensions first, within each component; then mix the components "
    "with a log-sum-exp of log weight + log N.",
    wrongs=[
        Wrong(
            "You average the *logarithms*. A mixture averages the densities; which of "
            "the two comes first?",
            lambda z, weights, means, sigmas: (
                weights * _log_parts(z, means, sigmas).sum(2)
            ).sum(1),
        ),
        Wrong(
            "That multiplies one-dimensional mixtures, as in case 1 of 08: every "
            "combination of the components' coordinates becomes a peak. What has to be "
            "summed first?",
            lambda z, weights, means, sigmas: (
                (_log_parts(z, means, sigmas) + weights.log()[:, None])
                .logsumexp(1)
                .sum(1)
            ),
        ),
        Wrong(
            "Far away every density is 0 on a computer, and log 0 = −∞. Which function "
            "adds up exponentials without computing them?",
            lambda z, weights, means, sigmas: (
                (weights * _log_parts(z, means, sigmas).sum(2).exp()).sum(1).log()
            ),
        ),
        Wrong(
            "Your components all have weight 1. What does the density integrate to?",
            lambda z, weights, means, sigmas: (
                _log_parts(z, means, sigmas).sum(2).logsumexp(1)
            ),
        ),
        Wrong(
            "Your components have equal weights. Where are the given ones?",
            lambda z, weights, means, sigmas: (
                _log_parts(z, means, sigmas).sum(2).logsumexp(1) - math.log(3)
            ),
        ),
        Wrong(
            "You add the weight to log N. What becomes of a factor under the log?",
            lambda z, weights, means, sigmas: (
                _log_parts(z, means, sigmas).sum(2) + weights
            ).logsumexp(1),
        ),
        Wrong(
            "You use σ² where the standard deviation belongs.",
            _mixed(lambda z, means, sigmas: _log_parts(z, means, sigmas**2).sum(2)),
        ),
        Wrong(
            "log σ is missing: a wide Gaussian is lower than a narrow one.",
            _mixed(
                lambda z, means, sigmas: (
                    _log_parts(z, means, sigmas) + sigmas.log()
                ).sum(2)
            ),
        ),
        Wrong(
            "½ log 2π is missing, once for each dimension.",
            _mixed(
                lambda z, means, sigmas: (
                    _log_parts(z, means, sigmas) + 0.5 * math.log(2 * math.pi)
                ).sum(2)
            ),
        ),
        Wrong(
            "You count the nearest component only. The others have some mass there, "
            "too.",
            lambda z, weights, means, sigmas: (
                _log_parts(z, means, sigmas).sum(2) + weights.log()
            ).amax(1),
        ),
    ],
)
