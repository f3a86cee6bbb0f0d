"""What both explorers share: what they send to the browser, and pages of their own.

Weights travel once, as 16-bit whole numbers with a scale for each row: half the size,
and the image still equals `decode` to 1/255.
"""

import base64
import copy
import hashlib
import html
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

from vae_helpers.plots import CLASS_COLORS, picture, to_numpy, to_png

import anywidget
import numpy as np
import torch
import traitlets
from torch import nn

_HERE = Path(__file__).parent
_MODULE, _STYLE = _HERE / "explorer.js", _HERE / "explorer.css"


class Numbers(traitlets.TraitType):
    """A trait of so many finite numbers, kept as a list; takes arrays and tensors."""

    def __init__(self, *, within_limits: bool = False):
        super().__init__(default_value=[])
        self._within_limits = within_limits

    def validate(self, owner, value) -> list[float]:
        """The value as a list, or a `TraitError` that says what is wrong."""
        try:
            numbers = np.asarray(to_numpy(value), dtype=float)
        except (TypeError, ValueError):
            numbers = np.empty(())
        if numbers.shape != (owner.n_latents,):
            raise traitlets.TraitError(
                f"{self.name} is {value!r}: it must be {owner.n_latents} numbers"
            )
        if not np.isfinite(numbers).all():
            raise traitlets.TraitError(f"{self.name} is {value!r}: not finite")
        if self._within_limits:
            low, high = np.transpose(owner.limits[self.name])
            if ((numbers < low) | (numbers > high)).any():
                raise traitlets.TraitError(
                    f"{self.name} is {value!r}: the grid holds {low.round(4)} to "
                    f"{high.round(4)}"
                )
        return numbers.tolist()


class Explorer(anywidget.AnyWidget):
    """What both explorers share: the module, the page of their own, the still picture.

    A subclass has `n_latents`, `limits` (its synced traits → (lowest, highest) of each
    number), `image`, `_alt` and `_draw_still()`.
    """

    _esm = _MODULE
    _css = _STYLE
    _setup = traitlets.Dict().tag(sync=True)

    def to_html(self, path: str | Path) -> Path:
        """Write the explorer as one page that needs no network and no kernel.

        It opens from the disk (file://), in its present state; without JavaScript it
        shows the still picture. Returns the path.
        """
        state = {name: getattr(self, name) for name in self.limits}
        _write_page(
            path,
            {**state, "_setup": self._setup},
            title=self._setup["title"] or type(self).__name__,
            alt=self._alt,
            still=self.png,
        )
        return Path(path)

    @property
    def png(self) -> bytes:
        """The still picture of the present state."""
        return to_png(self._draw_still())

    def _repr_mimebundle_(self, **kwargs) -> tuple[dict, dict]:
        """The live widget, and the still picture for viewers without JavaScript."""
        live, _ = super()._repr_mimebundle_(**kwargs)
        data, metadata = picture(self.png, self._alt)
        return {**live, **data}, metadata

    def __repr__(self) -> str:
        values = (
            f"{name}=[{', '.join(f'{value:.4g}' for value in getattr(self, name))}]"
            for name in self.limits
        )
        return f"{type(self).__name__}({', '.join(values)})"


def pack_decoder(model: nn.Module) -> dict:
    """The decoder as `makeDecoder` in explorer.js reads it.

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
            weight, bias = (
                to_numpy(part).astype(np.float32) for part in (weight, bias)
            )
            scale = np.maximum(np.abs(weight).max(1), 1e-30) / np.float32(32767)
            floats += [scale, bias]
            integers.append(np.rint(weight / scale[:, None]).astype("<i2").ravel())
    sizes = [part["n_out"] for part in described if part["kind"] == "linear"]
    side = math.isqrt(sizes[-1]) if sizes else 0
    if not sizes or side**2 != sizes[-1]:
        raise TypeError(
            f"the decoder's layers {sizes} do not end in a square of pixels"
        )
    is_bernoulli = getattr(model, "likelihood", "") == "bernoulli"
    return {
        "layers": described,
        "output": "sigmoid" if is_bernoulli else "clamp",
        "side": side,
        "floats": np.concatenate(floats).astype("<f4").tobytes(),
        "integers": np.concatenate(integers).tobytes(),
    }


def freeze_decoder(model: nn.Module) -> Callable[[Sequence], np.ndarray]:
    """Points (n, D) → images (n, side, side) in [0, 1], with the weights of now."""
    decoder = copy.deepcopy(model.decoder).cpu().float()
    is_bernoulli = getattr(model, "likelihood", "") == "bernoulli"

    @torch.no_grad()
    def decode(z: Sequence) -> np.ndarray:
        output = decoder(torch.as_tensor(z, dtype=torch.float))
        pixels = output.sigmoid() if is_bernoulli else output.clamp(0, 1)
        side = math.isqrt(pixels.shape[1])
        return pixels.view(-1, side, side).numpy()

    return decode


def pack_codes(codes, labels) -> dict:
    if codes is None or codes.shape[1] != 2:
        return {"codes": None, "classes": []}
    found, owners = np.unique(
        np.zeros(len(codes), int) if labels is None else labels, return_inverse=True
    )
    if len(found) > 256:
        raise ValueError(f"labels has {len(found)} classes; the map holds 256")
    classes = [
        {
            "name": "" if labels is None else str(label),
            "color": CLASS_COLORS[int(label) % 10],
            "median": np.median(codes[owners == index], axis=0).tolist(),
        }
        for index, label in enumerate(found)
    ]
    packed = {
        "places": pack_floats(codes),
        "classes": owners.astype(np.uint8).tobytes(),
    }
    return {"codes": packed, "classes": classes}


def pack_floats(values) -> bytes:
    return to_numpy(values).astype("<f4").tobytes()


def _write_page(path: str | Path, state: dict, *, title: str, alt: str, still: bytes):
    """Write one page that holds the module, its state and the still picture (PNG).

    It opens from the disk (file://); without JavaScript it shows the still.
    """
    style = _STYLE.read_text("utf-8") + _PAGE_STYLE
    script = _MODULE.read_text("utf-8") + _PAGE_SCRIPT
    page = _PAGE.format(
        title=html.escape(title),
        style=style,
        style_hash=_hash(style),
        script=script,
        script_hash=_hash(script),
        # Else "</script>" in a title would end the data.
        state=json.dumps(state, default=to_base64).replace("<", r"\u003c"),
        alt=html.escape(alt),
        still=base64.b64encode(still).decode(),
    )
    Path(path).write_text(page, "utf-8", newline="\n")  # the hashes are those of "\n"


def _describe(layer: nn.Module | None) -> dict:
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


def to_base64(value: bytes) -> dict:
    return {"base64": base64.b64encode(value).decode()}


def _hash(text: str) -> str:
    """What a Content-Security-Policy calls this very text and no other."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


_PAGE_STYLE = """
body { background: white; color: #1b1b1b; margin: 24px; }
"""
_PAGE_SCRIPT = """
const state = JSON.parse(document.getElementById("state").textContent);
render({ model: pageModel(state), el: document.getElementById("explorer") });
"""
# Nothing may be loaded and no other script may run.
_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; \
script-src {script_hash}; style-src {style_hash}; img-src data:">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
<main id="explorer"></main>
<noscript><img src="data:image/png;base64,{still}" alt="{alt}"></noscript>
<script type="application/json" id="state">{state}</script>
<script type="module">{script}</script>
</body>
</html>
"""
