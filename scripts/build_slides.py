"""Make an offline deck of slides of each lesson, from what its notebook holds.

    .venv/bin/python -m pip install -e '.[teaching]'
    .venv/bin/python scripts/build_slides.py            # all decks, into build/slides/
    .venv/bin/python scripts/build_slides.py 01 02      # those whose names start so

Which cells are slides stands in the notebooks: the cells' `slideshow.slide_type`, which
JupyterLab shows under *Common Tools*. A deck is one HTML file that needs no network.

- A cell shows its output alone if it has a figure, the tag `hide-input` or
  `slide-output`, or more than `MAX_LINES` lines of code; else its code as well.
- A fold called "Answer" comes with the next key. Other folds are for readers, and left
  out.
- The exercises of a lesson are named on one slide, the last.
"""

import copy
import html
import re
import sys
from importlib.metadata import distribution
from pathlib import Path

import nbformat
from nbconvert import SlidesExporter
from pygments.formatters import HtmlFormatter

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
OUT = ROOT / "build" / "slides"
MAX_LINES = 14
REVEAL, MATHJAX = "sphinx_revealjs/_static/revealjs", "sphinx-mathjax-offline/static"
TOOLS = {  # name: (package, file)
    "css": ("sphinx-revealjs", f"{REVEAL}/dist/reveal.css"),
    "reveal": ("sphinx-revealjs", f"{REVEAL}/dist/reveal.js"),
    "mathjax": ("sphinx-mathjax-offline", f"{MATHJAX}/mathjax/tex-svg-full.js"),
}
MARKS = {  # what no Markdown can say
    "<em>Predict:</em>": '<em class="predict">Predict</em>',
    "<p>fragment-start</p>": '<div class="fragment">',
    "<p>fragment-end</p>": "</div>",
}
FOLD = re.compile(r"<details>\s*<summary>(.*?)</summary>(.*?)</details>", flags=re.S)
LINK = re.compile(r"\[([^\]]+)\]\(([\w/.-]+\.(?:ipynb|md))(?:#[^)]*)?\)")


def main(prefixes: list[str]) -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    tools = read_tools()
    for path in find_lessons():
        if path.name.startswith(tuple(prefixes)):
            page = make_deck(nbformat.read(path, as_version=4), path.stem, tools)
            (OUT / f"{path.stem}.html").write_text(page, "utf-8")
            print(f"{path.stem}.html: {count_slides(page)} slides")
    (OUT / "index.html").write_text(make_index(), "utf-8")


def find_lessons() -> list[Path]:
    return sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))


def count_slides(page: str) -> int:
    return page.count("<section data-")


def read_tools() -> dict[str, str]:
    """reveal.js and MathJax, from the Python packages that bring them."""
    read = {
        name: distribution(package).locate_file(path).read_text("utf-8")
        for name, (package, path) in TOOLS.items()
    }
    colors = HtmlFormatter(style="default").get_style_defs(".highlight")
    tools = {"css": read["css"] + colors}
    for name in ("reveal", "mathjax"):
        tools[name] = read[name].replace("</script", r"<\/script")
    return tools


def make_deck(notebook, name: str, tools: dict[str, str]) -> str:
    """The HTML page of a lesson's slides."""
    exporter = SlidesExporter(
        template_name="slides",
        extra_template_basedirs=[str(ROOT / "scripts")],
        embed_images=True,
        exclude_anchor_links=True,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
    )
    resources = {
        "metadata": {"name": name, "path": str(NOTEBOOKS)},
        "deck": tools | {"title": html.escape(title_of(notebook))},
    }
    page, _ = exporter.from_notebook_node(choose_slides(notebook, name), resources)
    for mark, tag in MARKS.items():
        page = page.replace(mark, tag)
    return page


def title_of(notebook) -> str:
    return notebook.cells[0].source.splitlines()[0].removeprefix("# ")


def choose_slides(notebook, name: str):
    """A copy that holds what the slides show, cell by cell, and nothing else."""
    deck = copy.deepcopy(notebook)
    cells, section = [], ""
    for number, cell in enumerate(deck.cells, 1):
        section = find_heading(cell) or section
        if slide_type(cell) not in ("skip", "notes"):
            prepare(cell)
            cell.metadata.section = section
            cell.metadata.place = f"{name[:3].rstrip('_')} · cell {number}"
            cells.append(cell)
    cells += name_exercises(deck)
    deck.cells = cells
    return deck


def slide_type(cell) -> str:
    return cell.metadata.get("slideshow", {}).get("slide_type", "skip")


def find_heading(cell) -> str:
    """The last section that begins in a cell, "" if none does."""
    found = re.findall(r"^##? (.*)", cell.source, flags=re.M)
    is_words = found and cell.cell_type == "markdown"
    return found[-1].replace("`", "") if is_words else ""


def prepare(cell) -> None:
    if cell.cell_type == "markdown":
        cell.source = FOLD.sub(show_answer, cell.source)
        cell.source = LINK.sub(link_to_deck, cell.source)
    elif has_figure(cell) or hides_code(cell) or count_lines(cell) > MAX_LINES:
        cell.metadata.transient = {"remove_source": True}
    else:
        cell.source = re.sub(r"\n{2,}", "\n", cell.source)


def show_answer(fold: re.Match) -> str:
    """With the next key, if it is the answer to a prediction; else not at all."""
    title, text = fold.groups()
    is_answer = title.strip() == "Answer"
    return f"\nfragment-start\n\n{text}\n\nfragment-end\n" if is_answer else ""


def link_to_deck(link: re.Match) -> str:
    """Another lesson's deck; nothing else of the course lies beside the decks."""
    text, target = link.groups()
    is_lesson = (NOTEBOOKS / target) in find_lessons()
    return f"[{text}]({Path(target).stem}.html)" if is_lesson else text


def has_figure(cell) -> bool:
    return any("image/png" in output.get("data", {}) for output in cell.outputs)


def hides_code(cell) -> bool:
    return not {"hide-input", "slide-output"}.isdisjoint(cell.metadata.get("tags", []))


def count_lines(cell) -> int:
    return sum(bool(line.strip()) for line in cell.source.splitlines())


def name_exercises(notebook) -> list:
    """One slide that names them, or none."""
    headings = [
        cell.source.splitlines()[0].removeprefix("### ")
        for cell in notebook.cells
        if cell.cell_type == "markdown" and "exercise" in cell.metadata.get("tags", [])
    ]
    if not headings:
        return []
    source = "\n".join(["## Exercises", "", *(f"- {heading}" for heading in headings)])
    cell = nbformat.v4.new_markdown_cell(source)
    cell.metadata = nbformat.from_dict({"slideshow": {"slide_type": "slide"}})
    cell.metadata |= {"section": "", "place": "in the notebook, with hints and checks"}
    return [cell]


def make_index() -> str:
    """A page with a link to each deck."""
    links = []
    for path in find_lessons():
        title = html.escape(title_of(nbformat.read(path, as_version=4)))
        links.append(f'<li><a href="{path.stem}.html">{title}</a></li>')
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<meta charset="utf-8">',
            "<title>Slides</title>",
            "<style>body { font: 20px/1.6 system-ui, sans-serif; margin: 3em }</style>",
            "<h1>Slides</h1>",
            "<p>Space: next · arrows: right for the next section, down within it · "
            "Esc: all slides · F: full screen</p>",
            "<ul>",
            *links,
            "</ul>\n</html>",
        ]
    )


if __name__ == "__main__":
    main(sys.argv[1:] or [""])
