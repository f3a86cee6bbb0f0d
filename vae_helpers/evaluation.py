"""How good is a model? Numbers over a whole test set, each with its error."""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from vae_helpers.densities import reparameterize
from vae_helpers.objectives import (
    LatentModel,
    LogDensity,
    elbo,
    given,
    log_importance_weights,
    log_prior_at,
)

import torch
from torch import Tensor

_DECODED = 2048  # images decoded at once: 6 MB of logits, which a cache may hold


class PerImage(NamedTuple):
    """A number for each image, in nats, and the error of each; float64."""

    value: Tensor
    error: Tensor


class MeanElbo(NamedTuple):
    """Means over images in nats per image: elbo = log_px_z − kl.

    `error` is the standard error that sampling z leaves in `elbo` and `log_px_z`;
    with other images of the same kind they would differ by more.
    """

    log_px_z: float
    kl: float
    elbo: float
    error: float


@torch.no_grad()
def mean_elbo(
    model: LatentModel,
    images: Tensor,
    *,
    n_samples: int = 4,
    batch_size: int = 1000,
    seed: int = 0,
    condition: Tensor | None = None,
) -> MeanElbo:
    """The mean ELBO of `images` (N, …) and its terms, in nats per image.

    n_samples: samples of z per image, at least two: the error comes from their spread.
    batch_size: how many images are in work at once; it bounds the memory and does not
        bias the mean when N is no multiple of it.
    condition: for a conditional model, what both its methods take as third argument,
        such as labels; (N, …), a row for each image. So it is in this whole module.
    The KL term is exact. Source: Kingma & Welling (2014), eq. (10); notebook 04.
    """
    if n_samples < 2:
        raise ValueError(f"n_samples is {n_samples}: the error needs at least two")
    like = _find_like(model, images)
    generator = torch.Generator(like.device).manual_seed(seed)
    parts, kl = [], []
    for _, x, y in _cut(images, condition, batch_size, like):
        runs = [elbo(model, x, 1, generator, y) for _ in range(n_samples)]
        parts.append(torch.stack([terms.log_px_z for terms in runs]).double())
        kl.append(runs[0].kl.double())
    log_px_z = torch.cat(parts, dim=1)  # (n_samples, N)
    variance = log_px_z.var(0).mean().item()  # of one sample for one image
    error = math.sqrt(variance / log_px_z.numel())
    mean_log_px_z, mean_kl = log_px_z.mean().item(), torch.cat(kl).mean().item()
    return MeanElbo(mean_log_px_z, mean_kl, mean_log_px_z - mean_kl, error)


@torch.no_grad()
def kl_per_dimension(
    model: LatentModel,
    images: Tensor,
    *,
    batch_size: int = 1000,
    condition: Tensor | None = None,
) -> Tensor:
    """What each latent dimension costs: the mean KL of q(z_j|x) to N(0, 1), in nats.

    Shapes: images (N, …), one or more → (D,) float64. The sum is the KL of
    `mean_elbo`, because q and the prior are both products over the dimensions.
    Source: notebook 05.
    """
    mu, logvar = _encode_all(model, images, batch_size, condition)
    return 0.5 * (mu.square() + logvar.expm1() - logvar).mean(0)


@torch.no_grad()
def active_units(
    model: LatentModel,
    images: Tensor,
    threshold: float = 0.01,
    *,
    batch_size: int = 1000,
    condition: Tensor | None = None,
) -> Tensor:
    """Which latent dimensions say something: the variance of mu_j over images, > 0.01.

    Shapes: images (N, …), at least two → (D,) bool; `.sum()` counts them.
    Source: Burda et al. (2016), with their threshold; notebook 05.
    """
    if len(images) == 1:
        raise ValueError("one image has no variance: active_units needs at least two")
    mu, _ = _encode_all(model, images, batch_size, condition)
    return mu.var(0) > threshold


@torch.no_grad()
def log_evidence_importance(
    model: LatentModel,
    images: Tensor,
    n_samples: int = 5000,
    *,
    proposal: str = "posterior",
    seed: int = 0,
    condition: Tensor | None = None,
    log_prior: LogDensity | None = None,
) -> PerImage:
    """Estimate log p(x) of each image from n_samples samples z: (N, …) → twice (N,).

    log_prior: log p(z) of a prior other than N(0, I), from z (…, D) to (…), such as the
        `log_prob` of a `torch.distributions.MixtureSameFamily`.
    proposal: "posterior" samples z from q(z|x), as Burda et al. (2016) do for their
        −L_5000; "prior" samples it from N(0, I).
    error: one standard error, from the spread of the weights, never above 1. It knows
        only of what was sampled: where the proposal misses a part of the posterior, the
        estimate is too low by far more. In expectation the value is a lower bound of
        log p(x).

    No central limit theorem stands behind that error where E_q[w²] is infinite. So it
    is for a Bernoulli decoder with tanh or ReLU layers as soon as q has one σ² < ½: far
    out, p(x|z) falls no faster than exp(−a|z|), while p(z)²/q(z|x) grows like
    exp((1/(2σ²) − 1) z²). Samples of the prior have no such trouble: there w ≤ 1.

    Memory does not grow with n_samples. Source: Burda et al. (2016), eq. (8);
    notebook 07.
    """
    if n_samples < 2:
        raise ValueError(f"n_samples is {n_samples}: the error needs at least two")
    sample_log_weights = _find_proposal(proposal, log_prior)
    like = _find_like(model, images)
    generator = torch.Generator(like.device).manual_seed(seed)
    results = torch.empty(2, len(images), dtype=torch.double)
    at_once = max(1, _DECODED // n_samples)
    for chunk, x, y in _cut(images, condition, at_once, like):
        log_sums = torch.full((2, len(x)), -math.inf, dtype=torch.double)
        for n in _pieces(n_samples, _DECODED // len(x)):
            log_w = sample_log_weights(model, x, n, generator, y)  # (n, B)
            log_w = log_w.cpu().double()
            both = torch.stack([log_w, 2 * log_w]).logsumexp(1)
            log_sums = torch.logaddexp(log_sums, both)  # log Σ w and log Σ w²
        results[0, chunk] = log_sums[0] - math.log(n_samples)
        n_effective = (2 * log_sums[0] - log_sums[1]).exp()  # Kish (1965)
        results[1, chunk] = (1 / n_effective - 1 / n_samples).clamp(min=0).sqrt()
    return PerImage(*results)


@torch.no_grad()
def iwae_curve(
    model: LatentModel,
    images: Tensor,
    sizes: Sequence[int],
    *,
    n_samples: int | None = None,
    proposal: str = "posterior",
    seed: int = 0,
    condition: Tensor | None = None,
    log_prior: LogDensity | None = None,
) -> PerImage:
    """The IWAE bound L_K of each image for each K in `sizes`: → twice (len(sizes), N).

    n_samples: samples of z per image, shared by all K: they are cut into n_samples // K
        groups, whose bounds are averaged. Without it, four times the largest K.
    error: one standard error, from the spread of the groups; of a single one, NaN.
    log_prior: as `log_evidence_importance` has it; L_1 is the ELBO under that prior.

    L_1 is the ELBO, and in expectation L_K rises with K to log p(x). The curve of a few
    samples need not, so compare within the errors. Source: Burda et al. (2016),
    theorem 1; notebook 07.
    """
    if n_samples is None:
        n_samples = 4 * max(sizes, default=0)
    if min(sizes, default=0) < 1 or max(sizes) > n_samples:
        raise ValueError(f"sizes are {list(sizes)}: from 1 to n_samples = {n_samples}")
    sample_log_weights = _find_proposal(proposal, log_prior)
    like = _find_like(model, images)
    generator = torch.Generator(like.device).manual_seed(seed)
    results = torch.empty(2, len(sizes), len(images), dtype=torch.double)
    at_once = max(1, _DECODED // n_samples)
    for chunk, x, y in _cut(images, condition, at_once, like):
        log_w = torch.empty(n_samples, len(x), dtype=torch.double)
        for part in log_w.split(_DECODED // len(x)):
            part.copy_(sample_log_weights(model, x, len(part), generator, y))
        for row, size in enumerate(sizes):
            groups = log_w[: n_samples // size * size].unflatten(0, (-1, size))
            bounds = groups.logsumexp(1) - math.log(size)  # (n_samples // size, B)
            results[0, row, chunk] = bounds.mean(0)
            spread = bounds.std(0) if len(bounds) > 1 else math.nan
            results[1, row, chunk] = spread / len(bounds) ** 0.5
    return PerImage(*results)


def _cut(
    images: Tensor, condition: Tensor | None, at_once: int, like: Tensor
) -> Iterator[tuple[slice, Tensor, Tensor | None]]:
    """Yield slices of the images, with these images and their conditions.

    What comes of them goes into tensors made beforehand: small ones kept between the
    large ones would stop these from being used again (8 GB in the end).
    """
    if len(images) == 0:
        raise ValueError("there are no images to evaluate")
    if condition is not None and condition.shape[:1] != images.shape[:1]:
        raise ValueError(
            f"condition has shape {tuple(condition.shape)} and there are {len(images)} "
            "images: give (N, …), a row for each image"
        )
    for start in range(0, len(images), at_once):
        chunk = slice(start, start + at_once)
        y = None if condition is None else condition[chunk].to(like.device)
        yield chunk, images[chunk].to(like), y  # device and dtype


def _pieces(total: int, at_once: int) -> list[int]:
    """`total` as a sum of numbers up to `at_once`."""
    whole, rest = divmod(total, at_once)
    return [at_once] * whole + [rest] * (rest > 0)


def _find_proposal(
    proposal: str, log_prior: LogDensity | None
) -> Callable[..., Tensor]:
    """What samples log-weights: (model, x (B, …), n, generator, y) → (n, B)."""
    if proposal == "posterior":
        return partial(log_importance_weights, log_prior=log_prior)
    if proposal == "prior":
        return partial(_log_prior_weights, log_prior=log_prior)
    raise ValueError(f"proposal is {proposal!r}: say 'posterior' or 'prior'")


def _log_prior_weights(
    model: LatentModel,
    x: Tensor,
    n_samples: int,
    generator: torch.Generator,
    y: Tensor | None,
    log_prior: LogDensity | None,
) -> Tensor:
    """Log-weights at samples of N(0, I): (B, …) → (n_samples, B)."""
    zeros = torch.zeros_like(model.encode(x, *given(y))[0])
    z = reparameterize(zeros, zeros, n_samples, generator)
    log_px_z = model.log_likelihood(x, z, *given(y))
    if log_prior is None:  # then it cancels
        return log_px_z
    return log_px_z + log_prior_at(z, log_prior) - log_prior_at(z)


def _encode_all(
    model: LatentModel, images: Tensor, batch_size: int, condition: Tensor | None
) -> tuple[Tensor, Tensor]:
    """mu and logvar of all images, float64: (N, …) → twice (N, D)."""
    like = _find_like(model, images)
    chunks = [
        model.encode(x, *given(y))
        for _, x, y in _cut(images, condition, batch_size, like)
    ]
    mu, logvar = (torch.cat(parts) for parts in zip(*chunks, strict=True))
    return mu.double(), logvar.double()


def _find_like(model: LatentModel, images: Tensor) -> Tensor:
    """A tensor on the model's device, of its number type; without weights, `images`."""
    parameters = getattr(model, "parameters", list)
    return next(iter(parameters()), images)
