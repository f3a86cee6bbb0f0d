"""Run every notebook on MNIST and save it as one clean run, ready to commit.

    .venv/bin/python scripts/save_notebooks.py            # all of them
    .venv/bin/python scripts/save_notebooks.py 01 02      # those whose names start so

Needs MNIST in `data/`, or where `VAE_DATA_DIR` says. A notebook that raises, warns,
fails a checkpoint or has a slider that does not move is reported and left as it was.
"""

import os
import sys
import time
from pathlib import Path

from vae_helpers.plots import spoken
from vae_helpers.stills import LINE, WIDGET

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
METADATA = {
    "kernelspec": {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    },
    "language_info": {"name": "python"},
}
# Run after the last cell and not saved: each slider still moves its own picture.
DRIVE_SLIDERS = """
from vae_helpers.explorers import LatentExplorer, PosteriorExplorer
from vae_helpers.widgets import SliderDemo

for demo in [shown for shown in Out.values() if isinstance(shown, SliderDemo)]:
    for slider in demo.sliders.values():
        pictures, start = set(), slider.value
        for slider.value in (slider.min, slider.max):
            pictures.add(bytes(demo.png))
            assert not demo.error, demo.error
        slider.value = start
        assert len(pictures) == 2, f"{slider.description} moves nothing"

# The browser moves an explorer by setting these traits.
explorers = (LatentExplorer, PosteriorExplorer)
for explorer in [shown for shown in Out.values() if isinstance(shown, explorers)]:
    for name, limits in explorer.limits.items():
        for index, ends in enumerate(limits):
            pictures = set()
            for end in ends:
                numbers = list(getattr(explorer, name))
                numbers[index] = end
                setattr(explorer, name, numbers)
                pictures.add((explorer.image.tobytes(), explorer.png))
            assert len(pictures) == 2, f"{name}[{index}] moves nothing"
"""
SPOKEN = '<canvas class="spoken"'  # how plots.spoken begins


def main(prefixes: list[str]) -> int:
    os.environ |= {"VAE_DATASET": "mnist", "VAE_TRAIN_NOW": "yes"}
    failed = False
    for path in sorted(NOTEBOOKS.rglob("[0-9]*.ipynb")):
        if ".ipynb_checkpoints" in path.parts or not path.name.startswith(
            tuple(prefixes)
        ):
            continue
        notebook = nbformat.read(path, as_version=4)
        started = time.perf_counter()
        client = NotebookClient(
            notebook, timeout=900, resources={"metadata": {"path": str(path.parent)}}
        )
        notebook.cells.append(nbformat.v4.new_code_cell(DRIVE_SLIDERS))
        client.execute()
        notebook.cells.pop()
        seconds = time.perf_counter() - started
        normalise(notebook)
        faults = find_faults(notebook)
        if not faults:
            nbformat.write(notebook, path)
        failed |= bool(faults)
        print(f"{path.name}: {seconds:.0f} s, {'; '.join(faults) or 'saved'}")
    return int(failed)


def normalise(notebook) -> None:
    """Keep what the author wrote and a reader sees, and nothing of this run's setup."""
    notebook.metadata = nbformat.from_dict(METADATA)
    count = 0
    is_deck = any("slideshow" in cell.metadata for cell in notebook.cells)
    for cell in notebook.cells:
        tags = cell.metadata.get("tags")
        kept: dict = {"tags": tags} if tags else {}
        if is_deck:  # a new cell is on no slide until its author says so
            chosen = cell.metadata.get("slideshow", {}).get("slide_type", "skip")
            kept["slideshow"] = {"slide_type": chosen}
        if "hide-input" in kept.get("tags", []):  # the tag is for slides and the site
            kept["jupyter"] = {"source_hidden": True}  # and this for JupyterLab
        cell.metadata = nbformat.from_dict(kept)
        if cell.cell_type != "code":
            continue
        count += 1
        cell.execution_count = count
        cell.outputs = keep_stills(merge_streams(cell.outputs))
        for output in cell.outputs:
            if "execution_count" in output:
                output.execution_count = count
        cell.outputs = add_spoken(cell.outputs)


def keep_stills(outputs: list) -> list:
    """Of each widget its still picture alone, as `display_with_still` shows it."""
    data = [output.get("data", {}) for output in outputs]
    lines = [i for i, held in enumerate(data) if held.get("text/html") == LINE]
    dropped = lines + [i + 1 for i in lines if WIDGET in data[i + 1]]
    return [output for i, output in enumerate(outputs) if i not in dropped]


def add_spoken(outputs: list) -> list:
    """Each picture followed by its text for screen readers, as `plots.show` sends it.

    Sliders, explorers and the training panel send it as a widget or not at all.
    """
    added = []
    for output in outputs:
        if output.get("data", {}).get("text/html", "").startswith(SPOKEN):
            continue
        added.append(output)
        alt = output.get("metadata", {}).get("image/png", {}).get("alt")
        if alt:
            data = {"text/html": spoken(alt)}
            added.append(nbformat.v4.new_output("display_data", data))
    return added


def merge_streams(outputs: list) -> list:
    """One output per run of text on the same stream, as on the screen."""
    merged: list = []
    for output in outputs:
        last = merged[-1] if merged else {}
        if output.output_type == "stream" and output.name == last.get("name"):
            last.text += output.text
        else:
            merged.append(output)
    return merged


def find_faults(notebook) -> list[str]:
    """What must not be committed."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    texts = [output.get("text", "") for output in outputs]
    faults = []
    if any(output.get("name") == "stderr" for output in outputs):
        faults.append("wrote to stderr")
    if any(line.startswith("✗") for text in texts for line in text.splitlines()):
        faults.append("a checkpoint failed")
    if any(WIDGET in output.get("data", {}) for output in outputs):
        faults.append("a widget has no static picture")
    return faults


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or [""]))
