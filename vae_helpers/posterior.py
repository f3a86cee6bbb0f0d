"""The exact posterior of a model with two latents, by sums over a grid."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from vae_helpers.models import VAE

import torch
from torch import Tensor

_REACH = 7.0  # the prior's mass outside (−7, 7)² is 5e-12
_CELL = 0.07  # of the coarse grid, about as wide as a posterior of a digit
_VISIBLE = 8.0  # nats below the top: four deviations of a Gaussian
_MARGIN = 5 / 3  # half-windows beyond the window: five of the widest q's deviations
_FINEST = 400  # points along an axis, at most
_CHUNK = 4096  # images decoded at once: 13 MB


@dataclass
class PosteriorGrid:
    """log p(x|z) on a square grid around p(z|x), and log p(x) by a sum over the prior.

    log_px_z: (n, n) in nats; row j is z₂, column i is z₁.
    low: the grid's lower left corner; the points lie in the middles of cells of width
        `step`.
    window: ((left, right), (bottom, top)), the part that holds the mass that shows.
    log_px: log p(x) in nats. Midpoint sums: coarse cells over the prior's plane, and
        the fine ones in place of those that the grid covers.
    """

    log_px_z: Tensor
    low: tuple[float, float]
    step: float
    window: tuple[tuple[float, float], tuple[float, float]]
    log_px: float

    @property
    def mu_limits(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Where the mean of q may lie: within the window."""
        return self.window

    @property
    def sigma_limits(self) -> tuple[float, float]:
        """How narrow and wide q may be for its sums to hold to 1e-3 nats.

        Two steps of the grid, and a sixth of the window: what q has outside the grid,
        beyond five deviations, then weighs less than 1e-6.
        """
        (left, right), _ = self.window
        return 2 * self.step, (right - left) / 6

    def axes(self) -> tuple[Tensor, Tensor]:
        """The grid's values of z₁ and of z₂: twice (n,), double precision."""
        middles = torch.arange(len(self.log_px_z), dtype=torch.double) + 0.5
        return self.low[0] + self.step * middles, self.low[1] + self.step * middles

    def elbo(self, mu: Tensor, sigma: Tensor) -> Tensor:
        """The ELBO of q = N(mu, diag sigma²) in nats; mu, sigma (2,) → ()."""
        q1, q2 = (
            self.step * torch.distributions.Normal(m, s).log_prob(z).exp()
            for m, s, z in zip(mu, sigma, self.axes(), strict=True)
        )
        kl = 0.5 * (mu**2 + sigma**2 - 1 - 2 * sigma.log()).sum()
        return q2 @ self.log_px_z.double() @ q1 - kl

    def best_gaussian(self, starts: Sequence[tuple]) -> tuple[list, list]:
        """mu and sigma of the q with the highest ELBO that the climbs find.

        starts: pairs (mu, sigma). By L-BFGS in coordinates that keep the limits.
        """
        low = torch.tensor([ends[0] for ends in self.mu_limits], dtype=torch.double)
        high = torch.tensor([ends[1] for ends in self.mu_limits], dtype=torch.double)
        narrow, wide = torch.tensor(self.sigma_limits, dtype=torch.double).log()
        low = torch.cat([low, narrow.expand(2)])
        high = torch.cat([high, wide.expand(2)])

        def climb(mu, sigma) -> tuple[float, list, list]:
            begin = torch.cat([torch.tensor(mu), torch.tensor(sigma).log()]).double()
            share = ((begin - low) / (high - low)).clamp(0.01, 0.99)
            free = share.logit().requires_grad_()
            optimizer = torch.optim.LBFGS(
                [free], max_iter=60, line_search_fn="strong_wolfe"
            )

            def read() -> tuple[Tensor, Tensor]:
                inside = low + (high - low) * free.sigmoid()
                return inside[:2], inside[2:].exp()

            def loss() -> Tensor:
                optimizer.zero_grad()
                value = -self.elbo(*read())
                value.backward()
                return value

            optimizer.step(loss)
            with torch.no_grad():
                mu, sigma = read()
                return self.elbo(mu, sigma).item(), mu.tolist(), sigma.tolist()

        _, mu, sigma = max(climb(*start) for start in starts)
        return mu, sigma


@torch.no_grad()
def posterior_grid(
    model: VAE, x: Tensor, *, window: tuple[float, float, float] | None = None
) -> PosteriorGrid:
    """Measure p(z|x) of one image x (1, 28, 28) under a model with two latents.

    window: (z₁, z₂, half-width) of the square to look at; without it, the one that
        holds the posterior down to e^−8 of its height, and the encoder's q.

    Takes a few seconds: about a hundred thousand images are decoded.
    """
    mu, logvar = (part[0].double().cpu() for part in model.encode(x[None]))
    sigma = (0.5 * logvar).exp()
    n_coarse = round(2 * _REACH / _CELL)
    coarse = (torch.arange(n_coarse, dtype=torch.double) + 0.5) * _CELL - _REACH
    log_joint = _log_px_z(model, x, coarse, coarse) + _log_prior(coarse, coarse)
    if window is None:
        centre, half = _find_window(log_joint, coarse, mu, sigma)
    else:
        centre, half = torch.tensor(window[:2], dtype=torch.double), window[2]
    # Whole coarse cells, so that the fine ones replace them and leave no gap.
    first = ((centre - half * (1 + _MARGIN) + _REACH) / _CELL).floor().long()
    n_cells = math.ceil(2 * half * (1 + _MARGIN) / _CELL) + 1
    finest = min(sigma.min().item() / 2, half / 30)
    per_cell = max(1, min(round(_CELL / finest + 0.5), _FINEST // n_cells))
    step = _CELL / per_cell
    low = first.double() * _CELL - _REACH
    middles = (torch.arange(n_cells * per_cell, dtype=torch.double) + 0.5) * step
    z1, z2 = low[0] + middles, low[1] + middles
    log_px_z = _log_px_z(model, x, z1, z2)
    covered = [
        (coarse > axis[0] - step) & (coarse < axis[-1] + step) for axis in (z1, z2)
    ]
    outside = ~(covered[1][:, None] & covered[0])
    log_px = torch.logaddexp(
        log_joint[outside].logsumexp(0) + 2 * torch.tensor(_CELL).double().log(),
        (log_px_z + _log_prior(z1, z2)).flatten().logsumexp(0)
        + 2 * torch.tensor(step).double().log(),
    )
    corner = ((centre - half - low) / step).round() * step + low
    width = round(2 * half / step) * step
    ends = tuple((edge.item(), edge.item() + width) for edge in corner)
    return PosteriorGrid(
        log_px_z.float(), tuple(low.tolist()), step, ends, log_px.item()
    )


def _find_window(log_joint: Tensor, axis: Tensor, mu: Tensor, sigma: Tensor):
    """Centre and half-width of the square with all that shows and the encoder's q."""
    seen = log_joint > log_joint.max() - _VISIBLE
    corners = []
    for d, shown in enumerate((seen.any(0), seen.any(1))):
        places = axis[shown]
        reach = 3.2 * sigma[d].clamp(max=1.0)  # more than three: see `sigma_limits`
        corners.append(
            torch.stack(
                [
                    torch.minimum(places[0] - _CELL, mu[d] - reach),
                    torch.maximum(places[-1] + _CELL, mu[d] + reach),
                ]
            )
        )
    low, high = torch.stack(corners).T
    return (low + high) / 2, (high - low).max().item() / 2


def _log_px_z(model: VAE, x: Tensor, z1: Tensor, z2: Tensor) -> Tensor:
    """log p(x|z) at each point of a grid, in nats: (n₁,), (n₂,) → (n₂, n₁), double."""
    weight = next(model.parameters())
    z = torch.cartesian_prod(z2, z1).flip(1).to(weight)  # z₁ runs fastest
    parts = [
        model.log_likelihood(x.expand(len(part), *x.shape), part).double().cpu()
        for part in z.split(_CHUNK)
    ]
    return torch.cat(parts).view(len(z2), len(z1))


def _log_prior(z1: Tensor, z2: Tensor) -> Tensor:
    normal = torch.distributions.Normal(0.0, 1.0)
    return normal.log_prob(z2)[:, None] + normal.log_prob(z1)
