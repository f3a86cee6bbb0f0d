"""One image's exact posterior p(z|x), and a Gaussian q to lay over it by hand."""

from vae_helpers.exact import posterior_grid
from vae_helpers.explorers.base import Explorer, Numbers
from vae_helpers.explorers.packing import (
    Gaussian,
    PosteriorSetup,
    freeze_decoder,
    image_shape,
    pack_decoder,
    pack_floats,
)
from vae_helpers.models import VAE
from vae_helpers.plots import (
    COLORS,
    POSTERIOR_SHADES,
    as_images,
    posterior_map,
    show_image,
)

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from torch import Tensor


class PosteriorExplorer(Explorer):
    """One image's exact posterior p(z|x), and a Gaussian q to lay over it by hand.

    Bars show the ELBO and KL(q ‖ p(z|x)), each by a sum of its own over the grid:
    together they are log p(x), wherever q is put.

    model: a `VAE` with two latent dimensions. x: one image (C, H, W) or (1, C, H, W).
    window: (z₁, z₂, half-width) of the square that is shown; without it, the one that
        holds the posterior's visible mass and the encoder's q.
    alt: what is shown, for readers who cannot see it.

    `explorer.mu` and `explorer.sigma` read and set q: two numbers each, within what the
    grid resolves. `grid` holds log p(x|z) and log p(x); `encoder_q` and `best_q` are
    (mu, sigma) of the encoder and of the highest ELBO on the grid. `to_html(path)`
    writes a page that works without Python.
    """

    mu = Numbers(lambda explorer: explorer.limits["mu"]).tag(sync=True)
    sigma = Numbers(lambda explorer: explorer.limits["sigma"]).tag(sync=True)

    def __init__(
        self,
        model: VAE,
        x: Tensor,
        *,
        window: tuple[float, float, float] | None = None,
        title: str = "",
        alt: str = "",
    ) -> None:
        if not isinstance(model, VAE) or model.latent_dim != 2:
            raise TypeError("PosteriorExplorer needs a VAE with two latent dimensions")
        decoder, self._decode = pack_decoder(model), freeze_decoder(model)
        x = _read_image(x, model)
        self.grid = posterior_grid(model, x, window=window)
        self.limits = {
            "mu": self.grid.mu_limits,
            "sigma": [self.grid.sigma_limits] * 2,
        }
        self._log_joint = _add_log_prior(self.grid.log_px_z, *self.grid.axes())
        self.encoder_q = self._clamp(*_encode_one(model, x))
        self.best_q = self._clamp(*self.grid.best_gaussian(self._starts()))
        self._alt = alt or (
            "The exact posterior of one image over two latent dimensions, with a "
            "Gaussian q to drag and widen, and bars for its ELBO and KL."
        )
        self._image = as_images(x[None])[0]
        encoder, best = _name_parts(self.encoder_q), _name_parts(self.best_q)
        super().__init__(**encoder)
        setup: PosteriorSetup = {
            "kind": "posterior",
            "title": title,
            "alt": self._alt,
            "colors": COLORS,
            "shades": POSTERIOR_SHADES(np.arange(256), bytes=True)[:, :3].tobytes(),
            "decoder": decoder,
            "image": pack_floats(x),
            "grid": {
                "low": self.grid.low,
                "step": self.grid.step,
                "n": len(self.grid.log_px_z),
            },
            "log_px_z": pack_floats(self.grid.log_px_z),
            "log_px": self.grid.log_px,
            "window": self.grid.window,
            "limits": self.limits,
            "encoder": encoder,
            "best": best,
        }
        self._setup = dict(setup)

    @property
    def image(self) -> np.ndarray:
        """What the mean of q decodes to, by PyTorch, as in `LatentExplorer.image`."""
        return as_images(self._decode([self.mu]))[0]

    @property
    def elbo(self) -> float:
        """The ELBO of the present q in nats, by the sum over the grid."""
        return self.grid.elbo(*torch.tensor([self.mu, self.sigma]).double()).item()

    def _clamp(self, mu: ArrayLike, sigma: ArrayLike) -> tuple[list, list]:
        """The nearest q that the grid resolves."""
        return (
            np.clip(mu, *np.transpose(self.limits["mu"])).tolist(),
            np.clip(sigma, *np.transpose(self.limits["sigma"])).tolist(),
        )

    def _starts(self) -> list[tuple[list, list]]:
        """Where the climb to the best Gaussian begins: the encoder, and the summit."""
        z1, z2 = self.grid.axes()
        row, column = divmod(int(self._log_joint.argmax()), len(z1))
        summit = [z1[column].item(), z2[row].item()]
        _, widest = self.grid.sigma_limits
        return [
            self.encoder_q,
            self._clamp(summit, self.encoder_q[1]),
            self._clamp(summit, [widest / 3] * 2),
        ]

    def _draw_still(self) -> Figure:
        fig = Figure(figsize=(8, 4.4), layout="constrained")
        plane, frame = fig.subplots(1, 2, width_ratios=[2, 1])
        posterior_map(
            self._log_joint,
            *self.grid.axes(),
            mu=self.mu,
            sigma=self.sigma,
            limits=self.grid.window,
            title=f"ELBO {self.elbo:.2f}, log p(x) {self.grid.log_px:.2f} nats",
            ax=plane,
        )
        show_image(frame, self._image)
        frame.set_xlabel("image x")
        fig.suptitle(self._setup["title"], parse_math=False)
        return fig


def _add_log_prior(log_px_z: Tensor, z1: Tensor, z2: Tensor) -> Tensor:
    """log p(x, z) up to a constant: (n, n), row j is z₂ and column i is z₁."""
    return log_px_z - 0.5 * (z2[:, None] ** 2 + z1**2)


def _name_parts(q: tuple[list, list]) -> Gaussian:
    return {"mu": q[0], "sigma": q[1]}


def _read_image(x: Tensor, model: VAE) -> Tensor:
    x, shape = torch.as_tensor(x), image_shape(model)
    if x.ndim == 4 and len(x) == 1:
        x = x[0]
    if x.shape != shape:
        raise ValueError(f"x has shape {tuple(x.shape)}: it must be one image, {shape}")
    return x.to(next(model.parameters()))


@torch.no_grad()
def _encode_one(model: VAE, x: Tensor) -> tuple[list, list]:
    mu, logvar = model.encode(x[None])
    return mu[0].tolist(), (0.5 * logvar[0]).exp().tolist()
