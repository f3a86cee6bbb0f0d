"""Checks of properties that right code must have.

A check answers with a `Verdict`, true where the property holds, so a test reads

    assert check_density(log_prob, low=-6, high=6)

No check sees every mistake; each docstring says what it cannot see. See notebook 08.
"""

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import stats
from torch import Generator, Tensor

_N_ERRORS = 4  # standard errors before a bound is blamed; by chance 1 in 30,000
_FEWEST = 10  # expected draws in a cell, for the chi-square distribution to hold
_N_INSIDE = 10  # quadrature points along each side of a cell
_CLEAR = 0.03  # a difference that a hint may name: of a mass, a mean, a correlation

LogProb = Callable[[Tensor], Tensor]
Corner = float | Sequence[float]


@dataclass(frozen=True, repr=False)
class Verdict:
    """What a check says; true where the claim `holds`. As text it is one line.

    found: in words. value: the number behind it; each check says which. The line
    `✓ claim` has no number in it, so it never changes.
    """

    holds: bool
    claim: str
    found: str
    value: float

    def __bool__(self) -> bool:
        return self.holds

    def __str__(self) -> str:
        end = "" if self.holds else f": found {self.found}"
        return f"{'✓' if self.holds else '✗'} {self.claim}{end}"

    __repr__ = __str__


@torch.no_grad()
def check_density(
    log_prob: LogProb,
    low: Corner,
    high: Corner,
    *,
    n_points: int = 400,
    tolerance: float = 1e-3,
) -> Verdict:
    """Does exp(log_prob) integrate to one? value: the integral.

    log_prob: points (N, D) of the default dtype → (N,) in nats, D = 1 or 2.
    low, high: the box that holds the mass, a number or D numbers each; D is the length
        of the longer one.
    n_points: along each axis. The error is the change from half as many.
    In words: the integral, its logarithm in nats, and whether the edge has mass.

    Cannot see: a normalised density that is not the one you meant; a spike that falls
    between the points of the grid, and mass outside the box.
    Raises `ValueError` for a bad box, a wrong shape, and a grid too coarse to tell.
    """
    low, high = _find_box(low, high)
    coarse, (points, masses) = (
        _integrate(log_prob, low, high, n) for n in (n_points // 2, n_points)
    )
    integral = masses.sum().item()
    error, off = abs(integral - coarse[1].sum().item()), abs(integral - 1)
    if error > tolerance and off <= tolerance + error:
        raise ValueError("grid too coarse: narrow the box, raise n_points or tolerance")
    edge = ((points - low).minimum(high - points) < (high - low) / 20).any(1)
    hint = _explain_integral(integral, masses[edge].sum().item() > tolerance)
    nats = masses.sum().log().item()
    found = f"{integral:.4g} ± {error:.1g} over the box, {nats:+.3g} nats; {hint}"
    return Verdict(off <= tolerance, "exp(log_prob) integrates to one", found, integral)


@torch.no_grad()
def check_sampler(
    sample: Callable[[int, Generator], Tensor],
    log_prob: LogProb,
    low: Corner,
    high: Corner,
    *,
    n_samples: int = 20_000,
    n_cells: int = 20,
    false_alarms: float = 1e-4,
    seed: int = 0,
) -> Verdict:
    """Does a sampler draw from exp(log_prob)? value: the p-value of Pearson's test.

    sample: (n, CPU generator) → draws (n, D), independent, D = 1 or 2.
    log_prob, low, high: as for `check_density`, which should hold first.
    n_cells: along each axis. The draws in each cell, and outside the box, are compared
        with its probability by quadrature; cells that expect fewer than 10 are pooled.
    false_alarms: how often, over seeds, a right sampler may be blamed.
    In words: the worst cell by its middle, and which moment of the draws is off most.

    Cannot see: differences within a cell, or smaller than about 1/√n_samples.
    Raises `ValueError` for a bad box, wrong shapes, and cells too coarse to tell.
    """
    low, high = _find_box(low, high)
    draws = sample(n_samples, torch.Generator().manual_seed(seed))
    _refuse_shape("sample(n, generator)", draws, (n_samples, len(low)))
    draws = draws.double().cpu()
    rough, (points, masses) = (
        _integrate(log_prob, low, high, n_cells * n)
        for n in (_N_INSIDE // 2, _N_INSIDE)
    )
    expected = n_samples * _sum_cells(masses, n_cells, len(low))
    error = n_samples * _sum_cells(rough[1], n_cells, len(low)) - expected
    if (error.square() > expected.clamp(min=_FEWEST)).any():
        raise ValueError("cells too coarse: narrow the box or raise n_cells")
    outside = (n_samples - expected.sum()).clamp(min=0).view(1)
    counts = _count_draws(draws, low, high, n_cells)
    expected = torch.cat([expected, outside])
    where = _find_worst(counts, expected, low, high, n_cells)
    hint = _explain_draws(draws, points, masses, low, high)
    counts, expected = _pool_small(counts, expected)
    terms = (counts - expected).square() / expected
    p_value = float(stats.chi2.sf(terms.sum().item(), df=len(terms) - 1))
    holds = p_value >= false_alarms  # not where it is NaN
    claim = "the sampler draws from exp(log_prob)"
    return Verdict(holds, claim, f"{where}; {hint}", p_value)


@torch.no_grad()
def check_bound(
    bound: Callable[[int, Generator], Tensor],
    log_px: Tensor,
    sizes: Sequence[int] = (1, 4, 16, 64),
    *,
    n_runs: int = 200,
    tolerance: float = 1e-3,
    seed: int = 0,
) -> Verdict:
    """Is it a lower bound of log p(x) that does not fall with K, on average over draws?

    bound: (K, CPU generator) → (B,), an estimate for each of B images, in nats.
    log_px: (B,), the exact values, from a model simple enough to have them.
    n_runs: for each K. What counts is the mean over the images; its standard error
        comes from the spread of the runs, and four of them are allowed, plus
        `tolerance` nats for rounding. value: the mean of bound − log p(x), largest
        over K, in nats. In words: at which K, and on which image most.

    Cannot see: a bound that is too loose, or too high for some images and lower for
    others. Raises `ValueError` for sizes that do not rise and for wrong shapes.
    """
    if len(sizes) < 2 or sizes[0] < 1 or list(sizes) != sorted(set(sizes)):
        raise ValueError(f"sizes are {sizes}: give two or more K ≥ 1 that rise")
    generator = torch.Generator().manual_seed(seed)
    runs = torch.stack([bound(k, generator) for k in sizes for _ in range(n_runs)])
    _refuse_shape("log_px", log_px, (log_px.numel(),))
    _refuse_shape("bound(K, generator)", runs[0], log_px.shape)
    gaps = (runs.double() - log_px.double()).view(len(sizes), n_runs, -1)
    gap = gaps.mean((1, 2))
    error = gaps.mean(2).std(1) / n_runs**0.5
    fall, fall_error = -gap.diff(), torch.hypot(error[1:], error[:-1])
    above, falls = gap - _N_ERRORS * error, fall - _N_ERRORS * fall_error
    k, j, found = int(above.argmax()), int(falls.argmax()), []
    if not gap.isfinite().all():
        found += ["NaN or inf among the bounds; the log of a 0, or an overflow?"]
    if (above > tolerance).any():
        found += [
            f"{gap[k]:.3g} ± {error[k]:.1g} nats above log p(x) at K = {sizes[k]}, most"
            f" on image {int(gaps[k].mean(0).argmax())}; a term lost, a mean for a sum,"
            " or z not from q?"
        ]
    if (falls > tolerance).any():
        found += [
            f"a fall of {fall[j]:.3g} ± {fall_error[j]:.1g} nats from K = {sizes[j]}"
            f" to {sizes[j + 1]}; weights that favour the wrong samples?"
        ]
    claim = "the bound stays below log p(x) and does not fall with K"
    return Verdict(not found, claim, " And ".join(found), gap.max().item())


@torch.no_grad()
def check_metric(
    metric: Callable[[Tensor, Tensor], float],
    factors: Tensor,
    known: Mapping[str, tuple[Tensor, float]],
    *,
    tolerance: float = 0.02,
) -> Verdict:
    """Does a metric give its known values? value: the largest error.

    metric: (codes (N, D), factors (N, F)) → a number.
    known: name → (codes, expected), at least two with different values: for example a
        perfect code, a rotated one and a useless one.

    Cannot see: what happens between the known values.
    Raises `ValueError` where all expect the same.
    """
    if len({expected for _, expected in known.values()}) < 2:
        raise ValueError("a constant would pass: give codes of two different scores")
    pairs = {
        f"on the {name} code": (float(metric(codes, factors)), expected)
        for name, (codes, expected) in known.items()
    }
    claim = "the metric gives its known values"
    return _compare(claim, pairs, tolerance, lambda got, due: "rows taken for columns?")


@torch.no_grad()
def check_mean(
    evaluate: Callable[[Tensor, int], float],
    images: Tensor,
    batch_sizes: Sequence[int] | None = None,
    *,
    tolerance: float = 1e-3,
) -> Verdict:
    """Is it a mean over all images, whatever the batches? value: the largest error.

    evaluate: (images (N, …), batch_size) → a number, such as nats per image.
    batch_sizes: by default all images at once, two uneven batches, and batches of 3.
    tolerance: in the units of the number; five standard errors where it is random.

    The reference is the mean of `evaluate` over single images, so give few, and not all
    alike. Cannot see: a wrong number for each image. Raises `ValueError` for fewer
    than four images, and where no batch size leaves a smaller last batch.
    """
    n = len(images)
    sizes = batch_sizes or [n, 2 * n // 3, 3]
    if n < 4 or all(n % size == 0 for size in sizes if size < n):
        raise ValueError(f"{n} images by {sizes}: leave a smaller last batch")
    expected = math.fsum(float(evaluate(one, 1)) for one in images.split(1)) / n
    pairs = {
        f"in batches of {size}": (float(evaluate(images, size)), expected)
        for size in sizes
    }
    claim = "the mean is over all images, however batched"
    return _compare(claim, pairs, tolerance, _explain_mean)


def tell(verdicts: Mapping[str, Verdict]) -> None:
    """Print each check's name and its verdict, in lines of at most 88 characters."""
    for name, verdict in verdicts.items():
        print(textwrap.fill(f"{name}: {verdict}", 88, subsequent_indent="    "))


def _find_box(low: Corner, high: Corner) -> tuple[Tensor, Tensor]:
    """The corners, each (D,) float64."""
    corners = (torch.atleast_1d(torch.as_tensor(x).double()) for x in (low, high))
    low, high = torch.broadcast_tensors(*corners)
    if low.ndim != 1 or len(low) > 2:
        raise ValueError("low and high have more than two numbers: check two at a time")
    if not (low.isfinite() & high.isfinite() & (low < high)).all():
        raise ValueError(f"low {low.tolist()} must be below high {high.tolist()}")
    return low, high


def _integrate(
    log_prob: LogProb, low: Tensor, high: Tensor, n: int
) -> tuple[Tensor, Tensor]:
    """Midpoint rule: n^D points (n^D, D) and the mass exp(log_prob) of each, (n^D,)."""
    steps = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    axes = [a + (b - a) * steps for a, b in zip(low, high, strict=True)]
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).view(-1, len(low))
    log_p = log_prob(points.to(torch.get_default_dtype()))
    _refuse_shape("log_prob(points)", log_p, (len(points),))
    return points, log_p.double().cpu().exp() * ((high - low) / n).prod()


def _sum_cells(masses: Tensor, n_cells: int, n_dims: int) -> Tensor:
    """Masses of a grid, added up in n_cells^D equal cells: (n_cells^D,)."""
    n_inside = round(len(masses) ** (1 / n_dims)) // n_cells
    cells = masses.view([n_cells, n_inside] * n_dims)
    return cells.sum(list(range(1, 2 * n_dims, 2))).flatten()


def _count_draws(draws: Tensor, low: Tensor, high: Tensor, n_cells: int) -> Tensor:
    """Draws in each cell, in the order of `_sum_cells`, and last those outside."""
    box = torch.stack([low, high], 1).tolist()
    inside, _ = np.histogramdd(draws.numpy(), bins=n_cells, range=box)  # drops NaN
    counts = np.append(inside, len(draws) - inside.sum())
    return torch.from_numpy(counts)


def _find_worst(
    counts: Tensor, expected: Tensor, low: Tensor, high: Tensor, n_cells: int
) -> str:
    """The place with the largest share of chi-square, and the shares due and found."""
    worst = ((counts - expected).square() / expected.clamp(min=_FEWEST)).argmax()
    place = "outside the box"
    if worst < len(counts) - 1:
        index = np.unravel_index(int(worst), [n_cells] * len(low))
        middle = low + (high - low) * (torch.tensor(index) + 0.5) / n_cells
        numbers = ", ".join(f"{x:.2g}" for x in middle.tolist())
        place = f"near ({numbers})" if len(middle) > 1 else f"near {numbers}"
    shares = counts[worst] / counts.sum(), expected[worst] / counts.sum()
    return f"{shares[0]:.1%} of the samples {place}, expected {shares[1]:.1%}"


def _pool_small(counts: Tensor, expected: Tensor) -> tuple[Tensor, Tensor]:
    """Put the cells that expect too few draws into one, the first."""
    order = expected.argsort()
    counts, expected = counts[order], expected[order]
    n = int((expected < _FEWEST).sum())
    n += bool(expected[:n].sum() < _FEWEST)  # one more, which makes it enough
    if len(expected) - n < 1:
        raise ValueError("most mass is in one cell: put low and high closer around it")
    pool = [x[:n].sum().view(1) for x in (counts, expected)]
    return torch.cat([pool[0], counts[n:]]), torch.cat([pool[1], expected[n:]])


def _explain_integral(integral: float, at_edge: bool) -> str:
    """What may be wrong with a density whose integral this is."""
    if math.isnan(integral):
        return "NaN: a log or a root of a negative number?"
    if integral > 1:
        return "a term added too often, or a normalizing term lost?"
    if at_edge:
        return "mass at the edge: a box too small?"
    return "a term subtracted too often, or a factor lost?"


def _explain_draws(
    draws: Tensor, points: Tensor, masses: Tensor, low: Tensor, high: Tensor
) -> str:
    """The moment in which draws and density differ most, within the box."""
    inside = draws[((draws >= low) & (draws <= high)).all(1)]
    share, total = len(inside) / len(draws), masses.sum().item()
    if not abs(total - share) <= _CLEAR:
        return (
            f"over the box exp(log_prob) integrates to {total:.3g}, and {share:.0%} of"
            " the samples are in it: does check_density hold?"
        )
    got, due = (
        _moments(inside, torch.ones(len(inside)).double()),
        _moments(points, masses),
    )
    scale = due["standard deviation"]
    differ = {
        "mean": (got["mean"] - due["mean"]) / scale,
        "standard deviation": (got["standard deviation"] / scale).log(),
        "correlation": got["correlation"] - due["correlation"],
    }
    name = max(differ, key=lambda name: differ[name].abs().max())
    if differ[name].abs().max() <= _CLEAR:
        return "mean, standard deviation and correlation agree: another shape?"
    i = int(differ[name].abs().argmax())
    why = {
        "mean": "a sign or a shift?",
        "standard deviation": "σ² for σ, or a ½ lost?",
        "correlation": "dimensions that should, or should not, be independent?",
    }[name]
    of = "" if name == "correlation" else f" of z_{i + 1}"
    return f"{name}{of} {got[name][i]:.2f}, expected {due[name][i]:.2f}: {why}"


def _moments(points: Tensor, weights: Tensor) -> dict[str, Tensor]:
    """Of points (N, D): mean (D,), standard deviation (D,), correlation (1,)."""
    weights = weights[:, None] / weights.sum()
    mean = (weights * points).sum(0)
    covariance = (points - mean).T @ (weights * (points - mean))
    deviation = covariance.diagonal().sqrt()
    correlation = (covariance[0, -1] / deviation[0] / deviation[-1]).view(1)
    return {"mean": mean, "standard deviation": deviation, "correlation": correlation}


def _explain_mean(got: float, due: float) -> str:
    """What may be wrong with a mean that is `got` where `due` is right."""
    if not 0.5 * abs(due) <= abs(got):
        return "batches that are not read?"
    if abs(got) > 2 * abs(due):
        return "a sum for a mean?"
    return "batches not weighted by their size, or one left out?"


def _refuse_shape(name: str, got: Tensor, due: Sequence[int]) -> None:
    if got.shape != tuple(due):
        shapes = f"has shape {tuple(got.shape)} and must have {tuple(due)}"
        raise ValueError(f"{name} {shapes}: sum over what belongs to one draw or image")


def _compare(
    claim: str,
    pairs: Mapping[str, tuple[float, float]],
    tolerance: float,
    explain: Callable[[float, float], str],
) -> Verdict:
    """Is each number what is due? pairs: where → (number, due)."""
    errors = {where: abs(got - due) for where, (got, due) in pairs.items()}
    worst = max(errors, key=lambda where: (math.isnan(errors[where]), errors[where]))
    wrong = sum(not error <= tolerance for error in errors.values())
    got, due = pairs[worst]
    found = f"{got:.4g} {worst}, expected {due:.4g}, {wrong} of {len(pairs)} wrong; "
    return Verdict(wrong == 0, claim, found + explain(got, due), errors[worst])
