"""The exact mathematics of models with two latent dimensions, by sums over a grid.

log p(x) is the integral of p(x|z) p(z) over the plane. A grid of square cells covers
all of the plane where the prior has mass, each z in the middle of a cell is decoded
once for all images, and the integral is a sum: first written out in notebook 06.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from vae_helpers.densities import gaussian_kl, refuse_bad_pixels
from vae_helpers.evaluation import PerImage
from vae_helpers.models import VAE
from vae_helpers.objectives import LogDensity, log_prior_at

import numpy as np
import torch
from scipy import optimize
from torch import Tensor
from torch.nn import functional as F

_STEP = 0.035  # of the shared grid
_REACH = 7.0  # the prior's mass outside (−7, 7)² is 5e-12
_DECODED = 2048  # images decoded at once: 6 MB of logits, which a cache may hold
_SHARING = 200  # images that share one grid: 130 MB
_TOLERANCE = 1e-4  # nats; where the error is above, the grid is refined
_MISSED = 1e-3  # of a prior's mass, at most; the error says what that can change
_FINER = 4  # into how many parts a cell's side is divided where the sum is too coarse
_OCCUPIED = 25.0  # nats below the top; all cells further down hold less than 1e-6

# The grid of one posterior, to look at and to lay a Gaussian on
_CELL = 0.07  # of the grid that finds it, about as wide as a posterior of a digit
_VISIBLE = 8.0  # nats below the top: four standard deviations of a Gaussian
_MARGIN = 5 / 3  # half-windows beyond the window: five of the widest q's deviations
_FINEST = 400  # points along an axis, at most


PlaneDensity = Callable[[Tensor, Tensor], Tensor]  # log p(z) from z₁ and z₂


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


@dataclass
class Grid:
    """log p(x|z) of one image or of several, at the middles of square cells.

    log_px_z: (n, n) or (B, n, n) in nats; row j is z₂, column i is z₁.
    low: the lower left corner of the grid, (z₁, z₂). step: the width of a cell.
    log_prior: log p(z) from z₁ and z₂, of shapes that broadcast; N(0, I) without it.
    """

    log_px_z: Tensor
    low: tuple[float, float]
    step: float
    log_prior: PlaneDensity = field(default_factory=lambda: _log_normal, kw_only=True)

    def axes(self) -> tuple[Tensor, Tensor]:
        """The grid's values of z₁ and of z₂: twice (n,), double precision."""
        n = self.log_px_z.shape[-1]
        return _middles(self.low[0], self.step, n), _middles(self.low[1], self.step, n)

    def log_joint(self) -> Tensor:
        """log p(x, z) at each point: the shape of `log_px_z`."""
        z1, z2 = self.axes()
        return self.log_px_z + self.log_prior(z1, z2[:, None]).to(self.log_px_z)

    def peak(self) -> Tensor:
        """mu and sigma of a Gaussian on the highest point of p(z|x): (…, 2, 2).

        sigma: from the bend of log p(z|x) along each axis there, and at most 1.
        """
        log_joint, (z1, z2) = self.log_joint().double(), self.axes()
        inner = log_joint[..., 2:-2, 2:-2]  # a bend needs neighbours on both sides
        top = inner.flatten(-2).argmax(-1)
        rows, columns = top // inner.shape[-1] + 2, top % inner.shape[-1] + 2

        def read(up: int, right: int) -> Tensor:
            points = (rows + up) * len(z1) + columns + right
            return log_joint.flatten(-2).gather(-1, points[..., None])[..., 0]

        bends = [
            2 * read(0, 0) - read(-up, -right) - read(up, right)
            for up, right in ((0, 2), (2, 0))
        ]
        precision = torch.stack(bends, -1) / (2 * self.step) ** 2
        sigma = precision.clamp(min=1.0).rsqrt()  # it may be flat, or bend upwards
        return torch.stack([torch.stack([z1[columns], z2[rows]], -1), sigma], -2)


@dataclass
class PosteriorGrid(Grid):
    """A grid (n, n) around p(z|x) of one image, and its log p(x) by a sum over all z.

    window: ((left, right), (bottom, top)), the part that holds the mass that shows; the
        grid goes further, for what a q in the window has outside.
    log_px: log p(x) in nats, and its `error`: see `log_evidence_quadrature`.
    """

    window: tuple[tuple[float, float], tuple[float, float]]
    log_px: float
    error: float

    @property
    def mu_limits(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Where the mean of q may lie: within the window."""
        return self.window

    @property
    def sigma_limits(self) -> tuple[float, float]:
        """How narrow and wide q may be for its sums to hold to 1e-3 nats.

        A step of the grid, and a sixth of the window: what q has outside the grid,
        beyond five standard deviations, then weighs less than 1e-6.
        """
        (left, right), _ = self.window
        return self.step, (right - left) / 6

    def resolves(self, mu: Sequence[float], sigma: Sequence[float]) -> bool:
        """Whether q = N(mu, diag sigma²) is within the limits, so that `elbo` holds.

        Where it is not, such as for an encoder that is far too sure, `exact_elbo` has
        the ELBO.
        """
        narrow, wide = self.sigma_limits
        return all(
            low <= m <= high and narrow <= s <= wide
            for (low, high), m, s in zip(self.mu_limits, mu, sigma, strict=True)
        )

    def elbo(self, mu: Tensor, sigma: Tensor) -> Tensor:
        """The ELBO of q = N(mu, diag sigma²) in nats; mu, sigma (2,) → ().

        It holds for any q that the grid `resolves`.
        """
        q1, q2 = (
            self.step * torch.distributions.Normal(m, s).log_prob(z).exp()
            for m, s, z in zip(mu, sigma, self.axes(), strict=True)
        )
        kl = gaussian_kl(mu[None], 2 * sigma.log()[None])[0]
        return q2 @ self.log_px_z.double() @ q1 - kl

    def best_gaussian(self, starts: Sequence) -> tuple[list, list]:
        """mu and sigma of the q with the highest ELBO that climbs within limits find.

        starts: each a q in two rows, mu and sigma, such as `peak()`.
        """
        limits = _double([self.mu_limits, [self.sigma_limits] * 2])
        ends = [_climb(self.elbo, _double(start), limits) for start in starts]
        mu, sigma = max(ends, key=lambda q: self.elbo(*q).item()).tolist()
        return mu, sigma


def log_evidence_quadrature(
    model: VAE,
    images: Tensor,
    *,
    reach: float = _REACH,
    step: float = _STEP,
    tolerance: float = _TOLERANCE,
    log_prior: LogDensity | None = None,
) -> PerImage:
    """log p(x) of each image, latent space being a plane: (N, …) → twice (N,).

    A sum over a grid on (−reach, reach)²; where its error is above `tolerance`, the
    cells that hold the posterior are divided by four along each axis and summed again.
    error: how far the sum over every second point, in the worst of the four ways, is
        from the sum over all, which is far closer to the truth; plus what there can be
        outside if p(x|z) is nowhere larger there than inside. It is no bound: above
        0.3 nats the posterior is narrower than the points are apart, even a quarter of
        `step`, and value and error may be wrong by more. Where such a peak lies midway
        between four points, the four ways err alike. Then use a smaller step.

    model: with `encode`, `decode` and `log_likelihood` as a `VAE` has them.
    log_prior: log p(z) of a prior other than N(0, I), from z (…, 2) to (…), such as the
        `log_prob` of a `torch.distributions.MixtureSameFamily`. The grid must hold all
        of it but a thousandth.
    A hundred images take a second or two. Raises `ValueError` for a model with another
    number of latent dimensions, and for a prior that the grid does not hold. Source:
    notebooks 06 and 07.
    """
    parts = []
    for x in _split(model, images):
        plane = _decode_plane(model, x, reach, step)
        outside = None
        if log_prior is not None:
            plane.log_prior = _on_plane(log_prior, x)
            outside = _find_mass_outside(plane)
        parts.append(_log_evidence(model, x, plane, tolerance, outside))
    value, error = (torch.cat(part) for part in zip(*parts, strict=True))
    return PerImage(value, error)


def exact_elbo(
    model: VAE, images: Tensor, mu: Tensor, logvar: Tensor, *, n_nodes: int = 24
) -> Tensor:
    """The ELBO of each image for q = N(mu, diag exp(logvar)), without sampling noise.

    A weighted sum over n_nodes × n_nodes points of q, by Gauss–Hermite quadrature: it
    holds for q as narrow as you like, and as wide as log p(x|z) is smooth.
    Shapes: images (B, …), mu and logvar (B, 2) → (B,) float64. Gradients reach mu and
    logvar. Source: notebooks 06 and 07.
    """
    nodes, weights = map(torch.tensor, np.polynomial.hermite_e.hermegauss(n_nodes))
    eps = torch.cartesian_prod(nodes, nodes).to(mu)[:, None]  # (n_nodes², 1, 2)
    weights = torch.cartesian_prod(weights, weights).prod(1) / (2 * math.pi)
    x = _like_weights(model, images)
    z = (mu + (0.5 * logvar).exp() * eps).to(x)  # (n_nodes², B, 2)
    at_once = max(1, _DECODED // len(x))
    log_px_z = torch.cat([model.log_likelihood(x, some) for some in z.split(at_once)])
    return weights @ log_px_z.cpu().double() - gaussian_kl(mu, logvar).cpu().double()


def gap_surgery(model: VAE, images: Tensor) -> Gaps:
    """Cut the gap log p(x) − ELBO of each image (N, …) in two; two latent dimensions.

    The best Gaussian comes from climbing the ELBO by L-BFGS, for each image alone, from
    two starts: the encoder's q and the highest point of p(z|x). A climb may end below
    the top; then the amortization gap is larger, and the other smaller, than said here.

    A fraction of a second per image. Source: Cremer, Li & Duvenaud (2018), whose exact
    log p(x) is an estimate; notebook 07.
    """
    parts = []
    for x in _split(model, images):
        plane = _decode_plane(model, x, _REACH, _STEP)
        exact = _log_evidence(model, x, plane, _TOLERANCE)
        with torch.no_grad():
            mu, logvar = (part.double().cpu() for part in model.encode(x))
        encoded = torch.stack([mu, (0.5 * logvar).exp()], 1)  # (B, 2, 2)
        starts = torch.stack([encoded, plane.peak()], 1)
        for image, *log_px, pair in zip(x.split(1), *exact, starts, strict=True):
            elbo, best, (mu, sigma) = _find_best(model, image, pair)
            parts.append((elbo, best, *log_px, mu, 2 * sigma.log()))
    return Gaps(*(torch.stack(part) for part in zip(*parts, strict=True)))


@torch.no_grad()
def posterior_grid(
    model: VAE, x: Tensor, *, window: tuple[float, float, float] | None = None
) -> PosteriorGrid:
    """Measure p(z|x) of one image x (C, H, W) under a model with two latent dimensions.

    window: (z₁, z₂, half-width) of the square to look at; without it, the one that
        holds the posterior down to e^−8 of its height, and the encoder's q. Of a given
        window the encoder's q may lie outside, and of any it may be too narrow for 400
        points along an axis: ask `PosteriorGrid.resolves`.

    Takes a few seconds: about a hundred thousand images are decoded.
    """
    (images,) = _split(model, x[None])
    mu, logvar = (part[0].double().cpu() for part in model.encode(images))
    sigma = (0.5 * logvar).exp()
    plane = _decode_plane(model, images, _REACH, _CELL)
    z1, z2, half = window or _find_window(plane, mu, sigma)
    low, step, n = _lay_out(plane, (z1, z2), half, sigma.min().item())
    fine = _decode_grid(model, images, low, step, n)

    columns, rows = (
        (middles > edge) & (middles < edge + n * step)
        for middles, edge in zip(plane.axes(), low, strict=True)
    )
    rest = plane.log_joint().masked_fill(rows[:, None] & columns, -math.inf)
    inside, outside = _sum_quarters(fine.log_joint(), step), _sum_quarters(rest, _CELL)
    log_px, error = (part.item() for part in _join(torch.logaddexp(inside, outside)))

    left, bottom = (  # whole cells again
        edge + round((middle - half - edge) / step) * step
        for middle, edge in zip((z1, z2), low, strict=True)
    )
    width = round(2 * half / step) * step
    shown = (left, left + width), (bottom, bottom + width)
    return PosteriorGrid(fine.log_px_z[0], low, step, shown, log_px, error)


def _lay_out(
    plane: Grid, middle: tuple[float, float], half: float, sigma: float
) -> tuple[tuple[float, float], float, int]:
    """`low`, `step` and n of the fine grid for a window and the encoder's least sigma.

    It takes the place of whole cells of the plane, so that there is no gap.
    """
    reach = half * (1 + _MARGIN)
    n_cells = math.ceil(2 * reach / _CELL) + 1
    finest = min(sigma, half / 30)
    per_cell = max(1, min(math.ceil(_CELL / finest), _FINEST // n_cells))
    left, bottom = (
        edge + math.floor((z - reach - edge) / _CELL) * _CELL
        for z, edge in zip(middle, plane.low, strict=True)
    )
    return (left, bottom), _CELL / per_cell, n_cells * per_cell


def _split(model: VAE, images: Tensor) -> Iterator[Tensor]:
    """The images as the model wants them, as many at a time as share a grid."""
    if getattr(model, "latent_dim", 2) != 2:
        raise ValueError(
            "a sum over a grid needs a VAE with two latent dimensions; for any number "
            "of them there is log_evidence_importance"
        )
    if len(images) == 0:
        raise ValueError("there are no images to evaluate")
    for some in images.split(_SHARING):
        yield _like_weights(model, some)


def _like_weights(model: VAE, images: Tensor) -> Tensor:
    """The images in the type and on the device of the model's weights, if any."""
    weight = next(iter(getattr(model, "parameters", list)()), None)
    return images.float() if weight is None else images.to(weight)


def _decode_plane(model: VAE, x: Tensor, reach: float, step: float) -> Grid:
    """The grid on (−reach, reach)², or up to one cell more on all sides."""
    n = 2 * math.ceil(reach / step)
    return _decode_grid(model, x, (-n * step / 2, -n * step / 2), step, n)


def _decode_grid(
    model: VAE, x: Tensor, low: tuple[float, float], step: float, n: int
) -> Grid:
    z1, z2 = (_middles(edge, step, n) for edge in low)
    return Grid(_log_px_z(model, x, z1, z2[:, None]), low, step)


def _middles(edge: float, step: float, n: int) -> Tensor:
    return edge + step * (torch.arange(n, dtype=torch.double) + 0.5)


@torch.no_grad()
def _log_px_z(model: VAE, x: Tensor, z1: Tensor, z2: Tensor) -> Tensor:
    """log p(x|z) of all pairs, each z decoded once: (B, …), twice (…) → (B, …), CPU.

    z1, z2: coordinates of any shapes that broadcast against one another.
    """
    z = torch.stack(torch.broadcast_tensors(z1, z2), -1)
    parts = [
        _pair(model, x, some.to(x)).cpu() for some in z.flatten(0, -2).split(_DECODED)
    ]
    return torch.cat(parts, 1).unflatten(1, z.shape[:-1])


def _pair(model: VAE, x: Tensor, z: Tensor) -> Tensor:
    """log p(x|z) of all pairs: (B, …), (n, 2) → (B, n)."""
    likelihood = getattr(model, "likelihood", None)
    if likelihood not in ("bernoulli", "gaussian"):  # each z, for once, B times
        return model.log_likelihood(x, z[:, None].expand(-1, len(x), -1)).T
    output = model.decode(z)
    if x.shape[1:] != output.shape[1:]:
        raise ValueError(
            f"images have shape {tuple(x.shape)}, and the model decodes to "
            f"{tuple(output.shape[1:])}: images must be (N, …) of that shape"
        )
    output, x = output.flatten(1), x.flatten(1)
    if likelihood == "bernoulli":
        refuse_bad_pixels(x)
        return x @ output.T - F.softplus(output).sum(1)
    output, x, logvar = (
        part.double().cpu() for part in (output, x, model.pixel_logvar)
    )
    squares = x.square().sum(1)[:, None] - 2 * x @ output.T + output.square().sum(1)
    log_px_z = squares * (-logvar).exp() + x.shape[1] * (math.log(2 * math.pi) + logvar)
    return -0.5 * log_px_z.to(z.dtype)


def _log_normal(z1: Tensor, z2: Tensor) -> Tensor:
    return -0.5 * (z1.square() + z2.square()) - math.log(2 * math.pi)


def _on_plane(log_prior: LogDensity, like: Tensor) -> PlaneDensity:
    """The density from z₁ and z₂, called in the type and on the device of `like`."""

    def at(z1: Tensor, z2: Tensor) -> Tensor:
        z = torch.stack(torch.broadcast_tensors(z1, z2), -1).to(like)
        return log_prior_at(z, log_prior).cpu().double()

    return at


@torch.no_grad()
def _find_mass_outside(plane: Grid) -> float:
    """What the prior has outside the grid, up to three times as far; if that is little.

    Not 1 less the sum inside: rounding may leave more of that than there is outside.
    """
    reach, step, n = -plane.low[0], plane.step, plane.log_px_z.shape[-1]
    inside = (plane.log_prior(*_mesh(-reach, step, n)).exp().sum() * step**2).item()
    if not abs(inside - 1) < _MISSED:
        raise ValueError(
            f"over the grid, |z₁| and |z₂| < {reach:.4g} in steps of {step:.4g}, the "
            f"prior adds up to {inside:.4g}, and to 1 it must: say a larger `reach` "
            "where it is wider, or a smaller `step` where it is too narrow for it"
        )
    z1, z2 = _mesh(-3 * reach, reach / 50, 300)
    is_outside = torch.maximum(z1.abs(), z2.abs()) > reach
    density = plane.log_prior(z1, z2).exp().masked_fill(~is_outside, 0)
    return density.sum().item() * (reach / 50) ** 2


def _mesh(low: float, step: float, n: int) -> tuple[Tensor, Tensor]:
    axis = _middles(low, step, n)
    z1, z2 = torch.meshgrid(axis, axis, indexing="xy")
    return z1, z2


def _log_evidence(
    model: VAE,
    x: Tensor,
    plane: Grid,
    tolerance: float,
    outside: float | None = None,
) -> PerImage:
    """log p(x) of each image from its grid, refined where that is too coarse.

    outside: what the prior has outside the grid; for N(0, I), it is known.
    """
    log_joint = plane.log_joint()
    value, error = _join(_sum_quarters(log_joint, plane.step))
    for i in (error > tolerance).nonzero().flatten():
        value[i], error[i] = _join(_refine(model, x[i : i + 1], plane, log_joint[i]))
    # What the prior's mass outside the grid can add
    if outside is None:
        outside = -math.expm1(2 * math.log(math.erf(-plane.low[0] / math.sqrt(2))))
    highest = plane.log_px_z.amax((1, 2)).double()
    return PerImage(value, error + (outside * (highest - value).exp()).log1p())


def _refine(model: VAE, x: Tensor, plane: Grid, log_joint: Tensor) -> Tensor:
    """The four sums (4,) for one image (1, …), its occupied cells cut into 4 × 4."""
    occupied = log_joint > log_joint.max() - _OCCUPIED
    rows, columns = occupied.nonzero().T
    z1, z2 = plane.axes()
    step = plane.step / _FINER
    inside = _middles(-plane.step / 2, step, _FINER)
    z1, z2 = z1[columns, None, None] + inside, z2[rows, None, None] + inside[:, None]
    log_prior = plane.log_prior(z1, z2)
    fine = _log_px_z(model, x, z1, z2)[0] + log_prior  # (M, 4, 4), M cells
    rest = log_joint.masked_fill(occupied, -math.inf)
    return torch.logaddexp(
        _sum_quarters(fine, step).logsumexp(1), _sum_quarters(rest, plane.step)
    )


def _sum_quarters(log_joint: Tensor, step: float) -> Tensor:
    """log p(x) by every second point, in each of the four ways: (…, n, n) → (4, …)."""
    quarters = [
        log_joint[..., j::2, i::2].double().logsumexp((-2, -1))
        for j in (0, 1)
        for i in (0, 1)
    ]
    return torch.stack(quarters) + 2 * math.log(2 * step)


def _join(quarters: Tensor) -> PerImage:
    """The sum over all points, and how far the worst of its quarters is off it."""
    value = quarters.logsumexp(0) - math.log(4)
    return PerImage(value, (quarters - value).abs().amax(0))


def _find_best(model: VAE, x: Tensor, starts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The first start's ELBO, the best ELBO, and its q (2, 2), for one image (1, …).

    starts: (n, 2, 2); a q is two rows, mu and sigma.
    """

    def elbo(mu: Tensor, sigma: Tensor) -> Tensor:  # fewer nodes will do on the way
        return exact_elbo(model, x, mu[None], 2 * sigma.log()[None], n_nodes=8)[0]

    limits = _double([[[-_REACH, _REACH]] * 2, [[1e-4, _REACH]] * 2])
    found = torch.stack([starts[0], *(_climb(elbo, start, limits) for start in starts)])
    with torch.no_grad():
        mu, logvar = found[:, 0], 2 * found[:, 1].log()
        elbos = exact_elbo(model, x.expand(len(mu), *x.shape[1:]), mu, logvar)
    return elbos[0], elbos.max(), found[elbos.argmax()]


@torch.enable_grad()
def _climb(
    elbo: Callable[[Tensor, Tensor], Tensor], start: Tensor, limits: Tensor
) -> Tensor:
    """The q with the highest elbo(mu, sigma) that L-BFGS finds: (2, 2) → (2, 2).

    limits: (2, 2, 2), the lowest and the highest of each number of q.
    """
    low, high = limits.unbind(-1)
    mu, sigma = start.clamp(low, high)

    def move(moves: Tensor) -> Tensor:  # in units of the first sigma
        return torch.stack([mu + sigma * moves[0], sigma * moves[1].exp()])

    def loss(numbers: np.ndarray) -> tuple[float, np.ndarray]:
        moves = torch.tensor(numbers, requires_grad=True)
        value = -elbo(*move(moves.view(2, 2)))
        return value.item(), torch.autograd.grad(value, moves)[0].numpy()

    bounds = [
        torch.stack([(mu_end - mu) / sigma, (sigma_end / sigma).log()]).flatten()
        for mu_end, sigma_end in (low, high)
    ]
    found = optimize.minimize(
        loss, np.zeros(4), jac=True, method="L-BFGS-B", bounds=optimize.Bounds(*bounds)
    )
    return move(torch.tensor(found.x).view(2, 2)).clamp(low, high)


def _find_window(plane: Grid, mu: Tensor, sigma: Tensor) -> tuple[float, float, float]:
    """The square with all that shows of one posterior and the encoder's q."""
    (log_joint,) = plane.log_joint()
    seen = log_joint > log_joint.max() - _VISIBLE
    shown = seen.any(0), seen.any(1)
    ends = []
    for axis, where, m, s in zip(plane.axes(), shown, mu, sigma, strict=True):
        reach = 3.2 * s.clamp(max=1.0)  # more than three: see `sigma_limits`
        low = min(axis[where][0].item() - _CELL, (m - reach).item())
        high = max(axis[where][-1].item() + _CELL, (m + reach).item())
        ends.append((low, high))
    z1, z2 = ((low + high) / 2 for low, high in ends)
    return z1, z2, max(high - low for low, high in ends) / 2


def _double(numbers: Sequence | Tensor) -> Tensor:
    return torch.as_tensor(numbers, dtype=torch.double)
