"""Disentanglement metrics on codes of known score, and against their definitions."""

import itertools
import math
from collections import Counter

from vae_helpers.metrics import (
    factor_information,
    factor_vae_score,
    factor_vae_votes,
    mutual_information_gap,
    mutual_information_gaps,
)

import pytest
import torch
from torch.testing import assert_close

torch.set_num_threads(1)

SCORES = pytest.mark.parametrize("score", [mutual_information_gap, factor_vae_score])


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64)


def grid(*sizes, copies=1):
    """Every combination of factor values, `copies` times: (copies · Π sizes, F)."""
    rows = torch.tensor(list(itertools.product(*(range(k) for k in sizes))))
    return rows.repeat(copies, 1)


def standardize(factors):
    factors = factors.double()
    return (factors - factors.mean(0)) / factors.std(0)


def rotate(codes, degrees):
    """The first two dimensions turned; the others left alone."""
    angle = math.radians(degrees)
    turn = torch.eye(codes.shape[1], dtype=codes.dtype)
    turn[:2, :2] = torch.tensor(
        [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    )
    return codes @ turn.T


def defined_information(a, b):
    """Σ p(a, b) log[ p(a, b) / (p(a) p(b)) ] over the pairs that occur."""
    a, b = a.tolist(), b.tolist()
    n, n_a, n_b = len(a), Counter(a), Counter(b)
    return sum(
        n_ab / n * math.log(n_ab * n / (n_a[i] * n_b[j]))
        for (i, j), n_ab in Counter(zip(a, b, strict=True)).items()
    )


FACTORS = grid(3, 6, 8, copies=20)  # 2880 rows
CODES = standardize(FACTORS)
MIXED = rotate(CODES, 35) + normal(*CODES.shape)  # neither perfect nor useless


# ── mutual information ──────────────────────────────────────────────────────────────


def test_information_is_that_of_its_definition():
    factors, codes = grid(2, 5, 7, copies=10), normal(700, 4)
    codes[:, :2] += standardize(factors)[:, [2, 1]]
    information = factor_information(codes, factors, n_bins=6)
    assert (information.shape, information.dtype) == ((3, 4), torch.float64)
    for j, z in enumerate(codes.T.contiguous()):
        # by hand: 700 codes, three and a half of which are left out at each end
        low, high = z.sort().values[[3, 696]]
        inner = torch.linspace(low, high, 7, dtype=torch.float64)[1:-1]
        bins = torch.bucketize(z, inner, right=True)
        for k, v in enumerate(factors.unbind(1)):
            assert_close(information[k, j].item(), defined_information(v, bins))


def test_rows_are_factors_and_columns_dimensions():
    codes = torch.stack([CODES[:, 2], CODES[:, 0], normal(len(CODES)), CODES[:, 1]], 1)
    information = factor_information(codes, FACTORS)
    assert information.argmax(1).tolist() == [1, 3, 0]
    expected = torch.tensor([3.0, 6, 8], dtype=torch.float64).log()
    assert_close(information.max(1).values, expected)


@pytest.mark.parametrize("flip", [0.0, 0.1, 0.3, 0.5])
def test_binary_channel(flip):
    # I = log 2 − H(flip), with the flips counted out so that it holds exactly
    v = torch.tensor([0, 1]).repeat_interleave(1000)
    flipped = (torch.arange(2000) % 1000) < round(1000 * flip)
    z = torch.where(flipped, 1 - v, v)
    loss = sum(-p * math.log(p) for p in (flip, 1 - flip) if p)
    information = factor_information(z[:, None].double() * 3 - 7, v[:, None])
    assert_close(information.item(), math.log(2) - loss)


def test_symmetric_channel_of_many_values():
    # v is kept with chance 0.7, else replaced by one of the other four, evenly
    n, k, keep = 200_000, 5, 0.7
    v = torch.arange(n) % k
    moved = torch.rand(n, generator=seeded()) > keep
    step = torch.randint(1, k, (n,), generator=seeded(1))
    z = torch.where(moved, (v + step) % k, v)
    noise = -keep * math.log(keep) - (1 - keep) * math.log((1 - keep) / (k - 1))
    information = factor_information(z[:, None].double(), v[:, None])
    assert_close(information.item(), math.log(k) - noise, rtol=0, atol=0.005)


@pytest.mark.parametrize("width", [0.5, 1.0, 2.0, 4.0])
def test_uniform_code_plus_uniform_noise(width):
    # z = v + width · U(0, 1) with v = 0…3: h(z) − log(width), h from the overlaps
    n, k = 400_000, 4
    v = torch.arange(n) % k
    u = torch.rand(n, generator=seeded(), dtype=torch.float64)
    information = factor_information((v + width * u)[:, None], v[:, None], n_bins=400)
    points = torch.linspace(0, k + width, 400_001, dtype=torch.float64)[:-1]
    starts = torch.arange(k)[:, None]
    density = ((points >= starts) & (points < starts + width)).double().mean(0) / width
    entropy = -torch.xlogy(density, density).mean() * (k + width)
    expected = (entropy - math.log(width)).item()
    assert_close(information.item(), expected, rtol=0, atol=0.015)


def test_gaussian_code_of_a_coin():
    # v = ±1 with normal noise: I = h(mixture) − h(noise), by quadrature
    n, sd = 400_000, 0.8
    v = torch.arange(n) % 2
    z = 2 * v - 1 + sd * normal(n)
    x = torch.linspace(-8, 8, 20_001, dtype=torch.float64)
    density = sum(torch.exp(-0.5 * ((x - m) / sd) ** 2) for m in (-1, 1))
    density = density / (2 * sd * math.sqrt(2 * math.pi))
    mixture = -torch.trapezoid(torch.xlogy(density, density), x)
    noise = 0.5 * math.log(2 * math.pi * math.e * sd**2)
    information = factor_information(z[:, None], v[:, None], n_bins=100)
    assert_close(information.item(), (mixture - noise).item(), rtol=0, atol=0.005)


def test_the_bias_of_a_useless_code_is_the_documented_one():
    factors, codes = grid(10, copies=500), normal(5000, 40)
    bias = factor_information(codes, factors, n_bins=20).mean().item()
    assert_close(bias, 19 * 9 / 10_000, rtol=0.15, atol=0)


def test_a_dead_dimension_knows_nothing():
    codes = torch.stack([torch.full((2880,), 3.7), CODES[:, 0].float()], 1)
    assert factor_information(codes, FACTORS)[:, 0].tolist() == [0, 0, 0]
    # all but a few codes are one number
    codes[:10, 0] = 100 * torch.arange(10)
    assert factor_information(codes, FACTORS)[:, 0].max() == 0


def test_outliers_do_not_squeeze_the_rest_into_one_bin():
    far = CODES.clone()
    far[0], far[1] = 1e6, -1e9
    near = factor_information(CODES, FACTORS)
    assert_close(factor_information(far, FACTORS), near, rtol=0, atol=0.01)


def test_information_never_exceeds_bins_or_entropy():
    factors = grid(40, copies=50)
    codes = standardize(factors)
    for n_bins, most in ((20, math.log(20)), (40, math.log(40)), (300, math.log(40))):
        assert_close(factor_information(codes, factors, n_bins).item(), most)


# ── MIG ─────────────────────────────────────────────────────────────────────────────


def test_a_perfect_code_has_gap_1():
    assert_close(mutual_information_gap(CODES, FACTORS), 1.0)
    gaps = mutual_information_gaps(CODES[:, [2, 0, 1]], FACTORS)
    assert_close(gaps, torch.ones(3).double())
    assert_close(mutual_information_gap(CODES[:, :1], FACTORS[:, :1]), 1.0)


def test_a_useless_code_has_gap_0_but_for_its_bias():
    codes = normal(len(FACTORS), 6)
    bias = 19 * 7 / (2 * len(FACTORS))  # of the information itself; the gap has less
    assert 0 <= mutual_information_gap(codes, FACTORS) < bias / math.log(8)


def test_a_duplicated_code_has_gap_0():
    assert mutual_information_gap(CODES.repeat(1, 2), FACTORS) == 0
    one_twice = torch.cat([CODES, 5 - 2 * CODES[:, 1:2]], 1)
    gaps = mutual_information_gaps(one_twice, FACTORS)
    assert_close(gaps, torch.tensor([1.0, 0, 1]).double())


def test_a_rotated_code_has_gap_0():
    factors = grid(10, 10, 4, copies=10)
    codes = standardize(factors)
    gaps = mutual_information_gaps(rotate(codes, 45), factors)
    assert gaps[:2].max() < 0.01
    assert_close(gaps[2].item(), 1.0)
    small = mutual_information_gaps(rotate(codes, 15), factors)
    assert ((small[:2] > 0.1) & (small[:2] < 0.9)).all()


def test_the_gap_is_normalized_by_the_entropy():
    # Known on 0.9 of the images, guessed on the others
    factors = grid(8, 3, copies=100)
    noisy = factors.clone()
    wrong = torch.rand(len(factors), generator=seeded()) < 0.1
    noisy[wrong] = noisy[wrong].roll(1, 0)
    gaps = mutual_information_gaps(standardize(noisy), factors)
    for k in range(2):
        v = factors[:, k]
        own, other = (defined_information(v, noisy[:, j]) for j in (k, 1 - k))
        assert_close(gaps[k].item(), (own - other) / defined_information(v, v))


def test_the_mean_is_over_the_factors_that_vary():
    fixed = torch.cat([FACTORS, torch.full((len(FACTORS), 1), 2)], 1)
    codes = rotate(CODES, 20)
    gaps = mutual_information_gaps(codes, fixed)
    assert gaps.isnan().tolist() == [False, False, False, True]
    whole = mutual_information_gap(codes, FACTORS)
    assert_close(mutual_information_gap(codes, fixed), whole)
    assert_close(gaps[:3].mean().item(), whole)


# ── the FactorVAE score ─────────────────────────────────────────────────────────────


def test_a_perfect_code_gives_every_factor_away():
    votes = factor_vae_votes(CODES[:, [1, 2, 0]], FACTORS, n_votes=300)
    assert votes.tolist() == [[0, 100, 0], [0, 0, 100], [100, 0, 0]]
    assert factor_vae_score(CODES, FACTORS) == 1.0


def test_a_useless_code_guesses():
    score = factor_vae_score(normal(len(FACTORS), 6), FACTORS)
    assert 1 / 3 <= score < 1 / 3 + 0.05
    dead = torch.ones(len(FACTORS), 2)
    assert_close(factor_vae_score(dead, FACTORS), 1 / 3, rtol=0, atol=1e-3)


def test_a_duplicated_code_loses_nothing_here():
    assert factor_vae_score(CODES.repeat(1, 2), FACTORS) == 1.0


def test_a_rotated_code_cannot_tell_the_two_apart():
    factors = grid(10, 10, copies=30)
    score = factor_vae_score(rotate(standardize(factors), 45), factors)
    assert 0.5 <= score < 0.55


def test_one_dimension_for_two_factors_can_tell_only_one():
    code = torch.stack([FACTORS[:, 0] + 3 * FACTORS[:, 1], FACTORS[:, 2]], 1).double()
    score = factor_vae_score(code, FACTORS)
    assert_close(score, 2 / 3, rtol=0, atol=0.01)


def test_votes_are_those_of_the_definition():
    factors, codes = grid(3, 4, copies=60), normal(720, 3)
    codes[:, 2] += 0.8 * factors[:, 1]
    votes = factor_vae_votes(codes, factors, n_votes=4000, group_size=20, seed=1)
    assert votes.sum(0).tolist() == [2000, 2000]
    by_hand, generator = torch.zeros(3, 2), seeded(5)
    for k, size in enumerate((3, 4)):  # the same experiment, one group after another
        for _ in range(2000):
            value = torch.randint(size, (), generator=generator)
            alike = codes[factors[:, k] == value]
            rows = torch.randint(len(alike), (20,), generator=generator)
            by_hand[(alike[rows].var(0) / codes.var(0)).argmin(), k] += 1
    assert_close(votes / 2000.0, by_hand / 2000, rtol=0, atol=0.05)


def test_a_fixed_factor_gets_no_votes():
    fixed = torch.cat([FACTORS[:, :1] * 0 + 4, FACTORS], 1)
    votes = factor_vae_votes(CODES, fixed, n_votes=301)
    assert votes.sum(0).tolist() == [0, 101, 101, 101]
    assert factor_vae_score(CODES, fixed) == 1.0


def test_one_vote_of_two_images_is_enough_and_the_usual_ones_are_5000():
    lone = FACTORS * torch.tensor([0, 1, 0])
    assert factor_vae_votes(CODES, lone).sum(0).tolist() == [0, 5000, 0]
    assert factor_vae_votes(CODES, lone, n_votes=1, group_size=2).sum() == 1


def test_a_dead_dimension_never_wins():
    codes = torch.cat([torch.full((len(CODES), 1), 0.25), CODES], 1)
    assert factor_vae_votes(codes, FACTORS)[0].sum() == 0


def test_values_that_do_not_occur_are_not_drawn():
    assert factor_vae_score(CODES, 2 * FACTORS + 1) == 1.0


def test_the_seed_decides_and_the_global_state_is_left_alone():
    before = torch.get_rng_state()
    first, again, other = (
        factor_vae_votes(normal(len(FACTORS), 6), FACTORS, seed=s) for s in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    usual = {"n_votes": 5000, "group_size": 64, "seed": 0}
    assert torch.equal(
        factor_vae_votes(MIXED, FACTORS), factor_vae_votes(MIXED, FACTORS, **usual)
    )
    score = factor_vae_score(MIXED, FACTORS)
    assert score == factor_vae_score(MIXED, FACTORS, **usual)
    assert torch.equal(torch.get_rng_state(), before)


# ── what must not matter ────────────────────────────────────────────────────────────


@SCORES
def test_order_scale_and_sign_of_the_dimensions_do_not_matter(score):
    codes = MIXED
    expected = score(codes, FACTORS)
    assert 0.05 < expected < 0.95
    for other in (codes[:, [2, 0, 1]], codes * torch.tensor([1, 100, 0.01]), -codes):
        assert_close(score(other + 3, FACTORS), expected, rtol=0, atol=0.005)


@SCORES
def test_order_of_images_and_of_factors_does_not_matter(score):
    codes = MIXED
    order = torch.randperm(len(codes), generator=seeded())
    expected = score(codes, FACTORS)
    shuffled = score(codes[order], FACTORS[order][:, [2, 0, 1]])
    assert_close(shuffled, expected, rtol=0, atol=0.02)


@SCORES
def test_types_do_not_matter(score):
    codes = rotate(CODES, 20)
    expected = score(codes, FACTORS)
    for factors in (FACTORS.double(), FACTORS.to(torch.uint8), FACTORS.int()):
        assert score(codes, factors) == expected
    assert_close(score(codes.float(), FACTORS), expected, rtol=0, atol=0.005)


# ── errors ──────────────────────────────────────────────────────────────────────────


@SCORES
@pytest.mark.parametrize(
    ("codes", "factors", "message"),
    [
        (
            CODES[:-1],
            FACTORS,
            r"codes \(2879, 3\), factor_indices \(2880, 3\).*row for",
        ),
        (CODES.T, FACTORS, "a row for each"),
        (CODES[:, 0], FACTORS, r"must be \(N, D\) and \(N, F\)"),
        (CODES, FACTORS[:, 0], r"must be \(N, D\)"),
        (CODES[:0], FACTORS[:0], r"must be \(N, D\)"),
        (CODES[:, :0], FACTORS, r"must be \(N, D\)"),
        (CODES, FACTORS[:, :0], "a row for each"),
        (CODES * math.nan, FACTORS, "NaN"),
        (CODES + math.inf, FACTORS, "NaN or infinite"),
        (CODES, CODES, "whole numbers from 0"),
        (CODES, FACTORS * math.nan, "whole numbers from 0"),
        (CODES, FACTORS - 1, "whole numbers from 0"),
        (CODES, FACTORS * 0, "no factor varies"),
    ],
)
def test_bad_tables_are_refused(score, codes, factors, message):
    with pytest.raises(ValueError, match=message):
        score(codes, factors)


def test_two_bins_are_enough_for_a_coin():
    coin = grid(2, copies=50)
    assert_close(factor_information(coin.double(), coin, 2).item(), math.log(2))
    assert_close(mutual_information_gap(coin.double(), coin, 2), 1.0)


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="n_bins is 1"):
        mutual_information_gap(CODES, FACTORS, n_bins=1)
    for settings in ({"n_votes": 0}, {"group_size": 1}):
        with pytest.raises(ValueError, match="at least one vote and two images"):
            factor_vae_score(CODES, FACTORS, **settings)
    with pytest.raises(ValueError, match="one image only"):
        factor_vae_score(CODES[:9], FACTORS[:9])
