"""Make the notebooks' sliders and explorers live without a kernel, for the site.

    from live_demos import make_live
    make_live(path_of_a_notebook, folder)  # → {cell id: what was made for it}

The notebook runs up to its last slider or explorer. An explorer writes its own page; a
slider demo is shown at every value of a grid, and only what changes is kept. What was
made once is made again only if the notebook's code, the helpers or the data change.
"""

import base64
import hashlib
import io
import itertools
import json
import os
import shutil
import sys
from pathlib import Path

import nbformat
import numpy as np
from nbclient import NotebookClient
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
SIZE_LIMIT = 4_000_000  # bytes of one demo
N_VALUES = {1: 101, 2: 21, 3: 7}  # of each slider, by the number of sliders
LIVE_CALLS = ("slider_demo(", "LatentExplorer(", "PosteriorExplorer(")
COLOURS = 64
# Run after the last cell that is needed: `Out` and these names are the kernel's.
EXPORT = """
import sys
sys.path.insert(0, {scripts!r})
import live_demos
live_demos.export_shown(Out, {cell_ids!r}, {folder!r})
"""


def find_live_cells(notebook) -> list[int]:
    """Which cells show a slider demo or an explorer, by index."""
    return [
        index
        for index, cell in enumerate(notebook.cells)
        if cell.cell_type == "code" and any(c in cell.source for c in LIVE_CALLS)
    ]


def make_live(path: Path, folder: Path) -> dict[str, dict]:
    """Run a notebook as far as needed and write what its demos need into `folder`.

    Returns cell id → {"kind": "explorer"} or {"kind": "demo", "sliders": …}; a demo
    that is too large is absent. Takes the files of the last time if they still hold.
    """
    notebook = nbformat.read(path, as_version=4)
    live = find_live_cells(notebook)
    if not live:
        return {}
    notebook.cells = notebook.cells[: live[-1] + 1]
    key, index = _key(notebook), folder / "live.json"
    if index.is_file():
        kept = json.loads(index.read_text("utf-8"))
        if kept["key"] == key:
            return kept["cells"]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    cell_ids = {n: cell.id for n, cell in enumerate(code, start=1)}
    source = EXPORT.format(
        scripts=str(Path(__file__).parent), cell_ids=cell_ids, folder=str(folder)
    )
    notebook.cells.append(nbformat.v4.new_code_cell(source))
    NotebookClient(
        notebook, timeout=900, resources={"metadata": {"path": str(path.parent)}}
    ).execute()
    cells = json.loads((folder / "cells.json").read_text("utf-8"))
    index.write_text(json.dumps({"key": key, "cells": cells}), "utf-8")
    return cells


def _key(notebook) -> str:
    """Changes with all that a demo may depend on."""
    sources = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    ours = sorted((ROOT / "vae_helpers").rglob("*"))
    ours = [path for path in [*ours, Path(__file__)] if "__pycache__" not in path.parts]
    digest = hashlib.sha256("\n".join(sources).encode())
    digest.update(os.environ.get("VAE_DATASET", "").encode())
    for path in ours:
        digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()


# ── in the kernel ───────────────────────────────────────────────────────────────────


def export_shown(shown: dict, cell_ids: dict[int, str], folder: str) -> None:
    """Export each demo and explorer that a cell left as its value.

    shown: execution count → value, the kernel's `Out`.
    """
    from vae_helpers.explorers.base import Explorer
    from vae_helpers.widgets import SliderDemo

    cells = {}
    for count, value in shown.items():
        cell_id, made = cell_ids.get(count), None
        if isinstance(value, Explorer):
            value.to_html(Path(folder) / f"{cell_id}.html")
            made = {"kind": "explorer"}
        elif isinstance(value, SliderDemo):
            made = export_demo(value, Path(folder), cell_id)
        if made:
            cells[cell_id] = made
    (Path(folder) / "cells.json").write_text(json.dumps(cells), "utf-8")


def export_demo(demo, folder: Path, name: str) -> dict | None:
    """Write the start picture and a script with a frame for each place of the sliders.

    A frame holds what differs from the start and is transparent elsewhere. Frames
    follow each other as in a nested loop, the last slider moving fastest. Returns what
    the page needs to know; None, and writes nothing, if it has too many sliders or
    bytes.
    """
    sliders = list(demo.sliders.values())
    if len(sliders) not in N_VALUES:
        return None
    places = [slider_values(slider, N_VALUES[len(sliders)]) for slider in sliders]
    starts = [
        values.index(slider.value)
        for values, slider in zip(places, sliders, strict=True)
    ]
    still = _pixels(demo.png)
    frames: dict[bytes, int] = {}
    order = []
    for values in itertools.product(*places):
        for slider, value in zip(sliders, values, strict=True):
            slider.value = value
        if demo.error:
            raise RuntimeError(f"{name} at {values}: {demo.error}")
        frame = encode_change(still, _pixels(demo.png))
        order.append(frames.setdefault(frame, len(frames)))
    texts = [base64.b64encode(frame).decode() for frame in frames]
    script = ", ".join(map(json.dumps, [name, order, texts]))
    script = f"courseFrames({script});"
    if len(script) > SIZE_LIMIT:
        print(f"{name}: {len(script)} bytes are too many", file=sys.stderr)
        return None
    Image.fromarray(still).save(folder / f"{name}.webp", lossless=True)
    (folder / f"{name}.js").write_text(script, "utf-8")
    described = [
        {
            "name": slider.description,
            "values": [f"{value:{_format(slider)}}" for value in values],
            "start": start,
        }
        for slider, values, start in zip(sliders, places, starts, strict=True)
    ]
    height, width = still.shape[:2]
    return {"kind": "demo", "sliders": described, "size": [width, height]}


def slider_values(slider, n_most: int) -> list:
    """At most `n_most` values, evenly from end to end, with the slider's start.

    The value nearest to the start gives way to it.
    """
    whole = isinstance(slider.value, int)
    n_steps = round((slider.max - slider.min) / slider.step)
    n_values = min(n_most, n_steps + 1)
    values = np.linspace(slider.min, slider.max, n_values)
    values = [int(value) if whole else float(value) for value in values.round(6)]
    nearest = min(range(n_values), key=lambda i: abs(values[i] - slider.value))
    values[nearest] = slider.value
    return values


def encode_change(still: np.ndarray, pixels: np.ndarray) -> bytes:
    """A WebP image of the pixels (H, W, 3) that differ; empty if none does."""
    changed = (still != pixels).any(-1)
    if not changed.any():
        return b""
    few = np.asarray(Image.fromarray(pixels).quantize(COLOURS).convert("RGB"))
    alpha = np.where(changed, 255, 0).astype(np.uint8)[..., None]
    rgba = np.concatenate([np.where(changed[..., None], few, 0), alpha], axis=-1)
    with io.BytesIO() as buffer:
        Image.fromarray(rgba).save(buffer, "webp", lossless=True, quality=60)
        return buffer.getvalue()


def _pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def _format(slider) -> str:
    return "d" if isinstance(slider.value, int) else slider.readout_format
