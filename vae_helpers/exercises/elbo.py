"""The exercises of notebook 02: KL, posterior, ELBO."""

import math
from collections.abc import Callable

from vae_helpers.exercises.engine import Exercise, Inputs, Wrong, normal, uniform

import numpy as np
import torch
from scipy import stats
from scipy.special import softmax
from torch import Generator, Tensor
from torch.distributions import Categorical, Normal, kl_divergence


def _two_coins(generator: Generator) -> Inputs:
    truth, belief = uniform(generator, 2, low=0.1, high=0.9)
    return {"truth": truth, "belief": belief}


def _coin_terms(truth: Tensor, belief: Tensor) -> Tensor:
    p, q = torch.stack([truth, 1 - truth]), torch.stack([belief, 1 - belief])
    return p * (p.log() - q.log())


check_coin_kl = Exercise(
    name="coin_kl",
    fresh=_two_coins,
    referee=lambda truth, belief: stats.entropy(
        [truth, 1 - truth], [belief, 1 - belief]
    ),
    remember="the KL has one term for each outcome, weighted by how often it really "
    "comes.",
    wrongs=[
        Wrong(
            "The two coins are exchanged. Which one do the tosses come from?",
            lambda truth, belief: _coin_terms(belief, truth).sum(),
        ),
        Wrong(
            "You count heads only. What happens with probability 1 − truth?",
            lambda truth, belief: _coin_terms(truth, belief)[0],
        ),
        Wrong(
            "That is the whole surprise of someone with the wrong belief. How much of "
            "it would the best belief have had anyway?",
            lambda truth, belief: (
                -truth * belief.log() - (1 - truth) * (1 - belief).log()
            ),
        ),
        Wrong(
            "The KL cannot be negative. Which logarithm comes first?",
            lambda truth, belief: -_coin_terms(truth, belief).sum(),
        ),
        Wrong(
            "You measure in bits. Which logarithm gives nats?",
            lambda truth, belief: _coin_terms(truth, belief).sum() / math.log(2),
        ),
        Wrong(
            "Both outcomes count alike in your sum. What are their weights?",
            lambda truth, belief: (
                (truth / belief).log() + ((1 - truth) / (1 - belief)).log()
            ),
        ),
    ],
)


def _grid_posterior(
    x: Tensor, theta: Tensor, s2: Tensor, prior_mean: Tensor, prior_var: Tensor
) -> tuple[float, float]:
    """Mean and variance of p(z|x) by Bayes' rule on 40,001 points."""
    numbers = (float(value) for value in (x, theta, s2, prior_mean, prior_var))
    x_, theta_, s2_, mean_, var_ = numbers
    z = np.linspace(mean_ - 12 * var_**0.5, mean_ + 12 * var_**0.5, 40_001)
    shares = softmax(-0.5 * ((x_ - theta_ * z) ** 2 / s2_ + (z - mean_) ** 2 / var_))
    mean = float(shares @ z)
    return mean, float(shares @ (z - mean) ** 2)


def _toy(generator: Generator) -> Inputs:
    x, prior_mean = 1 + normal(generator, 2)
    theta, s2, prior_var = uniform(generator, 3, low=0.5, high=2.5)
    names = ("x", "theta", "s2", "prior_mean", "prior_var")
    return dict(zip(names, (x, theta, s2, prior_mean, prior_var), strict=True))


Moments = Callable[..., tuple[Tensor, Tensor]]


def _toy_posterior(precision: Callable[..., Tensor], pull: Callable) -> Moments:
    """v = 1/precision and m = v · pull, so that wrong ones can be put together."""

    def moments(
        x: Tensor, theta: Tensor, s2: Tensor, mean: Tensor, var: Tensor
    ) -> tuple[Tensor, Tensor]:
        v = 1 / precision(theta, s2, var)
        return v * pull(x, theta, s2, mean, var), v

    return moments


def _precision(theta: Tensor, s2: Tensor, var: Tensor) -> Tensor:
    return theta**2 / s2 + 1 / var


def _pull(x: Tensor, theta: Tensor, s2: Tensor, mean: Tensor, var: Tensor) -> Tensor:
    return theta * x / s2 + mean / var


_true_posterior = _toy_posterior(_precision, _pull)

check_posterior = Exercise(
    name="posterior",
    fresh=_toy,
    referee=_grid_posterior,
    returns=("mean", "variance"),
    remember="precisions (1/variance) add up, and the mean weighs prior and image by "
    "theirs.",
    wrongs=[
        Wrong(
            "Your mean forgets the mean of the prior. Which term of log p(z) has a z "
            "to the first power now?",
            _toy_posterior(_precision, lambda x, theta, s2, mean, var: theta * x / s2),
        ),
        Wrong(
            "Your prior still has variance 1. Where does its variance enter?",
            _toy_posterior(
                lambda theta, s2, var: theta**2 / s2 + 1,
                lambda x, theta, s2, mean, var: theta * x / s2 + mean,
            ),
        ),
        Wrong(
            "Your second number is the coefficient of −½ z². How does a variance "
            "follow from it?",
            lambda *toy: (
                _true_posterior(*toy)[0],
                _precision(toy[1], toy[2], toy[4]),
            ),
        ),
        Wrong(
            "You forget the prior altogether. What do you know about z without x?",
            lambda x, theta, s2, mean, var: (x / theta, s2 / theta**2),
        ),
        Wrong(
            "Your second number is the standard deviation. What was asked for?",
            lambda *toy: (_true_posterior(*toy)[0], _true_posterior(*toy)[1].sqrt()),
        ),
        Wrong(
            "s2 is a variance already. Did you square it again?",
            lambda x, theta, s2, mean, var: _true_posterior(x, theta, s2**2, mean, var),
        ),
        Wrong(
            "θ stands in front of z, and z² has its square. Where is the second θ?",
            lambda x, theta, s2, mean, var: _toy_posterior(
                lambda theta, s2, var: theta / s2 + 1 / var, _pull
            )(x, theta, s2, mean, var),
        ),
    ],
)


def _two_gaussians(generator: Generator) -> Inputs:
    names = ("mu_1", "logvar_1", "mu_2", "logvar_2")
    return {name: normal(generator, 4, 3) for name in names}


def _kl_terms(m1: Tensor, l1: Tensor, m2: Tensor, l2: Tensor) -> Tensor:
    return ((m1 - m2) ** 2 + l1.exp()) / l2.exp() - 1 + l2 - l1


check_gaussian_kl = Exercise(
    name="gaussian_kl",
    fresh=_two_gaussians,
    referee=lambda m1, l1, m2, l2: kl_divergence(
        Normal(m1, (l1 / 2).exp()), Normal(m2, (l2 / 2).exp())
    ).sum(1),
    remember="KL of two Gaussians = ½ Σ ((μ₁ − μ₂)²/σ₂² + σ₁²/σ₂² − 1 − log σ₁²/σ₂²); "
    "with N(0, I) as the second one it is the KL of a VAE.",
    wrongs=[
        Wrong(
            "It is twice the right number. Which factor stands before the log-density?",
            lambda *four: _kl_terms(*four).sum(1),
        ),
        Wrong(
            "The two directions are exchanged. Which Gaussian do the samples come "
            "from?",
            lambda m1, l1, m2, l2: 0.5 * _kl_terms(m2, l2, m1, l1).sum(1),
        ),
        Wrong(
            "You average over the latent dimensions. What happens to the KL of "
            "independent dimensions?",
            lambda *four: 0.5 * _kl_terms(*four).mean(1),
        ),
        Wrong(
            "Try two equal Gaussians: yours is not zero. Which constant is missing?",
            lambda *four: 0.5 * (_kl_terms(*four) + 1).sum(1),
        ),
        Wrong(
            "You take log σ² for log σ. What is exp(logvar)?",
            lambda m1, l1, m2, l2: 0.5 * _kl_terms(m1, 2 * l1, m2, 2 * l2).sum(1),
        ),
        Wrong(
            "That would be right against N(0, I). Where do mu_2 and logvar_2 enter?",
            lambda m1, l1, m2, l2: (
                0.5 * _kl_terms(m1, l1, torch.zeros_like(m2), torch.zeros_like(l2))
            ).sum(1),
        ),
        Wrong(
            "Average (z − μ₂)² under the *first* Gaussian: is it (μ₁ − μ₂)² alone? z "
            "itself varies.",
            lambda m1, l1, m2, l2: (
                0.5 * (_kl_terms(m1, l1, m2, l2) - (l1 - l2).exp()).sum(1)
            ),
        ),
        Wrong(
            "Average (z − μ₂)² under the *first* Gaussian. Which of the two variances "
            "has z there?",
            lambda m1, l1, m2, l2: (
                0.5 * (_kl_terms(m1, l1, m2, l2) - (l1 - l2).exp() + 1).sum(1)
            ),
        ),
        Wrong(
            "You use the average of z². The second log-density has (z − μ₂)²: where "
            "is μ₂?",
            lambda m1, l1, m2, l2: (
                0.5 * _kl_terms(m1, l1, torch.zeros_like(m2), l2).sum(1)
            ),
        ),
        Wrong(
            "Take equal means, and look at the logarithm alone. It was log σ₂/σ₁; what "
            "is log σ, if logvar is given?",
            lambda m1, l1, m2, l2: 0.5 * (_kl_terms(m1, l1, m2, l2) + l2 - l1).sum(1),
        ),
        Wrong(
            "Make the first Gaussian very narrow: the KL must grow. Which of the two "
            "log-variances stands with a minus?",
            lambda m1, l1, m2, l2: (
                0.5 * (_kl_terms(m1, l1, m2, l2) - 2 * (l2 - l1)).sum(1)
            ),
        ),
        Wrong(
            "You divide by σ₂. What stands below (z − μ)² in a Gaussian's log-density?",
            lambda m1, l1, m2, l2: (
                0.5
                * (((m1 - m2) ** 2 + l1.exp()) / (l2 / 2).exp() - 1 + l2 - l1).sum(1)
            ),
        ),
        Wrong(
            "The −1 is there once; each of the D dimensions brings one.",
            lambda *four: 0.5 * ((_kl_terms(*four) + 1).sum(1) - 1),
        ),
        Wrong(
            "The distance of the means is measured in units of a standard deviation. "
            "Of which Gaussian?",
            lambda m1, l1, m2, l2: (
                0.5 * ((m1 - m2) ** 2 + (l1 - l2).exp() - 1 + l2 - l1).sum(1)
            ),
        ),
        Wrong(
            "The KL cannot be negative. Where did the sign turn?",
            lambda *four: -0.5 * _kl_terms(*four).sum(1),
        ),
        Wrong(
            "One number for the whole batch? Each row has its own two Gaussians.",
            lambda *four: 0.5 * _kl_terms(*four).sum(),
        ),
    ],
)


def _table(generator: Generator) -> Inputs:
    return {
        "log_joint": normal(generator, 6) - 2,
        "log_q": normal(generator, 6).log_softmax(0),
    }


def _elbo_by_identity(log_joint: Tensor, log_q: Tensor) -> Tensor:
    """log p(x) − KL(q ‖ posterior)."""
    q, posterior = Categorical(logits=log_q), Categorical(logits=log_joint)
    log_px = torch.as_tensor(np.logaddexp.reduce(log_joint.numpy()))
    return log_px - kl_divergence(q, posterior)


check_elbo_on_table = Exercise(
    name="elbo_on_table",
    fresh=_table,
    referee=_elbo_by_identity,
    remember="ELBO = Σ q (log p(x, z) − log q), and it equals log p(x) − "
    "KL(q ‖ p(z|x)): this is how we tested it.",
    wrongs=[
        Wrong(
            "Half of it is there. What does q's own entropy contribute?",
            lambda log_joint, log_q: (log_q.exp() * log_joint).sum(),
        ),
        Wrong(
            "That is log p(x), the log of the average weight. Does the logarithm of "
            "the ELBO stand inside or outside the average?",
            lambda log_joint, log_q: (
                (log_q.exp() * (log_joint - log_q).exp()).sum().log()
            ),
        ),
        Wrong(
            "That is what training *minimizes*. The ELBO has the other sign.",
            lambda log_joint, log_q: (log_q.exp() * (log_q - log_joint)).sum(),
        ),
        Wrong(
            "Every z counts alike in your average. E_q weighs them: by what?",
            lambda log_joint, log_q: (log_joint - log_q).mean(),
        ),
        Wrong(
            "You *add* log q, and so favour a narrow q. Which sign has it?",
            lambda log_joint, log_q: (log_q.exp() * (log_joint + log_q)).sum(),
        ),
        Wrong(
            "You weigh by log q, which is negative. What are the weights of an "
            "expectation?",
            lambda log_joint, log_q: (log_q * (log_joint - log_q)).sum(),
        ),
        Wrong(
            "You sum over z without weights. Which distribution does E_q average over?",
            lambda log_joint, log_q: (log_joint - log_q).sum(),
        ),
    ],
)
