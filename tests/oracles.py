"""Referees for the tests: torch.distributions, and a model whose log p(x) is known."""

import math

import torch
from torch import nn
from torch.distributions import MultivariateNormal, Normal, kl_divergence

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

    def gap(self, x):
        """KL(q ‖ posterior), by which the ELBO is below log p(x)."""
        q, posterior = gaussian(*self.encode(x)), gaussian(*self.posterior(x))
        return kl_divergence(q, posterior).sum(-1)


def assert_mean(draws, expected):
    """Within five standard errors."""
    error = draws.std().item() / math.sqrt(len(draws))
    assert abs(draws.mean().item() - expected.item()) < 5 * error + 1e-9
