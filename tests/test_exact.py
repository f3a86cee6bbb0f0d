"""log p(x) by quadrature and the gap cut in two, against closed forms and grids.

The referees are in oracles.py. p(z|x) on its grid: test_exact_posterior.py.
"""

import math

from vae_helpers import exact
from vae_helpers.evaluation import iwae_curve, log_evidence_importance
from vae_helpers.exact import gap_surgery, log_evidence_quadrature
from vae_helpers.models import VAE
from vae_helpers.objectives import elbo
from vae_helpers.training import pick_device

import numpy as np
import pytest
import torch
from oracles import (
    F32,
    F64,
    SHAPE,
    SmallVAE,
    bernoulli_vae,
    draw_pictures,
    legendre,
    linear_log_px,
    linear_parts,
    linear_posterior,
    linear_vae,
    log_joint_by_numpy,
    log_px_by_numpy,
    pictures,
    seeded,
)
from scipy import stats
from torch import nn
from torch.distributions import (
    Categorical,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    kl_divergence,
)
from torch.testing import assert_close

torch.set_num_threads(1)  # for matrices this small, more threads only take turns

# What float32 leaves: log p(x, z), up to 100 nats here, is kept to 24 bits, and the
# pixels of a narrow posterior are some 10 large, about 100 of their deviations.
ROUNDING = 2e-5


def diagonal(mu, logvar):
    """The same q for `kl_divergence` with a posterior that is not a product."""
    return MultivariateNormal(mu.double(), torch.diag_embed(logvar.double().exp()))


@pytest.fixture(scope="module")
def trained():
    """A VAE of bright stripes, trained for a moment, and what it was trained on."""
    model = bernoulli_vae(1, 1.0)
    place = torch.rand(200, 1, 1, 1, generator=seeded()) * 7 - 1
    stripes = torch.exp(-(place - torch.arange(6.0)).square() / 2)
    images = torch.bernoulli(0.9 * stripes.expand(-1, 1, 6, 6), generator=seeded(1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    generator = seeded(2)
    for _ in range(150):
        optimizer.zero_grad()
        (-elbo(model, images, generator=generator).elbo.mean()).backward()
        optimizer.step()
    return model, images[:10]


# ── log p(x) ────────────────────────────────────────────────────────────────────────

NARROW = [(0.7, 0.7), (0.5, 0.1), (0.1, 0.1), (0.03, 0.3), (0.02, 0.02), (0.01, 0.01)]


@pytest.mark.parametrize("dtype", [F32, F64])
@pytest.mark.parametrize("tilt", [0.0, 0.6])
@pytest.mark.parametrize("deviations", NARROW)
def test_log_px_of_the_linear_vae_is_that_of_its_gaussian(deviations, tilt, dtype):
    model = linear_vae(deviations, tilt, sigma=0.1, dtype=dtype)
    images = draw_pictures(model)
    value, error = log_evidence_quadrature(model, images)
    assert value.shape == error.shape == (6,)
    assert value.dtype == error.dtype == F64
    off = (value - linear_log_px(model, images)).abs()
    assert off.max() < ROUNDING
    if min(deviations) > 0.015:  # one cell then is less than the posterior's width
        assert (off < error + ROUNDING / 4).all()
        assert error.max() < ROUNDING


def test_the_error_admits_that_a_posterior_is_too_narrow_for_all_this():
    model = linear_vae((0.003, 0.003), 0.6, sigma=0.1)
    images = draw_pictures(model, 20)
    value, error = log_evidence_quadrature(model, images)
    off = (value - linear_log_px(model, images)).abs()
    assert off.mean() > 0.1
    assert error.min() > 0.1
    # Not all of it: where the peak lies midway, the four ways err alike.
    assert (off < error).double().mean() > 0.8


def test_without_refinement_a_narrow_posterior_is_summed_wrong_and_it_says_so():
    model = linear_vae((0.01, 0.01), 0.6, sigma=0.1)
    images = draw_pictures(model, 20)
    truth = linear_log_px(model, images)
    coarse = log_evidence_quadrature(model, images, tolerance=math.inf)
    off = (coarse.value - truth).abs()
    assert off.mean() > 0.3
    assert off.max() > 0.7
    # Where the peak lies midway between four points, the four ways err alike.
    assert (off < coarse.error).double().mean() > 0.8
    assert coarse.error.min() > 0.3
    fine = log_evidence_quadrature(model, images)
    assert (fine.value - truth).abs().max() < ROUNDING
    assert fine.error.max() < 0.02


def test_only_what_needs_it_is_refined(monkeypatch):
    refined = []
    refine = exact._refine
    monkeypatch.setattr(
        exact, "_refine", lambda *a: refined.append(a[1][0]) or refine(*a)
    )
    model = linear_vae((0.5, 0.1))
    images = draw_pictures(model)
    log_evidence_quadrature(model, images)
    assert not refined
    value, _ = log_evidence_quadrature(model, images, tolerance=-1.0)
    assert_close(torch.stack(refined), images)
    # The refined sum replaces the other, so it must hold wherever it is taken.
    assert (value - linear_log_px(model, images)).abs().max() < ROUNDING


@pytest.mark.parametrize("dtype", [F32, F64])
@pytest.mark.parametrize("grey", [True, False])
def test_log_px_of_a_bernoulli_net_is_that_of_a_gauss_legendre_grid(grey, dtype):
    model, images = bernoulli_vae(dtype=dtype), pictures(4)
    images = images if grey else images > 0.5
    value, error = log_evidence_quadrature(model, images)
    truth = [log_px_by_numpy(model, x) for x in images]
    assert_close(value, torch.tensor(truth), rtol=0, atol=2e-6)
    assert error.max() < 2e-6


@pytest.mark.parametrize("step", [0.7, 0.5, 0.3])
def test_half_the_step_moves_log_px_by_less_than_the_error(step):
    model = linear_vae((0.25, 0.15), 0.6)
    images = draw_pictures(model, 50)
    settings = {"reach": 5.6, "tolerance": math.inf}
    value, error = log_evidence_quadrature(model, images, step=step, **settings)
    half, smaller = log_evidence_quadrature(model, images, step=step / 2, **settings)
    moved = (value - half).abs()
    assert (moved < error).all()
    assert smaller.max() < error.min()
    off = (value - linear_log_px(model, images)).abs()
    assert (off < error).all()


def test_what_may_lie_outside_counts_as_error():
    """All z fit equally well, so exactly the prior's mass outside is missing."""
    model, images = linear_vae((1.0, 1.0)), pictures(3)
    model.decoder[0].weight.data.zero_()
    value, error = log_evidence_quadrature(model, images, reach=2.0, step=0.01)
    inside = math.erf(2.0 / math.sqrt(2)) ** 2
    assert error.numpy() == pytest.approx(-math.log(inside), rel=5e-3)
    missing = linear_log_px(model, images) - value
    assert missing.numpy() == pytest.approx(-math.log(inside), rel=0.03)
    assert (missing < error).all()  # the grid's cells reach half a step further
    _, error = log_evidence_quadrature(model, images, reach=7.0)
    assert error.max() < 1e-6


def test_a_square_too_small_for_the_posterior_says_so():
    model = linear_vae((0.5, 0.5))
    with torch.no_grad():
        images = model.decode(torch.tensor([[0.0, 0.0], [2.0, 0.0], [2.9, -2.9]]))
    truth = linear_log_px(model, images)
    value, error = log_evidence_quadrature(model, images, reach=3.0)
    missing = truth - value
    assert (missing < error + ROUNDING).all()
    assert error[0] < 0.05 < error[1] < 1 < error[2]
    assert missing[0] < 1e-6 < 1e-3 < missing[1] < 0.05 < missing[2]


@pytest.mark.parametrize("n_images", [1, 3, 7])
def test_images_are_not_mixed_up_between_chunks(n_images, monkeypatch):
    model = linear_vae((0.3, 0.02), 0.6, sigma=0.1)
    images = draw_pictures(model, n_images)
    together = log_evidence_quadrature(model, images)
    monkeypatch.setattr(exact, "_SHARING", 3)
    monkeypatch.setattr(exact, "_DECODED", 100)
    apart = log_evidence_quadrature(model, images)
    assert_close(apart, together, rtol=0, atol=ROUNDING)
    assert (apart.value - linear_log_px(model, images)).abs().max() < 1e-3


def test_images_of_28_by_28_pixels_are_summed_too():
    torch.manual_seed(0)
    model = VAE(2, hidden_sizes=(8,), activation=nn.Tanh)
    images = torch.rand(1, 1, 28, 28, generator=seeded())
    value, error = log_evidence_quadrature(model, images, step=0.1)
    truth = torch.tensor([log_px_by_numpy(model, x, 120) for x in images])
    # 784 terms of log p(x|z), about 600 nats, in 24 bits.
    assert_close(value, truth, rtol=0, atol=1e-4)
    assert error.max() < 1e-4


# ── other priors ────────────────────────────────────────────────────────────────────


def make_prior(means, deviations, weights=None, dtype=F64):
    """A mixture of round Gaussians, as a learned prior would be."""
    means = torch.tensor(means, dtype=dtype)
    deviations = torch.tensor(deviations, dtype=dtype)[:, None].expand(means.shape)
    weights = torch.ones(len(means)) if weights is None else torch.tensor(weights)
    return MixtureSameFamily(
        Categorical(weights.to(dtype)), Independent(Normal(means, deviations), 1)
    )


@pytest.mark.parametrize("dtype", [F32, F64])
@pytest.mark.parametrize("deviation", [1.5, 0.5, 0.1])
def test_log_px_under_another_gaussian_prior_is_that_of_its_closed_form(
    deviation, dtype
):
    model = linear_vae((0.7, 0.1), 0.6, sigma=0.1, dtype=dtype)
    prior = make_prior([[0.5, -1.0]], [deviation], dtype=dtype)
    w, b, noise = linear_parts(model)
    images = draw_pictures(model)
    value, error = log_evidence_quadrature(model, images, log_prior=prior.log_prob)
    covariance = deviation**2 * w @ w.T + noise * torch.eye(len(b), dtype=F64)
    mean = b + w @ torch.tensor([0.5, -1.0], dtype=F64)
    referee = MultivariateNormal(mean, covariance)
    expected = referee.log_prob(images.flatten(1).double())
    assert_close(value, expected, rtol=0, atol=5 * ROUNDING)
    assert ((value - expected).abs() < error + 2 * ROUNDING).all()
    assert error.max() < 1e-2
    assert value.dtype == error.dtype == F64


MIXTURE = [[1.0, 0.5], [-2.0, 1.0], [0.0, -2.0]], [0.5, 0.2, 1.0], [0.5, 0.3, 0.2]


def test_log_px_under_a_mixture_is_that_of_a_grid_of_scipys_densities():
    model, images = bernoulli_vae(), pictures(4)
    prior = make_prior(*MIXTURE)
    value, error = log_evidence_quadrature(model, images, log_prior=prior.log_prob)
    z, weights = legendre(-8.0, 8.0, 400)
    places = np.stack(np.meshgrid(z, z, indexing="ij"), -1)
    density = sum(
        share * stats.multivariate_normal(mean, deviation**2).pdf(places)
        for mean, deviation, share in zip(*MIXTURE, strict=True)
    )
    normal = stats.multivariate_normal([0, 0]).logpdf(places)
    for image, found in zip(images, value, strict=True):
        log_px_z = log_joint_by_numpy(model, image, z, z) - normal
        top = log_px_z.max()
        expected = top + math.log(
            weights @ (np.exp(log_px_z - top) * density) @ weights
        )
        assert found.item() == pytest.approx(expected, abs=2e-5)
    assert error.max() < 1e-3
    sampled = log_evidence_importance(
        model, images.double(), 20_000, proposal="prior", log_prior=prior.log_prob
    )
    assert ((sampled.value - value).abs() < 5 * sampled.error).all()


def test_the_usual_prior_may_be_said_too():
    model, images = bernoulli_vae(), pictures(4)
    prior = make_prior([[0.0, 0.0]], [1.0])
    given = log_evidence_quadrature(model, images, log_prior=prior.log_prob)
    usual = log_evidence_quadrature(model, images)
    assert_close(given.value, usual.value, rtol=0, atol=1e-6)
    assert_close(given.error, usual.error, rtol=0, atol=1e-6)
    with torch.no_grad():  # where the grid is refined
        model.decoder[-1].weight.mul_(40)
    given = log_evidence_quadrature(model, images, log_prior=prior.log_prob)
    usual = log_evidence_quadrature(model, images)
    assert_close(given.value, usual.value, rtol=0, atol=1e-4)


@pytest.mark.parametrize("reach", [3.5, 7.0])
@pytest.mark.parametrize("middle", [0.0, 1.5])
def test_what_a_wide_prior_has_outside_is_in_the_error(reach, middle):
    """p(x|z) is the same everywhere, so log p(x) is known, and what is missed too."""
    model, images = bernoulli_vae(dtype=F64), pictures(2)
    nn.init.zeros_(model.decoder[-1].weight)
    deviation = (reach - middle) / 3.5
    log_prior = make_prior([[middle, middle]], [deviation]).log_prob
    value, error = log_evidence_quadrature(
        model, images, reach=reach, log_prior=log_prior
    )
    truth = model.log_likelihood(images.double(), torch.zeros(2, 2, dtype=F64))
    along = stats.norm(middle, deviation)
    missed = -2 * math.log(along.cdf(reach) - along.cdf(-reach))  # up to 0.0009 nats
    assert_close(truth - value, torch.full((2,), missed, dtype=F64), rtol=5e-3, atol=0)
    # Known to one per cent; the end of the grid also shows in the sum's own error.
    assert (error > 0.99 * missed).all()
    assert (error < 1.15 * missed).all()


@pytest.mark.parametrize(
    ("prior", "found"),
    [
        (make_prior([[0.0, 9.0]], [1.0]), r"0\.02274"),  # two σ beyond the end
        (make_prior([[0.0, 0.0]], [2.2]), r"0\.9971"),
        (make_prior([[0.0, 0.0], [9.0, 0.0]], [1.0, 0.5]), r"0\.5"),
        (make_prior([[0.0, 0.0]], [0.002]), r"1\.\d+e-31"),
    ],
)
def test_a_prior_that_the_grid_does_not_hold_is_refused(prior, found):
    advice = (
        rf"over the grid, \|z₁\| and \|z₂\| < 7 in steps of 0\.035, the prior adds up "
        rf"to {found}, and to 1 it must: say a larger `reach` where it is wider, or"
    )
    with pytest.raises(ValueError, match=advice):
        log_evidence_quadrature(bernoulli_vae(), pictures(1), log_prior=prior.log_prob)


def test_a_prior_too_wide_or_too_narrow_is_taken_on_the_grid_that_is_advised():
    model, images = bernoulli_vae(), pictures(2)
    nn.init.zeros_(model.decoder[-1].weight)
    truth = model.log_likelihood(images, torch.zeros(2, 2)).detach().double()
    wide = make_prior([[0.0, 9.0]], [1.0]).log_prob
    narrow = make_prior([[0.01, 0.003]], [0.01]).log_prob
    for settings in (
        {"log_prior": wide, "reach": 14.0},
        {"log_prior": narrow, "reach": 1.0, "step": 0.01},
    ):
        value, _ = log_evidence_quadrature(model, images, **settings)
        assert_close(value, truth, rtol=0, atol=1e-4)


def test_a_density_that_is_none_is_refused():
    prior = make_prior([[0.0, 0.0]], [1.0])
    for log_prior, advice in (
        (lambda z: prior.log_prob(z) + 0.002, "adds up to 1.002, and to 1 it must"),
        (lambda z: prior.log_prob(z) - 0.002, "adds up to 0.998, and to 1 it must"),
        (lambda z: prior.log_prob(z) * math.nan, "adds up to nan, and to 1 it must"),
        (Normal(0.0, 1.0).log_prob, r"log_prior gives shape \(400, 400, 2\)"),
    ):
        with pytest.raises(ValueError, match=advice):
            log_evidence_quadrature(bernoulli_vae(), pictures(1), log_prior=log_prior)


# ── what is refused ─────────────────────────────────────────────────────────────────

BOTH = pytest.mark.parametrize("measure", [log_evidence_quadrature, gap_surgery])


@BOTH
@pytest.mark.parametrize("latent_dim", [1, 3, 20])
def test_another_number_of_latents_is_refused(measure, latent_dim):
    model = SmallVAE(latent_dim, hidden_sizes=(3,))
    with pytest.raises(ValueError, match="two latent dimensions"):
        measure(model, pictures(2))


@BOTH
def test_no_images_are_refused(measure):
    with pytest.raises(ValueError, match="there are no images"):
        measure(bernoulli_vae(), pictures(0))


@BOTH
@pytest.mark.parametrize("bad", [-0.01, 1.01, math.nan])
def test_pixels_outside_the_unit_interval_are_refused(measure, bad):
    images = pictures(3)
    images[1, 0, 2, 3] = bad
    with pytest.raises(ValueError, match=r"pixels (range|are NaN)"):
        measure(bernoulli_vae(), images)


@BOTH
@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
@pytest.mark.parametrize(
    "shape", [(1, 6, 6), (6, 6), (4, 36), (4, 6, 6), (4, 1, 5, 6), (4, 2, 6, 6)]
)
def test_other_shapes_are_refused(measure, likelihood, shape):
    model = SmallVAE(2, hidden_sizes=(3,), likelihood=likelihood)
    with pytest.raises(ValueError, match="shape"):
        measure(model, torch.zeros(shape))


# ── the gap ─────────────────────────────────────────────────────────────────────────


def kl_by_numpy(model, x, mu, logvar):
    """KL(q ‖ p(z|x)) of one image: the mean of log q − log p(z|x) under q."""
    mu, sigma = mu.double().numpy(), (0.5 * logvar).double().exp().numpy()
    (z1, w1), (z2, w2) = (
        legendre(m - 9 * s, m + 9 * s, 120) for m, s in zip(mu, sigma, strict=True)
    )
    log_q1, log_q2 = (
        -(((z - m) / s) ** 2) / 2 - math.log(s * math.sqrt(2 * math.pi))
        for z, m, s in ((z1, mu[0], sigma[0]), (z2, mu[1], sigma[1]))
    )
    log_q = log_q1[:, None] + log_q2
    log_p = log_joint_by_numpy(model, x, z1, z2) - log_px_by_numpy(model, x, 160)
    return w1 @ (np.exp(log_q) * (log_q - log_p)) @ w2


def test_elbo_and_kl_to_the_posterior_make_log_px_for_every_image(trained):
    model, images = trained
    gaps = gap_surgery(model, images)
    with torch.no_grad():
        q = model.encode(images)
    kl = [kl_by_numpy(model, *one) for one in zip(images, *q, strict=True)]
    assert min(kl) > 1e-3
    assert_close(gaps.elbo + torch.tensor(kl), gaps.log_px, rtol=0, atol=1e-3)
    kl = [
        kl_by_numpy(model, *one)
        for one in zip(images, gaps.mu, gaps.logvar, strict=True)
    ]
    assert_close(gaps.approximation, torch.tensor(kl), rtol=0, atol=1e-3)
    assert (gaps.amortization >= 0).all()
    assert gaps.amortization.max() > 0.01  # else nothing was shown
    value, error = log_evidence_quadrature(model, images)
    assert torch.equal(gaps.log_px, value)
    assert torch.equal(gaps.error, error)


def test_no_gaussian_nearby_is_better_than_the_best(trained):
    model, images = trained
    gaps = gap_surgery(model, images)
    start = gaps.mu.float(), gaps.logvar.float()
    for part, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
        for move in (-0.05, 0.05):
            q = [value.clone() for value in start]
            q[part][:, column] += move
            moved = exact.exact_elbo(model, images, *q)
            assert (moved < gaps.best + 2e-4).all()


Q = pytest.mark.parametrize("q", [(0, 0), (0.5, 0), (0, 1.0), (-1.0, -0.5)])


@Q
@pytest.mark.parametrize("dtype", [F32, F64])
def test_a_posterior_without_tilt_is_found_and_all_the_gap_is_amortization(q, dtype):
    """q[0] posterior deviations off, and q[1] added to logvar."""
    model = linear_vae((0.4, 0.1), dtype=dtype)
    images = draw_pictures(model)
    with torch.no_grad():
        model.to_mu.bias += q[0] * torch.tensor([0.4, 0.1])
        model.to_logvar.bias += q[1]
        encoded = diagonal(*model.encode(images))
    gaps = gap_surgery(model, images)
    posterior = linear_posterior(model, images)
    assert all(value.dtype == F64 for value in gaps)
    assert gaps.mu.shape == gaps.logvar.shape == (6, 2)
    assert gaps.approximation.abs().max() < 3e-5
    expected = kl_divergence(encoded, posterior)
    assert_close(gaps.amortization, expected, rtol=0, atol=1e-3)
    assert (gaps.amortization >= 0).all()
    assert_close(gaps.elbo, linear_log_px(model, images) - expected, rtol=0, atol=1e-3)
    sigma = (0.5 * gaps.logvar).exp()
    off = (gaps.mu - posterior.mean) / sigma
    assert off.abs().max() < 0.01
    assert_close(gaps.logvar, posterior.variance.log(), rtol=0, atol=0.01)


@pytest.mark.parametrize("tilt", [0.3, math.pi / 4, -0.6])
def test_of_a_tilted_posterior_the_best_q_has_the_precisions_diagonal(tilt):
    model = linear_vae((0.5, 0.15), tilt)
    images = draw_pictures(model)
    with torch.no_grad():
        model.to_mu.bias += 0.2
        model.to_logvar.bias -= 1.0
        encoded = diagonal(*model.encode(images))
    gaps = gap_surgery(model, images)
    posterior = linear_posterior(model, images)
    precision = posterior.precision_matrix[0]
    # −½ log det of the precision, divided by the roots of its diagonal
    expected = 0.5 * (precision.diagonal().log().sum() - precision.logdet())
    assert expected > 0.1
    assert (gaps.approximation - expected).abs().max() < 3e-5
    assert_close(
        gaps.amortization,
        kl_divergence(encoded, posterior) - expected,
        rtol=0,
        atol=2e-3,
    )
    widths = precision.diagonal().rsqrt()
    assert ((gaps.mu - posterior.mean) / widths).abs().max() < 0.01
    off = gaps.logvar + precision.diagonal().log()
    assert off.abs().max() < 0.01


@pytest.mark.parametrize("deviations_off", [10, 60])
def test_an_encoder_far_off_is_saved_by_the_highest_point(deviations_off):
    model = linear_vae((0.1, 0.1), tilt=0.6)
    images = draw_pictures(model)
    with torch.no_grad():
        model.to_mu.bias += 0.1 * deviations_off / math.sqrt(2)
        encoded = diagonal(*model.encode(images))
    gaps = gap_surgery(model, images)
    posterior = linear_posterior(model, images)
    assert gaps.approximation.abs().max() < 3e-5
    assert ((gaps.mu - posterior.mean) / 0.1).abs().max() < 0.01
    expected = kl_divergence(encoded, posterior)
    assert_close(gaps.amortization, expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("deviations", [(0.6, 0.3), (0.2, 0.1)])
def test_the_highest_point_is_the_posteriors_with_its_curvature(deviations):
    model = linear_vae(deviations, tilt=0.6, dtype=F64)
    images = draw_pictures(model)
    mu, sigma = exact._decode_plane(model, images, 7.0, 0.035).peak().unbind(1)
    posterior = linear_posterior(model, images)
    assert (mu - posterior.mean).abs().max() < 0.035  # tilted: not the nearest point
    assert mu.unique(dim=0).shape == mu.shape
    precision = posterior.precision_matrix.diagonal(dim1=1, dim2=2)
    assert_close(sigma, precision.rsqrt(), rtol=0.005, atol=0)


@torch.no_grad()
def tent_vae():
    """One pixel is z₁ + 2 up to z₁ = 1.05; from there it falls 20 times as fast.

    A black picture then has a broad posterior around z₁ = −1.6, and at z₁ = 1.2 one
    that is narrow and higher, but holds a seventh of the mass.
    """
    model = SmallVAE(2, hidden_sizes=(2,), likelihood="gaussian", sigma=0.5)
    for parameter in model.decoder.parameters():
        parameter.zero_()
    model.decoder[0].weight[:, 0] = 1.0
    model.decoder[0].bias.copy_(torch.tensor([20.0, -1.05]))
    model.decoder[2].weight[0] = torch.tensor([1.0, -21.0])
    model.decoder[2].bias[0] = -18.0
    for layer in (model.to_mu, model.to_logvar):
        layer.weight.zero_()
        layer.bias.zero_()
    model.to_mu.bias[0] = -1.5
    return model


def test_the_highest_point_is_not_trusted_where_little_mass_is():
    model, image = tent_vae(), torch.zeros(1, *SHAPE)
    assert exact._decode_plane(model, image, 7.0, 0.035).peak()[0, 0, 0] > 1
    gaps = gap_surgery(model, image)
    # Around −2 the posterior is N(−1.6, 1/5): slope 1 over sigma 0.5, and the prior.
    assert_close(gaps.mu, torch.tensor([[-1.6, 0.0]]).double(), rtol=0, atol=0.02)
    assert_close(
        gaps.logvar.exp(), torch.tensor([[0.2, 1.0]]).double(), rtol=0.05, atol=0
    )
    assert 0 < gaps.approximation < 0.2  # the mass in the other mode


@BOTH
def test_the_model_and_the_random_state_are_left_as_they_were(measure):
    model, images = bernoulli_vae(), pictures(2)
    before = [p.clone() for p in model.parameters()]
    state = torch.get_rng_state()
    first = measure(model, images)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert all(map(torch.equal, model.parameters(), before))
    assert not any(value.requires_grad for value in first)
    with torch.no_grad():  # as in the middle of an evaluation
        assert all(map(torch.equal, measure(model, images), first))


def test_each_image_has_its_own_climb(trained, monkeypatch):
    model, images = trained
    together = gap_surgery(model, images[:5])
    monkeypatch.setattr(exact, "_SHARING", 2)
    monkeypatch.setattr(exact, "_DECODED", 100)
    for one, other in zip(gap_surgery(model, images[:5]), together, strict=True):
        assert_close(one, other, rtol=0, atol=1e-3)


def test_all_works_on_the_fastest_device_of_this_machine():
    model, device = bernoulli_vae(), pick_device()
    here = gap_surgery(model, pictures(3))
    there = gap_surgery(model.to(device), pictures(3))
    for one, other in zip(there, here, strict=True):
        assert_close(one, other, rtol=0, atol=1e-3)


# ── the ladder ──────────────────────────────────────────────────────────────────────

SIZES = (1, 2, 5, 20, 100)


def test_every_image_climbs_from_its_elbo_to_log_px(trained):
    """Within five errors: of 50 numbers, and some errors come from only 40 groups.

    Student's t with 39 degrees of freedom passes 5 once in 90,000 times.
    """
    model, images = trained
    gaps = gap_surgery(model, images)
    value, error = iwae_curve(model, images, SIZES, n_samples=4000)
    assert value.shape == error.shape == (5, 10)
    assert (gaps.elbo < value + 5 * error).all()
    assert (value < gaps.log_px + 5 * error).all()
    assert ((value[0] - gaps.elbo).abs() < 5 * error[0]).all()  # L_1 is the ELBO
    rises = value.mean(1).diff()
    assert (rises > 0).all()
    remaining = gaps.log_px.mean() - value.mean(1)
    assert remaining[0] > 5 * remaining[-1]


def test_importance_sampling_comes_to_the_quadrature(trained):
    model, images = trained
    truth, _ = log_evidence_quadrature(model, images)
    for proposal in ("posterior", "prior"):
        estimate = log_evidence_importance(model, images, 4000, proposal=proposal)
        off = (estimate.value - truth).abs()
        assert (off < 5 * estimate.error + ROUNDING).all()
        assert estimate.error.max() < 0.25


def test_a_mode_that_q_misses_is_missing_from_value_and_error():
    """The limit that the docstring states: half the mass, and an error that is tiny."""
    model = tent_vae()
    with torch.no_grad():
        model.decoder[0].weight[:, 0] = torch.tensor([1.0, -1.0])  # ±z₁
        model.decoder[0].bias.zero_()
        model.decoder[2].weight[0] = 1.0  # the pixel is |z₁| − 2
        model.decoder[2].bias[0] = -2.0
        model.to_mu.bias[0] = 1.6
        model.to_logvar.bias[0] = math.log(0.2)
    image = torch.zeros(1, *SHAPE)
    truth = log_evidence_quadrature(model, image).value
    estimate = log_evidence_importance(model, image, 2000)
    assert estimate.error < 0.01
    assert (truth - estimate.value).item() == pytest.approx(math.log(2), abs=0.02)
    honest = log_evidence_importance(model, image, 20000, proposal="prior")
    assert (truth - honest.value).abs() < 5 * honest.error
    gaps = gap_surgery(model, image)
    assert gaps.approximation.item() == pytest.approx(math.log(2), abs=0.02)
