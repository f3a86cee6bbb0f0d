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
