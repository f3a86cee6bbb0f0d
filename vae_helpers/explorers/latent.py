"""A point in latent space, moved by hand, and the image that it decodes to."""

import math
from collections.abc import Callable, Sequence

from vae_helpers.explorers.base import ANYWHERE, Explorer, Limits, Numbers
from vae_helpers.explorers.packing import (
    LatentSetup,
    freeze_decoder,
    pack_codes,
    pack_decoder,
)
from vae_helpers.models import VAE, Autoencoder
from vae_helpers.plots import (
    CLASS_COLORS,
    COLORS,
    as_images,
    latent_scatter,
    show_image,
    tile,
    to_numpy,
)

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

_MOST_CODES = 20_000  # more dots would only hide one another


class LatentExplorer(Explorer):
    """A point in latent space, moved by hand, and the image that it decodes to.

    model: a `VAE` or an `Autoencoder`; the explorer keeps its weights as they are now.
    codes, labels: (N, D) and (N,), for the map and the sliders' ends. A class is a
        colour and, at its median, a numeral.
    class_names: what is written instead of the numeral of each label, such as letters;
        after ten classes the colours come again, and the names tell them apart.
    z: where the point starts, D numbers; without it, as near to 0 as the limits allow.
    background: "codes", or "manifold" for the decoded images themselves, laid out over
        the plane. Only two dimensions have a map; any other D has sliders alone.
    slider_names: D names; without them z₁, z₂, ….
    limits: (lowest, highest) of every dimension; without them, what the codes fill, and
        (−3, 3) for a VAE without codes.
    alt: what is shown, for readers who cannot see it.

    `explorer.z` reads and sets the point, D numbers, and `image` is what it decodes to.
    `to_html(path)` writes a page that works without Python. Raises `ValueError` and
    `TypeError` for what does not fit.
    """

    z = Numbers(lambda explorer: [ANYWHERE] * explorer.n_latents).tag(sync=True)

    def __init__(
        self,
        model: VAE | Autoencoder,
        codes: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        *,
        class_names: Sequence[str] | None = None,
        z: Sequence[float] | None = None,
        background: str = "codes",
        title: str = "",
        slider_names: Sequence[str] | None = None,
        limits: tuple[float, float] | None = None,
        alt: str = "",
    ) -> None:
        decoder = pack_decoder(model)
        n_latents = self.n_latents = decoder["layers"][0]["n_in"]
        names = list(slider_names or _name_dimensions(n_latents))
        if len(names) != n_latents:
            raise ValueError(
                f"slider_names has {len(names)} names for {n_latents} dimensions"
            )
        if background not in ("codes", "manifold"):
            raise ValueError(f"background is {background!r}: say 'codes' or 'manifold'")
        self._decode = freeze_decoder(model)
        self._codes, self._labels = _read_codes(codes, labels, n_latents)
        self._class_names = _read_class_names(class_names, self._labels)
        ends = _find_limits(limits, self._codes, n_latents, isinstance(model, VAE))
        self.limits = {"z": ends}  # (lowest, highest) of each slider
        self._alt = alt or (
            f"A point in {n_latents} latent dimensions, and the image it decodes to."
        )
        self._hint = (
            "Drag the cross on the map, or use the arrow keys"
            if n_latents == 2
            else "Move the sliders, one for each latent dimension"
        ) + ": the image is what the decoder makes of that point."
        start = [min(max(0.0, low), high) for low, high in ends] if z is None else z
        super().__init__(z=start)
        setup: LatentSetup = {
            "kind": "latent",
            "title": title,
            "alt": self._alt,
            "colors": COLORS,
            "decoder": decoder,
            "limits": ends,
            "names": names,
            "start": self.z,
            "background": background,
            "codes": None,
            "classes": [],
        }
        if self._codes is not None and n_latents == 2:
            setup["codes"], setup["classes"] = pack_codes(
                self._codes, self._labels, self._class_names
            )
        self._setup = dict(setup)

    @property
    def image(self) -> np.ndarray:
        """What `z` decodes to, by PyTorch, in [0, 1]: (H, W), in colour (H, W, 3)."""
        return as_images(self._decode([self.z]))[0]

    def _draw_still(self) -> Figure:
        if self.n_latents == 2:
            fig = Figure(figsize=(8, 4.4), layout="compressed")
            plane, frame = fig.subplots(1, 2)
            self._draw_plane(plane)
        else:
            fig = Figure(figsize=(3.6, 3.6), layout="constrained")
            frame = fig.subplots()
        show_image(frame, self.image)
        spoken = ", ".join(f"{value:.2f}" for value in self.z[:6])
        frame.set_xlabel(f"z = ({spoken}{', …' if self.n_latents > 6 else ''})")
        fig.suptitle(self._setup["title"], parse_math=False)
        return fig

    def _draw_plane(self, plane: Axes) -> None:
        ends, names = self._setup["limits"], self._setup["names"]
        plane.set(xlim=ends[0], ylim=ends[1])
        if self._setup["background"] == "manifold":
            extent = (*ends[0], *ends[1])
            show_image(plane, tile_plane(self._decode, ends), extent=extent)
        elif self._codes is not None and self._labels is not None:
            latent_scatter(
                self._codes,
                self._labels,
                title="",
                ax=plane,
                clear_of=[self.z],
                class_names=self._class_names,
            )
        elif self._codes is not None:
            z1, z2 = self._codes.T
            plane.scatter(z1, z2, s=6, color=CLASS_COLORS[0], linewidths=0)
        plane.plot(*self.z, "X", c="black", mec="white", ms=13, zorder=9)
        plane.set(xlim=ends[0], ylim=ends[1])
        plane.set_aspect("equal", adjustable="box")
        plane.set_xlabel(names[0], parse_math=False)
        plane.set_ylabel(names[1], parse_math=False)


def tile_plane(
    decode: Callable[[ArrayLike], np.ndarray], ends: Limits, n_tiles: int = 18
) -> np.ndarray:
    """One image of the plane: its square tiles, each decoded at its centre.

    An image that is not square keeps its shape, in the middle of its tile.
    """
    shares = (np.arange(n_tiles) + 0.5) / n_tiles
    z1, z2 = (low + (high - low) * shares for low, high in ends)
    z = np.stack(np.meshgrid(z1, z2[::-1]), -1).reshape(-1, 2)  # the top row first
    images = decode(z)
    _, n_channels, height, width = images.shape
    side = max(height, width)
    around = [(0, 0), (0, 0)]
    around += [((side - n) // 2, (side - n + 1) // 2) for n in (height, width)]
    blank = 1.0 if n_channels == 3 else 0.0  # white
    return tile(np.pad(images, around, constant_values=blank), n_tiles)


def _read_codes(
    codes: ArrayLike | None, labels: ArrayLike | None, n_latents: int
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Codes (N, D) and labels (N,) as arrays, at most so many, or None for each."""
    if codes is None:
        if labels is not None:
            raise ValueError("labels without codes: give both")
        return None, None
    places = to_numpy(codes).astype(np.float32)
    if places.ndim != 2 or places.shape[1] != n_latents or not len(places):
        raise ValueError(
            f"codes has shape {places.shape}: it must be (N, {n_latents}), such as the "
            "means that `encode` returns first"
        )
    if not np.isfinite(places).all():
        raise ValueError("codes has values that are not finite")
    every = math.ceil(len(places) / _MOST_CODES)
    if labels is None:
        return places[::every], None
    classes = to_numpy(labels)
    if classes.shape != places.shape[:1] or classes.dtype.kind not in "iu":
        raise ValueError(
            f"labels has shape {classes.shape} and dtype {classes.dtype}: it must be "
            f"{len(places)} whole numbers, a class for each code"
        )
    return places[::every], classes[::every]


def _read_class_names(
    names: Sequence[str] | None, labels: np.ndarray | None
) -> list[str] | None:
    if names is None:
        return None
    if labels is None:
        raise ValueError("class_names without labels: give both")
    if labels.min() < 0 or labels.max() >= len(names):
        raise ValueError(
            f"class_names has {len(names)} names for labels from {labels.min()} to "
            f"{labels.max()}: give a name for each label, from 0 on"
        )
    return [str(name) for name in names]


def _find_limits(
    limits: tuple[float, float] | None,
    codes: np.ndarray | None,
    n_latents: int,
    is_vae: bool,
) -> list[list[float]]:
    """(lowest, highest) of each dimension; on a plane, equally far on both axes."""
    if limits is not None:
        low, high = map(float, limits)
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError(f"limits is {limits}: say (lowest, highest), finite")
        return [[low, high]] * n_latents
    if codes is None:
        if not is_vae:
            raise ValueError("an autoencoder's codes may lie anywhere: give codes=")
        return [[-3.0, 3.0]] * n_latents
    lows, highs = np.quantile(codes, [0.002, 0.998], axis=0)
    half = 0.54 * (highs - lows) + 1e-3  # some air around the outermost
    if n_latents == 2:
        half[:] = half.max()
    middle = (lows + highs) / 2
    return np.stack([middle - half, middle + half], 1).tolist()


def _name_dimensions(n_latents: int) -> list[str]:
    small = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
    return [f"z{d}".translate(small) for d in range(1, n_latents + 1)]
