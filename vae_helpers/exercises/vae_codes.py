"""More exercises of notebook 04: where the codes lie, and a hidden half image."""

from vae_helpers.exercises.engine import Exercise, Inputs, Wrong, normal, uniform
from vae_helpers.exercises.vae import Change, Network, pixel_terms, root

import numpy as np
import torch
from torch import Generator, Tensor
from torch.distributions import Bernoulli, Normal


def _codes(generator: Generator) -> Inputs:
    tilt = torch.tensor([[1.0, 0.5], [0.0, 0.7]])
    return {
        "mu": normal(generator, 6, 2) @ tilt.to(torch.get_default_dtype()) + 1,
        "logvar": normal(generator, 6, 2) - 1,
    }


def _cov(mu: Tensor, correction: int = 0) -> Tensor:
    return torch.cov(mu.T, correction=correction)


def _by_sigma_points(mu: Tensor, logvar: Tensor) -> np.ndarray:
    """2 D points for each image have the moments of its q exactly."""
    n, d = mu.shape
    moves = np.sqrt(d * np.exp(logvar.numpy()))[:, None, :] * np.eye(d)  # (N, D, D)
    places = mu.numpy()[:, None, :]
    points = np.concatenate([places + moves, places - moves], axis=1)
    return np.cov(points.reshape(2 * n * d, d).T, bias=True)


check_code_covariance = Exercise(
    name="code_covariance",
    fresh=_codes,
    referee=_by_sigma_points,
    remember="covariance of all codes = covariance of the means + mean of the σ² on "
    "the diagonal. The μ alone scatter less than the codes.",
    wrongs=[
        Wrong(
            "That is the covariance of the means. A code is a *sample* around its "
            "mean: what does the noise add?",
            lambda mu, logvar: _cov(mu),
        ),
        Wrong(
            "You add standard deviations. What adds up for independent parts?",
            lambda mu, logvar: _cov(mu) + root(logvar).mean(0).diag(),
        ),
        Wrong(
            "You add log σ². What does a covariance contain?",
            lambda mu, logvar: _cov(mu) + logvar.mean(0).diag(),
        ),
        Wrong(
            "You divide by N − 1. For all N codes there are, not a sample of them, "
            "what does one divide by?",
            lambda mu, logvar: _cov(mu, 1) + logvar.exp().mean(0).diag(),
        ),
        Wrong(
            "You forgot to subtract the mean of the μ before squaring.",
            lambda mu, logvar: mu.T @ mu / len(mu) + logvar.exp().mean(0).diag(),
        ),
        Wrong(
            "You add the same number to every entry of a row. The noise of two "
            "dimensions is independent: where in the matrix do the σ² go?",
            lambda mu, logvar: _cov(mu) + logvar.exp().mean(0),
        ),
        Wrong(
            "Those are variances only. How do two latent dimensions vary together?",
            lambda mu, logvar: mu.var(0, correction=0) + logvar.exp().mean(0),
        ),
        Wrong(
            "You *sum* the σ² over the images. What about their mean?",
            lambda mu, logvar: _cov(mu) + logvar.exp().sum(0).diag(),
        ),
        Wrong(
            "That is the mean of the σ² alone. The means of the images differ, too.",
            lambda mu, logvar: logvar.exp().mean(0).diag(),
        ),
    ],
)


def _half_hidden(generator: Generator) -> Inputs:
    network = Network(generator)
    visible = uniform(generator, 1, 3, 3) < 0.5
    visible[0, 0, :2] = torch.tensor([True, False])
    return {
        "z": normal(generator, 2, 2),
        "x": (uniform(generator, 2, 1, 3, 3) < 0.5).to(torch.get_default_dtype()),
        "visible": visible,
        "decode": network.decode,
    }


def _inpainting(
    z: Tensor,
    x: Tensor,
    visible: Tensor,
    decode: Change,
    *,
    weight: float = -0.5,
    pixel_weight: float = 1.0,
) -> Tensor:
    seen = pixel_terms(x, decode(z)) * visible
    return pixel_weight * seen.sum((1, 2, 3)) + weight * (z**2).sum(1)


def _inpainting_by_torch(
    z: Tensor, x: Tensor, visible: Tensor, decode: Change
) -> Tensor:
    chosen = visible.expand_as(x).flatten(1)[0]
    pixels = Bernoulli(logits=decode(z).flatten(1)[:, chosen])
    log_px_z = pixels.log_prob(x.flatten(1)[:, chosen]).sum(1)
    return log_px_z + Normal(0.0, 1.0).log_prob(z).sum(1)


check_inpainting = Exercise(
    name="inpainting",
    fresh=_half_hidden,
    referee=_inpainting_by_torch,
    gradients=("z",),
    only_gradients=True,
    remember="log p(visible pixels | z) + log p(z) is log p(z | visible pixels) up to "
    "a constant: climbing it fills the hole.",
    wrongs=[
        Wrong(
            "You use all pixels, the hidden ones too. Nobody knows those.",
            lambda z, x, visible, decode: _inpainting(
                z, x, torch.ones_like(visible), decode
            ),
        ),
        Wrong(
            "You use the *hidden* pixels. What does True mean in `visible`?",
            lambda z, x, visible, decode: _inpainting(z, x, ~visible, decode),
        ),
        Wrong(
            "You set hidden pixels to 0, but 0 is *paper*, so they still count. What "
            "has to be multiplied by `visible`?",
            lambda z, x, visible, decode: _inpainting(
                z, x * visible, torch.ones_like(visible), decode
            ),
        ),
        Wrong(
            "Nothing keeps z near the prior. Which second term does Bayes' rule have?",
            lambda *inputs: _inpainting(*inputs, weight=0),
        ),
        Wrong(
            "The prior has the wrong sign: your z is pushed away from 0.",
            lambda *inputs: _inpainting(*inputs, weight=0.5),
        ),
        Wrong(
            "The prior counts twice as much as it should. What does log N(z; 0, 1) "
            "look like?",
            lambda *inputs: _inpainting(*inputs, weight=-1),
        ),
        Wrong(
            "You average over all pixels, so the prior weighs far too much.",
            lambda *inputs: _inpainting(*inputs, pixel_weight=1 / 9),
        ),
        Wrong(
            "That is the loss, with the minus. The exercise asks for what should grow.",
            lambda *inputs: -_inpainting(*inputs),
        ),
        Wrong(
            "No gradient reaches z. Is the decoder's output detached, or computed "
            "under no_grad?",
            lambda *inputs: _inpainting(*inputs).detach(),
        ),
    ],
    tolerance=1e-3,
)
