"""What travels to the browser: weights, codes, images, as the JavaScript files read it.

Weights travel once, as 16-bit whole numbers with a scale for each row: half the size,
and the image still equals `decode` to 1/255. The `TypedDict`s here have their twins in
the `@typedef`s of latent.js, parts.js and posterior.js.
"""

import base64
import copy
import math
from collections.abc import Callable, Sequence
from typing import TypedDict

from vae_helpers.plots import CLASS_COLORS, to_numpy

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import nn


class DecoderSetup(TypedDict):
    """A decoder's layers in order, and their numbers one after the other.

    shape: (channels, height, width) of an image. floats: for each linear layer a scale
    and a bias for each row. integers: the weights in 16 bits, row by row.
    """

    layers: list[dict]
    output: str
    shape: tuple[int, int, int]
    floats: bytes
    integers: bytes


class CodesSetup(TypedDict):
    """Codes on the plane, (z₁, z₂) each, and to which of the classes each belongs."""

    places: bytes
    owners: bytes


class ClassSetup(TypedDict):
    """A class of codes: its name (empty without labels), its colour, its median."""

    name: str
    color: str
    median: list[float]


class LatentSetup(TypedDict):
    """All that `showLatent` in latent.js needs."""

    kind: str
    title: str
    alt: str
    colors: dict[str, str]
    decoder: DecoderSetup
    limits: list[list[float]]
    names: list[str]
    start: list[float]
    background: str
    codes: CodesSetup | None
    classes: list[ClassSetup]


class GridSetup(TypedDict):
    """n × n square cells of width `step`, from their lower left corner."""

    low: tuple[float, float]
    step: float
    n: int


class Gaussian(TypedDict):
    """N(mu, diag sigma²) on the plane."""

    mu: list[float]
    sigma: list[float]


class PosteriorSetup(TypedDict):
    """All that `showPosterior` in posterior.js needs; log-densities in nats.

    note: empty where the grid resolves the encoder's q; else what the reader is told.
    """

    kind: str
    title: str
    alt: str
    colors: dict[str, str]
    shades: bytes
    decoder: DecoderSetup
    image: bytes
    grid: GridSetup
    log_px_z: bytes
    log_px: float
    window: Sequence[Sequence[float]]
    limits: dict[str, Sequence[Sequence[float]]]
    encoder: Gaussian
    encoder_elbo: float
    note: str
    best: Gaussian


def image_shape(model: nn.Module) -> tuple[int, int, int]:
    """Channels, height and width of the images that a model decodes to."""
    channels, height, width = getattr(model, "image_shape", (1, 28, 28))
    return channels, height, width


def pack_decoder(model: nn.Module) -> DecoderSetup:
    """The decoder as `makeDecoder` in parts.js reads it.

    Raises `TypeError` for layers that the browser cannot run.
    """
    decoder = getattr(model, "decoder", None)
    layers = list(decoder) if isinstance(decoder, nn.Sequential) else [decoder]
    described, floats, integers = [], [], []
    for layer in layers:
        described.append(_describe(layer))
        if isinstance(layer, nn.Linear):
            weight, bias = layer.weight, layer.bias
            bias = torch.zeros(len(weight)) if bias is None else bias
            rows, offsets = (
                to_numpy(part).astype(np.float32) for part in (weight, bias)
            )
            scale = np.maximum(np.abs(rows).max(1), 1e-30) / np.float32(32767)
            floats += [scale, offsets]
            integers.append(np.rint(rows / scale[:, None]).astype("<i2").ravel())
    sizes = [part["n_out"] for part in described if part["kind"] == "linear"]
    shape = image_shape(model)
    if sizes[-1:] != [math.prod(shape)] or shape[0] not in (1, 3):
        raise TypeError(
            f"the decoder's layers {sizes} do not end in an image of the model's "
            f"image_shape {shape}, with one channel or three"
        )
    return {
        "layers": described,
        "output": "sigmoid" if _is_bernoulli(model) else "clamp",
        "shape": shape,
        "floats": np.concatenate(floats).astype("<f4").tobytes(),
        "integers": np.concatenate(integers).tobytes(),
    }


def freeze_decoder(model: nn.Module) -> Callable[[ArrayLike], np.ndarray]:
    """Points (n, D) → images (n, C, H, W) in [0, 1], with the weights of now."""
    decoder = copy.deepcopy(model.get_submodule("decoder")).cpu().float()
    shape, is_bernoulli = image_shape(model), _is_bernoulli(model)

    @torch.no_grad()
    def decode(z: ArrayLike) -> np.ndarray:
        output = decoder(torch.as_tensor(z, dtype=torch.float))
        pixels = output.sigmoid() if is_bernoulli else output.clamp(0, 1)
        return pixels.view(-1, *shape).numpy()

    return decode


def pack_codes(
    codes: np.ndarray, labels: np.ndarray | None, names: Sequence[str] | None = None
) -> tuple[CodesSetup, list[ClassSetup]]:
    """Codes (N, 2) and labels (N,) as `paintMap` in latent.js reads them.

    names: what is written for each label; without them, its numeral.

    Raises `ValueError` for more classes than a byte can count.
    """
    found, owners = np.unique(
        np.zeros(len(codes), int) if labels is None else labels, return_inverse=True
    )
    if len(found) > 256:
        raise ValueError(f"labels has {len(found)} classes; the map holds 256")
    classes: list[ClassSetup] = [
        {
            "name": "" if labels is None else str(names[label] if names else label),
            "color": CLASS_COLORS[int(label) % 10],
            "median": np.median(codes[owners == index], axis=0).tolist(),
        }
        for index, label in enumerate(found)
    ]
    owner_bytes = owners.astype(np.uint8).tobytes()
    return {"places": pack_floats(codes), "owners": owner_bytes}, classes


def pack_floats(values: ArrayLike) -> bytes:
    """Numbers as `floatsOf` in parts.js reads them: 32 bits each, row by row."""
    return to_numpy(values).astype("<f4").tobytes()


def to_base64(value: bytes) -> dict[str, str]:
    """Bytes as `bytesOf` in parts.js reads them on a page of its own."""
    return {"base64": base64.b64encode(value).decode()}


def _is_bernoulli(model: nn.Module) -> bool:
    return getattr(model, "likelihood", "") == "bernoulli"


def _describe(layer: object) -> dict:
    match layer:
        case nn.Linear():
            return {
                "kind": "linear",
                "n_in": layer.in_features,
                "n_out": layer.out_features,
            }
        case nn.ReLU():
            return {"kind": "leaky_relu", "slope": 0}
        case nn.LeakyReLU():
            return {"kind": "leaky_relu", "slope": layer.negative_slope}
        case nn.Tanh():
            return {"kind": "tanh"}
        case nn.Sigmoid():
            return {"kind": "sigmoid"}
    raise TypeError(
        "the browser runs a decoder that is an nn.Sequential of nn.Linear, nn.ReLU, "
        f"nn.LeakyReLU, nn.Tanh and nn.Sigmoid, not of {type(layer).__name__}"
    )
