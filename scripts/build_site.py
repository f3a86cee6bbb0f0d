"""Build the whole course as a site that needs no Python, no kernel and no network.

    .venv/bin/python -m pip install -e '.[site]'
    .venv/bin/python scripts/build_site.py               # into build/site/
    .venv/bin/python scripts/build_site.py --live 00 02  # sliders of these alone

Pages come from the saved notebooks; nothing of a lesson is run again, except for the
sliders and explorers of the notebooks that `--live` names (all, where MNIST is in
`data/` or where `VAE_DATA_DIR` says; else those that need no data). They are kept in
`build/live/`. Ends with an error at a warning of Sphinx or a link that leads nowhere.
"""

import argparse
import base64
import hashlib
import html
import io
import os
import re
import shutil
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import nbformat
from live_demos import find_live_cells, make_live
from PIL import Image
from save_notebooks import SPOKEN
from site_links import find_bad_links

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = Path(__file__).parent / "site"
WITHOUT_DATA = ("00", "02")  # their sliders and explorers need no images


def main(arguments: list[str]) -> int:
    started = time.perf_counter()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--live", nargs="*", help="how the names of notebooks begin")
    parser.add_argument("--into", type=Path, default=ROOT / "build", help="a folder")
    options = parser.parse_args(arguments)
    prefixes, folder = options.live, options.into.resolve()
    data = choose_data()
    os.environ.setdefault("VAE_TRAIN_NOW", "no")  # load the course's models, if it can
    if prefixes is None:
        prefixes = [""] if data == "mnist" else WITHOUT_DATA
    live = {
        path.stem: make_live(path, folder / "live" / path.stem)
        for path in find_notebooks()
        if path.name.startswith(tuple(prefixes))
    }
    print(f"sliders and explorers: after {time.perf_counter() - started:.0f} s")
    source, site = folder / "site-source", folder / "site"
    stage(live, folder / "live", source)
    if not run_sphinx(source, site):
        return 1
    faults = find_bad_links(site)
    print(*faults, sep="\n", end="\n" * bool(faults))
    files = [path for path in site.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files) / 1e6
    seconds = time.perf_counter() - started
    print(f"{site}: {len(files)} files, {size:.1f} MB, {seconds:.0f} s")
    return int(bool(faults))


def run_sphinx(source: Path, site: Path) -> bool:
    """Build the pages from scratch; False if Sphinx warns."""
    shutil.rmtree(site, ignore_errors=True)
    static = f"{SETTINGS / 'static'},{source / 'static'}"
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html"]
    command += ["-c", SETTINGS, "-D", f"html_static_path={static}"]
    command += ["-d", source / "doctrees", source / "pages", site]
    done = subprocess.run([str(part) for part in command])
    needless = ("*webpack-macros.html", "*.map")  # for those who write themes
    for path in [path for name in needless for path in site.rglob(name)]:
        path.unlink()
    return done.returncode == 0


def choose_data() -> str:
    """`mnist` if it is here or `VAE_DATASET` asks for it, else `digits`."""
    from vae_helpers.data import DataUnavailableError, load_images

    if not os.environ.get("VAE_DATASET"):
        os.environ["VAE_DATASET"] = "mnist"
        try:
            load_images("mnist", download=False)
        except DataUnavailableError:
            os.environ["VAE_DATASET"] = "digits"
    return os.environ["VAE_DATASET"]


def find_notebooks() -> list[Path]:
    """The lessons and side trips, in order."""
    return sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))


# ── what Sphinx reads: the repository's own layout, so that links stay as they are ────


def stage(live: dict[str, dict], live_folder: Path, source: Path) -> None:
    """Write pages, figures and what the sliders need into `source`, for Sphinx.

    live: notebook → cell id → what `make_live` wrote into `live_folder`.
    """
    shutil.rmtree(source, ignore_errors=True)
    pages, static = source / "pages", source / "static"
    lessons = find_notebooks()
    solutions = sorted((ROOT / "notebooks/solutions").glob("[0-9]*.ipynb"))
    words = [ROOT / "notebooks/notation.md", *sorted((ROOT / "teaching").glob("*.md"))]
    staged = {path.resolve() for path in [*lessons, *solutions, *words]}
    for path in words:
        text = keep_links(path.read_text("utf-8"), path, staged)
        _write(pages / path.relative_to(ROOT), text)
    for path in [*lessons, *solutions]:
        notebook = nbformat.read(path, as_version=4)
        if path in solutions:
            fold_solutions(notebook)
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source = keep_links(cell.source, path, staged)
                cell.source = link_solution(cell.source, path)
        up = "../" * len(path.relative_to(ROOT).parent.parts)
        show_outputs(notebook, path.stem, live.get(path.stem, {}), static, up)
        _write(pages / path.relative_to(ROOT), nbformat.writes(notebook))
    shutil.copytree(ROOT / "notebooks/pictures", pages / "notebooks/pictures")
    for name in live:
        if live[name]:
            shutil.copytree(live_folder / name, static / "live" / name)
    copy_mathjax(static / "mathjax")
    _write(pages / "index.md", write_index(lessons, live))


def copy_mathjax(target: Path) -> None:
    """The one script and the fonts that a page needs, out of the package's 24 MB."""
    spec = find_spec("sphinx-mathjax-offline")
    if spec is None:
        raise SystemExit("the site needs: pip install -e '.[site]'")
    source = Path(spec.origin).parent / "static/mathjax"
    fonts = "output/chtml/fonts/woff-v2"
    shutil.copytree(source / fonts, target / fonts)
    shutil.copy(source / "tex-chtml.js", target)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


# ── words ───────────────────────────────────────────────────────────────────────────


def heading_anchor(title: str) -> str:
    """The anchor of a heading on the site, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-")


def keep_links(text: str, path: Path, staged: set[Path]) -> str:
    """Links that work on the site: of a file that has no page there, the words stay."""

    def replace(match: re.Match) -> str:
        label, target, anchor = match.groups()
        found = (path.parent / target).resolve()
        if found in staged:
            anchor = "#" + heading_anchor(anchor[1:]) if anchor else ""
            return f"[{label}]({target}{anchor})"
        is_ours = found.exists() and found.suffix != ".svg"
        return label if is_ours else match[0]

    anchor = r"#(?:[^()\s]|\([^()\s]*\))*"  # parentheses come in pairs
    relative = rf"(?<!!)\[([^\]]*)\]\((?!\w+:)([^)#\s]+)({anchor})?\)"
    text = re.sub(relative, replace, text)
    return re.sub(r'(<a href="[^":]+)\.ipynb', r"\1.html", text)


def link_solution(text: str, path: Path) -> str:
    """Send an exercise's link to its own solution, with a word of warning."""
    number = re.match(r"#+ Exercise (\w+)", text)
    link = re.search(r"\[Solution\]\((solutions/[\w.]+)\)", text)
    if not number or not link:
        return text
    solutions = nbformat.read(path.parent / link[1], as_version=4)
    titles = [find_title(cell.source) for cell in solutions.cells]
    (title,) = (t for t in titles if t.startswith(f"Exercise {number[1]} "))
    new = f"[Solution]({link[1]}#{heading_anchor(title)}) (try it first)"
    return text.replace(link[0], new)


def find_title(text: str) -> str:
    """The words of the heading that a cell starts with, else nothing."""
    found = re.match(r"#+ (.+)", text)
    return found[1] if found else ""


def fold_solutions(notebook) -> None:
    """Shut each solution away below its heading, until the reader opens it."""
    cells, is_open = [], False
    for cell in notebook.cells:
        is_heading = cell.cell_type == "markdown" and cell.source.startswith("## ")
        if is_heading and is_open:
            cells.append(nbformat.v4.new_markdown_cell("</details>"))
        if not is_heading:
            cells.append(cell)
            continue
        heading, _, rest = cell.source.partition("\n")
        opened = f"{heading}\n\n<details><summary>Show the solution</summary>\n\n{rest}"
        cells.append(nbformat.v4.new_markdown_cell(opened))
        is_open = True
    if is_open:
        cells.append(nbformat.v4.new_markdown_cell("</details>"))
    notebook.cells = cells


# ── figures, sliders, explorers ─────────────────────────────────────────────────────


def show_outputs(notebook, name: str, live: dict, static: Path, up: str) -> None:
    """Turn every picture into HTML with its alternative text, and make demos live.

    up: the way from the page to the site's first folder, such as `../`.
    """
    moving = {notebook.cells[index].id for index in find_live_cells(notebook)}
    for cell in notebook.cells:
        outputs = []
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if data.get("text/html", "").startswith(SPOKEN):
                continue  # on the site the picture itself carries these words
            if "image/png" in data:
                still = show_picture(output, static, up)
                made = live.get(cell.id)
                place = f"{up}_static/live/{name}/{cell.id}"
                if made and made["kind"] == "explorer":
                    still = show_explorer(_alt(output), place)
                elif made:
                    still = show_demo(_alt(output), cell.id, place, made)
                elif cell.id in moving:
                    still += RUN_ME
                output.data = {"text/html": still}
                output.metadata = {}
            outputs.append(output)
        if "outputs" in cell:
            cell.outputs = outputs


RUN_ME = (
    '<p class="course-note">In the notebook this figure follows sliders. '
    "Here it stands still: run the notebook to move it.</p>\n"
)


def _alt(output) -> str:
    return html.escape(output.metadata["image/png"]["alt"])


def show_picture(output, static: Path, up: str) -> str:
    """An image of its own file, with its size, so that nothing jumps as it loads."""
    png = base64.b64decode(output.data["image/png"])
    name = hashlib.sha256(png).hexdigest()[:16] + ".png"
    (static / "figures").mkdir(parents=True, exist_ok=True)
    (static / "figures" / name).write_bytes(png)
    width, height = Image.open(io.BytesIO(png)).size
    return (
        f'<div class="course-figure"><img src="{up}_static/figures/{name}" '
        f'alt="{_alt(output)}" width="{width}" height="{height}" '
        'loading="lazy"></div>\n'
    )


def show_explorer(alt: str, place: str) -> str:
    """The explorer's own page in a frame, loaded when the reader comes near it."""
    return (
        f'<iframe class="course-explorer" src="{place}.html" title="{alt}" '
        'loading="lazy"></iframe>\n'
    )


def show_demo(alt: str, cell_id: str, place: str, made: dict) -> str:
    """Native sliders, the start picture, and room for what changes."""
    width, height = made["size"]
    lines = [
        f'<div class="course-figure course-demo" data-name="{cell_id}" '
        f'data-frames="{place}.js" style="max-width: {width}px">'
    ]
    for slider in made["sliders"]:
        values, start = slider["values"], slider["start"]
        lines.append(
            f'<label class="course-slider"><span>{html.escape(slider["name"])}</span>'
            f'<input type="range" min="0" max="{len(values) - 1}" value="{start}" '
            f'aria-valuetext="{values[start]}" data-values="{" ".join(values)}" '
            f'disabled><output aria-hidden="true">{values[start]}</output></label>'
        )
    lines.append(
        f'<div class="course-frame"><img src="{place}.webp" alt="{alt}" '
        f'width="{width}" height="{height}" loading="lazy">'
        '<img class="course-change" alt="" hidden></div></div>\n'
    )
    return "\n".join(lines)


# ── the front page ──────────────────────────────────────────────────────────────────


def write_index(lessons: list[Path], live: dict[str, dict]) -> str:
    """The site's front page: what this is, where to start, the map with its minutes."""
    rows, minutes = [], []
    for path in lessons:
        first = nbformat.read(path, as_version=4).cells[0].source
        number, _, title = find_title(first).partition(" · ")
        question = re.search(r"\*\*The question:\*\* (.+)", first)[1]
        minutes.append(int(re.search(r"\| Time \| (\d+) minutes", first)[1]))
        is_named = "side trip" in title or not number[-1].isalpha()
        side = "" if is_named else " (side trip)"
        question = question[0].upper() + question[1:]
        link = f"[{title}](notebooks/{path.name}){side}"
        rows.append(f"| {number} | {link} | {minutes[-1]} | {question} |")
    explorer = ""
    first_live = live.get(lessons[0].stem, {})
    for cell_id in [i for i, made in first_live.items() if made["kind"] == "explorer"]:
        place = f"_static/live/{lessons[0].stem}/{cell_id}"
        explorer = show_explorer("A map of generated digits to walk on", place)
    tree = (SETTINGS / "index.md").read_text("utf-8")
    return tree.format(
        start=f"notebooks/{lessons[0].stem}.html",
        first_minutes=minutes[0],
        hours=round(sum(minutes) / 60),
        n_lessons=len(lessons),
        rows="\n".join(rows),
        explorer=explorer,
        lessons="\n".join(f"notebooks/{path.stem}" for path in lessons),
        teaching=TEACHING if any((ROOT / "teaching").glob("*.md")) else "",
    )


TEACHING = """
```{toctree}
:hidden:
:caption: For lecturers
:glob:

teaching/*
```
"""

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
