"""The models of the course, small enough to hold in the head."""

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

from vae_helpers.densities import (
    bernoulli_log_likelihood,
    gaussian_log_likelihood,
    refuse_bad_count,
)

import torch
from torch import Generator, Tensor, nn


def mlp(sizes: Sequence[int], activation: Callable[[], nn.Module]) -> nn.Sequential:
    """Linear layers of the given sizes, an activation between any two, none at the end.

    `mlp([784, 100, 2], nn.ReLU)` maps (B, 784) to (B, 2).
    """
    if isinstance(activation, nn.Module):
        raise TypeError(
            f"activation is {activation}, one layer: give what makes a new one where "
            f"it is needed, nn.{type(activation).__name__} without parentheses"
        )
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(sizes):
        layers += [nn.Linear(n_in, n_out), activation()]
    return nn.Sequential(*layers[:-1])


class Autoencoder(nn.Module):
    """x → code z → reconstruction, with a linear code layer and a linear output.

    latent_dim: D, how many numbers the code holds.
    hidden_sizes: the encoder's hidden layers; the decoder mirrors them. Without any,
        the model is linear and its best reconstruction is PCA's.
    activation: makes the layer between two linear maps, e.g. `nn.ReLU`.
    image_shape: (C, H, W), which stands below wherever a shape is named.

    Source: written in the open in notebook 01.
    """

    def __init__(
        self,
        latent_dim: int,
        *,
        hidden_sizes: Sequence[int] = (100,),
        activation: Callable[[], nn.Module] = nn.ReLU,
        image_shape: Sequence[int] = (1, 28, 28),
    ) -> None:
        super().__init__()
        self.image_shape = tuple(image_shape)
        refuse_bad_count("latent_dim", latent_dim)
        sizes = [*_find_sizes(self.image_shape, hidden_sizes), latent_dim]
        self.encoder = mlp(sizes, activation)
        self.decoder = mlp(sizes[::-1], activation)

    def encode(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) → codes (B, D)."""
        return self.encoder(_flatten(x, self.image_shape))

    def decode(self, z: Tensor) -> Tensor:
        """Codes (B, D) → images (B, C, H, W); pixels may leave [0, 1] a little."""
        return self.decoder(z).unflatten(1, self.image_shape)

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruct images: (B, C, H, W) → (B, C, H, W)."""
        return self.decode(self.encode(x))


class VAE(nn.Module):
    """A variational autoencoder: q(z|x) Gaussian, p(z) = N(0, I), p(x|z) as chosen.

    latent_dim: D.
    hidden_sizes: the encoder's hidden layers; the decoder mirrors them.
    activation: makes the layer between two linear maps, e.g. `nn.Tanh`.
    likelihood: "bernoulli", each pixel a coin, or "gaussian", each pixel a normal
        density around its mean.
    sigma: the standard deviation of the Gaussian pixels, the same for all; without it,
        it is a parameter that is learned (it starts at 1).
    image_shape: (C, H, W), which stands below wherever a shape is named.

    Published variants, the first with D from 2 to 200:
        VAE(D, hidden_sizes=(500,), activation=nn.Tanh)   Kingma & Welling (2014)
        VAE(20, hidden_sizes=(400,))                      PyTorch's example
        VAE(D, hidden_sizes=(400, 400), activation=lambda: nn.LeakyReLU(0.2))
        VAE(50, hidden_sizes=(200, 200), activation=nn.Tanh)   Burda et al. (2016)

    `train()` and `eval()` change nothing: noise is drawn where a method says so.
    Source: Kingma & Welling (2014), section 3; written in the open in notebook 04.
    """

    def __init__(
        self,
        latent_dim: int,
        *,
        hidden_sizes: Sequence[int] = (400,),
        activation: Callable[[], nn.Module] = nn.ReLU,
        likelihood: str = "bernoulli",
        sigma: float | None = None,
        image_shape: Sequence[int] = (1, 28, 28),
    ) -> None:
        super().__init__()
        _refuse_bad_likelihood(likelihood, sigma)
        refuse_bad_count("latent_dim", latent_dim)
        self.latent_dim, self.likelihood = latent_dim, likelihood
        self.image_shape = tuple(image_shape)
        sizes = _find_sizes(self.image_shape, hidden_sizes)
        self.trunk = mlp(sizes, activation)
        if len(sizes) > 1:
            self.trunk.append(activation())
        self.to_mu = nn.Linear(sizes[-1], latent_dim)
        self.to_logvar = nn.Linear(sizes[-1], latent_dim)
        self.decoder = mlp([latent_dim, *sizes[::-1]], activation)
        if likelihood == "gaussian":
            pixel_logvar = torch.tensor(2 * math.log(sigma or 1.0))
            self.pixel_logvar = nn.Parameter(pixel_logvar, requires_grad=sigma is None)

    @torch.no_grad()
    def start_at_mean_image(self, images: Tensor) -> "VAE":
        """Set the output's bias so that an untrained decoder gives the mean image.

        images: (N, C, H, W), for Bernoulli pixels in [0, 1]. A sigma to be learned
        starts at the standard deviation around that image. Returns the model. Training
        then starts about where the naive model of notebook 00 ends, as in Burda et al.
        (2016).
        """
        mean = images.mean(0).flatten()
        if self.likelihood == "bernoulli":
            mean = mean.clamp(1e-3, 1 - 1e-3).logit()  # a finite logit where no ink is
        elif self.pixel_logvar.requires_grad:
            variance = (images.flatten(1) - mean).square().mean()
            self.pixel_logvar.copy_(
                variance.clamp(min=1e-6).log()
            )  # equal images: 0, whose log is −∞
        self.decoder[-1].get_parameter("bias").copy_(mean)
        return self

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """mu and logvar of q(z|x): images (B, C, H, W) → twice (B, D)."""
        features = self.trunk(_flatten(x, self.image_shape))
        return self.to_mu(features), self.to_logvar(features)

    def decode(self, z: Tensor) -> Tensor:
        """Logits (Bernoulli) or means (Gaussian) of p(x|z): (…, D) → (…, C, H, W)."""
        return self.decoder(z).unflatten(-1, self.image_shape)

    def pixel_means(self, z: Tensor) -> Tensor:
        """The mean image of p(x|z): (…, D) → (…, C, H, W).

        A Gaussian's may leave [0, 1] a little.
        """
        output = self.decode(z)
        return output.sigmoid() if self.likelihood == "bernoulli" else output

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x|z) in nats: (B, C, H, W), (B, D) or (L, B, D) → (B,) or (L, B)."""
        output = self.decode(z)
        if self.likelihood == "bernoulli":
            return bernoulli_log_likelihood(x, output)
        return gaussian_log_likelihood(x, output, self.pixel_logvar)

    @torch.no_grad()
    def sample(
        self, n: int, *, draw_pixels: bool = False, generator: Generator | None = None
    ) -> Tensor:
        """Images (n, C, H, W): z from the prior N(0, I), then the mean of p(x|z).

        draw_pixels: draw the image from p(x|z) instead, which is what the model means
            by a sample; for a Bernoulli, pixels of 0 and 1.
        """
        weight = self.to_mu.weight
        z = weight.new_empty(n, self.latent_dim).normal_(generator=generator)
        means = self.pixel_means(z)
        if not draw_pixels:
            return means
        if self.likelihood == "bernoulli":
            return torch.bernoulli(means, generator=generator)
        eps = torch.empty_like(means).normal_(generator=generator)
        return means + (0.5 * self.pixel_logvar).exp() * eps

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruct with the mean of q: (B, C, H, W) → the same; draws nothing."""
        mu, _ = self.encode(x)
        return self.pixel_means(mu)


def _find_sizes(image_shape: Sequence[int], hidden_sizes: Sequence[int]) -> list[int]:
    """The sizes of the encoder's layers, from the pixels to the last hidden layer."""
    if not isinstance(hidden_sizes, Iterable):
        raise TypeError(
            f"hidden_sizes is {hidden_sizes!r}: it must hold a size for each hidden "
            "layer; (400,) is one of 400, and () none"
        )
    for size in hidden_sizes:
        refuse_bad_count("a size in hidden_sizes", size)
    return [math.prod(image_shape), *hidden_sizes]


def _flatten(x: Tensor, image_shape: tuple[int, ...]) -> Tensor:
    """Images (B, C, H, W) → (B, C · H · W); other shapes are refused with advice."""
    if x.shape[1:] != image_shape:
        sizes = ", ".join(map(str, image_shape))
        raise ValueError(
            f"images have shape {tuple(x.shape)}: this model takes (N, {sizes}); "
            + _advise(x.shape, image_shape)
        )
    return x.flatten(1)


def _advise(shape: Sequence[int], image_shape: tuple[int, ...]) -> str:
    """How to make images of that shape fit, with every pixel in its place."""
    given, wanted = ([n for n in ns if n > 1] for ns in (shape[1:], image_shape))
    if given in (wanted, [math.prod(wanted)]) or shape == image_shape:
        sizes = ", ".join(map(str, image_shape))
        return f"images.reshape(-1, {sizes}) gives them that shape"
    if (*shape[-1:], *shape[1:-1]) == image_shape:
        return "images.permute(0, 3, 1, 2) puts their channels first"
    return f"image_shape={tuple(shape[1:])} builds a model for images of that shape"


def _refuse_bad_likelihood(likelihood: str, sigma: float | None) -> None:
    if likelihood not in ("bernoulli", "gaussian"):
        raise ValueError(f"likelihood is {likelihood!r}: say 'bernoulli' or 'gaussian'")
    if likelihood == "bernoulli" and sigma is not None:
        raise ValueError("a Bernoulli pixel has no sigma: say likelihood='gaussian'")
    if sigma is not None and not sigma > 0:
        raise ValueError(
            f"sigma is {sigma}: the standard deviation of a pixel is positive"
        )
