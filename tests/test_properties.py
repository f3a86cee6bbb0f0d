"""Checkpoints print stable lines; property checks blame wrong code and only that.

Each mistake of notebook 08 is written again here, and its cure.
"""

import itertools
import math
import re

from vae_helpers import properties
from vae_helpers.checks import checkpoint
from vae_helpers.densities import gaussian_kl, gaussian_log_likelihood, reparameterize
from vae_helpers.evaluation import mean_elbo
from vae_helpers.metrics import factor_information, mutual_information_gap
from vae_helpers.models import VAE
from vae_helpers.objectives import (
    elbo,
    explain_loss,
    iwae_bound,
    log_importance_weights,
)
from vae_helpers.properties import (
    check_bound,
    check_density,
    check_mean,
    check_metric,
    check_sampler,
)

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn
from torch.distributions import MultivariateNormal, Normal
from torch.testing import assert_close

torch.set_num_threads(1)

SEEDS = range(20)
BOX = [-6.0, -6.0], [6.0, 6.0]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(shape, generator=seeded(seed))


# ── checkpoints ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("holds", [True, np.bool_(True), torch.tensor(3) > 2])
def test_a_claim_that_holds_prints_itself_and_not_the_figures(holds, capsys):
    checkpoint("the loss falls", holds, "from 3.21 to 1.23")
    assert capsys.readouterr().out == "✓ the loss falls\n"


@pytest.mark.parametrize("holds", [False, np.bool_(False), torch.tensor(1) > 2])
def test_a_claim_that_fails_prints_the_figures_and_stops_nothing(holds, capsys):
    checkpoint("the loss falls", holds, "(from 1.2 to 3.4)")
    expected = "✗ not on this run: the loss falls (from 1.2 to 3.4)\n"
    assert capsys.readouterr().out == expected


def test_a_claim_that_fails_without_figures_leaves_no_blank_at_the_end(capsys):
    checkpoint("the loss falls", False)
    assert capsys.readouterr().out == "✗ not on this run: the loss falls\n"


@pytest.mark.parametrize(
    "holds",
    [
        math.nan,
        1,
        0.0,
        "yes",
        None,
        torch.tensor(1.0),
        torch.tensor([True]),
        np.ones(1),
    ],
)
def test_what_is_no_bool_is_refused_with_what_to_do(holds, capsys):
    with pytest.raises(TypeError, match=r"must be True or False .* limit.*\.all\(\)"):
        checkpoint("the loss falls", holds)
    assert capsys.readouterr().out == ""


# ── what the checks are tried on ────────────────────────────────────────────────────


def standard_normal(z):
    return gaussian_log_likelihood(torch.zeros_like(z), z, 0.0)


def draw_standard_normal(n, generator, n_dims=2):
    return torch.randn(n, n_dims, generator=generator)


class LinearGaussian:
    """z ~ N(0, I), x|z ~ N(zW, I/2), with rows of W at right angles; q is off."""

    weights = torch.tensor([[1.5, 0, 1, 0, 0.5, 0], [0, 1.0, 0, -0.5, 0, 0.5]])
    logvar = math.log(0.5)

    def __init__(self, move=0.3, widen=0.6):
        self.move, self.widen = move, widen

    def log_px(self, x):
        covariance = self.weights.T @ self.weights + 0.5 * torch.eye(6)
        return MultivariateNormal(torch.zeros(6), covariance).log_prob(x)

    def encode(self, x):
        precision = 1 + self.weights.square().sum(1) / 0.5  # of p(z|x)
        mu = x @ self.weights.T / 0.5 / precision + self.move
        return mu, (self.widen - precision.log()).expand_as(mu)

    def log_likelihood(self, x, z):
        return gaussian_log_likelihood(x, z @ self.weights, self.logvar)

    def sample(self, n, seed=0):
        z, eps = normal(n, 2, seed=seed), normal(n, 6, seed=seed + 1000)
        return z @ self.weights + 0.5**0.5 * eps


TOY, X = LinearGaussian(), LinearGaussian().sample(20)
LOG_PX = TOY.log_px(X)

FACTORS = torch.cartesian_prod(torch.arange(4), torch.arange(6)).repeat(50, 1)
PERFECT = FACTORS.float() - FACTORS.float().mean(0)
BY_45 = PERFECT / PERFECT.std(0) @ torch.tensor([[1.0, 1], [-1, 1]])
KNOWN = {
    "perfect": (PERFECT, 1.0),
    "swapped": (PERFECT.flip(1), 1.0),
    "doubled": (torch.cat([PERFECT, PERFECT], 1), 0.0),
    "constant": (torch.zeros(len(FACTORS), 2), 0.0),
}


# ── right code passes, whatever the seed ────────────────────────────────────────────


def test_a_normal_density_in_one_and_two_dimensions():
    for low, high in ((-6, 6), BOX, ([-7.0, -6], 6)):
        verdict = check_density(standard_normal, low, high)
        assert verdict
        assert verdict.value == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("n_dims", [1, 2])
def test_a_right_sampler_is_not_blamed(n_dims):
    def sample(n, generator):
        return draw_standard_normal(n, generator, n_dims)

    box = [-5.0] * n_dims, [5.0] * n_dims
    for seed in range(40):
        assert check_sampler(sample, standard_normal, *box, seed=seed)


@pytest.mark.parametrize("rate", [0.05, 0.3])
def test_false_alarms_are_as_many_as_stated(rate):
    alarms = [
        not check_sampler(
            draw_standard_normal,
            standard_normal,
            *BOX,
            n_samples=2000,
            false_alarms=rate,
            seed=seed,
        )
        for seed in range(400)
    ]
    deviation = (rate * (1 - rate) / 400) ** 0.5
    assert abs(np.mean(alarms) - rate) < 4 * deviation


def test_a_box_that_cuts_is_no_reason_to_blame_the_sampler():
    for seed in SEEDS:
        box = [-1.0, 0.0], [2.0, 2.0]
        assert check_sampler(draw_standard_normal, standard_normal, *box, seed=seed)


@pytest.mark.parametrize("move", [0.0, 0.3, 2.0])
def test_the_iwae_bound_is_not_blamed_even_where_q_is_exact(move):
    model = LinearGaussian(move, widen=2 * move)
    for seed in SEEDS:
        x = model.sample(20, seed=seed)
        verdict = check_bound(
            lambda k, generator, x=x: iwae_bound(model, x, k, generator),
            model.log_px(x),
            n_runs=50,
            seed=seed,
        )
        assert verdict, verdict
        assert verdict.value < 0.1


def test_our_mutual_information_gap_gives_its_known_values():
    assert check_metric(mutual_information_gap, FACTORS, KNOWN)
    for seed in SEEDS:
        order = torch.randperm(len(FACTORS), generator=seeded(seed))
        shuffled = {name: (codes[order], due) for name, (codes, due) in KNOWN.items()}
        assert check_metric(mutual_information_gap, FACTORS[order], shuffled)


def test_our_mean_elbo_is_a_mean_over_images():
    torch.manual_seed(0)
    model = VAE(2, hidden_sizes=(8,))
    for seed in SEEDS:
        images = torch.rand(10, 1, 28, 28, generator=seeded(seed))
        images *= torch.linspace(0.2, 1, 10).view(-1, 1, 1, 1)  # not all alike
        error = mean_elbo(model, images, seed=seed).error

        seeds = itertools.count(seed)  # else all single images get the same draws

        def evaluate(images, batch_size, seeds=seeds):
            terms = mean_elbo(model, images, batch_size=batch_size, seed=next(seeds))
            return terms.elbo

        def kl(images, batch_size):  # without noise
            return mean_elbo(model, images, batch_size=batch_size).kl

        assert check_mean(evaluate, images, tolerance=5 * error * 2**0.5)
        assert check_mean(kl, images, tolerance=1e-6)


@pytest.mark.parametrize("logvar", [(-1.4, 0.6), (-4.0, 0.0)])
def test_our_reparameterize_draws_from_our_gaussian_density(logvar):
    mu, logvar = torch.tensor([[0.5, -1.0]]), torch.tensor([logvar])

    def log_prob(z):
        return gaussian_log_likelihood(z, mu.expand_as(z), logvar)

    def sample(n, generator):
        return reparameterize(mu, logvar, n, generator)[:, 0]

    box = [-1.0, -7.0], [2.0, 5.0]
    for seed in SEEDS:
        assert check_sampler(sample, log_prob, *box, seed=seed)


# ── 1 · a product of mixtures for a mixture of products ─────────────────────────────

MEANS = torch.tensor([[-2.0, -2.0], [2.0, 2.0]])


def mixture(z, n_dims=2, *, suspect=False):
    log_p = Normal(MEANS[:, None, :n_dims], 0.5).log_prob(z)  # (2, N, D)
    if suspect:
        return (log_p.logsumexp(0) - math.log(2)).sum(1)
    return log_p.sum(2).logsumexp(0) - math.log(2)


def draw_mixture(n, generator, n_dims=2):
    means = MEANS[torch.randint(2, (n,), generator=generator), :n_dims]
    return means + 0.5 * torch.randn(n, n_dims, generator=generator)


def test_a_product_of_mixtures_is_a_density_but_not_the_sampler_s():
    def suspect(z):
        return mixture(z, suspect=True)

    assert check_density(suspect, *BOX)
    assert check_density(mixture, *BOX)
    for seed in SEEDS:
        assert not check_sampler(draw_mixture, suspect, *BOX, seed=seed)
        assert check_sampler(draw_mixture, mixture, *BOX, seed=seed)


def test_in_one_dimension_there_is_nothing_to_see():
    def suspect(z):
        return mixture(z, 1, suspect=True)

    def sample(n, generator):
        return draw_mixture(n, generator, 1)

    assert check_sampler(sample, suspect, -6, 6)


# ── 2 · a Jacobian once per dimension ───────────────────────────────────────────────


def flow(z, *, suspect=False):
    log_scale = torch.stack([torch.zeros_like(z[:, 0]), torch.sin(2 * z[:, 0])], 1)
    u, log_det = z * log_scale.exp(), log_scale.sum(1)
    if suspect:
        return (Normal(0.0, 1.0).log_prob(u) + log_det[:, None]).sum(1)
    return Normal(0.0, 1.0).log_prob(u).sum(1) + log_det


def draw_flow(n, generator):
    u = torch.randn(n, 2, generator=generator)
    return torch.stack([u[:, 0], u[:, 1] * (-torch.sin(2 * u[:, 0])).exp()], 1)


def test_a_jacobian_once_per_dimension_is_no_density():
    box = [-6.0, -15.0], [6.0, 15.0]
    verdict = check_density(lambda z: flow(z, suspect=True), *box)
    assert not verdict
    theta = torch.linspace(-8, 8, 100_001)
    expected = torch.trapezoid(
        (Normal(0.0, 1.0).log_prob(theta) + torch.sin(2 * theta)).exp(), theta
    )
    assert verdict.value == pytest.approx(expected.item(), abs=1e-3)
    assert f"found {verdict.value:.4g}" in str(verdict)
    assert check_density(flow, *box)
    for seed in SEEDS:
        assert check_sampler(draw_flow, flow, *box, n_cells=30, seed=seed)
    assert not check_sampler(draw_flow, lambda z: flow(z, suspect=True), *box)


# ── 3 · the variance as deviation ───────────────────────────────────────────────────


@pytest.mark.parametrize("logvar", [-1.4, 1.0])
@pytest.mark.parametrize("n_dims", [1, 2])
def test_exp_logvar_as_deviation(logvar, n_dims):
    mu = torch.full((1, n_dims), 0.5)
    box = [-8.0] * n_dims, [9.0] * n_dims

    def log_prob(z):
        return gaussian_log_likelihood(z, mu.expand_as(z), logvar)

    def suspect(n, generator):
        return mu + math.exp(logvar) * torch.randn(n, n_dims, generator=generator)

    def cured(n, generator):
        return mu + math.exp(logvar / 2) * torch.randn(n, n_dims, generator=generator)

    for seed in SEEDS:
        assert not check_sampler(suspect, log_prob, *box, seed=seed)
        assert check_sampler(cured, log_prob, *box, seed=seed)


def test_exp_logvar_as_deviation_lifts_the_elbo_above_log_px():
    exact = LinearGaussian(move=0, widen=0)

    def suspect(k, generator):
        mu, logvar = exact.encode(X)
        z = reparameterize(mu, 2 * logvar, k, generator)
        return exact.log_likelihood(X, z).mean(0) - gaussian_kl(mu, logvar)

    assert not check_bound(suspect, LOG_PX)
    assert check_bound(lambda k, generator: elbo(exact, X, k, generator).elbo, LOG_PX)


# ── 4 · importance weights with the wrong sign ──────────────────────────────────────


def weighted_loss(k, generator, sign):
    loss = -log_importance_weights(TOY, X, k, generator)  # (K, B)
    return -((sign * loss).softmax(0) * loss).sum(0)


def test_the_worst_draw_with_the_most_weight_makes_a_bound_that_falls():
    for seed in SEEDS:
        verdict = check_bound(
            lambda k, generator: weighted_loss(k, generator, 1),
            LOG_PX,
            n_runs=50,
            seed=seed,
        )
        assert not verdict
        assert verdict.value < 0  # it is below


def test_the_right_weights_on_the_loss_make_no_bound_either():
    verdict = check_bound(lambda k, generator: weighted_loss(k, generator, -1), LOG_PX)
    assert not verdict
    assert "nats above log p(x) at K = 64, most on image" in str(verdict)
    assert "fall" not in verdict.found
    assert verdict.value > 0


def test_a_bound_that_only_falls_is_blamed_as_one_that_is_only_too_high():
    def fall(k, generator):
        return LOG_PX - math.log(k) - 1 + 0 * normal(1)

    def too_high(k, generator):
        return LOG_PX + 0.01 * math.log(k)

    assert not check_bound(fall, LOG_PX)
    assert not check_bound(too_high, LOG_PX)
    assert check_bound(too_high, LOG_PX, tolerance=0.05)
    last = {1: -2.0, 4: -1.0, 16: -0.5, 64: 0.1}
    verdict = check_bound(lambda k, generator: LOG_PX + last[k], LOG_PX)
    assert not verdict
    assert verdict.found.startswith("0.1 ± 0 nats above log p(x) at K = 64, most on ")
    assert "fall" not in verdict.found
    last[64] = -0.6
    verdict = check_bound(lambda k, generator: LOG_PX + last[k], LOG_PX)
    assert not verdict
    assert verdict.found.startswith("a fall of 0.1 ± 0 nats from K = 16 to 64; ")
    assert "above" not in verdict.found


@pytest.mark.parametrize(("n_errors", "holds"), [(3.9, True), (4.1, False)])
def test_four_standard_errors_are_allowed_above_and_in_a_fall(n_errors, holds):
    n_runs = 100
    signs = itertools.cycle([1, -1])  # ±1 in turn, whose standard error is 0.1005
    error = stats.sem([1, -1] * (n_runs // 2))

    def above(k, generator):
        return LOG_PX + n_errors * error + next(signs)

    def falls(k, generator):  # by an error of the difference, which is √2 of one
        fall = n_errors * math.sqrt(2) * error * (k == 4)
        return LOG_PX - 9 - fall + next(signs)

    for bound in (above, falls):
        verdict = check_bound(bound, LOG_PX, (1, 4), n_runs=n_runs, tolerance=1e-5)
        assert bool(verdict) is holds


def test_the_draws_of_a_bound_come_from_the_seed():
    def bound(k, generator):
        return LOG_PX - torch.rand(1, generator=generator)

    values = [check_bound(bound, LOG_PX, seed=seed).value for seed in (1, 1, 2)]
    assert values[0] == values[1] != values[2]


# ── 5 · a view for a transpose ──────────────────────────────────────────────────────


def gap(codes, factors, *, suspect=False):
    rows = codes.view(codes.shape[1], -1) if suspect else codes.T  # (D, N)
    information = factor_information(rows.T.contiguous(), factors)  # (F, D)
    best, second = information.topk(2, dim=1).values.unbind(1)
    return ((best - second) / torch.tensor([4.0, 6.0]).log()).mean().item()


def test_a_view_for_a_transpose_scrambles_the_dimensions():
    verdict = check_metric(lambda *a: gap(*a, suspect=True), FACTORS, KNOWN)
    assert not verdict
    assert verdict.value > 0.5
    assert check_metric(gap, FACTORS, KNOWN)
    turned = KNOWN | {"turned": (BY_45, 0.0)}
    assert check_metric(gap, FACTORS, turned, tolerance=0.1)


# ── 6 · a return inside the loop ────────────────────────────────────────────────────


def first_batch_only(images, batch_size):
    batches = images.split(batch_size)
    for batch in batches:
        return batch.mean(1).sum().item() / len(batch) / len(batches)


def mean_of_means(images, batch_size):
    return torch.stack([x.mean() for x in images.split(batch_size)]).mean().item()


def all_but_the_last(images, batch_size):
    whole = len(images) // batch_size * batch_size
    return images[:whole].mean().item()


def per_image(images, batch_size):
    return sum(x.mean(1).sum().item() for x in images.split(batch_size)) / len(images)


ROWS = normal(10, 5) + torch.arange(10.0)[:, None]


@pytest.mark.parametrize("suspect", [first_batch_only, mean_of_means, all_but_the_last])
def test_means_that_depend_on_the_batches_are_found(suspect):
    for seed in SEEDS:
        rows = ROWS[torch.randperm(10, generator=seeded(seed))]
        assert not check_mean(suspect, rows)
        assert check_mean(per_image, rows)


def test_a_sum_for_a_mean_is_found_though_batches_do_not_matter():
    assert not check_mean(lambda images, batch_size: images.sum().item(), ROWS)


# ── 7 · a constant once per dimension ───────────────────────────────────────────────


def shifted(z, mean, logvar):
    """log N(z; mean, exp(logvar)) with ½ D log 2π in each of the D terms."""
    constant = 0.5 * z.shape[-1] * math.log(2 * math.pi)
    terms = constant + 0.5 * logvar + 0.5 * (z - mean).square() / logvar.exp()
    return -terms.sum(-1)


def test_a_constant_once_per_dimension_is_seen_in_two_and_not_in_one():
    zero = torch.zeros(())
    assert check_density(lambda z: shifted(z, zero, zero), -6, 6)
    verdict = check_density(lambda z: shifted(z, zero, zero), *BOX)
    assert not verdict
    assert verdict.value == pytest.approx(1 / (2 * math.pi), abs=1e-4)
    log_prob = shifted(torch.zeros(16), zero, zero)
    assert log_prob.item() == pytest.approx(-235.25, abs=0.01)
    assert not check_sampler(
        draw_standard_normal, lambda z: shifted(z, zero, zero), *BOX
    )


def test_a_constant_once_per_dimension_cancels_in_the_bound():
    zero = torch.zeros(())

    def bound(k, generator):
        mu, logvar = TOY.encode(X)
        z = reparameterize(mu, logvar, k, generator)
        log_ratio = shifted(z, zero, zero) - shifted(z, mu, logvar)
        return (TOY.log_likelihood(X, z) + log_ratio).logsumexp(0) - math.log(k)

    assert check_bound(bound, LOG_PX)
    assert_close(bound(5, seeded()), iwae_bound(TOY, X, 5, seeded()))


# ── 8 · averages over different sizes ───────────────────────────────────────────────


def test_averages_over_different_sizes_lie_above_log_px():
    def suspect(k, generator):
        terms = elbo(TOY, X, k, generator)
        return terms.log_px_z / 6 - terms.kl / 2

    assert LOG_PX.mean() < -4
    assert not check_bound(suspect, LOG_PX)
    assert check_bound(lambda k, generator: elbo(TOY, X, k, generator).elbo, LOG_PX)
    beta = explain_loss(error="cross-entropy", n_pixels=784, n_latents=200).beta
    assert beta == pytest.approx(3.92)


# ── verdicts, and what cannot be checked ────────────────────────────────────────────


def test_a_verdict_that_holds_is_a_line_without_numbers():
    verdict = check_density(standard_normal, -6, 6)
    assert str(verdict) == repr(verdict) == "✓ exp(log_prob) integrates to one"
    verdict = check_density(lambda z: standard_normal(z) + 1, -6, 6)
    assert str(verdict).startswith("✗ exp(log_prob) integrates to one: found 2.718 ±")
    assert bool(verdict) is False
    assert len(str(verdict).splitlines()) == 1


def test_nan_is_blamed_everywhere():
    nan = math.nan
    assert not check_density(lambda z: standard_normal(z) * nan, -6, 6)
    assert not check_sampler(
        draw_standard_normal, lambda z: standard_normal(z) * nan, *BOX
    )
    assert not check_sampler(
        lambda n, generator: torch.full((n, 2), nan), standard_normal, *BOX
    )
    assert not check_bound(lambda k, generator: LOG_PX * nan, LOG_PX)
    assert not check_metric(lambda codes, factors: nan, FACTORS, KNOWN)
    assert not check_mean(lambda images, batch_size: nan, ROWS)


def test_draws_outside_the_box_count():
    def stray(n, generator):  # one draw in fifty flies off
        z = draw_standard_normal(n, generator)
        z[::50] = 100.0
        return z

    assert not check_sampler(stray, standard_normal, *BOX)


def test_a_cell_at_the_end_of_the_box_counts():
    def uniform(z):
        return torch.full(z.shape[:1], -math.log(4))

    def lazy(n, generator):  # the last tenth, drawn into the others
        return 3.6 * torch.rand(n, 1, generator=generator)

    assert check_density(uniform, 0, 4)
    assert not check_sampler(lazy, uniform, 0, 4)


def test_the_cell_that_is_named_is_the_worst():
    def uniform(z):
        return torch.full(z.shape[:1], -math.log(4))

    def uneven(n, generator):
        quarters = torch.tensor([4900, 2100, 8000, 5000])  # of 20,000 draws
        return torch.arange(4.0).repeat_interleave(quarters).view(n, 1) + 0.5

    verdict = check_sampler(uneven, uniform, 0, 4, n_cells=4)
    assert "40.0% of the samples near 2.5, expected 25.0%; mean of z_1" in verdict.found


def test_the_p_value_is_that_of_pearson_s_test():
    def uniform(z):
        return torch.zeros(len(z))

    def sample(n, generator):
        return torch.rand(n, 1, generator=generator)

    for seed in range(5):
        verdict = check_sampler(sample, uniform, 0, 1, n_cells=8, seed=seed)
        counts = np.histogram(sample(20_000, seeded(seed)), bins=8, range=(0, 1))[0]
        assert verdict.value == pytest.approx(stats.chisquare(counts).pvalue, rel=1e-6)


def test_a_turned_density_is_told_from_its_mirror_image():
    half = torch.tensor([[1.0, 0.8], [0.0, 0.3]])

    def sample(n, generator):
        return draw_standard_normal(n, generator) @ half

    covariance = half.T @ half
    right = MultivariateNormal(torch.zeros(2), covariance).log_prob
    assert check_sampler(sample, right, *BOX)
    assert not check_sampler(sample, lambda z: right(z * torch.tensor([1, -1])), *BOX)
    far = torch.tensor([0.0, 3.0])  # the axes are not alike
    moved = [-6.0, -3.0], [6.0, 9.0]

    def shift(n, generator):
        return sample(n, generator) + far

    assert check_sampler(shift, lambda z: right(z - far), *moved)
    assert not check_sampler(shift, lambda z: right((z - far).flip(1)), *BOX)


def test_a_grid_too_coarse_to_tell_is_refused():
    def narrow(z):
        return Normal(0.01, 0.02).log_prob(z).sum(1)

    with pytest.raises(ValueError, match=r"too coarse.*raise n_points"):
        check_density(narrow, -6, 6)
    assert check_density(narrow, -6, 6, n_points=4000)

    def sample(n, generator):
        return 0.01 + 0.02 * draw_standard_normal(n, generator, 1)

    with pytest.raises(ValueError, match=r"too coarse.*raise n_cells"):
        check_sampler(sample, narrow, -6, 6)
    assert check_sampler(sample, narrow, -6, 6, n_cells=400)

    def wider(z):  # right at 10 points a cell, far off at half as many
        return Normal(0.3, 0.05).log_prob(z).sum(1)

    with pytest.raises(ValueError, match="cells too coarse"):
        check_sampler(lambda n, g: 0.3 + 5 * sample(n, g), wider, -6, 6)


def test_cells_are_pooled_until_ten_draws_are_expected_and_no_longer():
    counts, expected = torch.tensor([[19.0, 4, 21, 6], [20.0, 5, 20, 5]]).double()
    counts, expected = properties._pool_small(counts, expected)
    assert expected.tolist() == [10, 20, 20]
    assert counts[0] == 10
    assert counts.sum() == 50


@pytest.mark.parametrize(
    ("low", "high", "message"),
    [
        (1, 1, "must be below"),
        ([0.0, 0.0], [1.0, 0.0], "must be below"),
        ([0.0, -math.inf], [1.0, 0.0], "must be below"),
        (-math.inf, 1, "must be below"),
        ([0.0, 0, 0], 1, "two at a time"),
    ],
)
def test_a_bad_box_is_refused(low, high, message):
    with pytest.raises(ValueError, match=message):
        check_density(standard_normal, low, high)
    with pytest.raises(ValueError, match=message):
        check_sampler(draw_standard_normal, standard_normal, low, high)


def test_wrong_shapes_are_refused_with_both_shapes():
    with pytest.raises(ValueError, match=r"log_prob.*\(40000, 2\).*\(40000,\)"):
        check_density(Normal(0.0, 1.0).log_prob, *BOX)
    with pytest.raises(ValueError, match=r"sample.*\(20000,\).*\(20000, 1\)"):
        check_sampler(lambda n, generator: torch.zeros(n), standard_normal, -6, 6)
    with pytest.raises(ValueError, match=r"bound.*\(4, 20\).*\(20,\)"):
        check_bound(lambda k, generator: torch.zeros(4, 20), LOG_PX)
    with pytest.raises(ValueError, match=r"log_px.*\(20, 1\)"):
        check_bound(lambda k, generator: LOG_PX, LOG_PX[:, None])


def test_a_box_far_from_all_mass_is_refused():
    with pytest.raises(ValueError, match="closer around"):
        check_sampler(draw_standard_normal, standard_normal, [50.0, 50], [60.0, 60])


@pytest.mark.parametrize("sizes", [(4,), (4, 1), (1, 1), (0, 4)])
def test_sizes_that_do_not_rise_are_refused(sizes):
    with pytest.raises(ValueError, match="rise"):
        check_bound(lambda k, generator: LOG_PX, LOG_PX, sizes)


def test_known_codes_must_differ_in_score():
    with pytest.raises(ValueError, match="a constant would pass"):
        check_metric(gap, FACTORS, {"perfect": (PERFECT, 1.0)})


def test_batches_that_all_fit_are_refused():
    for images, sizes in ((ROWS, [5, 2]), (ROWS, [10, 20]), (ROWS[:3], [2])):
        with pytest.raises(ValueError, match="smaller last batch"):
            check_mean(per_image, images, sizes)
    for n in range(4, 30):
        assert check_mean(per_image, normal(n, 5))


def test_checks_leave_no_gradient_and_the_global_seed_alone():
    weight = nn.Parameter(torch.ones(()))
    before = torch.get_rng_state()
    verdict = check_bound(lambda k, generator: weight * LOG_PX, LOG_PX)
    assert isinstance(verdict.value, float)
    assert check_sampler(draw_standard_normal, standard_normal, *BOX)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("n_dims", [1, 2])
def test_a_spike_between_the_points_of_the_grid_is_not_seen(n_dims):
    """What `check_density` says of itself."""
    spike = Normal(0.0, 1e-4)

    def twice_too_much(z):
        spikes = spike.log_prob(z).sum(1)
        return torch.logaddexp(standard_normal(z), spikes)

    low, high = [-6.0] * n_dims, [6.0] * n_dims
    assert check_density(twice_too_much, low, high)
    near = [-1e-3] * n_dims, [1e-3] * n_dims
    assert check_density(spike_only := lambda z: spike.log_prob(z).sum(1), *near)
    assert not check_density(spike_only, low, high)


@pytest.mark.parametrize("check", ["density", "sampler", "bound", "metric", "mean"])
def test_no_check_follows_gradients(check):
    def watch(answer):
        seen.append(torch.is_grad_enabled())
        return answer

    seen = []
    if check == "density":
        check_density(lambda z: watch(standard_normal(z)), *BOX)
    elif check == "sampler":
        check_sampler(
            lambda n, g: watch(draw_standard_normal(n, g)), standard_normal, *BOX
        )
    elif check == "bound":
        check_bound(lambda k, generator: watch(LOG_PX), LOG_PX)
    elif check == "metric":
        check_metric(lambda codes, factors: watch(gap(codes, factors)), FACTORS, KNOWN)
    else:
        check_mean(lambda images, size: watch(per_image(images, size)), ROWS)
    assert set(seen) == {False}


def test_the_tolerance_of_a_density_is_kept_and_far_off_needs_no_fine_grid():
    def scaled(z):
        return standard_normal(z) + math.log(1.01)

    assert not check_density(scaled, -6, 6)
    assert check_density(scaled, -6, 6, tolerance=0.011)

    def high_and_narrow(z):  # rough on this grid, and three times too much
        return Normal(0.01, 0.02).log_prob(z).sum(1) + math.log(3)

    assert not check_density(high_and_narrow, -6, 6)


# ── where, how much, and what it may mean ───────────────────────────────────────────


def test_verdicts_are_told_in_lines_that_fit(capsys):
    verdicts = {
        "density": check_density(standard_normal, -6, 6),
        "half": check_density(lambda z: 2 * standard_normal(z), -6, 6),
    }
    properties.tell(verdicts)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "density: ✓ exp(log_prob) integrates to one"
    assert lines[1].startswith("half: ✗ exp(log_prob) integrates to one: found 0.2821")
    assert all(len(line) <= 88 for line in lines)
    assert len(lines) == 3
    assert lines[2].startswith("    ")


def box_density(low, high, mass):
    """A density of `mass` in all, even between low and high: points (N, D) → (N,)."""
    low, high = torch.tensor(low).double(), torch.tensor(high).double()

    def log_prob(z):
        inside = ((z >= low) & (z <= high)).all(1)
        return torch.where(inside, math.log(mass) - (high - low).log().sum(), -math.inf)

    return log_prob


@pytest.mark.parametrize(
    ("low", "high", "mass", "hint"),
    [
        ([0.0], [1.0], 2.0, "a term added too often, or a normalizing term lost?"),
        ([0.06], [0.94], 0.5, "a term subtracted too often, or a factor lost?"),
        ([0.04], [0.5], 0.5, "mass at the edge: a box too small?"),
        ([0.5], [0.96], 0.5, "mass at the edge: a box too small?"),
        ([0.06, 0.06], [0.94, 0.94], 0.5, "a term subtracted too often"),
        ([0.3, 0.04], [0.6, 0.94], 0.5, "mass at the edge: a box too small?"),
        ([0.3, 0.3], [0.96, 0.94], 0.5, "mass at the edge: a box too small?"),
    ],
)
def test_an_integral_is_explained_by_its_size_and_its_edge(low, high, mass, hint):
    corners = [0.0] * len(low), [1.0] * len(low)
    verdict = check_density(box_density(low, high, mass), *corners, tolerance=0.005)
    assert not verdict
    assert verdict.value == pytest.approx(mass, rel=0.03)
    assert f"over the box, {math.log(verdict.value):+.3g} nats; {hint}" in verdict.found


def test_nan_in_a_density_is_named():
    verdict = check_density(lambda z: standard_normal(z) * math.nan, -6, 6)
    assert verdict.found.endswith("; NaN: a log or a root of a negative number?")


def test_the_error_of_an_integral_is_its_change_from_half_the_points():
    def cubed(z):  # exp of it is 2 + z⁴, which the midpoint rule does not get exactly
        return (2 + z[:, 0] ** 4).log()

    def midpoints(n):
        z = (np.arange(n) + 0.5) / n
        return (2 + z**4).mean()

    verdict = check_density(cubed, 0, 1, n_points=20)
    assert verdict.value == pytest.approx(midpoints(20), rel=1e-6)
    error = abs(midpoints(20) - midpoints(10))
    assert f" ± {error:.1g} over" in verdict.found


def even(z):
    """The density 1/32 on [−4, 0] × [0, 8]."""
    return torch.full(z.shape[:1], -math.log(32))


def spread(*extra):
    """(n, generator) → samples, even over 4 × 4 cells but for (z_1, z_2, number)."""

    def sample(n, generator):
        z1, z2 = torch.arange(4) - 3.5, 2 * torch.arange(4) + 1.0
        cells = torch.cartesian_prod(z1, z2).repeat(n // 16 + 1, 1)
        more = [torch.tensor([[a, b]]).repeat(k, 1) for a, b, k in extra]
        return torch.cat([*more, cells])[:n]

    return sample


def test_the_worst_cell_is_named_by_its_middle():
    corners = [-4.0, 0.0], [0.0, 8.0]
    verdict = check_sampler(
        spread((-2.5, 7.0, 1000)), even, *corners, n_cells=4, n_samples=16_000
    )
    share = (1000 + 15_000 / 16) / 16_000
    assert verdict.found.startswith(
        f"{share:.1%} of the samples near (-2.5, 7), expected 6.2%; "
    )
    verdict = check_sampler(
        spread((9.0, 9.0, 400)), even, *corners, n_cells=4, n_samples=16_000
    )
    assert verdict.found.startswith("2.5% of the samples outside the box, expected 0.0")


def test_the_worst_cell_is_judged_as_if_ten_were_expected_at_least():
    expected = torch.tensor([0.1, 1000, 1000, 0.0]).double()
    low, high = torch.zeros(1).double(), torch.tensor([3.0]).double()

    def worst(*counts):
        counts = torch.tensor(counts).double()
        return properties._find_worst(counts, expected, low, high, 3)

    assert worst(9, 1100, 900, 1).startswith("54.7% of the samples near 1.5, expected")
    assert worst(60, 1100, 900, 1).startswith("2.9% of the samples near 0.5, expected")
    assert "outside the box" in worst(9, 1100, 900, 60)


CLOUD = normal(400, 2).double() @ torch.tensor([[1.0, 0.5], [0.0, 2.0]]).double()


def explain(draws, points=CLOUD, mass=1.0):
    masses = torch.full((len(points),), mass / len(points)).double()
    corners = torch.full((2,), -20.0).double(), torch.full((2,), 20.0).double()
    return properties._explain_draws(draws, points, masses, *corners)


def test_the_moment_that_differs_most_is_named_with_both_values():
    mean, scale = CLOUD.mean(0), CLOUD.std(0, correction=0)
    shift = torch.tensor([0.0, 0.3]).double()
    text = f"mean of z_2 {mean[1] + 0.3 * scale[1]:.2f}, expected {mean[1]:.2f}: a sign"
    assert explain(CLOUD + shift * scale).startswith(text)
    assert explain(CLOUD - shift * scale).startswith("mean of z_2")
    narrow = (CLOUD - mean) * torch.tensor([0.5, 1.0]) + mean
    text = f"standard deviation of z_1 {scale[0] / 2:.2f}, expected {scale[0]:.2f}: σ²"
    assert explain(narrow).startswith(text)
    wide = (CLOUD - mean) * torch.tensor([1.1, 1.3]) + mean
    assert explain(wide).startswith("standard deviation of z_2")
    mirror = (CLOUD - mean) * torch.tensor([1.0, -1.0]) + mean
    r = np.corrcoef(CLOUD.T.numpy())[0, 1]
    text = f"correlation {-r:.2f}, expected {r:.2f}: dimensions that should, or"
    assert explain(mirror).startswith(text)


def test_a_moment_is_named_only_where_it_is_clearly_off():
    scale = CLOUD.std(0, correction=0)
    same = "mean, standard deviation and correlation agree: another shape?"
    assert explain(CLOUD) == same
    assert explain(CLOUD + 0.029 * scale) == same
    assert explain(CLOUD + 0.031 * scale).startswith("mean of")


def test_a_density_that_does_not_fit_its_box_is_named_first():
    assert explain(CLOUD, mass=1.029).startswith("mean, standard deviation and")
    text = "over the box exp(log_prob) integrates to 1.03, and 100% of the samples"
    assert explain(CLOUD, mass=1.031).startswith(text)
    assert explain(CLOUD, mass=0.96).endswith("in it: does check_density hold?")
    assert explain(CLOUD, mass=math.nan).endswith("does check_density hold?")
    strays = CLOUD.clone()
    strays[:40, 0] = 21.0
    strays[40:80, 1] = -21.0
    assert "integrates to 1, and 80% of the samples are in it" in explain(strays)
    corner = CLOUD.clone()
    corner[:40] = torch.tensor([-20.0, 20.0]).double()  # its sides belong to the box
    assert "does check_density hold" not in explain(corner)
    assert "another shape" not in explain(strays, mass=0.8)  # cut, so others remain
    assert "does check_density hold" not in explain(strays, mass=0.8)


def test_moments_are_those_of_numpy():
    weights = torch.rand(400, generator=seeded(3)).double()
    got = properties._moments(CLOUD, weights)
    mean = np.average(CLOUD, axis=0, weights=weights)
    covariance = np.cov(CLOUD.T, aweights=weights, ddof=0)
    deviation = covariance.diagonal() ** 0.5
    assert got["mean"].numpy() == pytest.approx(mean)
    assert got["standard deviation"].numpy() == pytest.approx(deviation)
    correlation = covariance[0, 1] / deviation.prod()
    assert got["correlation"].item() == pytest.approx(correlation)
    assert properties._moments(CLOUD[:, :1], weights)["correlation"].item() == (
        pytest.approx(1)
    )


def test_the_image_and_the_k_where_a_bound_is_surely_too_high_are_named():
    signs = itertools.cycle([1.0, -1.0])
    bump = torch.zeros(20)
    bump[7] = 20.0

    def bound(k, generator):  # at K = 1 higher, but unsure
        if k == 1:
            return LOG_PX + 0.5 + next(signs)
        return LOG_PX - 0.6 + bump

    verdict = check_bound(bound, LOG_PX, (1, 4), n_runs=100)
    text = "0.4 ± 0 nats above log p(x) at K = 4, most on image 7; a term lost, a mean"
    assert verdict.found.startswith(text)
    assert "fall" not in verdict.found  # 0.1 is within the errors
    assert verdict.value == pytest.approx(0.5)
    bump[7] = 0.0
    verdict = check_bound(bound, LOG_PX, (1, 4), n_runs=400)
    error = stats.sem([1, -1] * 200)
    high, _, fall = verdict.found.partition(" And ")
    assert high.startswith(f"0.5 ± {error:.1g} nats above log p(x) at K = 1, most on")
    assert fall.startswith(f"a fall of 1.1 ± {error:.1g} nats from K = 1 to 4; weights")


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_a_bound_that_is_not_finite_is_named(value):
    verdict = check_bound(lambda k, generator: LOG_PX + value, LOG_PX)
    assert not verdict
    assert verdict.found.startswith("NaN or inf among the bounds; ")


def test_a_fall_is_named_where_it_is_surest_and_with_its_error():
    signs = itertools.cycle([1.0, -1.0])
    values = {1: (-1.0, 0.0), 4: (-1.2, 0.0), 16: (-1.7, 1.0), 64: (-1.7, 0.0)}

    def bound(k, generator):
        mean, noise = values[k]
        return LOG_PX + mean + noise * next(signs)

    verdict = check_bound(bound, LOG_PX, n_runs=100)  # from 4 to 16 it is 0.5 ± 0.1
    assert verdict.found.startswith("a fall of 0.2 ± 0 nats from K = 1 to 4; weights")
    error = stats.sem([1, -1] * 50)
    values |= {4: (-1.0, 1.0), 16: (-2.0, 1.0)}
    verdict = check_bound(bound, LOG_PX, n_runs=100)
    text = f"a fall of 1 ± {math.hypot(error, error):.1g} nats from K = 4 to 16; "
    assert verdict.found.startswith(text)


@pytest.mark.parametrize(
    ("got", "due", "hint"),
    [
        (4.9, 10, "batches that are not read?"),
        (-4.9, -10, "batches that are not read?"),
        (5.1, 10, "batches not weighted by their size, or one left out?"),
        (19.9, 10, "batches not weighted by their size, or one left out?"),
        (20.1, 10, "a sum for a mean?"),
        (-20.1, -10, "a sum for a mean?"),
        (math.nan, 10, "batches that are not read?"),
    ],
)
def test_a_mean_is_explained_by_how_far_it_is_off(got, due, hint):
    assert properties._explain_mean(got, due) == hint


def test_all_wrong_numbers_are_counted_and_the_worst_is_named():
    known = {
        "good": (PERFECT, 1.0),
        "worse": (PERFECT, 0.7),
        "bad": (PERFECT, 0.9),
    }
    verdict = check_metric(lambda codes, factors: 1.0, FACTORS, known)
    text = "1 on the worse code, expected 0.7, 2 of 3 wrong; rows taken for columns?"
    assert verdict.found == text
    assert verdict.value == pytest.approx(0.3)
    verdict = check_mean(mean_of_means, ROWS)
    assert re.search(r" in batches of \d+, expected .*, 2 of 3 wrong; ", verdict.found)


def test_a_cell_that_expects_few_may_be_integrated_badly():
    """Few samples there cannot change the verdict; many can, and are refused."""

    def with_spike(n_rough):  # a spike that only the coarser of both grids meets
        def log_prob(z):
            z = z[:, 0]
            height = torch.where((z - 3.1).abs() < 1e-3, n_rough / 4000, 0.0)
            return torch.where(z < 3, 1 / 3, height).log()

        return log_prob

    def sample(n, generator):
        return 3 * torch.rand(n, 1, generator=generator)

    assert check_sampler(sample, with_spike(3), 0, 4, n_cells=4)
    with pytest.raises(ValueError, match="cells too coarse"):
        check_sampler(sample, with_spike(3.4), 0, 4, n_cells=4)


def test_points_draws_and_batches_are_as_many_as_documented():
    seen = []

    def log_prob(z):
        seen.append(len(z))
        return standard_normal(z)

    check_density(log_prob, -6, 6)
    assert sorted(seen) == [200, 400]
    seen.clear()

    def sample(n, generator):
        seen.append(n)
        return draw_standard_normal(n, generator, 1)

    check_sampler(sample, log_prob, -6, 6)
    assert sorted(seen) == [100, 200, 20_000]
    seen.clear()

    def bound(k, generator):
        seen.append(k)
        return LOG_PX

    check_bound(bound, LOG_PX)
    assert seen == [1] * 200 + [4] * 200 + [16] * 200 + [64] * 200
    seen.clear()

    def mean(images, batch_size):
        seen.append((len(images), batch_size))
        return per_image(images, batch_size)

    check_mean(mean, ROWS)
    assert seen == [(1, 1)] * 10 + [(10, 10), (10, 6), (10, 3)]


@pytest.mark.parametrize(("share", "holds"), [(0.9, True), (1.1, False)])
def test_the_tolerances_are_those_documented(share, holds):
    off = math.log(1 + share * 1e-3)
    assert bool(check_density(lambda z: standard_normal(z) + off, -6, 6)) is holds
    exact = torch.full((20,), -1.0)
    by = share * 1e-3
    assert bool(check_bound(lambda k, generator: exact + by, exact)) is holds
    assert bool(check_bound(lambda k, g: exact - 1 - by * (k > 16), exact)) is holds
    known = {"one": (PERFECT, 1.0), "other": (PERFECT, 1.0 + share * 0.02)}
    assert bool(check_metric(lambda codes, factors: 1.0, FACTORS, known)) is holds

    def mean(images, batch_size):
        return 5 + by * (len(images) > 1)

    assert bool(check_mean(mean, ROWS)) is holds


@pytest.mark.parametrize(("p_value", "holds"), [(1.1e-4, True), (0.9e-4, False)])
def test_one_false_alarm_in_ten_thousand(p_value, holds):
    n = 2_000_000  # so that rounding to whole draws does not matter
    shift = math.sqrt(stats.chi2.isf(p_value, 1) / n) / 2

    def sample(n, generator):
        z = torch.full((n, 1), 0.25)
        z[: round(n * (0.5 + shift))] = 0.75
        return z

    verdict = check_sampler(
        sample, lambda z: torch.zeros(len(z)), 0, 1, n_cells=2, n_samples=n
    )
    assert verdict.value == pytest.approx(p_value, rel=0.01)
    assert bool(verdict) is holds


def test_a_sampler_s_draws_come_from_the_seed():
    values = []
    for kwargs in ({}, {"seed": 0}, {"seed": 1}):
        verdict = check_sampler(draw_standard_normal, standard_normal, *BOX, **kwargs)
        values.append(verdict.value)
    assert values[0] == values[1] != values[2]

    def bound(k, generator):
        return LOG_PX - torch.rand(1, generator=generator)

    assert check_bound(bound, LOG_PX).value == check_bound(bound, LOG_PX, seed=0).value


def test_a_tolerance_of_zero_lets_the_exact_pass():
    widths = {"two": (PERFECT, 2.0), "four": (PERFECT.repeat(1, 2), 4.0)}

    def width(codes, factors):
        return codes.shape[1]

    assert check_metric(width, FACTORS, widths, tolerance=0.0)
    assert check_bound(lambda k, generator: LOG_PX, LOG_PX, tolerance=0.0)
    assert check_density(lambda z: 0 * z[:, 0], 0, 1, n_points=4, tolerance=0.0)
