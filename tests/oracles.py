"""Referees: closed forms, and sums that share no code with the package."""

import math

from vae_helpers import models
from vae_helpers.models import VAE

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import MultivariateNormal

F32, F64 = torch.float32, torch.float64
N_PIXELS, SHAPE = 36, (1, 6, 6)


class SmallVAE(VAE):
    """A VAE of images of 6 × 6 pixels, so that a grid takes hundredths of a second."""

    def __init__(self, *args, **settings):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(models, "N_PIXELS", N_PIXELS)
            super().__init__(*args, **settings)

    def decode(self, z):
        return self.decoder(z).unflatten(-1, SHAPE)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


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
