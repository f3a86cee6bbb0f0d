"""The exercises of notebook 03: samples that gradients pass through."""

import math

from vae_helpers.exercises.engine import Exercise, Inputs, Wrong, normal, uniform

import torch
from scipy import stats
from torch import Generator, Tensor
from torch.distributions import MultivariateNormal, Normal


def _q_and_noise(generator: Generator) -> Inputs:
    mu, logvar = normal(generator, 2, 3), normal(generator, 2, 3)
    return {"mu": mu, "logvar": logvar, "eps": normal(generator, 4, 2, 3)}


def _by_inverse_cdf(mu: Tensor, logvar: Tensor, eps: Tensor) -> Tensor:
    return Normal(mu, (logvar / 2).exp()).icdf(Normal(0.0, 1.0).cdf(eps))


check_reparameterize = Exercise(
    name="reparameterize",
    fresh=_q_and_noise,
    referee=_by_inverse_cdf,
    gradients=("mu", "logvar"),
    remember="z = μ + σ·ε with σ = exp(½ log σ²); the gradients reach mu and logvar.",
    wrongs=[
        Wrong(
            "exp(logvar) is the *variance*. By what is the noise to be multiplied?",
            lambda mu, logvar, eps: mu + logvar.exp() * eps,
        ),
        Wrong(
            "You multiply the noise by log σ², which may be negative. How do you get "
            "from there to σ?",
            lambda mu, logvar, eps: mu + logvar * eps,
        ),
        Wrong(
            "The numbers are right, but the path to mu and logvar is cut. Which line "
            "cuts it: detach(), no_grad, or a sample?",
            lambda mu, logvar, eps: (mu + (logvar / 2).exp() * eps).detach(),
        ),
        Wrong(
            "The numbers are right, and the gradient reaches mu only. What cuts the "
            "path from logvar?",
            lambda mu, logvar, eps: mu + (logvar / 2).exp().detach() * eps,
        ),
        Wrong(
            "Where is the noise centred? Yours is shifted before it is scaled.",
            lambda mu, logvar, eps: (mu + eps) * (logvar / 2).exp(),
        ),
        Wrong(
            "That is σ to the power −1. Check the sign in the exponent.",
            lambda mu, logvar, eps: mu + (-logvar / 2).exp() * eps,
        ),
        Wrong(
            "You took one sample for each image. The noise has L of them: what does "
            "broadcasting do with (L, B, D) and (B, D)?",
            lambda mu, logvar, eps: mu + (logvar / 2).exp() * eps[0],
        ),
    ],
    tolerance=1e-3,  # the referee's inverse of the CDF in the tails
)


def _samples_and_costs(generator: Generator) -> Inputs:
    n = int(torch.randint(5, 60, (), generator=generator))  # not to be hard-coded
    return {"mu": normal(generator, 3), "eps": normal(generator, n, 3)}


def _log_q_and_costs(mu: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
    """log q(z), whose z are constants, and a cost that still hangs on mu."""
    z = mu + eps
    cost = (z - 1).square().sum(1)
    return Normal(mu, 1.0).log_prob(z.detach()).sum(1), cost


def _leave_one_out(mu: Tensor, eps: Tensor) -> dict[str, Tensor]:
    z = mu + eps
    costs = [((row - 1) ** 2).sum() for row in z]
    total, n = sum(costs), len(costs)
    terms = [
        (cost - (total - cost) / (n - 1)) * noise
        for cost, noise in zip(costs, eps, strict=True)
    ]
    return {"gradient in mu": sum(terms, torch.zeros(3, dtype=z.dtype)) / n}


def _others(cost: Tensor) -> Tensor:
    return (cost.sum() - cost) / (len(cost) - 1)


def _less_others(cost: Tensor) -> Tensor:
    return cost - _others(cost)


check_score_loss = Exercise(
    name="score_loss",
    fresh=_samples_and_costs,
    referee=_leave_one_out,
    gradients=("mu",),
    arguments=_log_q_and_costs,
    only_gradients=True,
    remember="(f − b) is a constant weight, log q brings the gradient, and b never "
    "knows its own sample. The value of this loss means nothing.",
    wrongs=[
        Wrong(
            "Your gradient also runs through the cost. In the surrogate only log q "
            "may depend on the parameters: how do you make f a constant?",
            lambda log_q, f: (_less_others(f) * log_q).mean(),
        ),
        Wrong(
            "Your gradient also runs through the baseline: it is made of costs, too. "
            "In the surrogate only log q may depend on the parameters.",
            lambda log_q, f: ((f.detach() - _others(f)) * log_q).mean(),
        ),
        Wrong(
            "The baseline is a constant; f itself is not, and the gradient runs "
            "through it, too.",
            lambda log_q, f: ((f - _others(f).detach()) * log_q).mean(),
        ),
        Wrong(
            "Your gradient also runs through the costs: how do you make them "
            "constants? And your baseline is the mean of *all* costs, the sample's own "
            "among them.",
            lambda log_q, f: ((f - f.mean()) * log_q).mean(),
        ),
        Wrong(
            "You divide by the number of all samples. How many *other* samples are "
            "there?",
            lambda log_q, f: ((f - (f.sum() - f) / len(f)).detach() * log_q).mean(),
        ),
        Wrong(
            "Your gradient runs through f alone: log q has no path any more. Which of "
            "the two has to be the constant?",
            lambda log_q, f: (_less_others(f) * log_q.detach()).mean(),
        ),
        Wrong(
            "You add the cost itself, and so the pathwise gradient: the same thing "
            "twice. Pretend that f has no derivative.",
            lambda log_q, f: (_less_others(f).detach() * log_q).mean() + f.mean(),
        ),
        Wrong(
            "There is no baseline in it. It is unbiased, but what was the variance at "
            "D = 100?",
            lambda log_q, f: (f.detach() * log_q).mean(),
        ),
        Wrong(
            "Your baseline is the mean of *all* costs, the sample's own among them. "
            "What does it do to the gradient on average?",
            lambda log_q, f: ((f - f.mean()).detach() * log_q).mean(),
        ),
        Wrong(
            "You return one number for each sample; backward() needs one in all. How "
            "do you estimate an average?",
            lambda log_q, f: _less_others(f).detach() * log_q,
        ),
        Wrong(
            "You sum over the samples. An estimate of an average is …?",
            lambda log_q, f: (_less_others(f).detach() * log_q).sum(),
        ),
        Wrong(
            "The sign is reversed: descending this loss would make the cost *grow*.",
            lambda log_q, f: -(_less_others(f).detach() * log_q).mean(),
        ),
        Wrong(
            "That is the pathwise gradient. It is a good one, but not the exercise: "
            "pretend that f has no derivative.",
            lambda log_q, f: f.mean() + 0 * log_q.sum(),
        ),
        Wrong(
            "No gradient arrives. Your number needs a path to log q: what cuts it, "
            "detach(), no_grad, item(), or NumPy?",
            lambda log_q, f: (_less_others(f).detach() * log_q.detach()).mean(),
        ),
        Wrong(
            "You multiply by q, not by log q. What is the derivative of log q?",
            lambda log_q, f: (_less_others(f).detach() * log_q.exp()).mean(),
        ),
    ],
)


def _logistic(generator: Generator) -> Inputs:
    return {
        "mu": normal(generator, 4),
        "scale": uniform(generator, 4, low=0.3, high=2.0),
        "u": uniform(generator, 4, low=0.05, high=0.95),
    }


check_logistic_sample = Exercise(
    name="logistic_sample",
    fresh=_logistic,
    referee=lambda mu, scale, u: torch.as_tensor(
        stats.logistic.ppf(u.numpy(), mu.numpy(), scale.numpy())
    ),
    gradients=("mu", "scale"),
    remember="solve F(z) = u for z, and a uniform u becomes a sample; shift and scale "
    "come out by themselves.",
    wrongs=[
        Wrong(
            "That is F, not its inverse: it turns z into u. Solve F(z) = u for z.",
            lambda mu, scale, u: torch.sigmoid((u - mu) / scale),
        ),
        Wrong(
            "A u near 1 must give a large z; yours gives a small one. Which of u and "
            "1 − u stands on top?",
            lambda mu, scale, u: mu - scale * u.logit(),
        ),
        Wrong(
            "You divide by the scale. A larger scale must spread the samples.",
            lambda mu, scale, u: mu + u.logit() / scale,
        ),
        Wrong(
            "That is an exponential distribution, shifted and scaled. How many terms "
            "with u has F?",
            lambda mu, scale, u: mu - scale * (1 - u).log(),
        ),
        Wrong(
            "The numbers are right, and the path to mu or scale is cut. Where?",
            lambda mu, scale, u: mu + scale.detach() * u.logit(),
        ),
        Wrong(
            "That is a normal sample: the inverse of another F.",
            lambda mu, scale, u: mu + scale * torch.special.ndtri(u),
        ),
        Wrong(
            "The mean is scaled too. Shift last.",
            lambda mu, scale, u: scale * (mu + u.logit()),
        ),
    ],
)


def _correlated(generator: Generator) -> Inputs:
    below = normal(generator, 3, 3).tril(-1)
    diagonal = uniform(generator, 3, low=0.3, high=2.0)
    return {
        "z": normal(generator, 4, 3),
        "mu": normal(generator, 3),
        "C": below + diagonal.diag(),
    }


def _full_log_q(z: Tensor, mu: Tensor, C: Tensor, volume: float = 1.0) -> Tensor:
    eps = torch.linalg.solve_triangular(C, (z - mu).T, upper=False).T
    stretch = volume * C.diagonal().log().sum()
    return (-0.5 * (eps**2 + math.log(2 * math.pi))).sum(1) - stretch


check_full_log_q = Exercise(
    name="full_log_q",
    fresh=_correlated,
    referee=lambda z, mu, C: MultivariateNormal(mu, C @ C.T).log_prob(z),
    remember="undo the map to find ε, take log N(ε; 0, I), and subtract the log of how "
    "much C stretches volumes.",
    wrongs=[
        Wrong(
            "Your density does not add up to one: C stretches volumes. By what?",
            lambda z, mu, C: _full_log_q(z, mu, C, 0),
        ),
        Wrong(
            "You count the stretch twice. Is it C's determinant or that of C Cᵀ?",
            lambda z, mu, C: _full_log_q(z, mu, C, 2),
        ),
        Wrong(
            "The stretch has the wrong sign: a density falls where space is stretched.",
            lambda z, mu, C: _full_log_q(z, mu, C, -1),
        ),
        Wrong(
            "You multiply z − μ by C. Which way does the map z = μ + C ε go, and which "
            "way do you need?",
            lambda z, mu, C: (
                -0.5 * (((z - mu) @ C.T) ** 2 + math.log(2 * math.pi)).sum(1)
                - C.diagonal().log().sum()
            ),
        ),
        Wrong(
            "You use the diagonal of C only, so the dimensions are independent. Where "
            "do the correlations go?",
            lambda z, mu, C: Normal(mu, C.diagonal()).log_prob(z).sum(1),
        ),
        Wrong(
            "The constant is there once; each of the D dimensions brings one.",
            lambda z, mu, C: _full_log_q(z, mu, C) + math.log(2 * math.pi),
        ),
        Wrong(
            "You solve with C transposed. Is C lower or upper triangular?",
            lambda z, mu, C: (
                _full_log_q(z, mu, C)
                + 0.5 * (torch.linalg.solve(C, (z - mu).T) ** 2).sum(0)
                - 0.5 * (torch.linalg.solve(C.T, (z - mu).T) ** 2).sum(0)
            ),
        ),
    ],
    tolerance=1e-3,  # a C with a small diagonal in 32 bits
)
