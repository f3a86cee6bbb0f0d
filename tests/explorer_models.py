"""Models for the tests of the explorers: untrained, but with images that change."""

import math

from vae_helpers.models import VAE, Autoencoder

import torch
from torch import nn

MODELS = {
    "relu": lambda: VAE(2),
    "leaky": lambda: VAE(
        2, hidden_sizes=(400, 400), activation=lambda: nn.LeakyReLU(0.2)
    ),
    "tanh": lambda: VAE(2, hidden_sizes=(500,), activation=nn.Tanh),
    "ten": lambda: VAE(10),
    "gaussian": lambda: VAE(2, likelihood="gaussian", sigma=0.5),
    "autoencoder": lambda: Autoencoder(2),
    "linear": lambda: VAE(2, hidden_sizes=(), likelihood="gaussian", sigma=0.8),
}


def make_model(name, seed=0):
    """A model whose decoder's weights are large enough for images with contrast."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = MODELS[name]()
        with torch.no_grad():
            for layer in model.decoder:
                if isinstance(layer, nn.Linear):
                    layer.weight.mul_(0.1 if name == "linear" else 2.5)
        return model


def make_model_of_shape(shape, seed=0):
    """A VAE of two latent dimensions whose images are (channels, height, width)."""
    model = make_model("relu", seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model.decoder = nn.Sequential(nn.Linear(2, math.prod(shape)))
        with torch.no_grad():
            model.decoder[0].weight.mul_(4)
    model.image_shape = shape
    return model
