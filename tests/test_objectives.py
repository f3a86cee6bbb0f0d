"""The objectives against torch.distributions, quadrature and models solved by hand.

The linear-Gaussian toy has its log p(x) and its posterior in closed form, so the two
bounds can be held against the number they bound.
"""

import itertools
import math

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck
from torch.distributions import Bernoulli, MultivariateNormal, Normal, kl_divergence

from vae_helpers.models import mlp
from vae_helpers.objectives import (
    bernoulli_log_likelihood,
    beta_objective,
    elbo,
    gaussian_kl,
    gaussian_log_likelihood,
    iwae_bound,
    squared_error,
)
from vae_helpers.training import fit

torch.set_num_threads(1)
assert_close = torch.testing.assert_close

DTYPES = [torch.float32, torch.float64]
EVENTS = [(5,), (1, 28, 28)]  # one flat x, one image
SAMPLES = [(), (2,)]  # in front of the images
SETTINGS = {"samples": SAMPLES, "event": EVENTS, "dtype": DTYPES}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=seeded(seed), dtype=dtype)


def uniform(*shape, seed=0, dtype=torch.float64):
    return torch.rand(shape, generator=seeded(seed), dtype=dtype)


def standard(mu):
    return Normal(torch.zeros_like(mu), torch.ones_like(mu))


def gaussian(mu, logvar):
    return Normal(mu, logvar.exp().sqrt())


def every(**values):
    """Parametrize over the product of `values`."""
    return pytest.mark.parametrize(tuple(values), itertools.product(*values.values()))


# ── values ──────────────────────────────────────────────────────────────────────────


@every(shape=[(1, 1), (3, 2), (2, 50)], dtype=DTYPES)
def test_kl_is_that_of_torch_distributions(shape, dtype):
    mu, logvar = normal(*shape, dtype=dtype), 2 * normal(*shape, seed=1, dtype=dtype)
    kl = gaussian_kl(mu, logvar)
    q = gaussian(mu, logvar)
    assert (kl.shape, kl.dtype) == (shape[:1], dtype)
    assert_close(kl, kl_divergence(q, standard(mu)).sum(-1))


@every(**SETTINGS)
def test_bernoulli_is_that_of_torch_distributions(samples, event, dtype):
    logits = 3 * normal(*samples, 3, *event, dtype=dtype)
    x = uniform(3, *event, dtype=dtype)
    x[0] = x[0].round()
    value = bernoulli_log_likelihood(logits, x)
    pixels = Bernoulli(logits=logits, validate_args=False).log_prob(x)
    assert (value.shape, value.dtype) == ((*samples, 3), dtype)
    assert_close(value, pixels.flatten(len(samples) + 1).sum(-1))


@every(**SETTINGS)
def test_gaussian_is_that_of_torch_distributions(samples, event, dtype):
    mean, x = normal(*samples, 3, *event, dtype=dtype), normal(3, *event, seed=1)
    full = normal(*samples, 3, *event, seed=2, dtype=dtype)
    one = (1,) * len(event)
    for logvar in (full, full[..., :1], normal(3, *one, dtype=dtype), -1.3, 0):
        value = gaussian_log_likelihood(x.to(dtype), mean, logvar)
        q = gaussian(mean, torch.as_tensor(logvar, dtype=dtype))
        assert (value.shape, value.dtype) == ((*samples, 3), dtype)
        expected = q.log_prob(x.to(dtype)).flatten(len(samples) + 1).sum(-1)
        assert_close(value, expected)


@every(mu=[0.0, -1.7], logvar=[-3.0, 0.0, 1.2])
def test_kl_and_density_by_quadrature(mu, logvar):
    mean, logvar = torch.tensor([[mu]]).double(), torch.tensor([[logvar]]).double()
    x = (
        mu
        + 12 * (0.5 * logvar[0]).exp() * torch.linspace(-1, 1, 4001).double()[:, None]
    )
    log_q = gaussian_log_likelihood(x, mean.expand_as(x), logvar)
    log_p = gaussian_log_likelihood(x, torch.zeros_like(x), 0.0)
    integrals = torch.trapezoid(
        torch.stack([torch.ones_like(log_q), log_q - log_p]) * log_q.exp(), x[:, 0]
    )
    assert_close(integrals, torch.stack([torch.ones(()), gaussian_kl(mean, logvar)[0]]))


def test_grey_pixels_are_the_mean_over_all_tosses():
    logits, x = 2 * normal(2, 3), uniform(2, 3)
    mean = torch.zeros(2).double()
    for toss in itertools.product([0.0, 1.0], repeat=3):
        ink = torch.tensor(toss).double().expand(2, 3)
        chance = torch.where(ink == 1, x, 1 - x).prod(-1)
        mean += chance * bernoulli_log_likelihood(logits, ink)
    assert_close(bernoulli_log_likelihood(logits, x), mean)


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.float64])
def test_tossed_pixels_may_be_of_any_type(dtype):
    logits, x = normal(3, 4, dtype=torch.float32), uniform(3, 4).round()
    value = bernoulli_log_likelihood(logits, x.to(dtype))
    assert torch.equal(value, bernoulli_log_likelihood(logits, x.float()))


def test_squared_error_sums_over_pixels():
    x = torch.ones(3, 1, 28, 28) * torch.tensor([0.0, 0.5, 1.0]).view(3, 1, 1, 1)
    error = squared_error(torch.zeros_like, x)
    assert_close(error, torch.tensor([0.0, 196.0, 784.0]))


# ── float32 ─────────────────────────────────────────────────────────────────────────


@every(logit=[-1e4, 1e4], x=[0.0, 0.3, 1.0])
def test_bernoulli_is_exact_where_sigmoid_saturates(logit, x):
    logits = torch.full((2, 1, 4, 4), logit, requires_grad=True)
    ink, p = torch.full_like(logits, x), float(logit > 0)
    value = bernoulli_log_likelihood(logits, ink)
    value.sum().backward()
    assert_close(value, torch.full((2,), -16e4 * abs(x - p)), rtol=1e-6, atol=0)
    assert_close(logits.grad, ink.detach() - p, rtol=1e-6, atol=0)


@every(logvar=[-20.0, 20.0], gap=[0.0, 1.0, -3.0])
def test_wide_and_narrow_gaussians_agree_with_float64(logvar, gap):
    results = []
    for dtype in DTYPES:
        x, mean = torch.zeros(1, 3, dtype=dtype), torch.full((1, 3), gap, dtype=dtype)
        tensors = mean.requires_grad_(), torch.full_like(mean, logvar).requires_grad_()
        values = torch.cat(
            [gaussian_kl(*tensors), gaussian_log_likelihood(x, *tensors)]
        )
        grads = [torch.autograd.grad(v, tensors, retain_graph=True) for v in values]
        results.append([values, *itertools.chain(*grads)])
    for a, b in zip(*results, strict=True):
        assert a.isfinite().all()
        assert_close(a.double(), b, rtol=1e-5, atol=1e-6)


@every(logvar=[1e-1, 1e-2, 1e-3, 1e-4, -1e-1, -1e-2, -1e-3, -1e-4], mu=[0.0, 1e-3])
def test_kl_near_zero_keeps_its_digits(logvar, mu):
    mu, logvar = torch.full((1, 1), mu), torch.full((1, 1), logvar)
    q = gaussian(mu.double(), logvar.double())
    expected = kl_divergence(q, standard(mu.double()))[0]
    rtol = 3 * torch.finfo(torch.float32).eps / logvar.abs().item()
    assert_close(gaussian_kl(mu, logvar).double(), expected, rtol=rtol, atol=0)


def test_kl_is_zero_at_the_prior_and_not_negative_around_it():
    for zero in (torch.zeros(2, 3), -torch.zeros(2, 3)):
        kl = gaussian_kl(zero, zero)
        assert not kl.any()
        assert not kl.signbit().any()
    tiny = torch.logspace(-12, -2, 500).repeat(20, 1).T * normal(500, 20).float()
    assert gaussian_kl(torch.zeros_like(tiny), tiny).min() >= -1e-7


# ── a model whose log p(x) is known ─────────────────────────────────────────────────

D, X, S = 2, 4, 0.6  # latent dimensions, pixels, standard deviation of the noise


class LinearGaussian(nn.Module):
    """p(z) = N(0, I), p(x|z) = N(Wz + b, S²I); q is the posterior, moved and widened.

    The columns of W are orthogonal, so the posterior is a diagonal Gaussian.
    """

    def __init__(self, move=0.0, widen=0.0, dtype=torch.float64):
        super().__init__()
        self.move, self.widen, self.drawn = move, widen, []
        w = torch.linalg.qr(normal(X, D))[0] * torch.tensor([0.5, 1.5])
        self.w, self.b = w.to(dtype), normal(X, seed=1, dtype=dtype)

    def posterior(self, x):
        variance = 1 / (1 + self.w.square().sum(0) / S**2)
        return (x - self.b) @ self.w / S**2 * variance, variance.log().expand(len(x), D)

    def encode(self, x):
        mu, logvar = self.posterior(x)
        return mu + self.move, logvar + self.widen

    def log_likelihood(self, x, z):
        self.drawn.append(z)
        return Normal(z @ self.w.T + self.b, S).log_prob(x).sum(-1)

    def log_px(self, x):
        covariance = self.w @ self.w.T + S**2 * torch.eye(X).to(self.w)
        return MultivariateNormal(self.b, covariance).log_prob(x)


Q = pytest.mark.parametrize("q", [(0, 0), (0.4, 0), (0, 1.0), (-0.5, -0.8)])
N = 20_000


def many(x):
    """N copies of one x: one call draws N independent estimates."""
    return x.expand(N, X)


def z_score(estimates, expected):
    return (estimates.mean() - expected) / (estimates.std() / len(estimates) ** 0.5)


def test_the_toy_has_the_posterior_it_says():
    model, x = LinearGaussian(), normal(3, X, seed=2)
    z = normal(3, D, seed=3)
    mu, logvar = model.posterior(x)
    log_joint = standard(z).log_prob(z).sum(-1) + model.log_likelihood(x, z)
    assert_close(log_joint - gaussian(mu, logvar).log_prob(z).sum(-1), model.log_px(x))


@Q
@pytest.mark.parametrize("n_samples", [1, 7])
def test_the_elbo_is_log_px_less_the_gap_to_the_posterior(q, n_samples):
    model, x = LinearGaussian(*q), normal(1, X, seed=2)
    terms = elbo(model, many(x), n_samples, seeded())
    gap = kl_divergence(gaussian(*model.encode(x)), gaussian(*model.posterior(x)))
    assert abs(z_score(terms.elbo, model.log_px(x) - gap.sum())) < 5
    assert_close(terms.kl, gaussian_kl(*model.encode(many(x))))
    assert torch.equal(terms.elbo, terms.log_px_z - terms.kl)


@pytest.mark.parametrize("q", [(0, 0), (0.4, -1.0)])
def test_the_elbo_with_the_exact_mean_log_likelihood(q):
    """With its one average done by hand, the exact posterior's ELBO is log p(x)."""
    model, x = LinearGaussian(*q), normal(1, X, seed=2)
    mu, logvar = model.encode(x)
    spread = (model.w.square().sum(0) * logvar.exp()).sum() / S**2
    mean = model.log_likelihood(x, mu) - 0.5 * spread
    log_px_z = elbo(model, many(x), 5, seeded()).log_px_z
    assert abs(z_score(log_px_z, mean)) < 5
    gap = kl_divergence(gaussian(mu, logvar), gaussian(*model.posterior(x))).sum(-1)
    assert_close(mean - gaussian_kl(mu, logvar), model.log_px(x) - gap)


@every(n_samples=[1, 2, 10, 300], dtype=DTYPES)
def test_iwae_with_the_exact_posterior_is_log_px_for_every_draw(n_samples, dtype):
    model, x = LinearGaussian(dtype=dtype), normal(5, X, dtype=dtype)
    for seed in range(3):
        bound = iwae_bound(model, x, n_samples, seeded(seed))
        assert (bound.shape, bound.dtype) == ((5,), dtype)
        assert_close(bound, model.log_px(x))


@Q
def test_iwae_rises_from_the_elbo_to_log_px(q):
    model, x = LinearGaussian(*q), normal(1, X, seed=2)
    log_px = model.log_px(x).item()
    counts = [1, 2, 5, 20, 100]
    bounds = torch.stack([iwae_bound(model, many(x), k, seeded(k)) for k in counts])
    means, errors = bounds.mean(1), bounds.std(1) / N**0.5
    expected = elbo(model, many(x), 50, seeded()).elbo
    assert abs(z_score(bounds[0], expected.mean())) < 5
    assert (means < log_px + 5 * errors + 1e-9).all()
    if q != (0, 0):
        assert (means.diff() > 0).all()
        assert means[-1] > log_px - 0.02


@every(logvar=[-20.0, 0.5, 20.0], dtype=DTYPES, n_samples=[1, 6])
def test_iwae_from_the_weights_of_the_draws_it_made(logvar, dtype, n_samples):
    model, x = LinearGaussian(dtype=dtype), normal(3, X, dtype=dtype)
    mu, logvar = model.encode(x)[0], torch.full((3, D), logvar, dtype=dtype)
    model.encode = lambda x: (mu, logvar)
    bound = iwae_bound(model, x, n_samples, seeded())
    z = model.drawn[0].double()
    assert z.shape == (n_samples, 3, D)
    log_q = gaussian(mu.double(), logvar.double()).log_prob(z).sum(-1)
    log_pz = standard(z).log_prob(z).sum(-1)
    weights = model.double().log_likelihood(x, z.to(dtype)).double() + log_pz - log_q
    largest = weights.max(0).values
    expected = largest + (weights - largest).exp().mean(0).log()
    assert_close(bound.double(), expected, rtol=1e-5, atol=1e-4)


# ── draws ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("n_samples", [1, 3])
def test_the_elbo_averages_over_its_draws(n_samples):
    model, x = LinearGaussian(0.4), normal(5, X)
    log_px_z, _, total = elbo(model, x, n_samples, seeded())
    (z,) = model.drawn
    assert z.shape == (n_samples, 5, D)
    assert len(z.unique()) == z.numel()
    assert_close(log_px_z, model.log_likelihood(x, z).mean(0))
    assert log_px_z.shape == total.shape == (5,)


@pytest.mark.parametrize("bound", [lambda *a: elbo(*a).elbo, iwae_bound])
def test_the_generator_or_the_global_seed_decides_the_noise(bound):
    model, x = LinearGaussian(0.4), normal(5, X)
    before = torch.get_rng_state()
    a, b, c = (bound(model, x, 3, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    d, e = bound(model, x, 3), bound(model, x, 3)
    torch.manual_seed(1)
    assert torch.equal(a, b)
    assert torch.equal(bound(model, x, 3), d)
    assert not torch.equal(a, c)
    assert not torch.equal(d, e)


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0, 4.0])
def test_beta_weighs_the_kl_and_at_one_it_is_the_negative_elbo(beta):
    model, x = LinearGaussian(0.4, dtype=torch.float32), normal(5, X).float()
    torch.manual_seed(2)
    terms = elbo(model, x)
    torch.manual_seed(2)
    loss = beta_objective(model, x, beta)
    assert (loss.shape, loss.dtype) == ((5,), torch.float32)
    assert_close(loss, -terms.elbo + (beta - 1) * terms.kl)
    if beta == 1:
        assert torch.equal(loss, -terms.elbo)


# ── gradients ───────────────────────────────────────────────────────────────────────


def through(objective):
    """`objective` as a function of the mu and logvar of q, its noise always the same."""

    def function(mu, logvar):
        model = LinearGaussian()
        model.encode = lambda x: (mu, logvar)
        torch.manual_seed(0)
        return objective(model, normal(3, X))

    return function


INK = torch.tensor([[0.0, 0.3], [1.0, 0.0], [0.7, 1.0]]).double()


@pytest.mark.parametrize(
    ("function", "n_inputs"),
    [
        (gaussian_kl, 2),
        (lambda logits: bernoulli_log_likelihood(logits, INK), 1),
        (lambda logits: bernoulli_log_likelihood(torch.stack([logits] * 2), INK), 1),
        (gaussian_log_likelihood, 3),
        (lambda mean, logvar: gaussian_log_likelihood(INK, mean, logvar[:, :1]), 2),
        (through(lambda model, x: elbo(model, x, 2)), 2),
        (through(lambda model, x: beta_objective(model, x, 4.0)), 2),
        (through(lambda model, x: iwae_bound(model, x, 3)), 2),
    ],
)
def test_gradients_are_those_of_finite_differences(function, n_inputs):
    inputs = [normal(3, D, seed=seed).requires_grad_() for seed in range(n_inputs)]
    assert gradcheck(function, inputs)


# ── training ────────────────────────────────────────────────────────────────────────


class TinyVAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = mlp([784, 8, 4], nn.ReLU), mlp([2, 784], nn.ReLU)

    def encode(self, x):
        return self.encoder(x.flatten(1)).chunk(2, dim=1)

    def log_likelihood(self, x, z):
        logits = self.decoder(z).unflatten(-1, (1, 28, 28))
        return bernoulli_log_likelihood(logits, x)


@pytest.mark.parametrize(
    "objective",
    [
        lambda m, x: beta_objective(m, x, 4.0),
        lambda m, x: -elbo(m, x, 2).elbo,
        lambda m, x: -iwae_bound(m, x, 3),
    ],
)
def test_fit_trains_a_small_model_on_images(objective):
    torch.manual_seed(0)
    model, images = TinyVAE(), uniform(20, 1, 28, 28, dtype=torch.float32).round()
    assert objective(model, images).shape == (20,)
    losses = fit(model, objective, images, steps=20, lr=0.02, quiet=True).losses
    assert losses[0] == pytest.approx(784 * math.log(2), rel=0.1)
    assert losses[-1] < 0.95 * losses[0]


# ── what is refused ─────────────────────────────────────────────────────────────────


def ones(*shape):
    return torch.ones(shape)


@pytest.mark.parametrize(
    ("a", "b"),
    [((3, 2), (3, 1)), ((3, 2), (2, 3)), ((3, 2), (2,)), ((2,), (2,)), ((), ())],
)
def test_mu_and_logvar_must_be_rows_of_one_size(a, b):
    model = LinearGaussian()
    model.encode = lambda x: (ones(*a), ones(*b))
    for refuse in (
        lambda: gaussian_kl(ones(*a), ones(*b)),
        lambda: elbo(model, ones(3, X)),
        lambda: iwae_bound(model, ones(3, X), 2),
    ):
        with pytest.raises(ValueError, match=r"mu has .* and logvar .*be \(B, D\)"):
            refuse()


@pytest.mark.parametrize(
    ("a", "x"),
    [
        ((4,), (4,)),
        ((3, 4), (4,)),
        ((3, 4), (3, 5)),
        ((3, 4), (1, 4)),
        ((4,), (3, 4)),
        ((3, 784), (3, 1, 28, 28)),
        ((3, 2, 4), (2, 3, 4)),
        ((3, 2, 4), (3, 4)),
    ],
)
def test_what_is_predicted_must_match_x(a, x):
    advice = r"x must be \(B, …\), and {} the same or with samples in front"
    with pytest.raises(ValueError, match=advice.format("logits")):
        bernoulli_log_likelihood(ones(*a), ones(*x))
    with pytest.raises(ValueError, match=advice.format("mean")):
        gaussian_log_likelihood(ones(*x), ones(*a), 0.0)


@pytest.mark.parametrize("shape", [(3,), (2, 4), (5, 3, 4)])
def test_logvar_must_broadcast_to_the_mean(shape):
    with pytest.raises(ValueError, match=r"logvar .*mean \(3, 4\).*broadcast to mean"):
        gaussian_log_likelihood(ones(3, 4), ones(3, 4), ones(*shape))


@pytest.mark.parametrize(
    ("pixel", "advice"),
    [(-0.1, r"from -0\.1 to 0"), (1.1, r"to 1\.1"), (1 + 2e-7, r"to 1\.000000\d:")]
    + [(255, "to 255: .*divide bytes by 255"), (math.nan, "nan"), (math.inf, "inf")],
)
def test_pixels_outside_0_and_1_are_refused(pixel, advice):
    x = torch.zeros(3, 1, 28, 28)
    x[1, 0, 5, 5] = pixel
    with pytest.raises(ValueError, match=rf"{advice}.*in \[0, 1\]; divide .* undo"):
        bernoulli_log_likelihood(torch.zeros_like(x), x)
    with pytest.raises(ValueError, match=advice):
        elbo(TinyVAE(), x)


def test_an_empty_batch_gives_no_numbers():
    empty = ones(0, 1, 28, 28)
    assert bernoulli_log_likelihood(empty, empty).shape == (0,)
    assert elbo(TinyVAE(), empty).elbo.shape == (0,)


@pytest.mark.parametrize("n_samples", [0, -1])
def test_at_least_one_sample_is_drawn(n_samples):
    for bound in (elbo, iwae_bound):
        with pytest.raises(ValueError, match=f"is {n_samples}: at least one is needed"):
            bound(LinearGaussian(), normal(3, X), n_samples)


@pytest.mark.parametrize(
    "reduce",
    [lambda v: v.mean(0), lambda v: v.mean(), lambda v: v.T, lambda v: v[..., None]],
)
def test_a_model_must_give_one_log_likelihood_per_draw_and_image(reduce):
    model, x = LinearGaussian(), normal(3, X)
    likelihood = model.log_likelihood
    model.log_likelihood = lambda x, z: reduce(likelihood(x, z))
    for bound in (elbo, iwae_bound):
        with pytest.raises(
            ValueError, match=r"must be \(B, …\).*\(L, B\), summed over"
        ):
            bound(model, x, 2)


def test_one_image_without_a_batch_is_refused():
    for bound in (elbo, iwae_bound):
        with pytest.raises(ValueError, match=r"x has shape \(1, 28, 28\).*\(B, …\)"):
            bound(TinyVAE(), uniform(1, 28, 28, dtype=torch.float32), 1)
