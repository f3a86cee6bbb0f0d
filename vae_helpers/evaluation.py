"""How good is a model? Numbers over a whole test set, each with its error."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vae_helpers.objectives import elbo


class MeanElbo(NamedTuple):
    """Means over images in nats per image: elbo = log_px_z − kl.

    `error` is the standard error that the draws of z leave in `elbo` and `log_px_z`;
    with other images of the same kind they would differ by more.
    """

    log_px_z: float
    kl: float
    elbo: float
    error: float


@torch.no_grad()
def mean_elbo(
    model: nn.Module,
    images: Tensor,
    *,
    n_samples: int = 4,
    batch_size: int = 1000,
    seed: int = 0,
) -> MeanElbo:
    """The mean ELBO of `images` (N, …) and its terms, in nats per image.

    n_samples: draws of z per image, at least two: from their spread comes the error.
    batch_size: how many images are in work at once; it bounds the memory and does not
        bias the mean when N is no multiple of it.
    The KL term is exact. Source: Kingma & Welling (2014), eq. (10); notebook 04.
    """
    if n_samples < 2:
        raise ValueError(f"n_samples is {n_samples}: the error needs two draws or more")
    if len(images) == 0:
        raise ValueError("there are no images to average over")
    weights = next(model.parameters())
    generator = torch.Generator(weights.device).manual_seed(seed)
    log_px_z, kl = [], []
    for chunk in images.split(batch_size):
        x = chunk.to(weights)  # device and dtype
        draws = [elbo(model, x, generator=generator) for _ in range(n_samples)]
        log_px_z.append(torch.stack([terms.log_px_z for terms in draws]).double())
        kl.append(draws[0].kl.double())
    log_px_z = torch.cat(log_px_z, dim=1)  # (n_samples, N)
    spread = log_px_z.var(0).mean().item()  # of one draw for one image
    error = math.sqrt(spread / log_px_z.numel())
    mean_log_px_z, mean_kl = log_px_z.mean().item(), torch.cat(kl).mean().item()
    return MeanElbo(mean_log_px_z, mean_kl, mean_log_px_z - mean_kl, error)


@torch.no_grad()
def kl_per_dimension(
    model: nn.Module, images: Tensor, *, batch_size: int = 1000
) -> Tensor:
    """What each latent dimension costs: the mean KL of q(z_j|x) to N(0, 1), in nats.

    Shapes: images (N, …) → (D,) float64. The sum is the KL of `mean_elbo`, because q
    and the prior are both products over the dimensions. Source: notebook 05.
    """
    mu, logvar = _encode_all(model, images, batch_size)
    return 0.5 * (mu.square() + logvar.expm1() - logvar).mean(0)


@torch.no_grad()
def active_units(
    model: nn.Module,
    images: Tensor,
    threshold: float = 0.01,
    *,
    batch_size: int = 1000,
) -> Tensor:
    """Which latent dimensions say something: the variance of mu_j over images, > 0.01.

    Shapes: images (N, …) → (D,) bool; `.sum()` counts them.
    Source: Burda et al. (2016), with their threshold; notebook 05.
    """
    mu, _ = _encode_all(model, images, batch_size)
    return mu.var(0) > threshold


def _encode_all(model: nn.Module, images: Tensor, batch_size: int):
    """mu and logvar of all images, float64: (N, …) → twice (N, D)."""
    if len(images) < 2:
        raise ValueError(f"there are {len(images)} images: at least two are needed")
    weights = next(model.parameters())
    chunks = [model.encode(chunk.to(weights)) for chunk in images.split(batch_size)]
    mu, logvar = (torch.cat(parts) for parts in zip(*chunks, strict=True))
    return mu.double(), logvar.double()
