"""The exercises of notebook 09 about models: no label, and samples of a mixture."""

import math
from collections.abc import Callable

from vae_helpers.exercises.engine import Exercise, Inputs, Wrong, normal, uniform

import numpy as np
import torch
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
            lambda elbos, logits: (elbos - _LOG_4).logsumexp(1),
        ),
        Wrong(
            "You take the classifier's first choice only. Which average is E_q(y|x)?",
            lambda elbos, logits: (
                elbos.gather(1, logits.argmax(1, keepdim=True))[:, 0] - _LOG_4
            ),
        ),
        Wrong(
            "You average over the classes alike. Which of them does q(y|x) believe in?",
            lambda elbos, logits: elbos.mean(1),
        ),
        Wrong(
            "You average over the classes alike. Which of them does q(y|x) believe in?",
            lambda elbos, logits: (elbos - _LOG_4 - logits.log_softmax(1)).mean(1),
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
            lambda elbos, logits: _unlabelled_by_torch(elbos, logits.detach()),
        ),
    ],
)


def _mixture(generator: Generator) -> Inputs:
    """Three tilted Gaussians on the plane, and what eight samples are made from."""
    weights = uniform(generator, 3, low=0.3, high=1.0)
    factors = normal(generator, 3, 2, 2).tril(-1)
    factors = factors + uniform(generator, 3, 2, low=0.4, high=1.6).diag_embed()
    return {
        "u": (torch.arange(8) + uniform(generator, 8))[
            torch.randperm(8, generator=generator)
        ]
        / 8,
        "eps": normal(generator, 8, 2),
        "weights": weights / weights.sum(),
        "means": 3 * normal(generator, 3, 2),
        "covariances": factors @ factors.mT,
    }


def _choose(u: Tensor, weights: Tensor) -> Tensor:
    return (u[:, None] > weights.cumsum(0)[:-1]).sum(1)


def _place(
    k: Tensor, eps: Tensor, means: Tensor, covariances: Tensor, *, turned: bool = False
) -> Tensor:
    factors = torch.linalg.cholesky(covariances)
    factors = factors.mT if turned else factors
    return means[k] + (factors[k] @ eps[..., None])[..., 0]


def _symmetric_root(covariances: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(covariances)
    return vectors * values.sqrt()[:, None] @ vectors.mT


def _chosen_by(
    choose: Callable[[Tensor, Tensor], Tensor],
) -> Callable[..., Tensor]:
    """Right samples of other components."""
    return lambda u, eps, weights, means, covariances: _place(
        choose(u, weights), eps, means, covariances
    )


def _samples_by_loop(
    u: Tensor, eps: Tensor, weights: Tensor, means: Tensor, covariances: Tensor
) -> np.ndarray:
    ends = np.cumsum(weights.numpy())[:-1]
    rows = zip(np.searchsorted(ends, u.numpy()), eps.numpy(), strict=True)
    factors = [np.linalg.cholesky(S) for S in covariances.numpy()]
    return np.stack([means[k].numpy() + factors[k] @ e for k, e in rows])


check_mixture_sample = Exercise(
    name="mixture_sample",
    fresh=_mixture,
    referee=_samples_by_loop,
    remember="first a component for each sample, then a sample of this component: "
    "μ + Lε, with its own L.",
    wrongs=[
        Wrong(
            "You mix the *samples* with the weights. A weighted sum of Gaussians is "
            "one Gaussian again, with one peak. What do the weights choose?",
            lambda u, eps, weights, means, covariances: sum(
                w * _place(torch.full((len(u),), k), eps, means, covariances)
                for k, w in enumerate(weights)
            ),
        ),
        Wrong(
            "You always take the component with the largest weight. How often should "
            "the others be chosen?",
            _chosen_by(lambda u, weights: weights.argmax().expand(len(u))),
        ),
        Wrong(
            "You choose all components equally often. Where do the weights come in?",
            _chosen_by(lambda u, weights: (u * len(weights)).long()),
        ),
        Wrong(
            "You compare u with the weights themselves. At which number does the "
            "share of component 2 *begin*?",
            _chosen_by(lambda u, weights: (u[:, None] > weights[:-1]).sum(1)),
        ),
        Wrong(
            "You compare u with the weights themselves. At which number does the "
            "share of component 2 *begin*?",
            _chosen_by(lambda u, weights: (u[:, None] > weights).sum(1).clamp(max=2)),
        ),
        Wrong(
            "Your samples lie around 0. Where are the means?",
            lambda u, eps, weights, means, covariances: _place(
                _choose(u, weights), eps, 0 * means, covariances
            ),
        ),
        Wrong(
            "Your components come in the opposite order: for which does a small u "
            "stand?",
            _chosen_by(lambda u, weights: _choose(1 - u, weights)),
        ),
        Wrong(
            "One component for all samples. Each has a u of its own.",
            _chosen_by(lambda u, weights: _choose(u[:1], weights).expand(len(u))),
        ),
        Wrong(
            "You multiply the noise by the covariance. In one dimension, is it σ² that "
            "stands before ε?",
            lambda u, eps, weights, means, covariances: (
                means[(k := _choose(u, weights))]
                + (covariances[k] @ eps[..., None])[..., 0]
            ),
        ),
        Wrong(
            "The factor stands on the wrong side of ε, or is turned: (L ε)ᵀ = εᵀ Lᵀ.",
            lambda u, eps, weights, means, covariances: _place(
                _choose(u, weights), eps, means, covariances, turned=True
            ),
        ),
        Wrong(
            "That is another root of the covariance. Its samples are right, too; asked "
            "for is the Cholesky factor.",
            lambda u, eps, weights, means, covariances: (
                means[(k := _choose(u, weights))]
                + (_symmetric_root(covariances)[k] @ eps[..., None])[..., 0]
            ),
        ),
        Wrong(
            "You use the variances alone. A tilted Gaussian has covariances, too.",
            lambda u, eps, weights, means, covariances: (
                means[(k := _choose(u, weights))]
                + covariances.diagonal(dim1=1, dim2=2)[k].sqrt() * eps
            ),
        ),
        Wrong(
            "These are the components' means. Where is the noise?",
            lambda u, eps, weights, means, covariances: means[_choose(u, weights)],
        ),
    ],
    tolerance=1e-3,  # Cholesky in 32 bits
)
