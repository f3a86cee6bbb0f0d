"""The first exercises of notebook 07: bounds and estimates from importance weights."""

import math
from collections.abc import Callable

from vae_helpers.exercises.engine import Exercise, Inputs, Wrong, normal

import numpy as np
import torch
from scipy import special, stats
from torch import Generator, Tensor
from torch.distributions import Normal


def _samples_of_q(generator: Generator) -> Inputs:
    """Weights of e to the −1,000 and less, which is zero in 64 bits, too."""
    far = torch.tensor([1_000, 2_500])
    K = int(torch.randint(4, 60, (), generator=generator))
    mu, logvar = normal(generator, 2, 3), normal(generator, 2, 3) - 1
    return {
        "log_px_z": 2 * normal(generator, K, 2) - far,
        "z": mu + (logvar / 2).exp() * normal(generator, K, 2, 3),
        "mu": mu,
        "logvar": logvar,
    }


def _log_weights(
    log_px_z: Tensor,
    z: Tensor,
    mu: Tensor,
    logvar: Tensor,
    *,
    prior: float = 1.0,
    q: float = -1.0,
    power: float = 0.5,
) -> Tensor:
    """log w, with a weight for either density; power: of σ², for the scale of q."""
    log_prior = Normal(0.0, 1.0).log_prob(z).sum(2)
    log_q = Normal(mu, (power * logvar).exp()).log_prob(z).sum(2)
    return log_px_z + prior * log_prior + q * log_q


def _log_mean(log_w: Tensor) -> Tensor:
    return log_w.logsumexp(0) - math.log(len(log_w))


def _bound_by_scipy(
    log_px_z: Tensor, z: Tensor, mu: Tensor, logvar: Tensor
) -> np.ndarray:
    log_prior = stats.norm.logpdf(z.numpy()).sum(2)
    sigma = np.sqrt(np.exp(logvar.numpy()))
    log_q = stats.norm.logpdf(z.numpy(), mu.numpy(), sigma).sum(2)
    log_w = log_px_z.numpy() + log_prior - log_q
    return special.logsumexp(log_w, axis=0, b=1 / len(log_w))


def _with_kl(log_px_z: Tensor, z: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    kl = 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1)
    return _log_mean(log_px_z) - kl


def _from_weights(change: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    """The right log-weights, and another way to average them."""
    return lambda *inputs: change(_log_weights(*inputs))


check_iwae_bound = Exercise(
    name="iwae_bound",
    fresh=_samples_of_q,
    referee=_bound_by_scipy,
    remember="log w = log p(x|z) + log p(z) − log q(z|x), and L_K is logsumexp over "
    "the samples, minus log K. The average comes first, the logarithm after it.",
    wrongs=[
        Wrong(
            "You average log-weights. That is the ELBO, with any K. What should be "
            "averaged *before* the logarithm?",
            _from_weights(lambda log_w: log_w.mean(0)),
        ),
        Wrong(
            "You have the log of the *sum* of the weights. What makes a mean of it?",
            _from_weights(lambda log_w: log_w.logsumexp(0)),
        ),
        Wrong(
            "e to the −1,000 is 0 on a computer, and log 0 is −∞. Which function "
            "takes the largest weight out first (00, exercise 3)?",
            _from_weights(lambda log_w: log_w.exp().mean(0).log()),
        ),
        Wrong(
            "You average log w, with the weights themselves as weights. That lies "
            "above L_K, and may lie above log p(x). Average w, then take the log once.",
            _from_weights(lambda log_w: (log_w.softmax(0) * log_w).sum(0)),
        ),
        Wrong(
            "The softmax of the *losses* favours the samples that explain x worst. "
            "And it is no softmax that we need: L_K is the log of a plain mean.",
            _from_weights(lambda log_w: ((-log_w).softmax(0) * log_w).sum(0)),
        ),
        Wrong(
            "You keep the best sample only. The others count as well.",
            _from_weights(lambda log_w: log_w.max(0).values),
        ),
        Wrong(
            "You subtract the KL, which is an average over z already. Each sample has "
            "its own weight: which two log-densities of *this* z stand in it?",
            _with_kl,
        ),
        Wrong(
            "You take out one largest weight for all images; each needs its own.",
            _from_weights(
                lambda log_w: (log_w - log_w.max()).exp().mean(0).log() + log_w.max()
            ),
        ),
        Wrong(
            "You divide a logarithm by K. What is dividing the sum itself by K, once "
            "the logarithm is taken?",
            _from_weights(lambda log_w: log_w.logsumexp(0) / len(log_w)),
        ),
        Wrong(
            "The density of q is narrow *and high*: which factor stands before its "
            "exponential, besides 1/√2π?",
            lambda log_px_z, z, mu, logvar: _log_mean(
                _log_weights(log_px_z, z, mu, logvar) - logvar.sum(1) / 2
            ),
        ),
        Wrong(
            "You average the log-densities over the latent dimensions. What do "
            "independent dimensions do with them?",
            lambda log_px_z, z, mu, logvar: _log_mean(
                log_px_z
                + (_log_weights(log_px_z, z, mu, logvar) - log_px_z) / z.shape[2]
            ),
        ),
        *(
            Wrong(
                "One of the two densities of z has its 2π, the other has not.",
                lambda log_px_z, z, mu, logvar, sign=sign: (
                    _log_mean(_log_weights(log_px_z, z, mu, logvar))
                    + sign * z.shape[2] / 2 * math.log(2 * math.pi)
                ),
            )
            for sign in (-1, 1)
        ),
        Wrong(
            "You average p(x|z) over samples of q. They do not come from the prior: "
            "which two densities set that right?",
            lambda log_px_z, z, mu, logvar: _log_mean(log_px_z),
        ),
        Wrong(
            "p(z) is missing in the weight.",
            lambda *inputs: _log_mean(_log_weights(*inputs, prior=0)),
        ),
        Wrong(
            "q(z|x) is missing in the weight. What do we divide by, because z was "
            "sampled from q?",
            lambda *inputs: _log_mean(_log_weights(*inputs, q=0)),
        ),
        Wrong(
            "You multiply by q(z|x). Is it above or below the line of the fraction?",
            lambda *inputs: _log_mean(_log_weights(*inputs, q=1)),
        ),
        Wrong(
            "exp(logvar) is the *variance* of q. Which number does a normal density "
            "divide z − μ by?",
            lambda *inputs: _log_mean(_log_weights(*inputs, power=1)),
        ),
    ],
    tolerance=1e-5,  # of about 1,000 nats
)


def _uneven_log_weights(generator: Generator) -> Inputs:
    spread = torch.tensor([0.5, 1.0]).to(torch.get_default_dtype())
    return {"log_w": spread * normal(generator, 200, 2) - 1_000}


def _shifted(log_w: Tensor) -> Tensor:
    """The weights in units of the largest one."""
    return (log_w - log_w.max(0).values).exp()


def _relative_error(log_w: Tensor) -> Tensor:
    w = _shifted(log_w)
    return w.std(0) / w.mean(0) / math.sqrt(len(w))


def _error_by_scipy(log_w: Tensor) -> np.ndarray:
    w = np.exp(log_w.numpy() + 1_000)
    return stats.variation(w, axis=0) / math.sqrt(len(w))


check_log_error = Exercise(
    name="log_error",
    fresh=_uneven_log_weights,
    referee=_error_by_scipy,
    remember="standard deviation over √K, divided by the mean, because the derivative "
    "of log a is 1/a. A constant factor of all weights cancels.",
    wrongs=[
        Wrong(
            "e to the −1,000 is 0, so yours is 0/0. Multiply all weights by one and "
            "the same number first: what happens to the result?",
            lambda log_w: (
                (log_w.exp().std(0) / log_w.exp().mean(0)) / math.sqrt(len(log_w))
            ),
        ),
        Wrong(
            "That is the error of the mean of the *log*-weights, so of the ELBO. What "
            "is averaged before the logarithm?",
            lambda log_w: log_w.std(0) / math.sqrt(len(log_w)),
        ),
        Wrong(
            "That is how much one weight varies. What does the average of K weights "
            "gain?",
            lambda log_w: _relative_error(log_w) * math.sqrt(len(log_w)),
        ),
        Wrong(
            "You divide by K. The *variance* of a mean falls like 1/K: and its "
            "standard deviation?",
            lambda log_w: _relative_error(log_w) / math.sqrt(len(log_w)),
        ),
        Wrong(
            "That is the error of the average, in units of the largest weight. What "
            "does the logarithm make of a small change of the average?",
            lambda log_w: _shifted(log_w).std(0) / math.sqrt(len(log_w)),
        ),
        Wrong(
            "That is a variance. Nats are the unit of its root.",
            lambda log_w: _relative_error(log_w) ** 2,
        ),
        Wrong(
            "That is the logarithm of an error. Asked for is the error of a logarithm.",
            lambda log_w: _relative_error(log_w).log(),
        ),
        Wrong(
            "You take the mean of w², without subtracting the square of the mean. If "
            "all weights are equal, how large must the error be?",
            lambda log_w: (_shifted(log_w) ** 2).sum(0).sqrt() / _shifted(log_w).sum(0),
        ),
    ],
    tolerance=1e-3,  # a standard deviation by K or by K − 1
)


def _two_sources(generator: Generator) -> Inputs:
    """The first half of the samples is from q, and there its density is larger."""
    log_prior = 5 * normal(generator, 4, 2) - 900
    lead = torch.tensor([8.0, 1.0, -1.0, -8.0]).to(log_prior)[:, None]
    return {
        "log_px_z": 3 * normal(generator, 4, 2) - 100,
        "log_prior": log_prior,
        "log_q": log_prior + lead + normal(generator, 4, 2),
    }


def _by_own_source(log_px_z: Tensor, log_prior: Tensor, log_q: Tensor) -> Tensor:
    half = len(log_q) // 2
    own = torch.cat([log_q[:half], log_prior[half:]])
    return log_px_z + log_prior - own


def _two_sources_by_scipy(
    log_px_z: Tensor, log_prior: Tensor, log_q: Tensor
) -> np.ndarray:
    both = np.stack([log_prior.numpy(), log_q.numpy()])
    return (log_px_z + log_prior).numpy() - special.logsumexp(both, axis=0, b=0.5)


check_mixed_log_w = Exercise(
    name="mixed_log_w",
    fresh=_two_sources,
    referee=_two_sources_by_scipy,
    remember="divide by the density that the samples *together* have, ½ q + ½ p. Such "
    "a weight is never above 2 p(x|z), so its variance is finite.",
    wrongs=[
        Wrong(
            "That is the weight for samples of q alone. Half of these are not: which "
            "density does a sample have if you do not know where it is from?",
            lambda log_px_z, log_prior, log_q: log_px_z + log_prior - log_q,
        ),
        Wrong(
            "You divide each sample by the density of its own source. The mean is "
            "right, but a z far out in q has its huge weight again. What if you forget "
            "the source, and use the density of the mixture for all?",
            _by_own_source,
        ),
        Wrong(
            "You average the *log*-densities. A mixture averages densities.",
            lambda log_px_z, log_prior, log_q: (
                log_px_z + log_prior - (log_q + log_prior) / 2
            ),
        ),
        Wrong(
            "You add the two densities. A mixture of two halves is their …?",
            lambda log_px_z, log_prior, log_q: (
                log_px_z + log_prior - torch.logaddexp(log_q, log_prior)
            ),
        ),
        Wrong(
            "The ½ is on the wrong side: with log 2, is a density halved or doubled?",
            lambda log_px_z, log_prior, log_q: (
                log_px_z + log_prior - torch.logaddexp(log_q, log_prior) - math.log(2)
            ),
        ),
        Wrong(
            "e to the −900 is 0, and log 0 is −∞. Which function adds two numbers "
            "given as logarithms?",
            lambda log_px_z, log_prior, log_q: (
                log_px_z + log_prior - (0.5 * log_q.exp() + 0.5 * log_prior.exp()).log()
            ),
        ),
        Wrong(
            "You divide by the larger of the two densities. Both sources could have "
            "given this z.",
            lambda log_px_z, log_prior, log_q: (
                log_px_z + log_prior - torch.maximum(log_q, log_prior)
            ),
        ),
        Wrong(
            "The weight needs p(x, z) on top. Yours has p(x|z) alone.",
            lambda log_px_z, log_prior, log_q: (
                log_px_z - torch.logaddexp(log_q, log_prior) + math.log(2)
            ),
        ),
    ],
)
