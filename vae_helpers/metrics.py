"""How far each dimension of a code stands for one factor of the data.

All start from a table of codes and one of factors, a row for each image:

    codes (N, D)              one z drawn from q(z|x) for each image, or its mean mu
    factor_indices (N, F)     which of its values each factor had, as integers from 0

The factors must have been drawn independently, as `make_sprites` draws them. With mu,
a dimension the model does not use is magnified: its tiny movements are binned and
scored like those of any other. With z they drown in the noise of q, as they do for the
decoder.
"""

import math

import torch
from torch import Tensor

_TAIL = 0.005  # of a dimension's codes at each end; they share the outermost bins


def factor_information(
    codes: Tensor, factor_indices: Tensor, n_bins: int = 20
) -> Tensor:
    """I(z_j; v_k) of each factor v_k and binned dimension z_j, in nats: float64 (F, D).

        I(z; v) = Σ p(z, v) log[ p(z, v) / (p(z) p(v)) ]

    with p(z, v) the share of images with z in that bin and v of that value. The bins
    are equally wide and cover the middle 99 % of a dimension's codes; what lies outside
    falls into the first and the last. (Bins from the lowest to the highest code, as in
    Locatello et al. (2019), would widen with the most extreme image.) A dimension whose
    middle 99 % are one number knows nothing: I = 0.

    At most log(n_bins), and too high by about (n_bins − 1)(values of v − 1) / 2N.

    Raises `ValueError` for wrong shapes, codes that are not finite, indices that are
    not whole or negative.
    """
    _refuse_bad_tables(codes, factor_indices)
    if n_bins < 2:
        raise ValueError(f"n_bins is {n_bins}: at least two are needed")
    bins = _equal_width_bins(codes.double(), n_bins).cpu()  # (N, D)
    factors = factor_indices.long().cpu()
    rows = [[_information(z, v) for z in bins.unbind(1)] for v in factors.unbind(1)]
    return torch.tensor(rows, dtype=torch.float64, device=codes.device)


def mutual_information_gaps(
    codes: Tensor, factor_indices: Tensor, n_bins: int = 20
) -> Tensor:
    """How far the best dimension leads in knowing each factor: (F,), float64.

        gap_k = [ I(z_j(k); v_k) − max over j ≠ j(k) of I(z_j; v_k) ] / H(v_k)

    where j(k) is the dimension with the most information on v_k, and H the entropy. 1:
    one dimension tells the factor and no other knows of it; 0: two know the same, or
    none knows anything. A factor with more than n_bins values cannot reach 1. A factor
    with one value has no entropy, and its gap is NaN.

    Source: Chen et al. (2018), "Isolating Sources of Disentanglement in VAEs". Errors:
    as `factor_information`.
    """
    information = factor_information(codes, factor_indices, n_bins)
    none = torch.zeros_like(information[:, :1])  # the rival where there is no other
    best, second = torch.cat([information, none], 1).topk(2, dim=1).values.unbind(1)
    entropies = [_entropy(v) for v in factor_indices.long().unbind(1)]
    entropy = information.new_tensor(entropies)
    return torch.where(entropy > 0, (best - second) / entropy, math.nan)


def mutual_information_gap(
    codes: Tensor, factor_indices: Tensor, n_bins: int = 20
) -> float:
    """MIG: the mean gap of the factors that vary, between 0 and 1.

    Source: Chen et al. (2018). Errors: as `factor_information`, and where no factor
    varies.
    """
    _refuse_bad_tables(codes, factor_indices)
    _find_varying(factor_indices)
    return mutual_information_gaps(codes, factor_indices, n_bins).nanmean().item()


def factor_vae_votes(
    codes: Tensor,
    factor_indices: Tensor,
    *,
    n_votes: int = 5000,
    group_size: int = 64,
    seed: int = 0,
) -> Tensor:
    """Which dimension stands still when a factor does: counts (D, F), int64.

    One vote: pick a factor k and one of its values; draw `group_size` images that have
    it, all else free; vote for (j, k) with

        j = argmin of  Var(z_j in the group) / Var(z_j over all images).

    The factors that vary get n_votes / F votes each, rounded up; others get none. The
    images are drawn from the table, with repetition. A constant dimension never wins.

    Source: Kim & Mnih (2018), "Disentangling by Factorising". Raises `ValueError` as
    `factor_information`, where no factor varies, and where a value has one image only.
    """
    _refuse_bad_tables(codes, factor_indices)
    if min(n_votes, group_size - 1) < 1:
        raise ValueError("at least one vote and two images a group are needed")
    codes, n_dims = codes.double(), codes.shape[1]
    total = codes.var(0)
    generator = torch.Generator().manual_seed(seed)
    varying = _find_varying(factor_indices)
    votes = torch.zeros(n_dims, factor_indices.shape[1], dtype=torch.int64)
    for k in varying:
        each = -(-n_votes // len(varying))
        rows = _groups(factor_indices[:, k].long(), each, group_size, generator)
        ratio = torch.where(total > 0, codes[rows].var(1) / total, math.inf)  # (M, D)
        votes[:, k] = ratio.argmin(1).bincount(minlength=n_dims)
    return votes


def factor_vae_score(
    codes: Tensor,
    factor_indices: Tensor,
    *,
    n_votes: int = 5000,
    group_size: int = 64,
    seed: int = 0,
) -> float:
    """How often the dimension that stands still gives the factor away, from 1/F to 1.

        score = Σ_j max_k V_jk / Σ_jk V_jk,   V from `factor_vae_votes`

    That is the share of votes the best rule "dimension j means factor k" gets right. A
    useless code gets 1/F, plus a few hundredths because the rule is judged on the votes
    it was made from. It asks that a dimension tells one factor, not that a factor is
    told by one dimension: a duplicated code loses nothing here, unlike in MIG.

    Source: Kim & Mnih (2018). Errors: as `factor_vae_votes`.
    """
    votes = factor_vae_votes(
        codes, factor_indices, n_votes=n_votes, group_size=group_size, seed=seed
    )
    return (votes.max(1).values.sum() / votes.sum()).item()


def _equal_width_bins(codes: Tensor, n_bins: int) -> Tensor:
    """Bin numbers from 0: (N, D) → (N, D); all the same in a constant dimension."""
    ordered, last = codes.sort(0).values, len(codes) - 1
    skip = int(_TAIL * last)
    low, high = ordered[skip], ordered[last - skip]
    width = torch.where(high > low, (high - low) / n_bins, math.inf)
    return ((codes - low) / width).floor().clamp(0, n_bins - 1).long()


def _information(bins: Tensor, values: Tensor) -> float:
    """I in nats of two columns of whole numbers from 0, (N,) each."""
    from sklearn.metrics import mutual_info_score  # not at the top: it loads slowly

    shape = (int(bins.max()) + 1, int(values.max()) + 1)
    cells = (bins * shape[1] + values).bincount(minlength=math.prod(shape))
    return mutual_info_score(None, None, contingency=cells.view(shape).numpy())


def _entropy(values: Tensor) -> float:
    """H in nats of a column of whole numbers from 0, (N,)."""
    p = values.bincount().double() / len(values)
    return -torch.xlogy(p, p).sum().item()


def _groups(
    values: Tensor, n_groups: int, group_size: int, generator: torch.Generator
) -> Tensor:
    """Row numbers (n_groups, group_size); in each group all have one value.

    values: (N,), from 0. A group's value is drawn evenly, its rows with repetition.
    """
    by_value, counts = values.argsort().cpu(), values.bincount().cpu()
    if (counts == 1).any():
        raise ValueError("a factor's value has one image only: give more images")
    starts = counts.cumsum(0) - counts
    present = counts.nonzero()[:, 0]
    chosen = torch.randint(len(present), (n_groups,), generator=generator)
    chosen = present[chosen]
    share = torch.rand(n_groups, group_size, generator=generator, dtype=torch.float64)
    places = starts[chosen, None] + (share * counts[chosen, None]).long()
    return by_value[places]


def _find_varying(factor_indices: Tensor) -> list[int]:
    """The columns with more than one value."""
    moves = (factor_indices != factor_indices[:1]).any(0)
    if not moves.any():
        raise ValueError("no factor varies: each column of factor_indices is constant")
    return moves.nonzero()[:, 0].tolist()


def _refuse_bad_tables(codes: Tensor, factor_indices: Tensor) -> None:
    shapes = f"codes {tuple(codes.shape)}, factor_indices {tuple(factor_indices.shape)}"
    if codes.ndim != 2 or factor_indices.ndim != 2 or 0 in codes.shape:
        raise ValueError(f"{shapes}: they must be (N, D) and (N, F)")
    if len(codes) != len(factor_indices) or not factor_indices.shape[1]:
        raise ValueError(f"{shapes}: both need a row for each of the N images")
    if not codes.isfinite().all():
        raise ValueError("codes hold NaN or infinite numbers")
    whole = factor_indices == factor_indices.floor()
    if not whole.all() or (factor_indices < 0).any():
        raise ValueError(
            "factor_indices must be whole numbers from 0: give the index of each "
            "value, not the value"
        )
