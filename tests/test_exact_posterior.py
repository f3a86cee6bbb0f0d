"""p(z|x) on its grid, Gaussians laid on it, and models of other kinds and shapes."""

import math

from vae_helpers import exact
from vae_helpers.exact import (
    Grid,
    exact_elbo,
    gap_surgery,
    log_evidence_quadrature,
    posterior_grid,
)

import pytest
import torch
from oracles import (
    F64,
    SHAPE,
    SmallVAE,
    bernoulli_vae,
    draw_pictures,
    linear_log_px,
    linear_posterior,
    linear_vae,
    log_joint_by_numpy,
    log_px_by_numpy,
    pictures,
    seeded,
)
from scipy.integrate import dblquad
from torch import nn
from torch.distributions import MultivariateNormal, Normal, kl_divergence
from torch.testing import assert_close

CASES = [((0.5, 0.5), 0.0), ((0.4, 0.1), 0.6), ((0.05, 0.2), -0.3), ((0.03, 0.03), 0.0)]


def one(posterior):
    """The first posterior of a batch of them."""
    return MultivariateNormal(
        posterior.mean[0], precision_matrix=posterior.precision_matrix[0]
    )


@pytest.fixture(scope="module", params=CASES)
def case(request):
    model = linear_vae(*request.param)
    images = draw_pictures(model, 1)
    posterior = one(linear_posterior(model, images))
    log_px = linear_log_px(model, images).item()
    return model, images[0], posterior, log_px, posterior_grid(model, images[0])


# ── log p(x) ────────────────────────────────────────────────────────────────────────


def test_log_px_is_that_of_the_closed_form(case):
    _, _, _, log_px, grid = case
    assert grid.log_px == pytest.approx(log_px, abs=2e-5)
    assert grid.error < 1e-4


@pytest.mark.parametrize(
    "window",
    [
        (0.3, -0.2, 0.4),
        (2.0, 2.0, 0.5),
        (6.5, -6.8, 0.6),
        (-7.0, 0.0, 1.0),
        (9.0, 9.0, 1.0),
    ],
)
def test_log_px_is_a_sum_over_all_z_whatever_the_window_shows(window):
    """It cuts through the mass, misses it, or reaches over the edge of the plane."""
    model = linear_vae((0.5, 0.3), 0.6)
    x = draw_pictures(model, 1)
    grid = posterior_grid(model, x[0], window=window)
    truth = linear_log_px(model, x).item()
    assert grid.log_px == pytest.approx(truth, abs=2e-3)
    assert abs(grid.log_px - truth) < grid.error + 2e-5
    ends = [(c - window[2], c + window[2]) for c in window[:2]]
    assert_close(torch.tensor(grid.window), torch.tensor(ends), rtol=0, atol=0.03)


def test_both_sums_agree_with_scipys_double_integral():
    model, x = bernoulli_vae(3, 1.0), pictures(1)
    top = log_px_by_numpy(model, x[0], 60)
    area, _ = dblquad(
        lambda z2, z1: math.exp(log_joint_by_numpy(model, x[0], z1, z2).item() - top),
        *(-7, 7, -7, 7),
        epsabs=1e-7,
    )
    truth = top + math.log(area)
    value, error = log_evidence_quadrature(model, x)
    assert value.item() == pytest.approx(truth, abs=1e-5)
    assert error < 1e-5
    assert posterior_grid(model, x[0]).log_px == pytest.approx(truth, abs=1e-5)


def test_a_posterior_too_narrow_for_the_grid_shows_in_the_error():
    model = linear_vae((0.005, 0.005), 0.6, sigma=0.1)
    x = draw_pictures(model, 1)
    with torch.no_grad():
        model.to_mu.bias += 4  # so that the window is wide
    assert posterior_grid(model, x[0]).error > 0.1


# ── the grid ────────────────────────────────────────────────────────────────────────


def test_the_grid_holds_log_p_x_given_z_where_it_says(case):
    model, x, _, _, grid = case
    z1, z2 = grid.axes()
    assert (z1.diff() - grid.step).abs().max() < 1e-9
    edges = z1[0] - grid.step / 2, z2[0] - grid.step / 2
    assert_close(torch.stack(edges), torch.tensor(grid.low).double())
    log_joint, prior = grid.log_joint(), Normal(0.0, 1.0)
    for row, column in [(0, 0), (3, 70), (len(z1) - 1, 2)]:
        z = torch.stack([z1[column], z2[row]])
        with torch.no_grad():
            expected = model.log_likelihood(x[None], z[None].float()).item()
        assert grid.log_px_z[row, column].item() == pytest.approx(expected, rel=1e-5)
        expected += prior.log_prob(z).sum().item()
        assert log_joint[row, column].item() == pytest.approx(expected, rel=1e-5)


def test_the_window_holds_the_posterior_and_the_encoders_q(case):
    model, x, posterior, _, grid = case
    with torch.no_grad():
        mu, logvar = model.encode(x[None])
    sigma = (0.5 * logvar[0]).exp()
    assert grid.resolves(mu[0].tolist(), sigma.tolist())
    for d, (low, high) in enumerate(grid.mu_limits):
        normal = Normal(posterior.mean[d], posterior.covariance_matrix[d, d].sqrt())
        low, high = (normal.cdf(torch.tensor(end).double()) for end in (low, high))
        assert high - low > 0.999
    (left, right), (bottom, top) = grid.window
    assert right - left == pytest.approx(top - bottom)
    # no larger than four deviations, the encoder's q or a few cells ask for
    widest = max(posterior.variance.max().sqrt(), sigma.max())
    assert right - left < 8.5 * widest + 0.3
    z1, z2 = grid.axes()
    margin = 5 / 6 * (right - left)  # five deviations of the widest q
    assert z1[0] <= left - margin + grid.step
    assert z1[-1] >= right + margin - grid.step
    assert z2[0] <= bottom - margin + grid.step
    assert z2[-1] >= top + margin - grid.step


@pytest.mark.parametrize("where", [(5.0, 0.0), (0.0, -5.0)])
def test_the_window_reaches_to_an_encoder_far_off(where):
    model = linear_vae((0.3, 0.3))
    with torch.no_grad():
        model.to_mu.weight.zero_()
        model.to_mu.bias.copy_(torch.tensor(where))
    grid = posterior_grid(model, draw_pictures(model, 1)[0])
    sigma = (0.5 * model.to_logvar.bias).exp().tolist()
    assert grid.resolves(where, sigma)


def test_an_encoder_that_is_too_sure_makes_no_grid_finer_than_400_points():
    sure = linear_vae((0.3, 0.3))
    x = draw_pictures(sure, 1)
    usual = posterior_grid(sure, x[0])
    with torch.no_grad():
        sure.to_logvar.bias.fill_(2 * math.log(0.02))
    finer = posterior_grid(sure, x[0])
    assert 300 < len(finer.log_px_z) <= 400
    assert finer.step < usual.step
    with torch.no_grad():
        sure.to_logvar.bias.fill_(2 * math.log(0.0016))
    finest = posterior_grid(sure, x[0])
    assert len(finest.log_px_z) == len(finer.log_px_z)
    assert finest.log_px == pytest.approx(usual.log_px, abs=2e-5)


@pytest.mark.parametrize("sigma", [0.011, 0.03, 0.3])
def test_the_grid_is_fine_enough_for_the_encoders_q_and_for_the_eye(sigma):
    model = linear_vae((0.06, 0.06))
    with torch.no_grad():
        model.to_logvar.bias.fill_(2 * math.log(sigma))
    grid = posterior_grid(model, draw_pictures(model, 1)[0])
    (left, right), _ = grid.window
    assert grid.step <= min(sigma, (right - left) / 60 + 1e-9)
    assert grid.step > min(sigma, (right - left) / 60) / 2  # and not finer than needed


# ── Gaussians on the grid ───────────────────────────────────────────────────────────


def test_elbo_and_kl_make_log_px_for_any_q_within_the_limits(case):
    _, _, posterior, log_px, grid = case
    low, high = (
        torch.tensor([grid.mu_limits, [grid.sigma_limits] * 2]).double().mT.unbind(1)
    )
    share = torch.rand(30, 2, 2, generator=seeded(), dtype=F64)
    share[0], share[1] = 0, 1  # the corners
    share[2], share[3] = torch.tensor([[[0.0], [1.0]], [[1.0], [0.0]]])
    for mu, sigma in low + share * (high - low):
        kl = kl_divergence(MultivariateNormal(mu, sigma.square().diag()), posterior)
        # the farthest and widest q have 10⁴ nats and more
        assert grid.elbo(mu, sigma).item() + kl.item() == pytest.approx(
            log_px, abs=1e-3 + 1e-6 * kl.item()
        )


def test_a_q_is_resolved_only_within_all_limits(case):
    *_, grid = case
    (left, right), (bottom, top) = grid.mu_limits
    narrow, wide = grid.sigma_limits
    assert wide == pytest.approx((right - left) / 6)
    mu, sigma = [(left + right) / 2, (bottom + top) / 2], [(narrow + wide) / 2] * 2
    assert grid.resolves(mu, sigma)
    assert grid.resolves([left, bottom], [narrow, narrow])
    assert grid.resolves([right, top], [wide, wide])
    for outside in (left - 1e-6, right + 1e-6):
        assert not grid.resolves([outside, mu[1]], sigma)
    for outside in (bottom - 1e-6, top + 1e-6):
        assert not grid.resolves([mu[0], outside], sigma)
    for outside in (narrow * 0.999, wide * 1.001):
        assert not grid.resolves(mu, [outside, sigma[1]])
        assert not grid.resolves(mu, [sigma[0], outside])


def test_the_best_gaussian_is_that_of_the_closed_form(case):
    model, x, posterior, log_px, grid = case
    with torch.no_grad():
        mu, logvar = model.encode(x[None])
    far = [low for low, _ in grid.mu_limits]
    encoded = mu[0].tolist(), (0.5 * logvar[0]).exp().tolist()
    best = posterior.precision_matrix.diagonal().rsqrt()  # of all q without tilt
    for starts in ([grid.peak()], [encoded], [(far, [1e-9, 9.0]), encoded]):
        mu, sigma = map(torch.tensor, grid.best_gaussian(starts))
        assert ((mu - posterior.mean) / best).abs().max() < 2e-3
        assert (sigma / best - 1).abs().max() < 5e-3
    tilt = 0.5 * (best.log().sum() * -2 - posterior.precision_matrix.logdet())
    value = grid.elbo(mu.double(), sigma.double()).item()
    assert log_px - value == pytest.approx(tilt.item(), abs=1e-4)


def test_of_several_climbs_the_highest_end_is_the_best_gaussian():
    """Two modes; each start climbs its own, and the order of starts does not matter."""
    z = torch.arange(200) * 0.05 - 4.975
    high, low = -0.5 * ((z - 2) / 0.2) ** 2, -3 - 0.5 * ((z + 2) / 0.2) ** 2
    log_px_z = torch.logaddexp(high, low) - 0.5 * ((z[:, None] - 1) / 0.2) ** 2
    window = ((-3.0, 3.0), (-3.0, 3.0))
    grid = exact.PosteriorGrid(log_px_z, (-5.0, -5.0), 0.05, window, 0.0, 0.0)
    starts = [([side, 0.8], [0.2, 0.2]) for side in (-2.0, 2.0)]
    for some in (starts, starts[::-1], starts[1:]):
        (mu, _), _ = grid.best_gaussian(some)
        assert mu == pytest.approx(2 / (1 + 0.2**2), abs=1e-3)
    (mu, _), _ = grid.best_gaussian(starts[:1])
    assert mu == pytest.approx(-2 / (1 + 0.2**2), abs=1e-3)


def test_the_best_gaussian_stays_within_the_limits():
    model = linear_vae((0.3, 0.3))
    x = draw_pictures(model, 1)
    middle = linear_posterior(model, x).mean[0] - 3  # to the lower left of all mass
    grid = posterior_grid(model, x[0], window=(*middle.tolist(), 1.0))
    mu, sigma = grid.best_gaussian([grid.peak(), ([0, 0], [1, 1])])
    assert grid.resolves(mu, sigma)
    assert mu == pytest.approx([high for _, high in grid.mu_limits], abs=1e-6)


def test_a_peak_that_is_flat_or_bends_upwards_gets_a_sigma_of_one():
    z = torch.arange(41) * 0.1 - 2.0
    for bend in (1.0, 0.7, 1.3):  # the prior bends by −1; up to 1.0 all is flat or more
        log_px_z = 0.5 * bend * z**2 - 12 * (z[:, None] - 0.5) ** 2
        mu, sigma = Grid(log_px_z, (-2.05, -2.05), 0.1).peak()
        assert sigma[0] == 1
        assert sigma[1] == pytest.approx(1 / 5, rel=1e-3)
        assert mu[1] == pytest.approx(0.5, abs=0.05)


# ── an ELBO without noise, for any q ────────────────────────────────────────────────


@pytest.mark.parametrize("n_nodes", [4, 24])
def test_the_elbo_of_any_q_is_that_of_the_closed_form_with_gradients(n_nodes):
    model = linear_vae((0.4, 0.1), 0.6, dtype=F64)
    images = draw_pictures(model, 3)
    mu = torch.tensor([[0.1, -0.2], [8.0, 1.0], [0.0, 0.0]], dtype=F64)
    sigma = torch.tensor([[0.0016, 0.5], [0.3, 1.4], [1e-6, 1e-3]], dtype=F64)
    q = [mu.requires_grad_(), (2 * sigma.log()).requires_grad_()]
    value = exact_elbo(model, images, *q, n_nodes=n_nodes)
    q_again = [part.detach().clone().requires_grad_() for part in q]
    given = MultivariateNormal(q_again[0], torch.diag_embed(q_again[1].exp()))
    truth = linear_log_px(model, images) - kl_divergence(
        given, linear_posterior(model, images)
    )
    assert value.shape == (3,)
    assert value.dtype == F64
    assert_close(value, truth, rtol=1e-6, atol=1e-5)
    assert_close(
        torch.autograd.grad(value.sum(), q),
        torch.autograd.grad(truth.sum(), q_again),
        rtol=1e-6,
        atol=1e-4,
    )


def test_an_encoder_that_the_grid_cannot_hold_is_told_and_has_its_elbo():
    model = linear_vae((0.3, 0.1), 0.6)
    x = draw_pictures(model, 1)
    with torch.no_grad():
        model.to_logvar.bias.fill_(2 * math.log(0.0016))
        mu, logvar = model.encode(x)
    q = mu[0].tolist(), (0.5 * logvar[0]).exp().tolist()
    assert not posterior_grid(model, x[0]).resolves(*q)
    assert not posterior_grid(model, x[0], window=(3.0, 3.0, 0.5)).resolves(*q)
    given = MultivariateNormal(mu[0].double(), torch.diag(logvar[0].double().exp()))
    kl = kl_divergence(given, one(linear_posterior(model, x)))
    truth = linear_log_px(model, x) - kl
    assert_close(exact_elbo(model, x, mu, logvar), truth, rtol=0, atol=1e-4)


# ── other models, other shapes ──────────────────────────────────────────────────────


class Shaped(nn.Module):
    """A small VAE seen through images of another shape, with three methods alone."""

    def __init__(self, vae, shape):
        super().__init__()
        self.vae, self.shape = vae, shape

    def encode(self, x):
        return self.vae.encode(x.view(-1, *SHAPE))

    def decode(self, z):
        return self.vae.decode(z).reshape(*z.shape[:-1], *self.shape)

    def log_likelihood(self, x, z):
        return self.vae.log_likelihood(x.view(-1, *SHAPE), z)


class Bare:
    """No module at all: nothing but the methods."""

    def __init__(self, vae):
        self.encode, self.decode = vae.encode, vae.decode
        self.log_likelihood = vae.log_likelihood


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("make", [bernoulli_vae, lambda: linear_vae((0.3, 0.3), 0.4)])
def test_any_model_with_the_methods_and_images_of_any_shape_will_do(make, known):
    vae, x = make(), pictures(2)
    model = Shaped(vae, (3, 4, 3))
    if known:  # the product of matrices, as of a VAE
        model.likelihood = vae.likelihood
        model.pixel_logvar = getattr(vae, "pixel_logvar", None)
    y = x.view(2, 3, 4, 3)
    settings = {"rtol": 0, "atol": 1e-4}
    assert_close(
        log_evidence_quadrature(model, y, step=0.07),
        log_evidence_quadrature(vae, x, step=0.07),
        **settings,
    )
    ours, theirs = posterior_grid(model, y[0]), posterior_grid(vae, x[0])
    assert_close(ours.log_px_z, theirs.log_px_z, rtol=1e-5, atol=1e-4)
    assert ours.log_px == pytest.approx(theirs.log_px, abs=1e-4)


def test_a_model_without_parameters_will_do():
    vae, x = bernoulli_vae(), pictures(2)
    with torch.no_grad():
        found, expected = gap_surgery(Bare(vae), x), gap_surgery(vae, x)
    assert_close(tuple(found), tuple(expected), rtol=0, atol=1e-3)


def test_gap_surgery_decodes_the_plane_once(monkeypatch):
    decoded = []
    model, x = bernoulli_vae(), pictures(3)
    decode = SmallVAE.decode
    monkeypatch.setattr(
        SmallVAE, "decode", lambda *a: decoded.append(len(a[1])) or decode(*a)
    )
    log_evidence_quadrature(model, x)
    assert sum(decoded) == 400**2
    del decoded[:]
    monkeypatch.setattr(exact, "_find_best", lambda *_: torch.zeros(4, 2, 2)[:3])
    gap_surgery(model, x)
    assert sum(decoded) == 400**2


def test_a_posterior_grid_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="two latent dimensions"):
        posterior_grid(SmallVAE(3), pictures(1)[0])
    with pytest.raises(ValueError, match="pixels range"):
        posterior_grid(bernoulli_vae(), pictures(1)[0] + 1)
    with pytest.raises(ValueError, match="images have shape"):
        posterior_grid(bernoulli_vae(), pictures(1))
