"""What the explorers send to the browser, and the page that needs nothing else.

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

import numpy as np
import torch
from torch import nn

from vae_helpers.plots import CLASS_COLORS, to_numpy

_HERE = Path(__file__).parent
MODULE, STYLE = _HERE / "explorer.js", _HERE / "explorer.css"


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
    n_pixels = layers[-1].out_features if isinstance(layers[-1], nn.Linear) else 0
    side = math.isqrt(n_pixels)
    if n_pixels == 0 or side**2 != n_pixels:
        raise TypeError("the decoder must end in an nn.Linear to a square of pixels")
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


def write_page(path: str | Path, state: dict, *, title: str, alt: str, still: bytes):
    """Write one page that holds the module, its state and the still picture (PNG).

    It opens from the disk (file://); without JavaScript it shows the still.
    """
    style = STYLE.read_text("utf-8") + _PAGE_STYLE
    script = MODULE.read_text("utf-8") + _PAGE_SCRIPT
    page = _PAGE.format(
        title=html.escape(title),
        style=style,
        style_hash=_hash(style),
        script=script,
        script_hash=_hash(script),
        # Else "</script>" in a title would end the data.
        state=json.dumps(state, default=_to_base64).replace("<", r"\u003c"),
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


def _to_base64(value: bytes) -> dict:
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
