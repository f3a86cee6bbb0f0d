"""The objectives against torch.distributions and a model solved by hand.

The linear-Gaussian toy has its log p(x) and its posterior in closed form, so the two
bounds can be held against the number they bound.
"""

import math

from vae_helpers.densities import bernoulli_log_likelihood, reparameterize
from vae_helpers.models import VAE, mlp
from vae_helpers.objectives import (
    beta_objective,
    elbo,
    explain_loss,
    iwae_bound,
    log_importance_weights,
    negative_elbo,
    squared_error,
)
from vae_helpers.training import fit

import pytest
import torch
from oracles import (
    DTYPES,
    F32,
    Conditional,
    D,
    LinearGaussian,
    S,
    X,
    assert_mean,
    every,
    gaussian,
    kl_by_torch,
    normal,
    seeded,
    uniform,
)
from torch import nn
from torch.autograd import grad, gradcheck
from torch.distributions import Normal, kl_divergence
from torch.testing import assert_close

torch.set_num_threads(1)  # for tensors this small, more threads only take turns


# ── bounds on a log p(x) that is known ──────────────────────────────────────────────

N = 10_000  # samples, where a mean is compared: within five standard errors
Q = pytest.mark.parametrize("q", [(0, 0), (0.4, 0), (0, 1.0), (-0.2, -0.4)])


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


@every(beta=[0.0, 4.0], n_samples=[1, 3])
def test_all_objectives_take_samples_and_a_generator(beta, n_samples):
    model, x = LinearGaussian(0.4), normal(5, X)
    terms, before = elbo(model, x, n_samples, seeded(1)), torch.get_rng_state()
    loss = beta_objective(model, x, beta, n_samples, seeded(1))
    assert_close(loss, beta * terms.kl - terms.log_px_z)
    assert torch.equal(negative_elbo(model, x, n_samples, seeded(1)), -terms.elbo)
    assert all(len(z) == n_samples for z in model.drawn)
    assert torch.equal(torch.get_rng_state(), before)


# ── conditional models ──────────────────────────────────────────────────────────────


CONDITIONED = [
    lambda *a, **options: torch.stack(elbo(*a, 3, **options)),
    lambda *a, **options: negative_elbo(*a, 3, **options),
    lambda *a, **options: beta_objective(*a, 4.0, 3, **options),
    lambda *a, **options: iwae_bound(*a, 3, **options),
    lambda *a, **options: log_importance_weights(*a, 3, **options),
]


@pytest.mark.parametrize("objective", CONDITIONED)
def test_a_condition_is_handed_to_both_methods_of_the_model(objective):
    x, y, means = normal(5, X), torch.tensor([0, 1, 1, 0, 1]), normal(2, X, seed=3)
    conditional, plain = Conditional(means), LinearGaussian(0.3)
    given = objective(conditional, x, generator=seeded(), condition=y)
    assert_close(given, objective(plain, x - means[y], generator=seeded()))


# ── gradients and training ──────────────────────────────────────────────────────────


def through(objective):
    """`objective` as a function of q's mu and logvar, its noise always the same."""

    def function(mu, logvar):
        model = LinearGaussian()
        model.encode = lambda x: (mu, logvar)
        torch.manual_seed(0)
        return objective(model, normal(3, X))

    return function


OBJECTIVES = [
    lambda model, x: beta_objective(model, x, 4.0),
    lambda model, x: negative_elbo(model, x, 2),
    lambda model, x: -iwae_bound(model, x, 3),
]


@pytest.mark.parametrize(
    "function",
    [
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


# ── the squared error ───────────────────────────────────────────────────────────────


def test_squared_error_refuses_to_broadcast():
    x, wrong = uniform(3, 5, 4), uniform(3, 1, 5, 4)  # their difference is (3, 3, 5, 4)
    with refused(r"x has shape \(3, 5, 4\) and model\(x\) \(3, 1, 5, 4\)"):
        squared_error(lambda x: wrong, x)
    assert_close(squared_error(lambda x: 0 * x, x), x.square().sum((1, 2)))


# ── what is refused ─────────────────────────────────────────────────────────────────


def ones(*shape):
    return torch.ones(shape)


def refused(advice):
    return pytest.raises(ValueError, match=advice)


@every(a=[(3, 2), (2,)], b=[(3, 1), (2, 3), (2,), ()])
def test_mu_and_logvar_must_be_rows_of_one_size(a, b):
    for function in map(through, OBJECTIVES):
        with refused(r"mu has .* and logvar .*: both must be \(B, D\)"):
            function(ones(*a), ones(*b))


def test_pixels_outside_0_and_1_are_refused():
    with refused(r" 255\b.*in \[0, 1\]; divide bytes by 255"):
        elbo(TinyVAE(), 255 * ones(3, 1, 28, 28))


@pytest.mark.parametrize("bound", [lambda *args: elbo(*args).elbo, iwae_bound])
def test_models_and_settings_the_bounds_refuse(bound):
    model, x = LinearGaussian(), normal(3, X)
    for n_samples in (0, -1):
        with refused(f"n_samples is {n_samples}: it must be at least 1"):
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
