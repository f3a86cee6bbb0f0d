"""The objectives against torch.distributions, quadrature and a model solved by hand.

The linear-Gaussian toy has its log p(x) and its posterior in closed form, so the two
bounds can be held against the number they bound.
"""

import itertools
import math

from vae_helpers.densities import (
    bernoulli_log_likelihood,
    gaussian_kl,
    gaussian_log_likelihood,
    reparameterize,
)
from vae_helpers.models import VAE, mlp
from vae_helpers.objectives import beta_objective, elbo, explain_loss, iwae_bound
from vae_helpers.training import fit

import pytest
import torch
from scipy.stats import kstest
from torch import nn
from torch.autograd import grad, gradcheck
from torch.distributions import Bernoulli, MultivariateNormal, Normal, kl_divergence
from torch.testing import assert_close

torch.set_num_threads(1)  # for tensors this small, more threads only take turns

F32, F64 = DTYPES = [torch.float32, torch.float64]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0, dtype=F64):
    return torch.randn(shape, generator=seeded(seed), dtype=dtype)


def uniform(*shape, dtype=F64):
    return torch.rand(shape, generator=seeded(), dtype=dtype)


def gaussian(mu, logvar):
    return Normal(mu, (0.5 * logvar).exp())


def kl_by_torch(mu, logvar):
    return kl_divergence(gaussian(mu, logvar), Normal(0 * mu, 1)).sum(-1)


def every(**values):
    """Parametrize over all combinations of `values`."""
    return pytest.mark.parametrize(
        tuple(values), [*itertools.product(*values.values())]
    )


# ── values ──────────────────────────────────────────────────────────────────────────

# Samples in front of the images or not; one x is flat or an image.
SETTINGS = {"samples": [(), (2,)], "event": [(5,), (1, 28, 28)], "dtype": DTYPES}


@every(shape=[(1, 1), (3, 2), (2, 50)], dtype=DTYPES)
def test_kl_is_that_of_torch_distributions(shape, dtype):
    mu, logvar = normal(*shape, dtype=dtype), normal(*shape, seed=1, dtype=dtype)
    kl = gaussian_kl(mu, logvar)
    assert (kl.shape, kl.dtype) == (shape[:1], dtype)
    assert_close(kl, kl_by_torch(mu, logvar))


@every(**SETTINGS)
def test_bernoulli_is_that_of_torch_distributions(samples, event, dtype):
    logits = 3 * normal(*samples, 3, *event, dtype=dtype)
    grey = uniform(3, *event, dtype=dtype)
    for x in (grey, grey.round(), grey > 0.5, grey.round().byte()):
        value = bernoulli_log_likelihood(x, logits)
        pixels = Bernoulli(logits=logits, validate_args=False).log_prob(x.to(dtype))
        assert (value.shape, value.dtype) == ((*samples, 3), dtype)
        assert_close(value, pixels.flatten(len(samples) + 1).sum(-1))


@every(**SETTINGS)
def test_gaussian_is_that_of_torch_distributions(samples, event, dtype):
    mean = normal(*samples, 3, *event, dtype=dtype)
    x, full = normal(3, *event, seed=1, dtype=dtype), normal(*mean.shape, seed=2)
    for logvar in (full, full[..., :1], full.flatten()[: event[-1]], -1.3, 0):
        value = gaussian_log_likelihood(x, mean, logvar)
        q = gaussian(mean, torch.as_tensor(logvar, dtype=dtype))
        assert (value.shape, value.dtype) == ((*samples, 3), dtype)
        assert_close(value, q.log_prob(x).flatten(len(samples) + 1).sum(-1))


@every(mu=[0.0, -1.7], logvar=[-3.0, 0.0, 1.2])
def test_kl_and_density_by_quadrature(mu, logvar):
    reach = 12 * math.exp(logvar / 2)
    x = torch.linspace(mu - reach, mu + reach, 4001, dtype=F64)[:, None]
    mean, logvar = torch.full_like(x, mu), torch.full_like(x, logvar)
    log_q = gaussian_log_likelihood(x, mean, logvar)
    log_ratio = log_q - gaussian_log_likelihood(x, torch.zeros_like(x), 0.0)
    assert_close(torch.trapezoid(log_q.exp(), x[:, 0]).item(), 1.0)
    kl = torch.trapezoid(log_q.exp() * log_ratio, x[:, 0])
    assert_close(kl, gaussian_kl(mean, logvar)[0])


def test_grey_pixels_are_the_mean_over_all_tosses():
    logits, x, mean = 2 * normal(2, 3), uniform(2, 3), 0
    for toss in itertools.product([0, 1], repeat=3):
        ink = torch.tensor(toss).expand(2, 3)
        chance = torch.where(ink == 1, x, 1 - x).prod(-1)
        mean = mean + chance * bernoulli_log_likelihood(ink, logits)
    assert_close(bernoulli_log_likelihood(x, logits), mean)


@every(n_samples=[1, 7], dtype=DTYPES)
def test_reparameterize_moves_and_scales_standard_normal_noise(n_samples, dtype):
    mu, logvar = normal(3000, 2, dtype=dtype), normal(3000, 2, seed=1, dtype=dtype)
    z = reparameterize(mu, logvar, n_samples, seeded())
    assert (z.shape, z.dtype) == ((n_samples, 3000, 2), dtype)
    eps = (z - mu) / gaussian(mu, logvar).stddev
    assert kstest(eps.flatten().numpy(), "norm").pvalue > 1e-4
    assert len(eps.unique()) > 0.99 * eps.numel()  # no noise is used twice


def test_reparameterize_has_the_gradients_of_rsample():
    mu, logvar = normal(3, 2).requires_grad_(), normal(3, 2, seed=1).requires_grad_()
    z = reparameterize(mu, logvar, 4, seeded())
    slopes = [grad(z.square().sum(), p, retain_graph=True)[0] for p in (mu, logvar)]
    assert_close(slopes[0], (2 * z).sum(0))
    assert_close(slopes[1], (2 * z * (z - mu) / 2).sum(0))


# ── extremes in float32 ─────────────────────────────────────────────────────────────


@every(logit=[-1e4, 1e4], pixel=[0.0, 0.3, 1.0])
def test_bernoulli_is_exact_where_the_sigmoid_is_0_or_1(logit, pixel):
    logits = torch.full((2, 1, 4, 4), logit, requires_grad=True)
    x, p = torch.full((2, 1, 4, 4), pixel), float(logit > 0)
    value = bernoulli_log_likelihood(x, logits)
    assert_close(value, torch.full((2,), -16e4 * abs(pixel - p)), rtol=1e-6, atol=0)
    assert_close(grad(value.sum(), logits)[0], x - p, rtol=1e-6, atol=0)


@every(logvar=[-20.0, 20.0], gap=[0.0, 1.0, -3.0])
def test_narrow_and_wide_gaussians_agree_with_float64(logvar, gap):
    results = []
    for dtype in DTYPES:
        mean = torch.full((1, 3), gap, dtype=dtype, requires_grad=True)
        inputs = mean, torch.full_like(mean, logvar, requires_grad=True)
        kl, density = gaussian_kl(*inputs), gaussian_log_likelihood(0 * mean, *inputs)
        results.append([kl, density, *grad(kl, inputs), *grad(density, inputs)])
    for single, double in zip(*results, strict=True):
        assert_close(single.double(), double, rtol=1e-5, atol=1e-6)


@every(size=[1e-1, 1e-2, 1e-3, 1e-4], sign=[-1, 1], mu=[0.0, 1e-3])
def test_kl_near_zero_keeps_its_digits(size, sign, mu):
    mu, logvar = torch.tensor([[mu]]), torch.tensor([[sign * size]])
    kl, exact = gaussian_kl(mu, logvar), kl_by_torch(mu.double(), logvar.double())
    assert_close(kl.double(), exact, rtol=3 * torch.finfo(F32).eps / size, atol=0)


def test_kl_is_zero_at_the_prior_and_not_negative_around_it():
    for zero in (torch.zeros(2, 3), -torch.zeros(2, 3)):
        assert str(gaussian_kl(zero, zero)) == "tensor([0., 0.])"  # not -0.
    tiny = torch.logspace(-12, -2, 500)[:, None] * normal(500, 20, dtype=F32)
    assert gaussian_kl(0 * tiny, tiny).min() >= -1e-7


# ── bounds on a log p(x) that is known ──────────────────────────────────────────────

D, X, S = 2, 4, 0.6  # latent dimensions, pixels, standard deviation of the noise
N = 10_000  # draws, where a mean is compared: within five standard errors
Q = pytest.mark.parametrize("q", [(0, 0), (0.4, 0), (0, 1.0), (-0.2, -0.4)])


class LinearGaussian(nn.Module):
    """p(z) = N(0, I), p(x|z) = N(Wz + b, S²I); q is the posterior, moved and widened.

    The columns of W are orthogonal, so the posterior is a diagonal Gaussian.
    """

    def __init__(self, move=0.0, widen=0.0, dtype=F64):
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

    def gap(self, x):
        """KL(q ‖ posterior), by which the ELBO is below log p(x)."""
        q, posterior = gaussian(*self.encode(x)), gaussian(*self.posterior(x))
        return kl_divergence(q, posterior).sum(-1)


def assert_mean(draws, expected):
    error = draws.std().item() / math.sqrt(len(draws))
    assert abs(draws.mean().item() - expected.item()) < 5 * error + 1e-9


@Q
@pytest.mark.parametrize("n_samples", [1, 7])
def test_the_elbo_is_log_px_less_the_gap_to_the_posterior(q, n_samples):
    model, x = LinearGaussian(*q), normal(1, X, seed=2)
    terms = elbo(model, x.expand(N, X), n_samples, seeded())
    assert_mean(terms.elbo, model.log_px(x) - model.gap(x))
    # and exactly so with the one average that is drawn done by hand
    mu, logvar = model.encode(x)
    spread = (model.w.square().sum(0) * logvar.exp()).sum(-1) / S**2
    log_px_z = model.log_likelihood(x, mu) - 0.5 * spread
    assert_mean(terms.log_px_z, log_px_z)
    assert_close(log_px_z - terms.kl[:1], model.log_px(x) - model.gap(x))


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
    many, log_px = x.expand(N, X), model.log_px(x).item()
    draws = [iwae_bound(model, many, k, seeded(k)) for k in (1, 2, 5, 20, 100)]
    assert_mean(draws[0], log_px - model.gap(x))
    means = torch.stack(draws).mean(1)
    errors = torch.stack(draws).std(1) / math.sqrt(N)
    assert (means < log_px + 5 * errors + 1e-9).all()
    assert means[-1] > log_px - 0.03
    assert q == (0, 0) or (means.diff() > 0).all()


@every(logvar=[-20.0, 0.5, 20.0], dtype=DTYPES, n_samples=[1, 6])
def test_both_bounds_from_the_draws_they_made(logvar, dtype, n_samples):
    model, x = LinearGaussian(dtype=dtype), normal(3, X, dtype=dtype)
    mu, logvar = model.encode(x)[0], torch.full((3, D), logvar, dtype=dtype)
    model.encode = lambda x: (mu, logvar)
    bound = iwae_bound(model, x, n_samples, seeded())
    log_px_z, kl, difference = elbo(model, x, n_samples, seeded())
    z, same_z = model.drawn
    assert torch.equal(z, same_z)
    assert (z.shape, len(z.unique())) == ((n_samples, 3, D), z.numel())
    assert_close(log_px_z, model.log_likelihood(x, z).mean(0))
    assert_close(kl, kl_by_torch(mu, logvar))
    assert torch.equal(difference, log_px_z - kl)
    log_pz = Normal(0, 1).log_prob(z.double()).sum(-1)
    log_qz = gaussian(mu.double(), logvar.double()).log_prob(z.double()).sum(-1)
    weights = model.log_likelihood(x, z).double() + log_pz - log_qz
    expected = weights.amax(0) + (weights - weights.amax(0)).exp().mean(0).log()
    assert_close(bound.double(), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("bound", [lambda *args: elbo(*args).elbo, iwae_bound])
def test_the_generator_or_else_the_global_seed_decides_the_noise(bound):
    model, x, before = LinearGaussian(0.4), normal(5, X), torch.get_rng_state()
    a, b, c = (bound(model, x, 3, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    d, e = bound(model, x, 3), bound(model, x, 3)
    torch.manual_seed(1)
    assert torch.equal(a, b)
    assert torch.equal(d, bound(model, x, 3))
    assert not torch.equal(a, c)
    assert not torch.equal(d, e)


@every(beta=[0.0, 0.5, 1.0, 4.0], dtype=DTYPES)
def test_beta_weighs_the_kl_and_at_1_it_is_minus_the_elbo(beta, dtype):
    model, x = LinearGaussian(0.4, dtype=dtype), normal(5, X, dtype=dtype)
    torch.manual_seed(2)
    terms = elbo(model, x)
    torch.manual_seed(2)
    loss = beta_objective(model, x, beta)
    assert (loss.shape, loss.dtype) == ((5,), dtype)
    assert_close(loss, -terms.elbo + (beta - 1) * terms.kl)


# ── gradients and training ──────────────────────────────────────────────────────────


def through(objective):
    """`objective` as a function of q's mu and logvar, its noise always the same."""

    def function(mu, logvar):
        model = LinearGaussian()
        model.encode = lambda x: (mu, logvar)
        torch.manual_seed(0)
        return objective(model, normal(3, X))

    return function


INK = torch.tensor([[0.0, 0.3], [1.0, 0.0], [0.7, 1.0]], dtype=F64)
OBJECTIVES = [
    lambda model, x: beta_objective(model, x, 4.0),
    lambda model, x: -elbo(model, x, 2).elbo,
    lambda model, x: -iwae_bound(model, x, 3),
]


@pytest.mark.parametrize(
    "function",
    [
        gaussian_kl,
        lambda a, b: bernoulli_log_likelihood(INK, a * b),
        lambda x, mean: gaussian_log_likelihood(x, mean, -0.3),
        lambda mean, logvar: gaussian_log_likelihood(INK, mean, logvar[:, :1]),
        *map(through, OBJECTIVES),
    ],
)
def test_gradients_are_those_of_finite_differences(function):
    assert gradcheck(function, [normal(3, D, seed=i).requires_grad_() for i in (0, 1)])


class TinyVAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = mlp([784, 8, 4], nn.ReLU), mlp([2, 784], nn.ReLU)

    def encode(self, x):
        return self.encoder(x.flatten(1)).chunk(2, dim=1)

    def log_likelihood(self, x, z):
        return bernoulli_log_likelihood(x, self.decoder(z).unflatten(-1, (1, 28, 28)))


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_fit_trains_a_small_model_on_images(objective):
    torch.manual_seed(0)
    model, images = TinyVAE(), uniform(20, 1, 28, 28, dtype=F32) ** 8
    losses = fit(model, objective, images, steps=40, lr=0.02, quiet=True).losses
    assert losses[-1] < 0.7 * losses[0]


# ── what a published loss means ─────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("line", "sigma", "beta"),
    [
        ({"a": 0.5}, 1.0, 1.0),
        ({}, 0.71, 0.5),
        ({"a": 1 / 784, "b": 1 / 784}, 0.71, 0.5),
        ({"b": 0.1, "n_pixels": 784, "n_latents": 5}, 2.80, 7.84),
        ({"b": 0.00025, "n_pixels": 12_288}, 1.24, 1.54),
        ({"a": 255}, 0.044, 0.002),
        ({"a": 200}, 0.05, 0.0025),
        (
            {"error": "cross-entropy", "n_pixels": 784, "n_latents": 200},
            math.nan,
            3.92,
        ),
        ({"error": "cross-entropy"}, math.nan, 1.0),
        ({"b": 0}, 0.0, 0.0),
    ],
)
def test_explain_loss_reads_published_lines(line, sigma, beta):
    meaning = explain_loss(**line)
    assert meaning.sigma == pytest.approx(sigma, rel=0.01, nan_ok=True)
    assert meaning.beta == pytest.approx(beta, rel=0.02)


LINES = [(0.5, 1.0), (1.0, 1.0), (1.0, 0.1), (255.0, 3.0)]
MEANS = [(None, None), (784, None), (None, 3), (784, 3)]


def coded_line(model, x, a, b, sizes, error):
    """`a · reconstruction + b · KL` as its author wrote it, with sums or means."""
    q = gaussian(*model.encode(x))
    z = reparameterize(*model.encode(x), generator=seeded())
    kl = kl_divergence(q, Normal(0, 1))
    if error == "squared":
        misfit = nn.functional.mse_loss(model.decode(z), x, reduction="none")
    else:
        mean = model.decode(z).sigmoid()
        misfit = nn.functional.binary_cross_entropy(mean, x, reduction="none")
    total = [
        part.mean() if n else part.sum() / len(x)
        for part, n in zip((misfit, kl), sizes, strict=True)
    ]
    return a * total[0] + b * total[1]


def direction(model, loss):
    """The gradient of `loss` for all weights but sigma, as a unit vector."""
    weights = [p for name, p in model.named_parameters() if name != "pixel_logvar"]
    gradient = torch.cat([part.flatten() for part in grad(loss, weights)])
    return gradient / gradient.norm()


def double_vae(**settings):
    torch.manual_seed(0)
    return VAE(3, hidden_sizes=(5,), **settings).double()


def as_beta_objective(model, x, beta):
    torch.manual_seed(0)  # the noise that `seeded()` gives
    return beta_objective(model, x, beta).mean()


@every(line=LINES, sizes=MEANS)
def test_squared_error_is_an_elbo_with_the_sigma_explained_or_has_that_beta(
    line, sizes
):
    meaning = explain_loss(*line, n_pixels=sizes[0], n_latents=sizes[1])
    model, x = double_vae(likelihood="gaussian", sigma=1.0), uniform(4, 1, 28, 28)
    coded = direction(model, coded_line(model, x, *line, sizes, "squared"))
    mu, logvar = model.encode(x)
    z = reparameterize(mu, logvar, generator=seeded())
    log_px_z = Normal(model.decode(z), meaning.sigma).log_prob(x).sum((1, 2, 3))
    loss = (kl_by_torch(mu, logvar) - log_px_z).mean()
    assert_close(coded, direction(model, loss))
    loss = as_beta_objective(model, x, meaning.beta)
    assert_close(coded, direction(model, loss))


@every(line=LINES, sizes=MEANS)
def test_cross_entropy_is_a_beta_objective_with_the_beta_explained(line, sizes):
    error = "cross-entropy"
    meaning = explain_loss(*line, error=error, n_pixels=sizes[0], n_latents=sizes[1])
    model, x = double_vae(), uniform(4, 1, 28, 28)
    coded = direction(model, coded_line(model, x, *line, sizes, error))
    loss = as_beta_objective(model, x, meaning.beta)
    assert_close(coded, direction(model, loss))


# ── what is refused ─────────────────────────────────────────────────────────────────


def ones(*shape):
    return torch.ones(shape)


def refused(advice):
    return pytest.raises(ValueError, match=advice)


@every(a=[(3, 2), (2,)], b=[(3, 1), (2, 3), (2,), ()])
def test_mu_and_logvar_must_be_rows_of_one_size(a, b):
    for function in (gaussian_kl, *map(through, OBJECTIVES)):
        with refused(r"mu has .* and logvar .*: both must be \(B, D\)"):
            function(ones(*a), ones(*b))


@every(
    values=[(4,), (3, 5), (3, 784), (3, 1, 4)],  # (3, 1, 4): samples in the wrong place
    x=[(4,), (1, 5), (1, 784), (3, 4), (3, 1, 28, 28)],  # (4,): no batch
)
def test_what_is_predicted_must_match_x(values, x):
    advice = r"x must be \(B, …\), and {} the same or with samples in front"
    with refused(advice.format("logits")):
        bernoulli_log_likelihood(ones(*x), ones(*values))
    with refused(advice.format("mean")):
        gaussian_log_likelihood(ones(*x), ones(*values), 0.0)


@pytest.mark.parametrize("shape", [(3,), (2, 4), (5, 3, 4)])
def test_logvar_must_broadcast_to_the_mean(shape):
    with refused(r"logvar .*mean \(3, 4\).*broadcast to mean"):
        gaussian_log_likelihood(ones(3, 4), ones(3, 4), ones(*shape))


@pytest.mark.parametrize("pixel", [-0.1, 1.1, 1 + 2e-7, 255.0, math.nan, math.inf])
def test_pixels_outside_0_and_1_are_refused(pixel):
    x = ones(3, 1, 28, 28)
    x[1, 0, 5, 5] = pixel
    for call in (lambda: bernoulli_log_likelihood(x, x), lambda: elbo(TinyVAE(), x)):
        with refused(rf" {pixel:.8g}\b.*in \[0, 1\]; divide bytes by 255"):
            call()


@pytest.mark.parametrize("bound", [lambda *args: elbo(*args).elbo, iwae_bound])
def test_models_and_settings_the_bounds_refuse(bound):
    model, x = LinearGaussian(), normal(3, X)
    for n_samples in (0, -1):
        with refused(f"n_samples is {n_samples}: at least one is needed"):
            bound(model, x, n_samples)
    with refused(r"x has shape \(1, 28, 28\).*x must be \(B, …\)"):
        bound(TinyVAE(), ones(1, 28, 28), 1)
    assert bound(TinyVAE(), ones(0, 1, 28, 28), 1).shape == (0,)  # no images: no error
    for wrong in (ones(), ones(3), ones(3, 2), ones(2, 3, X)):
        model.log_likelihood = lambda x, z, wrong=wrong: wrong
        with refused(r"log-likelihood \(L, B\), summed over all pixels"):
            bound(model, x, 2)


@pytest.mark.parametrize(
    "line",
    [
        {"a": 0},
        {"a": -1},
        {"a": math.nan},
        {"b": -0.1},
        {"b": math.nan},
        {"n_pixels": 0},
        {"n_pixels": -784},
        {"n_latents": 0},
    ],
)
def test_explain_loss_refuses_weights_and_sizes_that_make_no_loss(line):
    with refused("a and the sizes must be positive, and b not negative"):
        explain_loss(**line)


def test_explain_loss_refuses_an_error_it_does_not_know():
    with refused("error is 'mse': say 'squared' or 'cross-entropy'"):
        explain_loss(error="mse")


def test_reparameterize_refuses_no_draws_and_unequal_rows():
    with refused("n_samples is 0: at least one is needed"):
        reparameterize(ones(3, 2), ones(3, 2), 0)
    with refused(r"mu has .* and logvar .*: both must be \(B, D\)"):
        reparameterize(ones(3, 2), ones(3, 1), 1)
