"""Exact numbers for models with two latents: log p(x), and the gap to the ELBO."""

import math
from collections.abc import Iterator
from typing import NamedTuple

from vae_helpers.densities import gaussian_kl
from vae_helpers.models import VAE

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

_DECODED = 2048  # images decoded at once: 6 MB of logits, which a cache may hold
_ON_LATTICE = 200  # images that share one pass over the lattice: 260 MB


class PerImage(NamedTuple):
    """A number for each image, in nats, and the error of each; float64."""

    value: Tensor
    error: Tensor


@torch.no_grad()
def log_evidence_quadrature(
    model: VAE,
    images: Tensor,
    *,
    reach: float = 7.0,
    step: float = 0.035,
    tolerance: float = 1e-4,
) -> PerImage:
    """log p(x) of each image under a model with two latents: (N, …) → twice (N,).

    A sum over a lattice on (−reach, reach)²; where its error is above `tolerance`, the
    cells that hold the posterior are divided by four along each axis and summed again.
    error: how far the sum over every second point, in the worst of the four ways, is
        from the sum over all, which is far closer to the truth; plus what there can be
        outside if p(x|z) is nowhere larger there than inside. For posteriors narrower
        than a seventh of `step` it is no more than a hint: use a smaller step.

    A hundred images take a second or two. Raises `ValueError` for a model with another
    number of latents. Source: notebooks 06 and 07.
    """
    values, errors = [], []
    for x, lattice in _lattices(model, images, reach, step):
        value, error = _sum_lattice(lattice.log_joint)
        for i in (error > tolerance).nonzero().flatten():
            value[i], error[i] = _sum_refined(
                model, x[i], lattice.log_joint[i], lattice
            )
        values.append(value + 2 * math.log(step))
        errors.append(error + _bound_outside(lattice, values[-1], reach))
    return PerImage(torch.cat(values), torch.cat(errors))


class Gaps(NamedTuple):
    """What lies between the ELBO and log p(x) of each image, (N,) float64, in nats.

    elbo: of the encoder's q, without sampling noise.
    best: the highest ELBO that was found for this image, with `mu` and `logvar` (N, 2).
    log_px: the exact log p(x), and its `error`.
    """

    elbo: Tensor
    best: Tensor
    log_px: Tensor
    error: Tensor
    mu: Tensor
    logvar: Tensor

    @property
    def amortization(self) -> Tensor:
        """The price of one encoder for all images: best − elbo, (N,), never below 0."""
        return self.best - self.elbo

    @property
    def approximation(self) -> Tensor:
        """The price of q's form, a Gaussian without tilt: log_px − best, (N,)."""
        return self.log_px - self.best


def gap_surgery(
    model: VAE, images: Tensor, *, steps: int = 100, lr: float = 0.1
) -> Gaps:
    """Cut the gap log p(x) − ELBO of each image (N, …) in two; two latents.

    The best Gaussian comes from climbing the ELBO with Adam, for each image alone, from
    two starts: the encoder's q and the highest point of p(z|x). A climb may end below
    the top; then the amortization gap is larger, and the other smaller, than said here.

    A fraction of a second per image. Source: Cremer, Li & Duvenaud (2018), whose exact
    log p(x) is an estimate; notebook 07.
    """
    parts = []
    exact = log_evidence_quadrature(model, images)
    for x, lattice in _lattices(model, images):
        with torch.no_grad():
            encoded = torch.stack(model.encode(x))  # (2, B, 2): mu and logvar
        candidates = [encoded]
        for start in (encoded, _find_peak(lattice)):
            candidates.append(_climb(model, x, start.to(x), steps, lr))
        with torch.no_grad():
            elbos = torch.stack([_exact_elbo(model, x, *q, 24) for q in candidates])
        best, which = elbos.max(0)  # (B,)
        q = torch.stack(candidates).cpu().double()[which, :, range(len(x))]  # (B, 2, 2)
        parts.append((elbos[0], best, q[:, 0], q[:, 1]))
    elbo, best, mu, logvar = (torch.cat(part) for part in zip(*parts, strict=True))
    return Gaps(elbo, best, *exact, mu, logvar)


class _Lattice(NamedTuple):
    """log p(x|z) and log p(x, z) on a square of points: (B, n, n), row z₂."""

    log_px_z: Tensor
    log_joint: Tensor
    axis: Tensor
    step: float


def _lattices(
    model: VAE, images: Tensor, reach: float = 7.0, step: float = 0.035
) -> Iterator[tuple[Tensor, _Lattice]]:
    """The images, some at a time, each time with their lattice, on the CPU."""
    if getattr(model, "latent_dim", None) != 2:
        raise ValueError(
            "a sum over a lattice needs a VAE with two latents; for others there is "
            "log_evidence_importance"
        )
    if len(images) == 0:
        raise ValueError("there are no images to evaluate")
    weights = next(model.parameters())
    n = 2 * math.ceil(reach / step) + 1
    axis = (torch.arange(n, dtype=torch.double) - n // 2) * step
    curve = torch.distributions.Normal(0.0, 1.0).log_prob(axis)
    log_prior = (curve[:, None] + curve).float()
    z = torch.cartesian_prod(axis, axis).flip(1)  # z₁ runs fastest
    for chunk in images.split(_ON_LATTICE):
        x = chunk.to(weights)  # device and dtype
        with torch.no_grad():
            one_each = model.log_likelihood(x, x.new_zeros(len(x), 2))
            if one_each.shape != (len(x),):  # other bad images are refused by itself
                raise ValueError(f"images have shape {tuple(images.shape)}: say (N, …)")
            parts = [_log_px_z(model, x, some.to(x)) for some in z.split(8 * _DECODED)]
        log_px_z = torch.cat(parts, dim=1).cpu().view(len(x), n, n)
        yield x, _Lattice(log_px_z, log_px_z + log_prior, axis, step)


def _log_px_z(model: VAE, x: Tensor, z: Tensor) -> Tensor:
    """log p(x|z) of all pairs, each z decoded once: (B, …), (n, D) → (B, n)."""
    output, x = model.decode(z).flatten(1), x.flatten(1)
    if model.likelihood == "bernoulli":
        return x @ output.T - F.softplus(output).sum(1)
    output, x, logvar = output.double(), x.double(), model.pixel_logvar.double()
    squares = x.square().sum(1)[:, None] - 2 * x @ output.T + output.square().sum(1)
    log_px_z = squares * (-logvar).exp() + x.shape[1] * (math.log(2 * math.pi) + logvar)
    return -0.5 * log_px_z.float()


def _sum_lattice(log_joint: Tensor) -> tuple[Tensor, Tensor]:
    """log of the sum over a lattice (B, n, n), and its error: twice (B,), float64."""
    parts = torch.stack(
        [
            log_joint[:, j::2, i::2].flatten(1).double().logsumexp(1)
            for j in (0, 1)
            for i in (0, 1)
        ]
    )
    whole = parts.logsumexp(0)
    return whole, (parts + math.log(4) - whole).abs().amax(0)


def _sum_refined(model: VAE, x: Tensor, log_joint: Tensor, lattice: _Lattice):
    """The same for one image x (1, 28, 28), its occupied cells divided by 4 × 4."""
    occupied = log_joint > log_joint.max() - 25.0
    rows, columns = occupied.nonzero().T
    corners = torch.stack([lattice.axis[columns], lattice.axis[rows]], 1)  # (M, 2)
    offsets = (torch.arange(4, dtype=torch.double) - 1.5) * lattice.step / 4
    z = corners + torch.cartesian_prod(offsets, offsets).flip(1)[:, None]  # (16, M, 2)
    parts = [
        model.log_likelihood(x.expand(len(some), *x.shape), some.to(x)).cpu().double()
        for some in z.flatten(0, 1).split(_DECODED)
    ]
    fine = torch.cat(parts) - 0.5 * z.flatten(0, 1).square().sum(1)
    fine = fine.view(4, 4, -1).permute(2, 0, 1) - math.log(2 * math.pi)  # (M, 4, 4)
    value, error = _sum_lattice(fine.reshape(1, -1, 4))
    rest = log_joint[~occupied].double().logsumexp(0)
    return torch.logaddexp(value[0] - math.log(16), rest), error[0]


def _bound_outside(lattice: _Lattice, log_px: Tensor, reach: float) -> Tensor:
    """What the prior's mass outside (−reach, reach)² can add to log p(x): → (B,)."""
    outside = -math.expm1(2 * math.log(math.erf(reach / math.sqrt(2))))
    return (outside * (lattice.log_px_z.amax((1, 2)).double() - log_px).exp()).log1p()


def _find_peak(lattice: _Lattice) -> Tensor:
    """A Gaussian on the highest point of p(z|x): mu and logvar, (2, B, 2)."""
    n, log_joint = len(lattice.axis), lattice.log_joint
    top = log_joint[:, 2:-2, 2:-2].flatten(1).argmax(1)
    rows, columns = top // (n - 4) + 2, top % (n - 4) + 2
    image = torch.arange(len(log_joint))
    bends = [
        2 * log_joint[image, rows, columns]
        - log_joint[image, rows - j, columns - i]
        - log_joint[image, rows + j, columns + i]
        for j, i in ((0, 2), (2, 0))
    ]
    precision = torch.stack(bends, 1) / (2 * lattice.step) ** 2
    mu = torch.stack([lattice.axis[columns], lattice.axis[rows]], 1)
    return torch.stack([mu, -precision.clamp(min=1.0).log().double()])


@torch.enable_grad()
def _climb(model: VAE, x: Tensor, start: Tensor, steps: int, lr: float) -> Tensor:
    """Maximise each image's ELBO over its own mu and logvar: (2, B, 2) → (2, B, 2)."""
    moves = torch.zeros_like(start, requires_grad=True)  # in units of the first sigma
    optimizer = torch.optim.Adam([moves], lr=lr)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, steps)

    def moved() -> tuple[Tensor, Tensor]:
        mu, logvar = start
        return mu + (0.5 * logvar).exp() * moves[0], logvar + moves[1]

    for _ in range(steps):
        loss = -_exact_elbo(model, x, *moved(), 8).sum()
        moves.grad = torch.autograd.grad(loss, moves)[0]  # none for the model
        optimizer.step()
        schedule.step()
    return torch.stack(moved()).detach()


def _exact_elbo(
    model: VAE, x: Tensor, mu: Tensor, logvar: Tensor, n_nodes: int
) -> Tensor:
    """The ELBO of x (B, …) by Gauss–Hermite quadrature, no noise: (B, 2) → (B,)."""
    nodes, weights = map(torch.tensor, np.polynomial.hermite_e.hermegauss(n_nodes))
    eps = torch.cartesian_prod(nodes, nodes).to(mu)[:, None]  # (n_nodes², 1, 2)
    weights = torch.cartesian_prod(weights, weights).prod(1) / (2 * math.pi)
    z = mu + (0.5 * logvar).exp() * eps  # (n_nodes², B, 2)
    at_once = max(1, _DECODED // len(x))
    log_px_z = torch.cat([model.log_likelihood(x, some) for some in z.split(at_once)])
    return weights @ log_px_z.cpu().double() - gaussian_kl(mu, logvar).cpu().double()
