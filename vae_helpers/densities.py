"""The densities of the course, their KL, and samples of them: sums in nats per image.

Sums run over pixels and latent dimensions, never over images. A function of a value and
its parameters takes the value first: `gaussian_log_likelihood(x, mean, logvar)`.
"""

import math
from numbers import Integral

import torch
from torch import Tensor
from torch.nn import functional as F


def gaussian_kl(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(q(z|x) ‖ p(z)) in nats per image; q = N(mu, diag exp(logvar)), p = N(0, I).

    Shapes: mu, logvar (B, D) → (B,). Zero only where q = p.
    Source: Kingma & Welling (2014), appendix B; derived in notebook 02.
    """
    _refuse_unequal("mu", mu, "logvar", logvar)
    # expm1 keeps the digits that exp(logvar) − 1 loses where q is nearly p
    return 0.5 * (mu.square() + logvar.expm1() - logvar).sum(-1)


def reparameterize(
    mu: Tensor,
    logvar: Tensor,
    n_samples: int | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Samples z = mu + sigma · eps of q(z|x): (B, D) → (B, D) or (n_samples, B, D).

    n_samples: without it, one sample for each image and no axis for samples.

    Gradients reach mu and logvar. Source: Kingma & Welling (2014), section 2.4;
    derived in notebook 03.
    """
    if n_samples is not None:
        refuse_bad_count("n_samples", n_samples)
    _refuse_unequal("mu", mu, "logvar", logvar)
    shape = mu.shape if n_samples is None else (n_samples, *mu.shape)
    eps = torch.randn(shape, generator=generator, dtype=mu.dtype, device=mu.device)
    return mu + (0.5 * logvar).exp() * eps


def bernoulli_log_likelihood(x: Tensor, logits: Tensor) -> Tensor:
    """log p(x|z) of independent Bernoulli pixels with p(ink) = sigmoid(logits).

    Shapes: x (B, …) in [0, 1], logits (B, …) or (L, B, …) → (B,) or (L, B), in nats.
    For grey x it is the mean over all ways to binarize x, not log p of x itself.
    Source: Kingma & Welling (2014), appendix C.1; derived in notebook 00.
    """
    refuse_bad_pixels(x)
    _refuse_bad_event("logits", logits, x)
    target = x.to(logits.dtype).expand_as(logits)  # binarized pixels may be bool
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


def refuse_bad_count(name: str, value: int) -> None:
    """Raise `TypeError` for what is no whole number, `ValueError` for one below 1."""
    if not isinstance(value, Integral):
        raise TypeError(f"{name} is {value!r}: it must be a whole number, an int")
    if value < 1:
        raise ValueError(f"{name} is {value}: it must be at least 1")


def refuse_bad_pixels(x: Tensor) -> None:
    """Raise `ValueError` for pixels that no Bernoulli can have: outside [0, 1], NaN."""
    if ((x >= 0) & (x <= 1)).all():
        return
    if x.isnan().any():
        raise ValueError("some pixels are NaN, not a number: look where x comes from")
    low, high = x.min().item(), x.max().item()
    raise ValueError(
        f"pixels range from {low:.8g} to {high:.8g}: a Bernoulli likelihood needs "
        "them in [0, 1]; divide bytes by 255, and undo any standardization, or choose "
        "a Gaussian likelihood, which takes any finite pixels"
    )
