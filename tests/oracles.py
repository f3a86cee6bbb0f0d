"""Referees: torch.distributions, closed forms, and sums that share no code of ours."""

import itertools
import math

from vae_helpers.models import VAE

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import MultivariateNormal, Normal, kl_divergence

F32, F64 = DTYPES = [torch.float32, torch.float64]


def every(**values):
    """Parametrize over all combinations of `values`."""
    return pytest.mark.parametrize(
        tuple(values), [*itertools.product(*values.values())]
    )


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


# ── a linear-Gaussian model ─────────────────────────────────────────────────────────

D, X, S = 2, 4, 0.6  # latent dimensions, pixels, standard deviation of the noise


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

    def under(self, mean, deviations, x):
        """log p(x) and the posterior if the prior were N(mean, diag deviations²)."""
        prior = torch.diag(deviations**2)
        covariance = self.w @ prior @ self.w.T + S**2 * torch.eye(X).to(self.w)
        log_px = MultivariateNormal(self.b + self.w @ mean, covariance).log_prob(x)
        precision = prior.inverse() + self.w.T @ self.w / S**2
        pull = (x - self.b) @ self.w / S**2 + mean / deviations**2
        return log_px, MultivariateNormal(
            pull @ precision.inverse(), precision_matrix=precision
        )

    def gap(self, x):
        """KL(q ‖ posterior), by which the ELBO is below log p(x)."""
        q, posterior = gaussian(*self.encode(x)), gaussian(*self.posterior(x))
        return kl_divergence(q, posterior).sum(-1)


class Conditional(LinearGaussian):
    """The same model around a mean image of its own for each label."""

    def __init__(self, means):
        super().__init__(0.3)
        self.means = means

    def encode(self, x, y):
        return super().encode(x - self.means[y])

    def log_likelihood(self, x, z, y):
        return super().log_likelihood(x - self.means[y], z)


def assert_mean(draws, expected):
    """Within five standard errors."""
    error = draws.std().item() / math.sqrt(len(draws))
    assert abs(draws.mean().item() - expected.item()) < 5 * error + 1e-9


# ── a VAE of small images ───────────────────────────────────────────────────────────

N_PIXELS, SHAPE = 36, (1, 6, 6)


class SmallVAE(VAE):
    """A VAE of images of 6 × 6 pixels, so that a grid takes hundredths of a second."""

    def __init__(self, *args, **settings):
        super().__init__(*args, image_shape=SHAPE, **settings)


def pictures(n, seed=0):
    return torch.rand(n, *SHAPE, generator=seeded(seed))


# ── the linear VAE, whose posterior is Gaussian ──────────────────────────────────────


@torch.no_grad()
def linear_vae(deviations=(0.5, 0.5), tilt=0.0, *, sigma=0.3, dtype=F32):
    """A VAE with a Gaussian posterior of these deviations; its axes are tilted.

    The encoder gives the posterior's mean, and the variances of the best q.
    """
    torch.manual_seed(0)
    model = SmallVAE(2, hidden_sizes=(), likelihood="gaussian", sigma=sigma).to(F64)
    turn = torch.tensor(
        [[math.cos(tilt), -math.sin(tilt)], [math.sin(tilt), math.cos(tilt)]]
    ).to(F64)
    axes = torch.linalg.qr(torch.randn(N_PIXELS, 2, generator=seeded(), dtype=F64))[0]
    strength = sigma * (torch.tensor(deviations, dtype=F64) ** -2 - 1).sqrt()
    w = axes @ torch.diag(strength) @ turn.T
    model.decoder[0].weight.copy_(w)
    precision = torch.eye(2, dtype=F64) + w.T @ w / sigma**2
    model.to_mu.weight.copy_(precision.inverse() @ w.T / sigma**2)
    model.to_mu.bias.copy_(-model.to_mu.weight @ model.decoder[0].bias)
    model.to_logvar.weight.zero_()
    model.to_logvar.bias.copy_(-precision.diagonal().log())
    return model.to(dtype)


def draw_pictures(model, n=6, seed=1):
    with torch.no_grad():
        return model.sample(n, draw_pixels=True, generator=seeded(seed))


def linear_parts(model):
    layer = model.decoder[0]
    w, b = layer.weight.detach().double(), layer.bias.detach().double()
    return w, b, model.pixel_logvar.detach().double().exp()


def linear_log_px(model, images):
    w, b, noise = linear_parts(model)
    covariance = w @ w.T + noise * torch.eye(N_PIXELS, dtype=F64)
    return MultivariateNormal(b, covariance).log_prob(images.flatten(1).double())


def linear_posterior(model, images):
    w, b, noise = linear_parts(model)
    precision = torch.eye(2, dtype=F64) + w.T @ w / noise
    offsets = images.flatten(1).double() - b
    mean = torch.linalg.solve(precision, (offsets @ w / noise).T).T
    return MultivariateNormal(mean, precision_matrix=precision)


# ── a net, and a Gauss–Legendre grid in NumPy, whose nodes lie nowhere near ours ─────


def bernoulli_vae(seed=0, scale=2.0, dtype=F32):
    """A net with tanh whose posteriors are bent, and an encoder that knows nothing."""
    torch.manual_seed(seed)
    model = SmallVAE(2, hidden_sizes=(8,), activation=nn.Tanh).to(dtype)
    with torch.no_grad():
        for layer in (model.decoder[0], model.decoder[2]):
            layer.weight.normal_(std=scale / layer.in_features**0.5)
    return model


def legendre(low, high, n):
    nodes, weights = np.polynomial.legendre.leggauss(n)
    return low + (high - low) * (nodes + 1) / 2, weights * (high - low) / 2


def decode_by_numpy(model, z):
    """Logits (n, pixels) of the net with one hidden layer, in double precision."""
    first, last = model.decoder[0], model.decoder[2]
    arrays = [p.detach().double().numpy() for p in (*first.parameters(),)]
    hidden = np.tanh(z @ arrays[0].T + arrays[1])
    arrays = [p.detach().double().numpy() for p in (*last.parameters(),)]
    return hidden @ arrays[0].T + arrays[1]


def log_joint_by_numpy(model, x, z1, z2):
    """log p(x, z) of one image at all points: (n₁, n₂)."""
    z = np.stack(np.meshgrid(z1, z2, indexing="ij"), -1)
    logits = decode_by_numpy(model, z.reshape(-1, 2))
    x = x.double().numpy().ravel()
    log_px_z = (x * logits - np.logaddexp(0, logits)).sum(1).reshape(z.shape[:2])
    return log_px_z - (z**2).sum(-1) / 2 - math.log(2 * math.pi)


def log_px_by_numpy(model, x, n=300):
    z, weights = legendre(-8.0, 8.0, n)
    log_joint = log_joint_by_numpy(model, x, z, z)
    top = log_joint.max()
    return top + math.log(weights @ np.exp(log_joint - top) @ weights)
