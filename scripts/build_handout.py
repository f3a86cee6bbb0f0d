"""Make the two-page handout from the notebooks: Markdown, one HTML file and a PDF.

    python scripts/build_handout.py                # into build/handout/
    python scripts/build_handout.py --out folder

`teaching/handout_template.txt` says what stands where. A line `{{ … }}` in it names a
piece of a notebook or of the notation page, and is replaced by that piece as it is
today; a piece that is no longer there is an error that says which. So what the handout
takes from the lessons cannot drift from them.

    {{ picture vae_04.svg "alt text" }}             a drawing of notebooks/pictures
    {{ 02_elbo 75177411 formula 1 }}                a cell's first displayed formula
    {{ 02_elbo 90475fca formula 1 broken at "= E" }}  … in two lines, broken there
    {{ 02_elbo 75177411 "Two things follow" }}      a paragraph, from these words on
    {{ 04b_… d8abea34 table 1 }}                    its first table
    {{ 04b_… 5e9d0130 output }}                     what it printed, as a table
    {{ notation.md table 1: Symbol, Meaning }}      some columns of a table

The formulas are set by MathJax, which `sphinx-mathjax-offline` brings, and printed by
Chromium: pip install -e '.[teaching]'. Where one of the two is missing, the Markdown
and the HTML are made all the same, and a sentence says what is missing.
"""

import argparse
import base64
import html
import importlib.metadata
import json
import re
import shutil
import sys
from functools import cache
from pathlib import Path

from vae_helpers.plots import COLORS

import mistune

ROOT = Path(__file__).parents[1]
NOTEBOOKS = ROOT / "notebooks"
TEMPLATE = ROOT / "teaching" / "handout_template.txt"
STYLE = ROOT / "teaching" / "handout.css"
PAPERS = {"handout.pdf": "A4", "handout-letter.pdf": "Letter"}
# The words of the notation page for the colours of the course.
COLOUR_WORDS = {
    "blue": "q",
    "red": "decoder",
    "grey": "prior",
    "green": "posterior",
    "amber": "kl",
    "violet": "elbo",
    "black": "log_px",
}
# Symbols in a line of text that get their colour as a tint.
SYMBOLS = {
    r"q(z\mid x)": "q",
    r"p(x\mid z)": "decoder",
    "p(z)": "prior",
    r"p(z\mid x)": "posterior",
}
# Terms of a formula that get their colour as a tint; the first that fits wins.
TERMS = {
    r"KL\\big\(.*?\\big\)|KL\(q\\,\\\|\\,p\(z\\mid x\)\)": "kl",
    r"\\(?:text|mathrm)\{ELBO\}": "elbo",
    r"E_q\[\\log p\(x\\mid z\)\]|\\log p\(x_i\\mid z_\{il\}\)": "decoder",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "handout")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    try:
        filled = fill(TEMPLATE.read_text("utf-8"))
    except LookupError as error:
        sys.exit(f"The handout cannot be made: {error.args[0]}")
    (out / "handout.md").write_text(plain_markdown(filled), "utf-8")
    for name in re.findall(r"!\[[^]]*\]\((.+?)\)", filled):
        shutil.copy(NOTEBOOKS / "pictures" / name, out / name)
    page = out / "handout.html"
    page.write_text(to_html(filled, script="mathjax.js"), "utf-8")
    made, missing = ["handout.md", "handout.html"], ""
    if (mathjax := find_mathjax()) is None:
        missing = "MathJax, so its formulas stay as TeX"
    else:
        shutil.copy(mathjax, out / "mathjax.js")
        missing = print_pdf(page, out)
        if not missing:  # the formulas are drawn: the page needs nothing else
            (out / "mathjax.js").unlink()
            made += PAPERS
    print(f"{', '.join(made)} in {out}")
    if missing:
        print(f"No PDF: there is no {missing}. Try: pip install -e '.[teaching]'")


def fill(template: str) -> str:
    """The template with every `{{ … }}` replaced; LookupError if a piece is missing."""
    directive = re.compile(r"^\{\{ (.+?) \}\}$", flags=re.MULTILINE)
    return directive.sub(lambda match: piece(match[1]), template)


def piece(wish: str) -> str:
    """What one `{{ … }}` asks for, as Markdown."""
    source, _, rest = wish.partition(" ")
    if source == "picture":
        name, alt = re.fullmatch(r'(\S+) "(.+)"', rest).groups()
        if not (NOTEBOOKS / "pictures" / name).is_file():
            raise LookupError(f"there is no notebooks/pictures/{name}")
        return f"![{alt}]({name})"
    if source.endswith(".md"):
        return part((NOTEBOOKS / source).read_text("utf-8"), rest, source)
    name, _, rest = rest.partition(" ")
    cell = cells(source).get(name)
    if cell is None:
        raise LookupError(f"{source}.ipynb has no cell with the id {name}")
    if rest == "output":
        return printed_table(cell, f"{source}, {name}")
    return part("".join(cell["source"]), rest, f"{source}, cell {name}")


@cache
def cells(notebook: str) -> dict:
    """The cells of a notebook by their ids."""
    path = NOTEBOOKS / f"{notebook}.ipynb"
    if not path.is_file():
        raise LookupError(f"there is no notebooks/{notebook}.ipynb")
    loaded = json.loads(path.read_text("utf-8"))
    return {cell["id"]: cell for cell in loaded["cells"]}


def part(text: str, rest: str, where: str) -> str:
    """A formula, a table or a paragraph of a Markdown text."""
    kind, _, which = rest.partition(" ")
    if rest.startswith('"'):
        begins = rest.strip('"')
        found = [p[p.index(begins) :] for p in text.split("\n\n") if begins in p]
        which = "1"
    elif kind == "formula":
        found = re.findall(r"\$\$.+?\$\$", text, flags=re.DOTALL)
    elif kind == "table":
        found = re.findall(r"(?:^\|.+\|\n?)+", text, flags=re.MULTILINE)
    else:
        raise LookupError(f"nobody knows what {rest} is ({where})")
    which, _, columns = which.partition(": ")
    which, _, place = which.partition(" broken at ")
    if len(found) < int(which):
        raise LookupError(f"{where} has no {rest}")
    chosen = found[int(which) - 1].strip()
    if place:
        return break_formula(chosen, place.strip('"'), where)
    return keep_columns(chosen, columns.split(", "), where) if columns else chosen


def break_formula(formula: str, place: str, where: str) -> str:
    """A displayed formula in two lines, the second from this place on."""
    first, found, second = formula.strip("$").partition(place)
    if not found:
        raise LookupError(f"{where} has no {place} in its formula")
    tex = rf"\begin{{aligned}} & {first} \\ & \quad {place}{second} \end{{aligned}}"
    return f"$${tex}$$"


def keep_columns(table: str, wanted: list[str], where: str) -> str:
    """A Markdown table with these columns only, in this order."""
    # A | inside `code` or after a \ is no border.
    rows = [re.split(r"(?<!\\)\|", row.strip("|")) for row in table.splitlines()]
    heads = [head.strip() for head in rows[0]]
    if lost := set(wanted) - set(heads):
        raise LookupError(f"{where} has no column {', '.join(sorted(lost))}")
    keep = [heads.index(name) for name in wanted]
    return "\n".join(f"|{'|'.join(row[i] for i in keep)}|" for row in rows)


def printed_table(cell: dict, where: str) -> str:
    """A table that a cell has printed in columns: two spaces or more are a border."""
    text = "".join("".join(out.get("text", "")) for out in cell.get("outputs", []))
    lines = text.replace("|", r"\|").strip().splitlines()
    rows = [re.split(r"\s{2,}", line.strip()) for line in lines]
    if not rows or {len(row) for row in rows} != {len(rows[0])}:
        raise LookupError(f"{where} has not printed a table")
    rows.insert(1, ["---"] * len(rows[0]))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def plain_markdown(filled: str) -> str:
    """Without the boxes that only the printed page needs."""
    text = re.sub(r"^</?div.*>\n", "", filled, flags=re.MULTILINE)
    return re.sub(r"\n{3,}", "\n\n", text)


def to_html(filled: str, script: str) -> str:
    """One HTML page; its formulas are TeX until the script has run."""
    formulas: list[str] = []

    def set_aside(match: re.Match) -> str:  # Markdown must not touch TeX
        tex = match[1] or match[2]
        if match[1] is not None:
            formulas.append(rf"\[{tint(tex)}\]")
        else:
            key = SYMBOLS.get(tex.replace(r" \mid", r"\mid"))
            formulas.append(rf"\({boxed(tex, key) if key else tex}\)")
        return f"TEX{len(formulas) - 1}TEX"

    text = re.sub(r"\$\$(.+?)\$\$|\$(.+?)\$", set_aside, filled, flags=re.DOTALL)
    markdown = mistune.create_markdown(escape=False, plugins=["table"])
    body = markdown(text)
    body = re.sub(r'src="([^"]+\.svg)"', lambda m: f'src="{data_uri(m[1])}"', body)
    body = re.sub(r"<td>(\w+)</td>", swatch, body)
    body = re.sub(r"TEX(\d+)TEX", lambda m: html.escape(formulas[int(m[1])]), body)
    return PAGE.format(style=STYLE.read_text("utf-8"), body=body, script=script)


PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<title>The variational autoencoder on two pages</title>
<style>
{style}</style>
<script>MathJax = {{
  svg: {{ fontCache: "local", scale: 0.88 }},
  options: {{ enableMenu: false }},
}};</script>
<script src="{script}" defer></script>
</head><body>
{body}</body></html>
"""


# What stands out of its column by more than a pixel.
WIDER = """[...document.querySelectorAll("mjx-container, td, th, p")]
  .filter(part => part.scrollWidth > part.clientWidth + 1 && part.clientWidth > 0)
  .map(part => part.innerText.replace(/\\s+/g, "").slice(0, 40))"""


def tint(tex: str) -> str:
    """A formula with the course's colours behind its terms; legible in grey as well."""

    def box(match: re.Match) -> str:
        return boxed(match[0], list(TERMS.values())[match.lastindex - 1])

    return re.sub("|".join(f"({term})" for term in TERMS), box, tex)


def boxed(tex: str, key: str) -> str:
    """A term on the tint of its colour."""
    return rf"\bbox[{pale(COLORS[key])},1.5pt]{{{tex}}}"


def pale(color: str, share: float = 0.3) -> str:
    """A colour mixed with white."""
    channels = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(255 - share * (255 - c)):02x}" for c in channels)


def swatch(match: re.Match) -> str:
    """A cell of a table that names a colour gets a patch of it."""
    key = COLOUR_WORDS.get(match[1])
    if key is None:
        return match[0]
    return f'<td><i style="background:{COLORS[key]}"></i>{match[1]}</td>'


def data_uri(picture: str) -> str:
    """A drawing as part of the page."""
    svg = (NOTEBOOKS / "pictures" / picture).read_bytes()
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"


def find_mathjax() -> Path | None:
    """MathJax in one file, from the package that brings it."""
    try:
        files = importlib.metadata.files("sphinx-mathjax-offline") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    found = [file.locate() for file in files if file.name == "tex-svg-full.js"]
    return Path(found[0]) if found else None


def print_pdf(page: Path, out: Path) -> str:
    """Draw the formulas, keep the page as drawn, print it; or say what is missing."""
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        return "Playwright"
    path = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(
                executable_path=path, args=["--no-sandbox", "--disable-gpu"]
            )
        except Error:
            return "Chromium"
        with browser:
            tab = browser.new_page()
            tab.goto(page.resolve().as_uri())
            tab.evaluate("MathJax.startup.promise")
            if broken := tab.locator("mjx-merror").all_inner_texts():
                sys.exit(f"MathJax cannot read a formula: {broken[0]}")
            if wide := tab.evaluate(WIDER):  # Chromium would shrink the whole page
                sys.exit(f"These are wider than their column: {', '.join(wide)}")
            tab.evaluate("document.querySelectorAll('script').forEach(s => s.remove())")
            page.write_text(tab.content(), "utf-8")
            for name, paper in PAPERS.items():
                tab.pdf(path=out / name, format=paper, print_background=True)
    return ""


if __name__ == "__main__":
    main()
