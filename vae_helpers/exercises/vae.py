"""The exercises of notebook 04: the VAE's terms, its three rows, its codes."""

import math
from collections.abc import Callable

from vae_helpers.exercises.engine import Exercise, Inputs, Wrong, normal, uniform
from vae_helpers.exercises.start import LIMITED, LIMITS

import numpy as np
import torch
from scipy.special import expit
from torch import Generator, Tensor
from torch.distributions import Bernoulli, Normal, kl_divergence

Change = Callable[[Tensor], Tensor]
Pair = Callable[[Tensor, Tensor], Tensor]


def _terms_inputs(generator: Generator) -> Inputs:
    n_samples = int(torch.randint(4, 60, (), generator=generator))  # L
    logits = normal(generator, n_samples, 3, 1, 5, 6)
    logits[0, 0, 0, 0, :2] = torch.tensor([-150.0, 150.0])  # θ is rounded to 0 or 1
    return {
        "x": uniform(generator, 3, 1, 5, 6),
        "mu": normal(generator, 3, 4),
        "logvar": normal(generator, 3, 4),
        "logits": logits,
    }


def pixel_terms(x: Tensor, logits: Tensor) -> Tensor:
    """log p of each Bernoulli pixel, in nats."""
    return x * logits - torch.nn.functional.softplus(logits)


def _log_px_z(x: Tensor, logits: Tensor) -> Tensor:
    return pixel_terms(x, logits).sum((-1, -2, -3))


def _naive_pixel_terms(x: Tensor, theta: Tensor) -> Tensor:
    return x * theta.log() + (1 - x) * (1 - theta).log()


def _of_each_sample(limited: Pair) -> Pair:
    """A log-likelihood of 00, for L × B images, and its mean over the samples."""

    def log_px_z(x: Tensor, logits: Tensor) -> Tensor:
        flat = limited(x.expand_as(logits).flatten(0, 1), logits.flatten(0, 1))
        return flat.view(len(logits), -1).mean(0)

    return log_px_z


def _by_cross_entropy(x: Tensor, logits: Tensor) -> Tensor:
    """It limits each logarithm to −100."""
    loss = torch.nn.functional.binary_cross_entropy
    return -loss(logits.sigmoid(), x, reduction="none").flatten(1).sum(1)


_LIMITS = [_of_each_sample(limited) for limited in (_by_cross_entropy, *LIMITS)]


def _of_one_sample(one: int) -> Pair:
    return lambda x, logits: _log_px_z(x, logits[one])


def _squared(factor: float) -> Pair:
    return lambda x, logits: (
        factor * (x - logits.sigmoid()).square().sum((2, 3, 4)).mean(0)
    )


def _kl_terms(mu: Tensor, logvar: Tensor) -> Tensor:
    return mu**2 + logvar.exp() - 1 - logvar


def _elbo_terms(
    x: Tensor, mu: Tensor, logvar: Tensor, logits: Tensor
) -> tuple[Tensor, Tensor]:
    return _log_px_z(x, logits).mean(0), 0.5 * _kl_terms(mu, logvar).sum(1)


def _terms_by_torch(
    x: Tensor, mu: Tensor, logvar: Tensor, logits: Tensor
) -> tuple[Tensor, Tensor]:
    pixels = Bernoulli(logits=logits, validate_args=False)
    q, prior = Normal(mu, (logvar / 2).exp()), Normal(0 * mu, 1.0)
    log_px_z = pixels.log_prob(x.expand_as(logits)).flatten(2).sum(2)
    return log_px_z.mean(0), kl_divergence(q, prior).sum(1)


def _with_kl(change: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., tuple]:
    """The right first term, and another second one."""
    return lambda x, mu, logvar, logits: (
        _log_px_z(x, logits).mean(0),
        change(mu, logvar),
    )


def _with_pixels(change: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., tuple]:
    """Another first term, and the right second one."""
    return lambda x, mu, logvar, logits: (
        change(x, logits),
        0.5 * _kl_terms(mu, logvar).sum(1),
    )


check_elbo_terms = Exercise(
    name="elbo_terms",
    fresh=_terms_inputs,
    referee=_terms_by_torch,
    returns=("log_px_z", "kl"),
    remember="sums over pixels and latent dimensions, a mean over the L samples, and "
    "one number for each image.",
    wrongs=[
        Wrong(
            "The first term averages over the pixels, the second sums over D. What "
            "does this do to the weight of the KL?",
            _with_pixels(lambda x, logits: pixel_terms(x, logits).mean((0, 2, 3, 4))),
        ),
        Wrong(
            "The first term is a sum over the L samples. What is E_q estimated by?",
            _with_pixels(lambda x, logits: _log_px_z(x, logits).sum(0)),
        ),
        Wrong(
            "Your first term averages the probabilities and then takes the log. In the "
            "ELBO, which comes first? (The other order is a bound, too: notebook 07.)",
            _with_pixels(
                lambda x, logits: (
                    _log_px_z(x, logits).logsumexp(0) - math.log(len(logits))
                )
            ),
        ),
        Wrong(
            "You average what the decoder says, and then take the log-likelihood. E_q "
            "averages log-likelihoods.",
            _with_pixels(lambda x, logits: _log_px_z(x, logits.mean(0))),
        ),
        Wrong(
            "You average θ over the samples, and then take the log-likelihood. E_q "
            "averages log-likelihoods.",
            _with_pixels(
                lambda x, logits: _naive_pixel_terms(x, logits.sigmoid().mean(0)).sum(
                    (1, 2, 3)
                )
            ),
        ),
        Wrong(
            "At logits of ±150 a 32-bit θ or 1 − θ is rounded to 0, and exp(logit) to "
            "∞. How did you take log θ from the logit itself in notebook 00?",
            _with_pixels(
                lambda x, logits: (
                    _naive_pixel_terms(x, logits.sigmoid()).sum((2, 3, 4)).mean(0)
                )
            ),
        ),
        *(Wrong(LIMITED, _with_pixels(answer)) for answer in _LIMITS),
        *(
            Wrong(
                "You use one of the L samples. How do the others come in?",
                _with_pixels(_of_one_sample(one)),
            )
            for one in (0, -1)
        ),
        *(
            Wrong(
                "That is a squared error. Which log-density has a pixel here, with θ "
                "as its probability of ink?",
                _with_pixels(_squared(factor)),
            )
            for factor in (-1, -0.5, 1, 0.5)
        ),
        Wrong(
            "Your first term has one number for each of the L samples. Over which "
            "dimension is the mean, and over which are the sums?",
            _with_pixels(lambda x, logits: _log_px_z(x, logits).sum(1)),
        ),
        Wrong(
            "The two results are exchanged: log_px_z comes first.",
            lambda *inputs: _elbo_terms(*inputs)[::-1],
        ),
        Wrong(
            "Take μ = 0 and a very narrow q: your KL is negative. Look at the sign of "
            "logvar.",
            _with_kl(
                lambda mu, logvar: 0.5 * (mu**2 + logvar.exp() - 1 + logvar).sum(1)
            ),
        ),
        Wrong(
            "The first term has the sign of a loss. The ELBO wants log p itself.",
            _with_pixels(lambda x, logits: -_log_px_z(x, logits).mean(0)),
        ),
        Wrong(
            "The first term counts the ink only. What does paper contribute?",
            _with_pixels(
                lambda x, logits: (
                    (x * torch.nn.functional.logsigmoid(logits))
                    .sum((-1, -2, -3))
                    .mean(0)
                )
            ),
        ),
        Wrong(
            "Your KL is twice the right one. Which factor stands before the bracket? "
            "(Section 5.3 of 04b shows what training makes of it.)",
            _with_kl(lambda mu, logvar: _kl_terms(mu, logvar).sum(1)),
        ),
        Wrong(
            "Take μ = 0 and σ = 1: q is the prior, and your KL is not zero. Which "
            "constant is missing?",
            _with_kl(lambda mu, logvar: 0.5 * (_kl_terms(mu, logvar) + 1).sum(1)),
        ),
        Wrong(
            "Your KL has σ where σ² belongs. Which of the two is exp(logvar)?",
            _with_kl(
                lambda mu, logvar: 0.5 * (mu**2 + root(logvar) - 1 - logvar).sum(1)
            ),
        ),
        Wrong(
            "Your KL has logvar² in it. What is σ², if logvar is its logarithm?",
            _with_kl(lambda mu, logvar: 0.5 * (mu**2 + logvar**2 - 1 - logvar).sum(1)),
        ),
        Wrong(
            "Your KL averages over the latent dimensions. What do independent "
            "dimensions do with their KLs?",
            _with_kl(lambda mu, logvar: 0.5 * _kl_terms(mu, logvar).mean(1)),
        ),
        Wrong(
            "Your KL is negative. Where did its sign turn?",
            _with_kl(lambda mu, logvar: -0.5 * _kl_terms(mu, logvar).sum(1)),
        ),
        Wrong(
            "Your KL takes logvar for log σ. What is exp(logvar)?",
            _with_kl(lambda mu, logvar: 0.5 * _kl_terms(mu, 2 * logvar).sum(1)),
        ),
        Wrong(
            "You average over the images already. Return one number for each of them.",
            lambda *inputs: tuple(term.mean() for term in _elbo_terms(*inputs)),
        ),
    ],
)


class Network:
    """A linear encoder and decoder of images with 3 × 3 pixels, for D = 2."""

    def __init__(self, generator: Generator) -> None:
        self.w, self.v, self.u = (normal(generator, 2, 9) for _ in range(3))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """mu and logvar: (B, 1, 3, 3) → twice (B, 2)."""
        flat = x.flatten(1)
        return flat @ self.w.to(x).T, flat @ self.v.to(x).T

    def decode(self, z: Tensor) -> Tensor:
        """Logits: (…, 2) → (…, 1, 3, 3)."""
        return (z @ self.u.to(z)).view(*z.shape[:-1], 1, 3, 3)


def _rows_inputs(generator: Generator) -> Inputs:
    network = Network(generator)
    return {
        "encode": network.encode,
        "decode": network.decode,
        "x": uniform(generator, 2, 1, 3, 3),
        "eps": normal(generator, 2, 2),
        "z_prior": normal(generator, 2, 2),
    }


Encoder = Callable[..., tuple[Tensor, Tensor]]
Rows = tuple[Tensor, Tensor, Tensor]


def _rows(
    encode: Encoder, decode: Change, x: Tensor, eps: Tensor, z_prior: Tensor
) -> Rows:
    mu, logvar = encode(x)
    z = mu + (logvar / 2).exp() * eps
    first, second, third = (decode(code).sigmoid() for code in (mu, z, z_prior))
    return first, second, third


def _rows_by_numpy(
    encode: Encoder, decode: Change, x: Tensor, eps: Tensor, z_prior: Tensor
) -> tuple:
    mu, logvar = encode(x)
    z = torch.as_tensor(mu.numpy() + np.sqrt(np.exp(logvar.numpy())) * eps.numpy())
    return tuple(expit(decode(code).numpy()) for code in (mu, z, z_prior))


def _rows_with(
    sigma: Change, third: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None
) -> Callable[..., Rows]:
    """The three rows with another σ, or with another code for the third."""

    def rows(
        encode: Encoder, decode: Change, x: Tensor, eps: Tensor, z_prior: Tensor
    ) -> Rows:
        mu, logvar = encode(x)
        codes = mu, mu + sigma(logvar) * eps, z_prior
        if third is not None:
            codes = *codes[:2], third(mu, logvar, z_prior)
        first, second, last = (decode(code).sigmoid() for code in codes)
        return first, second, last

    return rows


def root(logvar: Tensor) -> Tensor:
    """The standard deviation σ."""
    return (logvar / 2).exp()


check_three_rows = Exercise(
    name="three_rows",
    fresh=_rows_inputs,
    referee=_rows_by_numpy,
    returns=("from μ", "from a sample of q", "from the prior"),
    remember="reconstruct with μ, reconstruct with a sample, sample from the prior: "
    "the last one never looks at x.",
    wrongs=[
        Wrong(
            "These are logits. What turns them into probabilities of ink?",
            lambda encode, decode, x, eps, z_prior: (
                decode(encode(x)[0]),
                decode(encode(x)[0] + root(encode(x)[1]) * eps),
                decode(z_prior),
            ),
        ),
        Wrong(
            "In the second row the noise is multiplied by the variance. What does the "
            "encoder return, and what is σ?",
            _rows_with(torch.exp),
        ),
        Wrong(
            "In the second row the noise is multiplied by log σ².",
            _rows_with(lambda logvar: logvar),
        ),
        Wrong(
            "In the second row every σ is 1. Whose standard deviation is meant?",
            _rows_with(torch.ones_like),
        ),
        Wrong(
            "Your third row still depends on x. What does the prior know of it?",
            _rows_with(root, lambda mu, logvar, z: mu + root(logvar) * z),
        ),
        Wrong(
            "Your third row is the image of the *mean* of the prior. Which codes were "
            "sampled for you?",
            _rows_with(root, lambda mu, logvar, z: torch.zeros_like(z)),
        ),
        Wrong(
            "The first two rows are exchanged. Which of them is without noise?",
            lambda *inputs: (
                _rows(*inputs)[1],
                _rows(*inputs)[0],
                _rows(*inputs)[2],
            ),
        ),
        Wrong(
            "Your second row samples the prior's noise, without μ. Around which place "
            "does q(z|x) lie?",
            lambda encode, decode, x, eps, z_prior: (
                decode(encode(x)[0]).sigmoid(),
                decode(eps).sigmoid(),
                decode(z_prior).sigmoid(),
            ),
        ),
    ],
)
