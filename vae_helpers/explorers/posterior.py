"""One image's exact posterior p(z|x), and a Gaussian q to lay over it by hand."""

import textwrap
from typing import Any

from vae_helpers.exact import exact_elbo, posterior_grid
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
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor


class PosteriorExplorer(Explorer):
    """One image's exact posterior p(z|x), and a Gaussian q to lay over it by hand.

    A bar shows the ELBO and KL(q ‖ p(z|x)): together they are log p(x), wherever q is
    put. In the browser each is a sum of its own over the grid.

    model: a `VAE` with two latent dimensions. x: one image (C, H, W) or (1, C, H, W).
    window: (z₁, z₂, half-width) of the square that is shown; without it, the one that
        holds the posterior's visible mass and the encoder's q.
    alt: what is shown, for readers who cannot see it.

    `explorer.mu` and `explorer.sigma` read and set q: two numbers each, within what the
    grid resolves. `grid` holds log p(x|z) and log p(x). `encoder_q` is (mu, sigma) of
    the encoder and `encoder_elbo` its ELBO, by quadrature and without the grid, to
    about 0.01 nats. `best_q` has the highest ELBO that the grid resolves.
    q starts as the encoder's. Where the grid does not resolve that, because the
    encoder's q lies outside the window or is too narrow or too wide for it, q starts as
    the best one, and a note says so. `to_html(path)` writes a page that works without
    Python.
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
        self.encoder_q, self.encoder_elbo = _encode_one(model, x)
        self.best_q = self.grid.best_gaussian(self._starts())
        is_resolved = self.grid.resolves(*self.encoder_q)
        self._note = "" if is_resolved else _tell(*self.encoder_q, self.encoder_elbo)
        self._alt = alt or (
            "The exact posterior of one image over two latent dimensions, with a "
            "Gaussian q to drag and widen, and a bar of its ELBO and KL."
        )
        self._hint = (
            "Drag the blue ellipse q to move it, and its two handles to change its "
            "width and height: the larger the ELBO, the smaller the KL."
        )
        self._image = as_images(x[None])[0]
        encoder, best = _name_parts(self.encoder_q), _name_parts(self.best_q)
        super().__init__(**encoder if is_resolved else best)
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
            "encoder_elbo": self.encoder_elbo,
            "note": self._note,
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

    def _starts(self) -> list[tuple[list, list]]:
        """Where the climb to the best Gaussian begins: the encoder, and the summit."""
        z1, z2 = self.grid.axes()
        row, column = divmod(int(self._log_joint.argmax()), len(z1))
        summit = [z1[column].item(), z2[row].item()]
        _, widest = self.grid.sigma_limits
        return [
            self.encoder_q,
            (summit, self.encoder_q[1]),
            (summit, [widest / 3] * 2),
        ]

    def _draw_still(self) -> Figure:
        fig = Figure(figsize=(9.2, 4.4), layout="constrained")
        places: Any = [["plane", "x", "mean"], ["plane", "bar", "bar"]]
        parts = fig.subplot_mosaic(
            places, width_ratios=[2.2, 1, 1], height_ratios=[2, 1]
        )
        posterior_map(
            self._log_joint,
            *self.grid.axes(),
            mu=self.mu,
            sigma=self.sigma,
            limits=self.grid.window,
            title="exact p(z|x), and q at 1σ and 2σ",
            ax=parts["plane"],
        )
        captions = {"x": "image x", "mean": "decoded μ"}
        for name, image in (("x", self._image), ("mean", self.image)):
            show_image(parts[name], image)
            parts[name].set_xlabel(captions[name])
        _draw_bar(parts["bar"], self.elbo, self.grid.log_px, self.encoder_elbo)
        fig.suptitle(self._setup["title"], parse_math=False)
        fig.supxlabel(textwrap.fill(self._note, 100), fontsize=9)
        return fig


def _draw_bar(ax: Axes, elbo: float, log_px: float, start: float) -> None:
    """The bar of `makeBars` in posterior.js: the ELBO, and the KL up to log p(x)."""
    left = log_px - max(30, 1.2 * (log_px - start))
    end = max(elbo, left)
    words = {"ELBO": elbo, "KL(q ‖ p(z|x))": max(log_px - elbo, 0), "log p(x)": log_px}
    parts: list[Any] = [
        ax.barh(0, end - left, 0.5, left, color=COLORS["elbo"]),
        ax.barh(0, max(log_px - end, 0), 0.5, end, color=COLORS["kl"]),
        ax.axvline(log_px, color=COLORS["log_px"], lw=2),
    ]
    labels = [f"{name} {value:.2f}".replace("-", "−") for name, value in words.items()]
    ax.legend(parts, labels, loc="upper left", fontsize=9, borderaxespad=0)
    ax.set(xlim=(left, log_px), ylim=(-0.3, 1.9), yticks=[], xlabel="nats per image")
    ax.spines[["left", "right", "top"]].set_visible(False)


def _tell(mu: list[float], sigma: list[float], elbo: float) -> str:
    """What a reader is told where the grid does not resolve the encoder's q."""
    why = "μ is outside this window, or σ too small or too large for it"
    centre, spread = (", ".join(f"{value:.3g}" for value in q) for q in (mu, sigma))
    q = f"μ = ({centre}), σ = ({spread}) and ELBO {elbo:.2f} nats"
    return f"The encoder’s q is not shown ({q}): {why}.".replace("-", "−")


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
def _encode_one(model: VAE, x: Tensor) -> tuple[tuple[list, list], float]:
    """mu and sigma of the encoder's q for one image (C, H, W), and its exact ELBO."""
    mu, logvar = (part.double().cpu() for part in model.encode(x[None]))
    elbo = exact_elbo(model, x[None], mu, logvar).item()
    return (mu[0].tolist(), (0.5 * logvar[0]).exp().tolist()), elbo
