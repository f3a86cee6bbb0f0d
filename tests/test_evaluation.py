"""Numbers over a test set, and the linear VAE, whose optimum is probabilistic PCA.

Tipping & Bishop (1999) give its weights, its posterior and log p(x) in closed form.
"""

import math
import subprocess
import sys

from vae_helpers import evaluation
from vae_helpers.densities import bernoulli_log_likelihood, gaussian_kl, reparameterize
from vae_helpers.evaluation import (
    MeanElbo,
    PerImage,
    active_units,
    iwae_curve,
    kl_per_dimension,
    log_evidence_importance,
    mean_elbo,
)
from vae_helpers.models import VAE
from vae_helpers.objectives import (
    elbo,
    iwae_bound,
    log_importance_weights,
    negative_elbo,
)
from vae_helpers.training import fit, pick_device

import pytest
import torch
from oracles import Conditional, LinearGaussian, X, normal
from torch import nn
from torch.distributions import (
    Bernoulli,
    Independent,
    MultivariateNormal,
    Normal,
    kl_divergence,
)
from torch.testing import assert_close

torch.set_num_threads(1)  # for matrices this small, more threads only take turns

F64 = torch.float64
SHAPE = (1, 28, 28)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def make_images(n=32):
    """Two halves, each of its own brightness, and noise: (n, 1, 28, 28) in float64."""
    left_half = (torch.arange(784) % 28 < 14).double()
    brightness = torch.rand(n, 2, generator=seeded(), dtype=F64)
    noise = torch.randn(n, 784, generator=seeded(1), dtype=F64)
    pixels = 0.2 + 0.6 * brightness @ torch.stack([left_half, 1 - left_half])
    return (pixels + 0.05 * noise).clamp(0, 1).unflatten(1, SHAPE)


# ── the linear VAE ──────────────────────────────────────────────────────────────────


class PPCA:
    """The maximum likelihood solution with two components, from the data alone."""

    def __init__(self, images):
        x = images.flatten(1)
        self.b = x.mean(0)
        _, deviations, axes = torch.linalg.svd(x - self.b, full_matrices=False)
        variances = deviations.square() / len(x)
        self.noise = variances[2:].sum() / (784 - 2)  # sigma²
        self.top = variances[:2]
        self.w = axes[:2].T * (self.top - self.noise).sqrt()

    def log_px(self, images):
        covariance = self.w @ self.w.T + self.noise * torch.eye(784, dtype=F64)
        return MultivariateNormal(self.b, covariance).log_prob(images.flatten(1))

    def posterior(self, images):
        mean = (images.flatten(1) - self.b) @ self.w / self.top
        return Normal(mean, (self.noise / self.top).sqrt().expand_as(mean))


@torch.no_grad()
def linear_vae(ppca, *, move=0.0, widen=0.0, learned=False):
    """The VAE with these weights; q is the posterior, moved and widened."""
    sigma = None if learned else ppca.noise.sqrt().item()
    model = VAE(2, hidden_sizes=(), likelihood="gaussian", sigma=sigma).double()
    model.pixel_logvar.copy_(ppca.noise.log())  # all its digits
    model.to_mu.weight.copy_((ppca.w / ppca.top).T)
    model.to_mu.bias.copy_(move - ppca.b @ ppca.w / ppca.top)
    model.to_logvar.weight.zero_()
    model.to_logvar.bias.copy_((ppca.noise / ppca.top).log() + widen)
    model.decoder[0].weight.copy_(ppca.w)
    model.decoder[0].bias.copy_(ppca.b)
    return model


def exact_elbo(model, x):
    """The ELBO without draws: four points give the mean of any square exactly."""
    mu, logvar = model.encode(x)
    points = math.sqrt(2) * torch.tensor([[1, 0], [-1, 0], [0, 1], [0, -1]]).to(mu)
    z = mu + (0.5 * logvar).exp() * points[:, None]
    return model.log_likelihood(x, z).mean(0) - gaussian_kl(mu, logvar)


Q = pytest.mark.parametrize("q", [(0, 0), (0.4, 0), (0, 1.0), (-0.2, -0.4)])


@Q
@pytest.mark.parametrize("learned", [False, True])
def test_elbo_and_gap_to_the_posterior_make_log_px_of_probabilistic_pca(q, learned):
    images = make_images()
    ppca = PPCA(images)
    model = linear_vae(ppca, move=q[0], widen=q[1], learned=learned)
    mu, logvar = model.encode(images)
    q_of_x = Normal(mu, (0.5 * logvar).exp())
    gap = kl_divergence(q_of_x, ppca.posterior(images)).sum(1)
    assert_close(exact_elbo(model, images) + gap, ppca.log_px(images))
    estimate = mean_elbo(model, images, n_samples=50)
    expected = (ppca.log_px(images) - gap).mean().item()
    assert abs(estimate.elbo - expected) < 5 * estimate.error
    kl = kl_divergence(q_of_x, Normal(0.0, 1.0)).sum(1).mean().item()
    assert estimate.kl == pytest.approx(kl)


def test_with_the_exact_posterior_every_weight_is_log_px():
    images = make_images()
    ppca = PPCA(images)
    bound = iwae_bound(linear_vae(ppca), images, 3, seeded())
    assert_close(bound, ppca.log_px(images))


def test_probabilistic_pca_is_the_optimum_for_all_weights_and_sigma():
    images = make_images()
    model = linear_vae(PPCA(images), learned=True)
    for n_optimal in (True, False):
        model.zero_grad()
        exact_elbo(model, images).mean().backward()
        sizes = [p.grad.abs().max().item() for p in model.parameters()]
        assert max(sizes) < 1e-6 if n_optimal else min(sizes) > 1e-2
        with torch.no_grad():
            for p in model.parameters():
                p.mul_(1.1)


def test_training_comes_to_probabilistic_pca_and_never_above():
    images = make_images()
    best = PPCA(images).log_px(images).mean().item()
    torch.manual_seed(0)
    model = VAE(2, hidden_sizes=(), likelihood="gaussian").double()
    model.start_at_mean_image(images)
    settings = {"steps": 1000, "batch_size": 32, "lr": 1e-2, "quiet": True}
    start = exact_elbo(model, images).mean().item()
    fit(model, negative_elbo, images, schedule="one-cycle", **settings)
    with torch.no_grad():
        reached = exact_elbo(model, images).mean().item()
    assert best - 0.003 * (best - start) < reached <= best


# ── mean_elbo ───────────────────────────────────────────────────────────────────────


def small_vae(**settings):
    torch.manual_seed(0)
    return VAE(2, hidden_sizes=(5,), **settings).double()


@pytest.mark.parametrize("batch_size", [1, 3, 4, 10, 99])
@pytest.mark.parametrize("n_samples", [2, 5])
def test_the_last_batch_counts_by_its_size(batch_size, n_samples):
    """Without a way from z to the pixels every draw has the same log p(x|z)."""
    model, images = small_vae(), make_images(10)
    nn.init.zeros_(model.decoder[-1].weight)
    with torch.no_grad():
        model.to_mu.weight.mul_(9)  # the images differ in their KL
        mu, logvar = model.encode(images)
    kl = kl_divergence(Normal(mu, (0.5 * logvar).exp()), Normal(0.0, 1.0)).sum(1)
    coins = Bernoulli(logits=model.decoder[-1].bias.detach(), validate_args=False)
    log_px_z = coins.log_prob(images.flatten(1)).sum(1)
    means = mean_elbo(model, images, n_samples=n_samples, batch_size=batch_size)
    expected = log_px_z.mean(), kl.mean(), (log_px_z - kl).mean(), 0
    assert isinstance(means, MeanElbo)
    assert all(type(value) is float for value in means)
    assert means == pytest.approx([float(value) for value in expected], abs=1e-9)


@pytest.mark.parametrize(
    ("n_images", "n_samples", "batch_size"), [(7, 2, 3), (8, 8, 4), (10, 3, 100)]
)
def test_the_error_is_that_of_repeated_runs(n_images, n_samples, batch_size):
    ppca, images = PPCA(make_images()), make_images(n_images)
    model = linear_vae(ppca, move=0.4, widen=1.0)
    settings = {"n_samples": n_samples, "batch_size": batch_size}
    runs = [mean_elbo(model, images, seed=seed, **settings) for seed in range(50)]
    log_px_z, kl, elbos, errors = torch.tensor(runs, dtype=F64).T
    claimed = errors.square().mean().sqrt().item()
    # The deviation of 50 runs is known to 10 %; four times that is allowed.
    assert elbos.std().item() == pytest.approx(claimed, rel=0.4)
    assert log_px_z.std().item() == pytest.approx(claimed, rel=0.4)
    truth = exact_elbo(model, images).mean().item()
    assert abs(elbos.mean().item() - truth) < 5 * claimed / math.sqrt(50)
    assert len(kl.unique()) == 1
    assert_close(elbos, log_px_z - kl)


def test_no_noise_is_used_twice():
    model, images, drawn = small_vae(), make_images(10), []
    for parameter in (*model.to_mu.parameters(), *model.to_logvar.parameters()):
        nn.init.zeros_(parameter)  # so that z is the noise itself
    log_likelihood = model.log_likelihood

    def watched(x, z):
        assert not torch.is_grad_enabled()
        drawn.append(z.flatten())
        return log_likelihood(x, z)

    model.log_likelihood = watched
    mean_elbo(model, images, n_samples=3, batch_size=4)
    noise = torch.cat(drawn)
    assert len(noise.unique()) == len(noise) == 3 * 10 * 2


def test_the_seed_decides_and_the_global_random_state_is_left_as_it_was():
    model, images, before = small_vae(), make_images(10), torch.get_rng_state()
    a, b, c = (mean_elbo(model, images, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    assert a == b == mean_elbo(model, images, seed=1)
    assert a != c
    assert a == mean_elbo(model.eval(), images, seed=1)


def test_the_model_is_left_as_it_was():
    model = small_vae()
    before = [p.clone() for p in model.parameters()]
    mean_elbo(model, make_images(4))
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert all(map(torch.equal, model.parameters(), before))
    assert model.training


def test_images_take_the_number_type_of_the_model():
    ink = make_images(4) > 0.5
    for model in (small_vae(), small_vae().float()):
        results = {mean_elbo(model, ink.to(t)) for t in (torch.bool, torch.uint8, F64)}
        assert len(results) == 1


def test_the_means_are_taken_in_float64():
    model, images = small_vae().float(), make_images(37).float()
    nn.init.normal_(model.to_mu.weight)
    nn.init.zeros_(model.decoder[-1].weight)  # every draw has the same log p(x|z)
    log_px_z, kl, _ = (terms.double().mean().item() for terms in elbo(model, images))
    assert mean_elbo(model, images)[:2] == pytest.approx((log_px_z, kl), rel=1e-12)


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_all_works_on_the_fastest_device_of_this_machine(likelihood):
    device = pick_device()
    model = small_vae(likelihood=likelihood).float().to(device)
    generator = torch.Generator(device).manual_seed(0)
    pictures = model.sample(3, draw_pixels=True, generator=generator)
    assert pictures.device.type == device.type
    images = make_images(6).float()
    model.start_at_mean_image(images)
    settings = {"steps": 3, "schedule": "one-cycle", "quiet": True}
    fit(model, negative_elbo, images, **settings)
    assert math.isfinite(mean_elbo(model, images).elbo)


@pytest.mark.parametrize("n_samples", [1, 0])
def test_one_draw_has_no_error(n_samples):
    with pytest.raises(ValueError, match=f"n_samples is {n_samples}: the error needs"):
        mean_elbo(small_vae(), make_images(3), n_samples=n_samples)


def test_no_images_have_no_mean():
    with pytest.raises(ValueError, match="there are no images to evaluate"):
        mean_elbo(small_vae(), make_images(0))


# ── many draws of each image ────────────────────────────────────────────────────────


def noisy_ppca():
    """With so much noise that a posterior is half as wide as the prior."""
    ppca = PPCA(make_images())
    ppca.noise = torch.tensor(4.0, dtype=F64)
    ppca.top = ppca.noise + ppca.w.square().sum(0)
    return ppca


def test_with_the_exact_posterior_no_draws_are_needed_for_log_px():
    images = make_images(5)
    ppca = PPCA(make_images())
    model, truth = linear_vae(ppca), ppca.log_px(images)
    value, error = log_evidence_importance(model, images, 30)
    assert_close(value, truth)
    assert error.max() < 1e-6
    value, error = iwae_curve(model, images, (1, 2, 7), n_samples=30)
    assert_close(value, truth.expand(3, 5))
    assert error.max() < 1e-6


@pytest.mark.parametrize("n_samples", [2, 64, 5000])
@pytest.mark.parametrize("proposal", ["posterior", "prior"])
def test_importance_sampling_is_the_mean_of_the_weights_and_its_error(
    proposal, n_samples
):
    model, images = small_vae(), make_images(3)

    def draw(x, n, generator):
        if proposal == "posterior":
            return log_importance_weights(model, x, n, generator)
        mu = torch.zeros(len(x), 2, dtype=F64)
        return model.log_likelihood(x, reparameterize(mu, mu, n, generator))

    # As many draws as are decoded at once, from one generator for all images.
    generator, log_w = seeded(3), []
    with torch.no_grad():
        if n_samples < 2048 / 3:
            log_w = draw(images, n_samples, generator)
        else:
            for i in range(3):
                sizes = (2048, 2048, 904)
                draws = [draw(images[i : i + 1], n, generator) for n in sizes]
                log_w.append(torch.cat(draws))
            log_w = torch.cat(log_w, 1)
    weights = (log_w - log_w.amax(0)).exp()
    value, error = log_evidence_importance(
        model, images, n_samples, proposal=proposal, seed=3
    )
    assert value.dtype == error.dtype == F64
    assert_close(value, weights.mean(0).log() + log_w.amax(0))
    spread = weights.std(0, correction=0) / weights.mean(0)
    assert_close(error, spread / math.sqrt(n_samples), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("proposal", ["posterior", "prior"])
def test_importance_sampling_is_unbiased_and_its_error_that_of_repeated_runs(proposal):
    ppca, images = noisy_ppca(), make_images(2)
    model = linear_vae(ppca, move=0.2, widen=0.5).float()  # twice as fast
    options = {"n_samples": 500, "proposal": proposal}
    runs = [
        log_evidence_importance(model, images, seed=i, **options) for i in range(200)
    ]
    value, error = (torch.stack(part) for part in zip(*runs, strict=True))
    assert 0.01 < error.mean() < 0.1  # small enough for log(1 + e) = e
    claimed = error.square().mean(0).sqrt()
    # The deviation of 200 runs is known to 5 %; four times that is allowed.
    assert_close(value.std(0), claimed, rtol=0.2, atol=0)
    ratio = (value - ppca.log_px(images)).exp()  # mean 1
    assert ((ratio.mean(0) - 1).abs() < 4.5 * claimed / math.sqrt(200)).all()


def test_the_curve_is_the_mean_of_the_bounds_of_the_groups():
    model, images = small_vae(), make_images(3)
    sizes, n_samples = (1, 3, 10, 7, 25), 25
    value, error = iwae_curve(model, images, sizes, n_samples=n_samples, seed=5)
    assert value.shape == error.shape == (5, 3)
    assert value.dtype == error.dtype == F64
    with torch.no_grad():
        log_w = log_importance_weights(model, images, n_samples, seeded(5))
    for row, size in enumerate(sizes):
        groups = [
            log_w[start : start + size].exp().mean(0).log()
            for start in range(0, n_samples - size + 1, size)
        ]
        assert len(groups) == n_samples // size
        groups = torch.stack(groups)
        assert_close(value[row], groups.mean(0))
        if len(groups) > 1:
            assert_close(error[row], groups.std(0) / math.sqrt(len(groups)))
        else:
            assert error[row].isnan().all()


def test_without_a_number_the_curve_takes_four_groups_of_the_largest_size():
    model, images = small_vae(), make_images(3)
    curve = iwae_curve(model, images, [5, 2])
    same = iwae_curve(model, images, [5, 2], n_samples=20)
    assert all(map(torch.equal, curve, same))


@pytest.mark.parametrize("proposal", ["posterior", "prior"])
def test_the_curve_climbs_from_the_elbo_to_log_px(proposal):
    """Within five errors of the mean over images, which hundreds of draws make normal.

    With draws from the prior, L_1 is the ELBO of a q that is the prior.
    """
    ppca, images = noisy_ppca(), make_images(8)
    model = linear_vae(ppca, move=0.4, widen=1.0).float()
    settings = {"n_samples": 3200, "proposal": proposal}
    value, error = iwae_curve(model, images, (1, 4, 64), **settings)
    truth, mean = ppca.log_px(images), value.mean(1)
    within = 5 * error.square().sum(1).sqrt() / len(images)
    assert (value < truth + 5 * error).all()
    assert mean[0] < mean[1] < mean[2] < truth.mean() + within[2]
    if proposal == "prior":
        model = linear_vae(ppca)
        for layer in (model.to_mu, model.to_logvar):
            for parameter in layer.parameters():
                nn.init.zeros_(parameter)
    with torch.no_grad():
        lowest = exact_elbo(model.double(), images)
    assert abs(mean[0] - lowest.mean()) < within[0]
    assert ((value[0] - lowest).abs() < 5 * error[0]).all()
    estimate = mean_elbo(model, images, n_samples=100)
    if proposal == "posterior":
        assert abs(mean[0] - estimate.elbo) < within[0] + 5 * estimate.error


MANY_DRAWS = [
    lambda *a, **options: log_evidence_importance(*a, 300, **options),
    lambda *a, **options: iwae_curve(*a, [1, 300], n_samples=600, **options),
]
MANY = pytest.mark.parametrize("measure", MANY_DRAWS, ids=["evidence", "curve"])


@MANY
@pytest.mark.parametrize("proposal", ["posterior", "prior"])
def test_cutting_the_work_changes_no_image(measure, proposal, monkeypatch):
    """Without spread in the weights, whatever is drawn, each image has its number."""
    ppca = PPCA(make_images())
    model, images = linear_vae(ppca), make_images(7)
    if proposal == "prior":
        nn.init.zeros_(model.decoder[0].weight)
    results = [measure(model, images, proposal=proposal).value]
    for decoded in (1, 400, 1000, 10**6):
        monkeypatch.setattr(evaluation, "_DECODED", decoded)
        results.append(measure(model, images, proposal=proposal).value)
    if proposal == "prior":
        expected = model.log_likelihood(images, torch.zeros(7, 2, dtype=F64))
        assert_close(results[0], expected.detach().expand_as(results[0]))
    assert_close(results, results[:1] * 5)
    assert len(results[0].flatten().unique()) >= 7


@MANY
@pytest.mark.parametrize("proposal", ["posterior", "prior"])
def test_many_draws_leave_model_and_random_state_and_use_no_noise_twice(
    measure, proposal
):
    model, images, drawn = small_vae(), make_images(10), []
    for parameter in (*model.to_mu.parameters(), *model.to_logvar.parameters()):
        nn.init.zeros_(parameter)
    before = [p.clone() for p in model.parameters()]
    log_likelihood, state = model.log_likelihood, torch.get_rng_state()

    def watched(x, z):
        assert not torch.is_grad_enabled()
        assert z.shape[0] * z.shape[1] <= 2048  # images decoded at once
        drawn.append(z.flatten())
        return log_likelihood(x, z)

    model.log_likelihood = watched
    a, b, c = (measure(model, images, proposal=proposal, seed=i) for i in (1, 1, 2))
    n_noise = 10 * 2 * (600 if measure is MANY_DRAWS[1] else 300)
    assert torch.cat(drawn).numel() == 3 * n_noise
    assert torch.cat(drawn).unique().numel() == 2 * n_noise
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(a.value, b.value)
    assert not torch.equal(a.value, c.value)
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert all(map(torch.equal, model.parameters(), before))


@MANY
def test_many_draws_take_images_of_any_number_type(measure):
    model, ink = small_vae(), make_images(4) > 0.5
    results = [measure(model, ink.to(t)).value for t in (torch.bool, torch.uint8, F64)]
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


def test_5000_samples_are_the_default_as_in_burda_et_al():
    model, images = small_vae(), make_images(1)
    assert_close(
        log_evidence_importance(model, images),
        log_evidence_importance(model, images, 5000),
        rtol=0,
        atol=0,
    )


@pytest.mark.parametrize("n_samples", [1, 0, -3])
def test_one_draw_of_an_image_has_no_error(n_samples):
    with pytest.raises(ValueError, match=f"n_samples is {n_samples}: the error needs"):
        log_evidence_importance(small_vae(), make_images(3), n_samples)


@pytest.mark.parametrize(
    ("sizes", "n_samples"),
    [([0, 3], 10), ([-1], 10), ([11], 10), ([], 10), ([], None), ([0], None), ([1], 0)],
)
def test_sizes_without_a_group_are_refused(sizes, n_samples):
    with pytest.raises(ValueError, match=r"sizes are .*: from 1 to n_samples"):
        iwae_curve(small_vae(), make_images(3), sizes, n_samples=n_samples)


@MANY
def test_other_proposals_and_no_images_are_refused(measure):
    with pytest.raises(ValueError, match="proposal is 'q': say 'posterior' or 'prior'"):
        measure(small_vae(), make_images(3), proposal="q")
    with pytest.raises(ValueError, match="there are no images to evaluate"):
        measure(small_vae(), make_images(0))


# ── models of other kinds ───────────────────────────────────────────────────────────


class WithoutWeights:
    """No module, only the two methods that are promised."""

    def __init__(self, model):
        self.encode, self.log_likelihood = model.encode, model.log_likelihood


EVALUATIONS = [
    mean_elbo,
    kl_per_dimension,
    active_units,
    lambda *a: log_evidence_importance(*a, 30),
    lambda *a: iwae_curve(*a, [1, 10]),
]


@pytest.mark.parametrize("evaluate", EVALUATIONS)
@pytest.mark.parametrize("wrap", [WithoutWeights, LinearGaussian])
def test_models_without_weights_are_evaluated_in_the_images_number_type(evaluate, wrap):
    if wrap is LinearGaussian:  # a module without parameters, in float64
        model, images = LinearGaussian(), normal(4, X)
        assert not list(model.parameters())
        assert_close(evaluate(model, images), evaluate(WithoutWeights(model), images))
    else:
        model, images = small_vae(), make_images(4)
        same = evaluate(WithoutWeights(model), images)
        assert_close(same, evaluate(model, images), rtol=0, atol=0)


@pytest.mark.parametrize("evaluate", EVALUATIONS)
def test_a_convolutional_model_of_colour_images_is_evaluated(evaluate):
    class Convolutional(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Sequential(nn.Conv2d(3, 4, 4), nn.Flatten())
            self.decoder = nn.ConvTranspose2d(2, 3, 4)

        def encode(self, x):  # (B, 3, 4, 4) → twice (B, 2)
            return self.encoder(x).chunk(2, dim=1)

        def log_likelihood(self, x, z):
            output = self.decoder(z.flatten(0, -2)[..., None, None])
            return bernoulli_log_likelihood(x, output.view(*z.shape[:-1], 3, 4, 4))

    torch.manual_seed(0)
    model, images = Convolutional(), torch.rand(6, 3, 4, 4, generator=seeded())
    fit(model, negative_elbo, images, steps=2, quiet=True)
    numbers = evaluate(model, images)
    numbers = torch.stack(numbers) if isinstance(numbers, PerImage) else numbers
    assert torch.as_tensor(numbers).isfinite().all()


# ── conditional models ──────────────────────────────────────────────────────────────

CONDITIONED = [
    lambda *a, **y: mean_elbo(*a, batch_size=2, **y),
    lambda *a, **y: kl_per_dimension(*a, batch_size=2, **y),
    lambda *a, **y: active_units(*a, 0.3, batch_size=2, **y),
    lambda *a, **y: log_evidence_importance(*a, 30, **y),
    lambda *a, **y: log_evidence_importance(*a, 30, proposal="prior", **y),
    lambda *a, **y: iwae_curve(*a, [1, 10], **y),
    lambda *a, **y: iwae_curve(*a, [1, 10], proposal="prior", **y),
]
MEANS = normal(2, X, seed=3)
LABELS = torch.tensor([0, 1, 1, 0, 1])


@pytest.mark.parametrize("evaluate", CONDITIONED)
def test_each_image_meets_its_own_condition(evaluate, monkeypatch):
    """The same as without labels, once the mean of its label is taken off each image.

    The work is cut within the five images, whatever is measured.
    """
    monkeypatch.setattr(evaluation, "_DECODED", 80)
    images = normal(5, X) + MEANS[LABELS]
    found = evaluate(Conditional(MEANS), images, condition=LABELS)
    plain = LinearGaussian(0.3)
    assert_close(found, evaluate(plain, images - MEANS[LABELS]))
    others = evaluate(plain, images - MEANS[1 - LABELS])
    assert (torch.as_tensor(others[0]) != torch.as_tensor(found[0])).any()


@pytest.mark.parametrize("evaluate", CONDITIONED)
@pytest.mark.parametrize("labels", [LABELS[:4], LABELS[0], torch.zeros(6)])
def test_a_condition_of_another_length_is_refused(evaluate, labels):
    advice = r"condition has shape \(.*\) and there are 5 images: give \(N, …\)"
    with pytest.raises(ValueError, match=advice):
        evaluate(Conditional(MEANS), normal(5, X), condition=labels)


# ── other priors ────────────────────────────────────────────────────────────────────

MEAN, DEVIATIONS = torch.tensor([0.7, -0.4], dtype=F64), torch.tensor([0.8, 1.2])
SHIFTED = Independent(Normal(MEAN, DEVIATIONS.double()), 1).log_prob
PROPOSALS = pytest.mark.parametrize("proposal", ["posterior", "prior"])


@PROPOSALS
def test_log_px_under_another_gaussian_prior_is_that_of_its_closed_form(proposal):
    images = normal(40, X)
    model = LinearGaussian(widen=0.3)
    log_px, _ = model.under(MEAN, DEVIATIONS.double(), images)
    settings = {"proposal": proposal, "log_prior": SHIFTED}
    value, error = log_evidence_importance(model, images, 3000, **settings)
    assert error.max() < 0.2
    assert ((value - log_px).abs() < 5 * error).all()
    assert (value - log_px).mean().abs() < 5 * error.norm() / len(images)
    bound, error = iwae_curve(model, images, [3000], n_samples=30_000, **settings)
    assert ((bound[0] - log_px).abs() < 5 * error[0] + 0.01).all()
    plain = log_evidence_importance(model, images, 3000, proposal=proposal)
    assert ((plain.value - log_px).abs() > 0.1).double().mean() > 0.5


def test_l1_is_the_elbo_under_that_prior():
    images, model = normal(40, X), LinearGaussian(0.2, widen=0.3)
    log_px, posterior = model.under(MEAN, DEVIATIONS.double(), images)
    mu, logvar = model.encode(images)
    q = MultivariateNormal(mu, torch.diag_embed(logvar.exp()))
    exact = log_px - kl_divergence(q, posterior)
    value, error = iwae_curve(model, images, [1], n_samples=1000, log_prior=SHIFTED)
    assert ((value - exact).abs() < 5 * error).all()
    assert error.max() < 0.1


@PROPOSALS
def test_the_usual_prior_may_be_said_too(proposal):
    model, images = small_vae(), make_images(3)
    same = Independent(Normal(torch.zeros(2, dtype=F64), 1.0), 1).log_prob
    for measure in MANY_DRAWS:
        given = measure(model, images, proposal=proposal, log_prior=same)
        assert_close(given, measure(model, images, proposal=proposal))


@PROPOSALS
def test_a_prior_that_does_not_sum_over_dimensions_is_refused(proposal):
    advice = (
        r"log_prior gives shape \(300, 3, 2\) for z \(300, 3, 2\): it must give "
        r"\(300, 3\), one number for each z, summed over the dimensions"
    )
    with pytest.raises(ValueError, match=advice):
        log_evidence_importance(
            small_vae(),
            make_images(3),
            300,
            proposal=proposal,
            log_prior=Normal(0.0, 1.0).log_prob,
        )


MEMORY = r"""
import re
from pathlib import Path
from vae_helpers.evaluation import log_evidence_importance
from vae_helpers.models import VAE
import torch

torch.set_num_threads(1)
model, images = VAE(2, hidden_sizes=(5,)), torch.rand(60, 1, 28, 28)
peaks = []
for n_samples in (500, 500, 5000):
    log_evidence_importance(model, images, n_samples)
    # Not ru_maxrss, which a process inherits from the larger one that started it.
    status = Path("/proc/self/status").read_text()
    peaks.append(int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]))
print((peaks[2] - peaks[1]) / 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_number_of_draws():
    command = [sys.executable, "-c", MEMORY]
    # One run in twenty shows up to 20 MiB of the allocator's own: the least of three.
    done = [subprocess.run(command, capture_output=True, check=True) for _ in range(3)]
    grown = min(float(process.stdout) for process in done)
    assert grown < 15  # MiB; 60 images' small remains took 25 and more
