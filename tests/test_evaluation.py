"""`mean_elbo` and the linear VAE, whose optimum is probabilistic PCA.

Tipping & Bishop (1999) give its weights, its posterior and log p(x) in closed form.
"""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Bernoulli, MultivariateNormal, Normal, kl_divergence
from torch.testing import assert_close

from vae_helpers.evaluation import MeanElbo, mean_elbo
from vae_helpers.models import VAE
from vae_helpers.objectives import elbo, gaussian_kl, iwae_bound
from vae_helpers.training import fit, pick_device

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
    fit(model, lambda *a: -elbo(*a).elbo, images, schedule="one-cycle", **settings)
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
    fit(model, lambda *a: -elbo(*a).elbo, images, **settings)
    assert math.isfinite(mean_elbo(model, images).elbo)


@pytest.mark.parametrize("n_samples", [1, 0])
def test_one_draw_has_no_error(n_samples):
    with pytest.raises(ValueError, match=f"n_samples is {n_samples}: the error needs"):
        mean_elbo(small_vae(), make_images(3), n_samples=n_samples)


def test_no_images_have_no_mean():
    with pytest.raises(ValueError, match="there are no images to average over"):
        mean_elbo(small_vae(), make_images(0))
