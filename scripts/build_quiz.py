"""Make the quiz: a sheet to print, its answers, and a page with answers behind a click.

    python scripts/build_quiz.py                # into build/quiz/
    python scripts/build_quiz.py --out folder

`quiz.html` prints as a sheet, too: a closed choice shows its text only. The questions
are in `teaching/quiz.toml`. Each names the cell that teaches it; the section's title,
the link and the figures are taken from the notebooks, and a cell or figure that is no
longer there is an error that says which.
"""

import argparse
import base64
import html
import json
import re
import sys
import tomllib
from functools import cache
from pathlib import Path

import mistune

ROOT = Path(__file__).parents[1]
NOTEBOOKS = ROOT / "notebooks"
QUIZ = ROOT / "teaching" / "quiz.toml"
LETTERS = "abcd"
INTRODUCTION = (
    "Each question has one right answer. Computations can be done in the head. "
    "Logarithms are natural, all scores in nats per image."
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "quiz")
    out = parser.parse_args().out
    questions = tomllib.loads(QUIZ.read_text("utf-8"))["question"]
    out.mkdir(parents=True, exist_ok=True)
    try:
        for question in filter(lambda one: "picture" in one, questions):
            png, _ = figure(question["picture"])
            (out / f"{question['id']}.png").write_bytes(png)
        (out / "quiz.md").write_text(sheet(questions), "utf-8")
        (out / "answers.md").write_text(answers(questions), "utf-8")
        (out / "quiz.html").write_text(page(questions), "utf-8")
    except LookupError as error:
        sys.exit(f"The quiz cannot be made: {error.args[0]}")
    print(f"quiz.md, answers.md, quiz.html: {len(questions)} questions in {out}")


def right(question: dict) -> int:
    """The place of the right choice, the one without a mistake."""
    (place,) = [i for i, choice in enumerate(question["choices"]) if len(choice) == 1]
    return place


def sheet(questions: list[dict]) -> str:
    """The questions as Markdown, without answers."""
    blocks = [f"# {len(questions)} questions on variational autoencoders", INTRODUCTION]
    for number, question in enumerate(questions, 1):
        blocks.append(f"**{number}.** {question['text']}")
        if "picture" in question:
            _, alt = figure(question["picture"])
            blocks.append(f"![{alt}]({question['id']}.png)")
        choices = zip(LETTERS, question["choices"], strict=True)
        blocks.append("\n".join(f"- ({a}) {choice[0]}" for a, choice in choices))
    return "\n\n".join(blocks) + "\n"


def answers(questions: list[dict]) -> str:
    """The key, and for each question why, and the mistake behind each wrong choice."""
    key = " · ".join(f"{n} {LETTERS[right(q)]}" for n, q in enumerate(questions, 1))
    blocks = ["# Answers", key]
    for number, question in enumerate(questions, 1):
        blocks.append(
            f"**{number} {LETTERS[right(question)]}** · {question['level']} · "
            f"[{section(question['teaches'])}]({link(question['teaches'])})"
        )
        blocks.append(question["why"])
        wrong = [
            f"- ({letter}) {choice[1]}"
            for letter, choice in zip(LETTERS, question["choices"], strict=True)
            if len(choice) == 2
        ]
        blocks.append("\n".join(wrong))
    return "\n\n".join(blocks) + "\n"


def page(questions: list[dict]) -> str:
    """One HTML file: every choice opens to say what is right or wrong with it."""
    body = [f"<h1>{len(questions)} questions on variational autoencoders</h1>"]
    body.append(
        f"<p>{INTRODUCTION} Open a choice to see what there is to say about it.</p>"
    )
    for number, question in enumerate(questions, 1):
        body.append(f"<section><p><b>{number}.</b> {inline(question['text'])}</p>")
        if "picture" in question:
            png, alt = figure(question["picture"])
            data = base64.b64encode(png).decode()
            alt = html.escape(alt)
            body.append(f'<img src="data:image/png;base64,{data}" alt="{alt}">')
        for letter, choice in zip(LETTERS, question["choices"], strict=True):
            said = question["why"] if len(choice) == 1 else choice[1]
            verdict = "✓ Right." if len(choice) == 1 else "✗"
            where = f" ({section(question['teaches'])})" if len(choice) == 1 else ""
            body.append(
                f"<details><summary>({letter}) {inline(choice[0])}</summary>"
                f"<p>{verdict} {inline(said)}{html.escape(where)}</p></details>"
            )
        body.append("</section>")
    return PAGE.format(body="\n".join(body))


PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Quiz on variational autoencoders</title>
<style>
body {{ max-width: 42rem; margin: 1rem auto; padding: 0 1rem; color: #1b1b1b;
  font: 1rem/1.5 "Liberation Sans", Arial, Helvetica, sans-serif; }}
section {{ break-inside: avoid; margin: 1.5rem 0; }}
img {{ max-width: 100%; }}
summary {{ cursor: pointer; padding: 0.15rem 0; }}
details p {{ margin: 0.2rem 0 0.5rem 1.2rem; padding-left: 0.8rem;
  border-left: 3px solid #717581; }}
@media print {{ summary {{ list-style: none; }} }}
</style></head><body>
{body}
</body></html>
"""


def inline(text: str) -> str:
    """`code` and *emphasis* as HTML, the rest escaped."""
    paragraph = mistune.html(text.replace("<", "&lt;")).strip()
    return paragraph.removeprefix("<p>").removesuffix("</p>")


@cache
def cells(notebook: str) -> list:
    """The cells of a notebook."""
    path = NOTEBOOKS / f"{notebook}.ipynb"
    if not path.is_file():
        raise LookupError(f"there is no notebooks/{notebook}.ipynb")
    return json.loads(path.read_text("utf-8"))["cells"]


def find(place: str) -> tuple[list, int]:
    """The cells of a notebook, and where in them is the one that is named."""
    notebook, _, name = place.partition(" ")
    ids = [cell["id"] for cell in cells(notebook)]
    if name not in ids:
        raise LookupError(f"{notebook}.ipynb has no cell with the id {name}")
    return cells(notebook), ids.index(name)


def heading(place: str) -> str:
    """The heading that the first words of a cell stand under."""
    all_cells, index = find(place)
    if own := re.match(r"##+ (.+)", "".join(all_cells[index]["source"])):
        return own[1]
    for cell in reversed(all_cells[:index]):
        if cell["cell_type"] == "markdown":
            found = re.findall(r"^##+ (.+)$", "".join(cell["source"]), re.MULTILINE)
            if found:
                return found[-1]
    raise LookupError(f"no heading stands above {place}")


def section(place: str) -> str:
    """Notebook and heading in words, such as "02, 6 · The ELBO"."""
    return f"{place.split('_')[0]}, {heading(place)}"


def link(place: str) -> str:
    """From build/quiz to the section in the notebook."""
    anchor = heading(place).replace(" ", "-")
    return f"../../notebooks/{place.split(' ')[0]}.ipynb#{anchor}"


def figure(place: str) -> tuple[bytes, str]:
    """The PNG that a cell shows, and its alternative text."""
    all_cells, index = find(place)
    for output in all_cells[index].get("outputs", []):
        if png := output.get("data", {}).get("image/png"):
            alt = output.get("metadata", {}).get("image/png", {}).get("alt", "")
            return base64.b64decode(png), alt
    raise LookupError(f"{place} shows no figure")


if __name__ == "__main__":
    main()
