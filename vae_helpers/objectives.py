"""What the models are trained for: one number per image, shape (B,), in nats.

Sums over pixels and latent dimensions, never means; averaging over images is left to
the caller. Any `LatentModel` will do, whatever its layers and the shape of its images.
"""

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol

from vae_helpers.densities import gaussian_kl, gaussian_log_likelihood, reparameterize

import torch
from torch import Tensor, nn

LogDensity = Callable[[Tensor], Tensor]  # log p(z): (…, D) → (…)


class LatentModel(Protocol):
    """What the objectives need of a model: these two methods; `models.VAE` has them.

    A conditional model takes a third argument in both, such as the labels of x: give
    the objective a `condition`, and it is handed on. Without one, there is none.
    """

    def encode(self, x: Tensor, /) -> tuple[Tensor, Tensor]:
        """mu and logvar of q(z|x): (B, …) → twice (B, D)."""

    def log_likelihood(self, x: Tensor, z: Tensor, /) -> Tensor:
        """log p(x|z) in nats, summed over pixels: (B, …), (L, B, D) → (L, B)."""


class ElboTerms(NamedTuple):
    """The ELBO and its two terms, each (B,) in nats: elbo = log_px_z − kl."""

    log_px_z: Tensor
    kl: Tensor
    elbo: Tensor


class LossMeaning(NamedTuple):
    """What a line `a · reconstruction + b · KL` means; see `explain_loss`."""

    beta: float
    sigma: float


def squared_error(model: nn.Module, x: Tensor) -> Tensor:
    """‖x − model(x)‖², summed over pixels: images (B, …) → (B,).

    In squared pixels, not nats. Source: written in the open in notebook 01.
    """
    reconstruction = model(x)
    if reconstruction.shape != x.shape:  # else PyTorch may broadcast one to the other
        raise ValueError(
            f"x has shape {tuple(x.shape)} and model(x) {tuple(reconstruction.shape)}: "
            "both must be the same"
        )
    return (reconstruction - x).square().flatten(1).sum(1)


def explain_loss(
    a: float = 1.0,
    b: float = 1.0,
    *,
    error: str = "squared",
    n_pixels: int | None = None,
    n_latents: int | None = None,
) -> LossMeaning:
    """The weight of the KL that a published line `a · reconstruction + b · KL` means.

    error: "squared" or "cross-entropy", the reconstruction term of one image.
    n_pixels: how many pixels that term is averaged over; without it, it is a sum.
    n_latents: the same for the KL and the latent dimensions.

    Returns (beta, sigma). Cross-entropy: the line is a multiple of −log p(x|z) +
    beta · KL; there is no sigma (NaN). Squared error: it is a multiple of −ELBO, up to
    a constant, for Gaussian pixels of standard deviation `sigma`, in the units of the
    data; who insists on sigma = 1 has −log p(x|z) + beta · KL instead, where beta =
    sigma². Source: derived in notebook 04b.
    """
    if error not in ("squared", "cross-entropy"):
        raise ValueError(f"error is {error!r}: say 'squared' or 'cross-entropy'")
    n_pixels = 1 if n_pixels is None else n_pixels
    n_latents = 1 if n_latents is None else n_latents
    if not (a > 0 and b >= 0 and n_pixels >= 1 and n_latents >= 1):
        raise ValueError("a and the sizes must be positive, and b not negative")
    kl_weight = (b / n_latents) / (a / n_pixels)  # per summed error
    if error == "cross-entropy":
        return LossMeaning(beta=kl_weight, sigma=math.nan)
    # The Gaussian's −log p holds ½ of the squared error over sigma².
    return LossMeaning(beta=kl_weight / 2, sigma=math.sqrt(kl_weight / 2))


def elbo(
    model: LatentModel,
    x: Tensor,
    n_samples: int = 1,
    generator: torch.Generator | None = None,
    condition: Tensor | None = None,
) -> ElboTerms:
    """The evidence lower bound and its terms; log p(x|z) averaged over n_samples z.

    condition: for a conditional model, what both its methods take as third argument.

    The KL term is exact. Shapes: x (B, …) → three times (B,), in nats per image.
    Source: Kingma & Welling (2014), eq. (7) with eq. (10); derived in notebook 02.
    """
    mu, logvar, z = _sample_q(model, x, n_samples, generator, condition)
    log_px_z = _log_px_z(model, x, z, condition).mean(0)
    kl = gaussian_kl(mu, logvar)
    return ElboTerms(log_px_z, kl, log_px_z - kl)


def negative_elbo(
    model: LatentModel,
    x: Tensor,
    n_samples: int = 1,
    generator: torch.Generator | None = None,
    condition: Tensor | None = None,
) -> Tensor:
    """−ELBO, to be minimised: (B, …) → (B,), in nats per image. Source: see `elbo`."""
    return -elbo(model, x, n_samples, generator, condition).elbo


def beta_objective(
    model: LatentModel,
    x: Tensor,
    beta: float,
    n_samples: int = 1,
    generator: torch.Generator | None = None,
    condition: Tensor | None = None,
) -> Tensor:
    """−log p(x|z) + beta · KL, to be minimised: (B, …) → (B,). At beta = 1 it is −ELBO.

    Source: Higgins et al. (2017), eq. (4).
    """
    terms = elbo(model, x, n_samples, generator, condition)
    return beta * terms.kl - terms.log_px_z


def iwae_bound(
    model: LatentModel,
    x: Tensor,
    n_samples: int,
    generator: torch.Generator | None = None,
    condition: Tensor | None = None,
) -> Tensor:
    """log of the mean of n_samples importance weights p(x, z)/q(z|x): (B, …) → (B,).

    A lower bound of log p(x) in expectation that rises with n_samples; at 1 it is an
    estimate of the ELBO. Source: Burda et al. (2016), eq. (8); derived in notebook 02.
    """
    log_weights = log_importance_weights(model, x, n_samples, generator, condition)
    return log_weights.logsumexp(0) - math.log(n_samples)


def log_importance_weights(
    model: LatentModel,
    x: Tensor,
    n_samples: int,
    generator: torch.Generator | None = None,
    condition: Tensor | None = None,
    log_prior: LogDensity | None = None,
) -> Tensor:
    """log p(x, z) − log q(z|x) at n_samples samples z of q: (B, …) → (n_samples, B).

    log_prior: log p(z) of a prior other than N(0, I), from z (…, D) to (…).

    The mean of the weights themselves, not of their logarithms, is an unbiased estimate
    of p(x). Source: Burda et al. (2016), section 3; derived in notebook 02.
    """
    mu, logvar, z = _sample_q(model, x, n_samples, generator, condition)
    log_posterior = gaussian_log_likelihood(mu, z, logvar)  # (K, B): log q(z|x)
    log_px_z = _log_px_z(model, x, z, condition)
    return log_px_z + log_prior_at(z, log_prior) - log_posterior


def log_prior_at(z: Tensor, log_prior: LogDensity | None = None) -> Tensor:
    """log p(z), without `log_prior` that of N(0, I): (K, B, D) → (K, B).

    Raises `ValueError` for a `log_prior` that does not sum over the dimensions.
    """
    if log_prior is None:
        # The normal density is symmetric in its argument and its mean.
        return gaussian_log_likelihood(torch.zeros_like(z[0]), z, 0.0)
    found = log_prior(z)
    if found.shape != z.shape[:-1]:
        raise ValueError(
            f"log_prior gives shape {tuple(found.shape)} for z {tuple(z.shape)}: it "
            f"must give {tuple(z.shape[:-1])}, one number for each z, summed over the "
            "dimensions; torch.distributions.Independent does that"
        )
    return found


def given(condition: Tensor | None) -> tuple[Tensor, ...]:
    """The arguments to add, so that models without conditions need not know of them."""
    return () if condition is None else (condition,)


def _sample_q(
    model: LatentModel,
    x: Tensor,
    n_samples: int,
    generator: torch.Generator | None,
    condition: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """q(z|x) and samples of it: (B, …) → mu, logvar (B, D) and z (n_samples, B, D)."""
    mu, logvar = model.encode(x, *given(condition))
    return mu, logvar, reparameterize(mu, logvar, n_samples, generator)


def _log_px_z(
    model: LatentModel, x: Tensor, z: Tensor, condition: Tensor | None
) -> Tensor:
    """log p(x|z) of each sample and image: (B, …), (L, B, D) → (L, B)."""
    log_px_z = model.log_likelihood(x, z, *given(condition))
    if log_px_z.shape != z.shape[:2]:
        raise ValueError(
            f"x has shape {tuple(x.shape)}, z {tuple(z.shape)} and log_likelihood(x, z)"
            f" {tuple(log_px_z.shape)}: x must be (B, …), z (L, B, D) and the "
            "log-likelihood (L, B), summed over all pixels and nothing else"
        )
    return log_px_z
