"""Explorers whose decoder runs in the browser, so that the image follows the hand.

The browser's half is `explorer.js`; `browser.py` sends it the weights.
"""

import math
from collections.abc import Callable, Sequence

from vae_helpers.exact import posterior_grid
from vae_helpers.explorers.base import (
    Explorer,
    Numbers,
    freeze_decoder,
    pack_codes,
    pack_decoder,
    pack_floats,
)
from vae_helpers.models import VAE, Autoencoder
from vae_helpers.plots import (
    CLASS_COLORS,
    latent_scatter,
    show_image,
    to_numpy,
)

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from torch import Tensor

_MOST_CODES = 20_000  # more dots would only hide one another


class LatentExplorer(Explorer):
    """A point in latent space, moved by hand, and the image that it decodes to.

    model: a `VAE` or an `Autoencoder`; the explorer keeps its weights as they are now.
    codes, labels: (N, D) and (N,), for the map and the sliders' ends. A class is a
        colour and, at its median, a numeral.
    z: where the point starts, D numbers; without it, as near to 0 as the limits allow.
    background: "codes", or "manifold" for the decoded images themselves, laid out over
        the plane. Only two latents have a map; any other number has sliders alone.
    slider_names: D names; without them z₁, z₂, ….
    limits: (lowest, highest) of every latent; without them, what the codes fill, and
        (−3, 3) for a VAE without codes.
    alt: what is shown, for readers who cannot see it.

    `explorer.z` reads and sets the point, D numbers, and `image` is what it decodes to.
    `to_html(path)` writes a page that works without Python. Raises `ValueError` and
    `TypeError` for what does not fit.
    """

    z = Numbers().tag(sync=True)

    def __init__(
        self,
        model: VAE | Autoencoder,
        codes=None,
        labels=None,
        *,
        z: Sequence[float] | None = None,
        background: str = "codes",
        title: str = "",
        slider_names: Sequence[str] | None = None,
        limits: tuple[float, float] | None = None,
        alt: str = "",
    ):
        decoder = pack_decoder(model)
        n_latents = self.n_latents = decoder["layers"][0]["n_in"]
        names = list(slider_names or _name_latents(n_latents))
        if len(names) != n_latents:
            raise ValueError(
                f"slider_names has {len(names)} names for {n_latents} latents"
            )
        if background not in ("codes", "manifold"):
            raise ValueError(f"background is {background!r}: say 'codes' or 'manifold'")
        self._decode = freeze_decoder(model)
        self._codes, self._labels = _read_codes(codes, labels, n_latents)
        ends = _find_limits(limits, self._codes, n_latents, isinstance(model, VAE))
        self.limits = {"z": ends}  # (lowest, highest) of each slider
        self._alt = alt or (
            f"A point in the space of {n_latents} latents, and the image it decodes to."
        )
        start = [min(max(0.0, low), high) for low, high in ends] if z is None else z
        super().__init__(z=start)
        self._setup = {
            "kind": "latent",
            "title": title,
            "alt": self._alt,
            "decoder": decoder,
            "limits": ends,
            "names": names,
            "start": self.z,
            "background": background,
            **pack_codes(self._codes, self._labels),
        }

    @property
    def image(self) -> np.ndarray:
        """What `z` decodes to, by PyTorch: (side, side) in [0, 1]."""
        return self._decode([self.z])[0]

    def _draw_still(self) -> Figure:
        ends, names, title = (self._setup[key] for key in ("limits", "names", "title"))
        if self.n_latents != 2:
            fig = Figure(figsize=(3.6, 3.6), layout="constrained")
            show_image(frame := fig.subplots(), self.image)
        else:
            fig = Figure(figsize=(8, 4.4), layout="constrained")
            plane, frame = fig.subplots(1, 2)
            if self._setup["background"] == "manifold":
                tiles, extent = tile_plane(self._decode, ends), [*ends[0], *ends[1]]
                plane.imshow(tiles, vmin=0, vmax=1, cmap="gray_r", extent=extent)
            elif self._labels is not None:
                latent_scatter(self._codes, self._labels, title="", ax=plane)
            elif self._codes is not None:
                plane.scatter(*self._codes.T, s=6, color=CLASS_COLORS[0], linewidths=0)
            plane.plot(*self.z, "X", c="black", mec="white", ms=13, zorder=9)
            plane.set(xlim=ends[0], ylim=ends[1])
            plane.set_aspect("equal", adjustable="box")
            plane.set_xlabel(names[0], parse_math=False)
            plane.set_ylabel(names[1], parse_math=False)
            show_image(frame, self.image)
        spoken = ", ".join(f"{value:.2f}" for value in self.z[:6])
        frame.set_xlabel(f"z = ({spoken}{', …' if self.n_latents > 6 else ''})")
        fig.suptitle(title, parse_math=False)
        return fig


class PosteriorExplorer(Explorer):
    """One image's exact posterior p(z|x), and a Gaussian q to lay over it by hand.

    Bars show the ELBO and KL(q ‖ p(z|x)), each by a sum of its own over the grid:
    together they are log p(x), wherever q is put.

    model: a `VAE` with two latents. x: one image (1, 28, 28) or (1, 1, 28, 28).
    window: (z₁, z₂, half-width) of the square that is shown; without it, the one that
        holds the posterior's visible mass and the encoder's q.
    alt: what is shown, for readers who cannot see it.

    `explorer.mu` and `explorer.sigma` read and set q: two numbers each, within what the
    grid resolves. `grid` holds log p(x|z) and log p(x); `encoder_q` and `best_q` are
    (mu, sigma) of the encoder and of the highest ELBO on the grid. `to_html(path)`
    writes a page that works without Python.
    """

    n_latents = 2
    mu = Numbers(within_limits=True).tag(sync=True)
    sigma = Numbers(within_limits=True).tag(sync=True)

    def __init__(
        self,
        model: VAE,
        x: Tensor,
        *,
        window: tuple[float, float, float] | None = None,
        title: str = "",
        alt: str = "",
    ):
        if not isinstance(model, VAE) or model.latent_dim != 2:
            raise TypeError("PosteriorExplorer needs a VAE with two latents")
        decoder, self._decode = pack_decoder(model), freeze_decoder(model)
        x = _read_image(x, next(model.parameters()))
        self.grid = posterior_grid(model, x, window=window)
        self.limits = {
            "mu": self.grid.mu_limits,
            "sigma": [self.grid.sigma_limits] * 2,
        }
        self.encoder_q = self._clamp(*_encode_one(model, x))
        self.best_q = self._clamp(*self.grid.best_gaussian(self._starts()))
        self._alt = alt or (
            "The exact posterior of one image over two latents, with a Gaussian q to "
            "drag and widen, and bars for its ELBO and KL."
        )
        self._image = to_numpy(x)[0]
        mu, sigma = self.encoder_q
        super().__init__(mu=mu, sigma=sigma)
        self._setup = {
            "kind": "posterior",
            "title": title,
            "alt": self._alt,
            "decoder": decoder,
            "image": pack_floats(self._image),
            "grid": {
                "low": self.grid.low,
                "step": self.grid.step,
                "n": len(self.grid.log_px_z),
            },
            "log_px_z": pack_floats(self.grid.log_px_z),
            "log_px": self.grid.log_px,
            "window": self.grid.window,
            "limits": self.limits,
            "encoder": {"mu": self.encoder_q[0], "sigma": self.encoder_q[1]},
            "best": {"mu": self.best_q[0], "sigma": self.best_q[1]},
        }

    @property
    def image(self) -> np.ndarray:
        """What the mean of q decodes to, by PyTorch: (28, 28) in [0, 1]."""
        return self._decode([self.mu])[0]

    @property
    def elbo(self) -> float:
        """The ELBO of the present q in nats, by the sum over the grid."""
        return self.grid.elbo(*torch.tensor([self.mu, self.sigma]).double()).item()

    def _clamp(self, mu: list, sigma: list) -> tuple[list, list]:
        """The nearest q that the grid resolves."""
        return (
            np.clip(mu, *np.transpose(self.limits["mu"])).tolist(),
            np.clip(sigma, *np.transpose(self.limits["sigma"])).tolist(),
        )

    def _starts(self) -> list[tuple[list, list]]:
        """Where the climb to the best Gaussian begins: the encoder, and the summit."""
        z1, z2 = self.grid.axes()
        log_joint = self.grid.log_px_z - 0.5 * (z2[:, None] ** 2 + z1**2)
        row, column = divmod(log_joint.argmax().item(), len(z1))
        summit = [z1[column].item(), z2[row].item()]
        _, widest = self.grid.sigma_limits
        return [
            self.encoder_q,
            self._clamp(summit, self.encoder_q[1]),
            self._clamp(summit, [widest / 3] * 2),
        ]

    def _draw_still(self) -> Figure:
        grid, (z1, z2) = self.grid, self.grid.axes()
        log_joint = grid.log_px_z - 0.5 * (z2[:, None] ** 2 + z1**2)
        density = (log_joint - log_joint.max()).exp().sqrt().numpy()
        fig = Figure(figsize=(8, 4.4), layout="constrained")
        plane, frame = fig.subplots(1, 2, width_ratios=[2, 1])
        edges = [
            z[end].item() + side * grid.step / 2
            for z in (z1, z2)
            for end, side in ((0, -1), (-1, 1))
        ]
        plane.imshow(
            density,
            origin="lower",
            cmap="Blues",
            extent=edges,
        )
        for deviations in (1, 2):
            width, height = (2 * deviations * value for value in self.sigma)
            plane.add_patch(
                Ellipse(self.mu, width, height, fill=False, ec=CLASS_COLORS[2], lw=2)
            )
        plane.set(
            xlim=grid.window[0], ylim=grid.window[1], xlabel="$z_1$", ylabel="$z_2$"
        )
        plane.set_title(
            f"p(z|x), and q: ELBO {self.elbo:.2f}, log p(x) {grid.log_px:.2f}"
        )
        show_image(frame, self._image)
        frame.set_xlabel("image x")
        fig.suptitle(self._setup["title"], parse_math=False)
        return fig


def tile_plane(decode: Callable, ends: Sequence, n_tiles: int = 18) -> np.ndarray:
    """One picture of the plane: its square tiles, each decoded at its centre."""
    shares = (np.arange(n_tiles) + 0.5) / n_tiles
    z1, z2 = (low + (high - low) * shares for low, high in ends)
    z = np.stack(np.meshgrid(z1, z2[::-1]), -1).reshape(-1, 2)  # the top row first
    rows = decode(z).reshape(n_tiles, n_tiles, *decode(z[:1]).shape[1:])
    return np.vstack([np.hstack(row) for row in rows])


def _read_codes(codes, labels, n_latents: int):
    """Codes (N, D) and labels (N,) as arrays, at most so many, or None for each."""
    if codes is None:
        if labels is not None:
            raise ValueError("labels without codes: give both")
        return None, None
    codes = to_numpy(codes).astype(np.float32)
    if codes.ndim != 2 or codes.shape[1] != n_latents or not len(codes):
        raise ValueError(
            f"codes has shape {codes.shape}: it must be (N, {n_latents}), such as the "
            "means that `encode` returns first"
        )
    if not np.isfinite(codes).all():
        raise ValueError("codes has values that are not finite")
    if labels is not None:
        labels = to_numpy(labels)
        if labels.shape != codes.shape[:1] or labels.dtype.kind not in "iu":
            raise ValueError(
                f"labels has shape {labels.shape} and dtype {labels.dtype}: it must be "
                f"{len(codes)} whole numbers, a class for each code"
            )
    every = math.ceil(len(codes) / _MOST_CODES)
    return codes[::every], None if labels is None else labels[::every]


def _find_limits(limits, codes, n_latents: int, is_vae: bool) -> list[list[float]]:
    """(lowest, highest) of each latent; on a plane, equally far on both axes."""
    if limits is not None:
        low, high = map(float, limits)
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError(f"limits is {limits}: say (lowest, highest), finite")
        return [[low, high]] * n_latents
    if codes is None:
        if not is_vae:
            raise ValueError("an autoencoder's codes may lie anywhere: give codes=")
        return [[-3.0, 3.0]] * n_latents
    low, high = np.quantile(codes, [0.002, 0.998], axis=0)
    half = 0.54 * (high - low) + 1e-3  # some air around the outermost
    if n_latents == 2:
        half[:] = half.max()
    middle = (low + high) / 2
    return np.stack([middle - half, middle + half], 1).tolist()


def _name_latents(n_latents: int) -> list[str]:
    small = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
    return [f"z{d}".translate(small) for d in range(1, n_latents + 1)]


def _read_image(x: Tensor, weight: Tensor) -> Tensor:
    x = torch.as_tensor(x)
    if x.ndim == 4 and len(x) == 1:
        x = x[0]
    if x.shape != (1, 28, 28):
        raise ValueError(
            f"x has shape {tuple(x.shape)}: it must be one image, (1, 28, 28)"
        )
    return x.to(weight)


@torch.no_grad()
def _encode_one(model: VAE, x: Tensor) -> tuple[list, list]:
    mu, logvar = model.encode(x[None])
    return mu[0].tolist(), (0.5 * logvar[0]).exp().tolist()
