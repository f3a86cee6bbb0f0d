"""The densities against torch.distributions, quadrature and float64."""

import itertools
import math

from vae_helpers.densities import (
    bernoulli_log_likelihood,
    gaussian_kl,
    gaussian_log_likelihood,
    reparameterize,
)

import pytest
import torch
from oracles import (
    DTYPES,
    F32,
    F64,
    every,
    gaussian,
    kl_by_torch,
    normal,
    seeded,
    uniform,
)
from scipy.stats import kstest
from torch.autograd import grad, gradcheck
from torch.distributions import Bernoulli
from torch.nn import functional as F
from torch.testing import assert_close

torch.set_num_threads(1)  # for tensors this small, more threads only take turns


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


# ── gradients ───────────────────────────────────────────────────────────────────────

INK = torch.tensor([[0.0, 0.3], [1.0, 0.0], [0.7, 1.0]], dtype=F64)


@pytest.mark.parametrize(
    "function",
    [
        gaussian_kl,
        lambda a, b: bernoulli_log_likelihood(INK, a * b),
        lambda x, mean: gaussian_log_likelihood(x, mean, -0.3),
        lambda mean, logvar: gaussian_log_likelihood(INK, mean, logvar[:, :1]),
        lambda mu, logvar: reparameterize(mu, logvar, generator=seeded()),
    ],
)
def test_gradients_are_those_of_finite_differences(function):
    assert gradcheck(function, [normal(3, 2, seed=i).requires_grad_() for i in (0, 1)])


@every(pixel=[0.0, 0.3, 1.0], dtype=DTYPES)
def test_bernoulli_and_its_gradient_in_the_tails_and_at_zero(pixel, dtype):
    logits = torch.tensor([0, 1e-3, -1, 3, -17, 17, -40, 40, -100, 100], dtype=F64)
    logits = logits.to(dtype).view(-1, 1).requires_grad_()
    x = torch.full_like(logits, pixel)
    value = bernoulli_log_likelihood(x, logits)
    slope = grad(value.sum(), logits)[0]
    wide = logits.detach().double().requires_grad_()
    entropy = F.binary_cross_entropy_with_logits(wide, x.double(), reduction="none")
    expected = -entropy.squeeze(1)
    rounding = {"rtol": 1e-6, "atol": 1e-7}
    assert_close(value.double(), expected, **rounding)
    assert_close(slope.double(), grad(expected.sum(), wide)[0], **rounding)
    assert slope[0].item() == pytest.approx(pixel - 0.5)  # at a logit of 0, exactly


# ── without a number of samples ─────────────────────────────────────────────────────


def test_without_n_samples_there_is_one_sample_and_no_axis_for_it():
    mu, logvar = normal(3, 2), normal(3, 2, seed=1)
    z = reparameterize(mu, logvar, generator=seeded())
    assert z.shape == (3, 2)
    assert torch.equal(z, reparameterize(mu, logvar, 1, seeded())[0])
    torch.manual_seed(0)
    assert torch.equal(z, reparameterize(mu, logvar))


def test_samples_lie_where_mu_does():
    mu = ones(3, 2).to("meta")  # a device that every machine has
    assert reparameterize(mu, mu).device == mu.device


# ── what is refused ─────────────────────────────────────────────────────────────────


def ones(*shape):
    return torch.ones(shape)


def refused(advice):
    return pytest.raises(ValueError, match=advice)


@every(a=[(3, 2), (2,)], b=[(3, 1), (2, 3), (2,), ()])
def test_mu_and_logvar_must_be_rows_of_one_size(a, b):
    for function in (gaussian_kl, reparameterize):
        with refused(r"mu has .* and logvar .*: both must be \(B, D\)"):
            function(ones(*a), ones(*b))


@pytest.mark.parametrize("pixel", [-0.1, 1.1, 1 + 2e-7, 255.0, math.inf, -math.inf])
def test_pixels_outside_0_and_1_are_refused_with_the_other_likelihood_named(pixel):
    x = ones(3, 1, 28, 28)
    x[1, 0, 5, 5] = pixel
    with refused(rf" {pixel:.8g}\b.*in \[0, 1\]; divide bytes by 255.*Gaussian"):
        bernoulli_log_likelihood(x, x)
    if math.isfinite(pixel):
        assert gaussian_log_likelihood(x, x, 0.0).isfinite().all()


def test_pixels_that_are_no_number_have_an_error_of_their_own():
    x = ones(3, 4)
    x[1, 2] = math.nan
    with refused("some pixels are NaN"):
        bernoulli_log_likelihood(x, ones(3, 4))


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


def test_reparameterize_refuses_no_draws_and_unequal_rows():
    with refused("n_samples is 0: it must be at least 1"):
        reparameterize(ones(3, 2), ones(3, 2), 0)
    with refused(r"mu has .* and logvar .*: both must be \(B, D\)"):
        reparameterize(ones(3, 2), ones(3, 1), 1)
