"""What the models are trained for: one number per image, shape (B,), in nats.

Sums over pixels and latent dimensions, never means; averaging over images is left to
the caller. A latent-variable model is anything with two methods:

    encode(x) → (mu, logvar) of q(z|x), each (B, D)
    log_likelihood(x, z) → log p(x|z): (B, …), (L, B, D) → (L, B)
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


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
    """‖x − model(x)‖², summed over pixels: images (B, 1, 28, 28) → (B,).

    In squared pixels, not nats. Source: written in the open in notebook 01.
    """
    return (model(x) - x).square().flatten(1).sum(1)


def gaussian_kl(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(q(z|x) ‖ p(z)) in nats per image; q = N(mu, diag exp(logvar)), p = N(0, I).

    Shapes: mu, logvar (B, D) → (B,). Zero only where q = p.
    Source: Kingma & Welling (2014), appendix B; derived in notebook 02.
    """
    _refuse_unequal("mu", mu, "logvar", logvar)
    # expm1 keeps the digits that exp(logvar) − 1 loses where q is nearly p
    return 0.5 * (mu.square() + logvar.expm1() - logvar).sum(-1)


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
    a constant, for Gaussian pixels of deviation `sigma`, in the units of the data; who
    insists on sigma = 1 has −log p(x|z) + beta · KL instead, where beta = sigma².
    Source: derived in notebook 04.
    """
    if error not in ("squared", "cross-entropy"):
        raise ValueError(f"error is {error!r}: say 'squared' or 'cross-entropy'")
    n_pixels, n_latents = (1 if n is None else n for n in (n_pixels, n_latents))
    if not (a > 0 and b >= 0 and n_pixels >= 1 and n_latents >= 1):
        raise ValueError("a and the sizes must be positive, and b not negative")
    kl_weight = (b / n_latents) / (a / n_pixels)  # per summed error
    if error == "cross-entropy":
        return LossMeaning(beta=kl_weight, sigma=math.nan)
    # The Gaussian's −log p holds ½ of the squared error over sigma².
    return LossMeaning(beta=kl_weight / 2, sigma=math.sqrt(kl_weight / 2))


def reparameterize(
    mu: Tensor,
    logvar: Tensor,
    n_samples: int,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draws z = mu + sigma · eps from q(z|x): (B, D) → (n_samples, B, D).

    Gradients reach mu and logvar. Source: Kingma & Welling (2014), section 2.4;
    derived in notebook 03.
    """
    if n_samples < 1:
        raise ValueError(f"n_samples is {n_samples}: at least one is needed")
    _refuse_unequal("mu", mu, "logvar", logvar)
    shape = (n_samples, *mu.shape)
    eps = torch.randn(shape, generator=generator, dtype=mu.dtype, device=mu.device)
    return mu + (0.5 * logvar).exp() * eps


def bernoulli_log_likelihood(logits: Tensor, x: Tensor) -> Tensor:
    """log p(x|z) of independent Bernoulli pixels with p(ink) = sigmoid(logits).

    Shapes: logits (B, …) or (L, B, …), x (B, …) in [0, 1] → (B,) or (L, B), in nats.
    For grey x it is the mean over all ways to toss x to 0 and 1, not log p of x itself.
    Source: Kingma & Welling (2014), appendix C.1; derived in notebook 00.
    """
    _refuse_pixels(x)
    _refuse_bad_event("logits", logits, x)
    target = x.to(logits.dtype).expand_as(logits)  # tossed pixels may be bool
    error = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return -_sum_event(error, x)


def gaussian_log_likelihood(x: Tensor, mean: Tensor, logvar: Tensor | float) -> Tensor:
    """log N(x; mean, diag exp(logvar)) in nats: a density, so it may be positive.

    Shapes: mean (B, …) or (L, B, …), x (B, …), logvar a number or anything that
    broadcasts to mean's shape → (B,) or (L, B).
    Source: Kingma & Welling (2014), appendix C.2; derived in notebook 02.
    """
    _refuse_bad_event("mean", mean, x)
    logvar = _like_mean(logvar, mean)
    squares = (x - mean).square() * (-logvar).exp()
    return -0.5 * _sum_event(math.log(2 * math.pi) + logvar + squares, x)


def elbo(
    model: nn.Module,
    x: Tensor,
    n_samples: int = 1,
    generator: torch.Generator | None = None,
) -> ElboTerms:
    """The evidence lower bound and its terms; log p(x|z) averaged over n_samples z.

    The KL term is exact. Shapes: x (B, …) → three times (B,), in nats per image.
    Source: Kingma & Welling (2014), eq. (7) with eq. (10); derived in notebook 02.
    """
    mu, logvar = model.encode(x)
    z = reparameterize(mu, logvar, n_samples, generator)
    log_px_z = _log_px_z(model, x, z).mean(0)
    kl = gaussian_kl(mu, logvar)
    return ElboTerms(log_px_z, kl, log_px_z - kl)


def beta_objective(model: nn.Module, x: Tensor, beta: float) -> Tensor:
    """−log p(x|z) + beta · KL, to be minimised: (B, …) → (B,). At beta = 1 it is −ELBO.

    Source: Higgins et al. (2017), eq. (4).
    """
    terms = elbo(model, x)
    return beta * terms.kl - terms.log_px_z


def iwae_bound(
    model: nn.Module,
    x: Tensor,
    n_samples: int,
    generator: torch.Generator | None = None,
) -> Tensor:
    """log of the mean of n_samples importance weights p(x, z)/q(z|x): (B, …) → (B,).

    A lower bound of log p(x) in expectation that rises with n_samples; at 1 it is an
    estimate of the ELBO. Source: Burda et al. (2016), eq. (8); derived in notebook 02.
    """
    log_weights = log_importance_weights(model, x, n_samples, generator)
    return log_weights.logsumexp(0) - math.log(n_samples)


def log_importance_weights(
    model: nn.Module,
    x: Tensor,
    n_samples: int,
    generator: torch.Generator | None = None,
) -> Tensor:
    """log p(x, z) − log q(z|x) at n_samples draws z from q: (B, …) → (n_samples, B).

    The mean of the weights themselves, not of their logarithms, is an unbiased estimate
    of p(x). Source: Burda et al. (2016), section 3; derived in notebook 02.
    """
    mu, logvar = model.encode(x)
    z = reparameterize(mu, logvar, n_samples, generator)
    # The normal density is symmetric in its argument and its mean.
    log_prior = gaussian_log_likelihood(torch.zeros_like(mu), z, 0.0)  # (K, B)
    log_posterior = gaussian_log_likelihood(mu, z, logvar)  # (K, B): log q(z|x)
    return _log_px_z(model, x, z) + log_prior - log_posterior


def _log_px_z(model: nn.Module, x: Tensor, z: Tensor) -> Tensor:
    """log p(x|z) of the model, for each draw and image: (B, …), (L, B, D) → (L, B)."""
    log_px_z = model.log_likelihood(x, z)
    if log_px_z.shape != z.shape[:2]:
        raise ValueError(
            f"x has shape {tuple(x.shape)}, z {tuple(z.shape)} and log_likelihood(x, z)"
            f" {tuple(log_px_z.shape)}: x must be (B, …), z (L, B, D) and the "
            "log-likelihood (L, B), summed over all pixels and nothing else"
        )
    return log_px_z


def _like_mean(logvar: Tensor | float, mean: Tensor) -> Tensor:
    logvar = torch.as_tensor(logvar, dtype=mean.dtype, device=mean.device)
    try:
        return logvar.expand_as(mean)
    except RuntimeError:
        raise ValueError(
            f"logvar has shape {tuple(logvar.shape)} and mean {tuple(mean.shape)}: "
            "logvar must be a number or broadcast to mean's shape"
        ) from None


def _sum_event(values: Tensor, x: Tensor) -> Tensor:
    """Sum over all dimensions of one x: (…, B, event of x) → (…, B)."""
    return values.flatten(-(x.ndim - 1)).sum(-1)


def _refuse_unequal(name: str, a: Tensor, other: str, b: Tensor) -> None:
    if a.shape != b.shape or a.ndim < 2:
        raise ValueError(
            f"{name} has shape {tuple(a.shape)} and {other} {tuple(b.shape)}: both "
            "must be (B, D), a row for each image"
        )


def _refuse_bad_event(name: str, values: Tensor, x: Tensor) -> None:
    if x.ndim < 2 or values.shape[-x.ndim :] != x.shape:
        raise ValueError(
            f"{name} has shape {tuple(values.shape)} and x {tuple(x.shape)}: x must be "
            f"(B, …), and {name} the same or with samples in front, (L, B, …)"
        )


def _refuse_pixels(x: Tensor) -> None:
    if not ((x >= 0) & (x <= 1)).all():
        low, high = x.min().item(), x.max().item()
        raise ValueError(
            f"pixels range from {low:.8g} to {high:.8g}: a Bernoulli likelihood needs "
            "them in [0, 1]; divide bytes by 255, and undo any standardization"
        )
