"""Sprites: images of one shape, ink 1 on ground 0, drawn by us from known factors.

After dSprites (Matthey et al., 2017), smaller, anti-aliased, and computed instead of
downloaded. Lengths are fractions of the image's width; x grows to the right, y
upwards, rotation counter-clockwise. (x, y) is the shape's centre of mass.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

SHAPES = ("square", "ellipse", "heart")
FACTORS = ("shape", "scale", "rotation", "x", "y")
REACH = 0.25  # how far a sprite of scale 1 extends from its centre
LOWEST, HIGHEST = 0.3, 0.7  # where centres lie, so that no sprite leaves the image

_MAX_BYTES = 2**30
_CHUNK = 256  # images drawn together: few enough to stay in the processor's cache


@dataclass(frozen=True)
class Sprites:
    """Images and the factors they were drawn from.

    `images` (N, 1, size, size) are float32 in [0, 1]. `factors` (N, 5) float32 holds
    the values, in the order of `factor_names`: shape 0, 1, 2 as in `SHAPES`, scale in
    (0, 1], rotation in radians, x and y in 0.3…0.7. `factor_indices` (N, 5) int64 holds
    which of its factor's values each is, 0…factor_sizes − 1.
    """

    images: Tensor
    factors: Tensor
    factor_indices: Tensor
    factor_names: tuple[str, ...]
    factor_sizes: tuple[int, ...]

    def to(self, device: torch.device | str) -> "Sprites":
        """The same sprites with their tensors on `device`."""
        return replace(
            self,
            images=self.images.to(device),
            factors=self.factors.to(device),
            factor_indices=self.factor_indices.to(device),
        )


def make_sprites(
    n: int | None = None,
    *,
    size: int = 32,
    seed: int = 0,
    shape: int | Sequence[str] = 3,
    scale: int | Sequence[float] = 6,
    rotation: int | Sequence[float] = 40,
    x: int | Sequence[float] = 16,
    y: int | Sequence[float] = 16,
) -> Sprites:
    """Draw `n` sprites of a grid of factor values, or with n=None the whole grid.

    n: how many. Each factor's values occur equally often, to within one, and the
        factors are shuffled independently of each other, so that a pose may come twice.
        The whole grid comes in order, y fastest.
    size: pixels a side. The whole grid of the defaults has 184,320 images: 0.75 GB,
        or 0.19 GB at size 16.
    shape, scale, rotation, x, y: how many values (1 fixes the factor), or the values
        themselves: `shape=["heart"]`, `rotation=[0, 0.5, 1]`. A number gives the first
        shapes, scales evenly in 0.5…1, rotations evenly in the full turn without its
        end, places evenly in 0.3…0.7; a single value is the middle, or rotation 0.

    A quarter turn maps the square onto itself and a half turn the ellipse, so with the
    defaults, as in dSprites, some images have several rotations.

    Raises `ValueError` for values that would leave the image or come twice, and for
    more than 1 GiB of pixels.
    """
    values = [
        _take("shape", _number_shapes(shape), torch.arange, 0, 2),
        _take("scale", scale, lambda k: _spread(0.5, 1, k), 0, 1),
        _take("rotation", rotation, _turns, -math.inf, math.inf),
        _take("x", x, lambda k: _spread(LOWEST, HIGHEST, k), LOWEST, HIGHEST),
        _take("y", y, lambda k: _spread(LOWEST, HIGHEST, k), LOWEST, HIGHEST),
    ]
    sizes = tuple(len(v) for v in values)
    _refuse_bad_count(n, math.prod(sizes), size)
    if n is None:
        indices = torch.cartesian_prod(*(torch.arange(k) for k in sizes))
    else:
        indices = _even_sample(n, sizes, seed)
    columns = [v[i] for v, i in zip(values, indices.unbind(1), strict=True)]
    kinds, scales, rotations, xs, ys = columns
    images = draw_sprites(kinds.long(), scales, rotations, xs, ys, size)
    return Sprites(images, torch.stack(columns, 1), indices, FACTORS, sizes)


def draw_sprites(
    shape: Tensor | int,
    scale: Tensor | float,
    rotation: Tensor | float,
    x: Tensor | float,
    y: Tensor | float,
    size: int = 32,
) -> Tensor:
    """Draw any poses: five numbers or tensors (B,) → (B, 1, size, size) in [0, 1].

    shape: 0 square, 1 ellipse, 2 heart. scale: 1 reaches a quarter of the image's
    width from (x, y). rotation: radians. What lies outside the image is cut off.

    A pixel's value is 0.5 − d in [0, 1], with d the distance of its centre from the
    shape's edge in pixels, negative inside: a soft edge, one pixel wide.

    Raises `ValueError` for an unknown shape, a scale that is not positive, numbers that
    are not finite, or tensors that are not (B,).
    """
    shape, scale, rotation, x, y = _as_batch(shape, scale, rotation, x, y)
    _refuse_bad_poses(shape, scale, torch.stack([rotation, x, y]), size)
    images = torch.empty(len(shape), 1, size, size, device=shape.device)
    for kind, distance in enumerate((_square, _ellipse, _heart)):
        for rows in (shape == kind).nonzero()[:, 0].split(_CHUNK):
            reach = REACH * scale[rows, None, None]
            u, v = _own_coordinates(reach, rotation[rows], x[rows], y[rows], size)
            soft = distance(u, v).mul_(-size * reach).add_(0.5)
            images[rows, 0] = soft.clamp_(0, 1)
    return images


def hold_out(sprites: Sprites) -> Tensor:
    """Which sprites are for the test: about a quarter, (N,) bool.

    Those whose factor indices sum to a multiple of 4. It depends on the pose alone, so
    a pose that comes twice is on one side only; each neighbour of a held-out pose, one
    step of one factor away, is for training; and of a whole grid, in which at least two
    factors have a multiple of 4 values, every value is held out equally often.
    """
    return sprites.factor_indices.sum(1) % 4 == 0


# ── signed distances from the edge, for shapes that reach 1 from their centre ───────
# u and v (B, size, size) may be overwritten. The distances are exact across straight
# edges and arcs, and good near the edge elsewhere, which is where they matter.


def _square(u: Tensor, v: Tensor) -> Tensor:
    """A square with half its diagonal 1."""
    return torch.maximum(u.abs_(), v.abs_()).sub_(math.sqrt(0.5))


def _ellipse(u: Tensor, v: Tensor) -> Tensor:
    """Half axes 1 and 1/2; with r = √(u² + 4v²), it is r (r − 1) / √(u² + 16v²)."""
    u = u.square_().add_(1e-12)  # so that the very centre is inside, not 0/0
    v = v.square_()
    r = torch.add(u, v, alpha=4).sqrt_()
    return (r - 1).mul_(r).div_(u.add_(v, alpha=16).sqrt_())


def _heart(u: Tensor, v: Tensor) -> Tensor:
    """A square on its tip, and half a disc on each of its upper sides."""
    # With a side of 1, the discs lie `lift` to the side and above the square's centre,
    # and the centre of mass `rise` above it. The tip is farthest from there.
    lift = math.sqrt(1 / 8)
    half_disc = lift + 2 / (3 * math.pi) * math.sqrt(1 / 2)  # its own centre's height
    rise = half_disc * (math.pi / 4) / (1 + math.pi / 4)
    side = 1 / (math.sqrt(1 / 2) + rise)
    u, v = u.abs_(), v.add_(rise * side)
    disc = torch.hypot(u - lift * side, v - lift * side).sub_(side / 2)
    square = u.add_(v.abs_()).mul_(math.sqrt(0.5)).sub_(side / 2)
    return torch.minimum(square, disc)


def _own_coordinates(
    reach: Tensor, rotation: Tensor, x: Tensor, y: Tensor, size: int
) -> tuple[Tensor, Tensor]:
    """Where each pixel's centre lies in the sprite's own axes: (B, size, size) each."""
    centres = (torch.arange(size, device=x.device) + 0.5) / size
    right = (centres - x[:, None])[:, None, :] / reach  # (B, 1, size)
    up = (centres.flip(0) - y[:, None])[:, :, None] / reach  # (B, size, 1)
    cos, sin = rotation.cos()[:, None, None], rotation.sin()[:, None, None]
    return cos * right + sin * up, cos * up - sin * right


# ── the grid ────────────────────────────────────────────────────────────────────────


def _even_sample(n: int, sizes: tuple[int, ...], seed: int) -> Tensor:
    """Rows of value indices, (n, 5): each column even to within one, and shuffled."""
    generator = torch.Generator().manual_seed(seed)
    columns = []
    for k in sizes:
        values = torch.randperm(k, generator=generator)  # which ones come once more
        even = values.repeat(-(-n // k))[:n]
        columns.append(even[torch.randperm(n, generator=generator)])
    return torch.stack(columns, 1)


def _take(
    name: str,
    wanted: int | Sequence[float],
    make: Callable[[int], Tensor],
    lowest: float,
    highest: float,
) -> Tensor:
    """The values of one factor, made from their number or as they are given."""
    if isinstance(wanted, int):
        values = make(max(wanted, 0)).float()
    else:
        values = torch.as_tensor(wanted, dtype=torch.float32)
    within = (values > lowest - 1e-6) & (values < highest + 1e-6)  # which NaN is not
    if values.ndim != 1 or not len(values) or len(values.unique()) < len(values):
        raise ValueError(
            f"{name} is {wanted!r}: say how many values, or list different ones"
        )
    if not within.all():
        raise ValueError(f"{name} is {wanted!r}: it must lie in {lowest}…{highest}")
    return values


def _number_shapes(shape: int | Sequence[str]) -> int | list[int]:
    if isinstance(shape, int):
        return shape
    if isinstance(shape, str) or not set(shape) <= set(SHAPES):
        raise ValueError(f"shape is {shape!r}: list names out of {SHAPES}")
    return [SHAPES.index(name) for name in shape]


def _spread(low: float, high: float, k: int) -> Tensor:
    return torch.linspace(low, high, k) if k > 1 else torch.full((k,), (low + high) / 2)


def _turns(k: int) -> Tensor:
    return torch.arange(k) * (2 * math.pi / max(k, 1))


def _as_batch(shape: Tensor | int, *pose: Tensor | float) -> list[Tensor]:
    given = [p for p in (shape, *pose) if isinstance(p, Tensor)]
    device = given[0].device if given else None
    batch = [torch.as_tensor(shape, device=device)]
    batch += [torch.as_tensor(p, dtype=torch.float32, device=device) for p in pose]
    lengths = {len(t) for t in batch if t.ndim == 1} - {1}
    if any(t.ndim > 1 for t in batch) or len(lengths) > 1:
        shapes = [tuple(t.shape) for t in batch]
        raise ValueError(f"shapes {shapes}: each must be a number or (B,)")
    return list(torch.broadcast_tensors(*torch.atleast_1d(*batch)))


def _refuse_bad_poses(shape: Tensor, scale: Tensor, others: Tensor, size: int) -> None:
    if not torch.isin(shape, torch.arange(len(SHAPES), device=shape.device)).all():
        raise ValueError("shape must be 0, 1 or 2: " + ", ".join(SHAPES))
    if not ((scale > 0) & scale.isfinite()).all():
        raise ValueError("scale must be positive and finite")
    if not others.isfinite().all():
        raise ValueError("rotation, x and y must be finite")
    if size < 1:
        raise ValueError(f"size is {size}: an image needs at least one pixel")


def _refuse_bad_count(n: int | None, n_grid: int, size: int) -> None:
    if n is not None and n < 1:
        raise ValueError(f"n is {n}: at least one sprite is needed")
    if size < 12:  # the soft edge, half a pixel, must fit between 0.25 and 0.3
        raise ValueError(f"size is {size}: sprites need at least 12 pixels a side")
    wanted, most = n or n_grid, _MAX_BYTES // (4 * size**2)
    if wanted > most:
        raise ValueError(
            f"{wanted:,} sprites of {size}×{size} pixels take "
            f"{4e-9 * size**2 * wanted:.1f} GB: ask for n at most {most:,}, a smaller "
            "size, or fewer values of a factor"
        )
