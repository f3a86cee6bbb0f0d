"""The committed notebooks are clean: what a reader, nbval and git expect of them."""

import base64
import io
import re
import statistics

from vae_helpers import plots
from vae_helpers.stills import LINE, WIDGET

import nbformat
import pytest
from nbconvert import HTMLExporter
from PIL import Image
from save_notebooks import METADATA, NOTEBOOKS, add_spoken, find_faults, normalise

KNOWN_TAGS = {"nbval-check-output", "hide-input", "slide-output", "exercise"}
SLIDE_TYPES = {"slide", "subslide", "fragment", "-", "skip"}
TAGS = ["nbval-check-output", "hide-input"]  # of a checkpoint that is collapsed
PATHS = sorted(NOTEBOOKS.rglob("*.ipynb"))
PATHS = [path for path in PATHS if ".ipynb_checkpoints" not in path.parts]


@pytest.fixture(
    params=PATHS, ids=lambda p: p.relative_to(NOTEBOOKS).with_suffix("").as_posix()
)
def notebook(request):
    return nbformat.read(request.param, as_version=4)


@pytest.fixture
def path(request, notebook):
    return request.node.callspec.params["notebook"]


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook):
    return [output for cell in code_cells(notebook) for output in cell.outputs]


def tags(cell):
    return cell.metadata.get("tags", [])


def n_lines(cell):
    return len(cell.source.splitlines())


def is_checkpoint(cell):
    return cell.cell_type == "code" and "checkpoint(" in cell.source


def slide_type(cell):
    return cell.metadata.get("slideshow", {}).get("slide_type")


def words(notebook):
    cells = [cell for cell in notebook.cells if cell.cell_type == "markdown"]
    return "\n".join(cell.source for cell in cells)


def test_there_are_notebooks():
    assert len(PATHS) >= 2


def test_it_is_valid_and_its_ids_are_fixed(notebook):
    nbformat.validate(notebook)
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)


def test_metadata_holds_the_python3_kernel_and_nothing_of_the_run(notebook):
    assert notebook.metadata == METADATA
    for cell in notebook.cells:
        hidden = (
            {"jupyter": {"source_hidden": True}} if "hide-input" in tags(cell) else {}
        )
        kept = {"tags": tags(cell)} if tags(cell) else {}
        if slide_type(cell):
            kept["slideshow"] = {"slide_type": slide_type(cell)}
        assert cell.metadata == kept | hidden


def test_tags_are_known_so_that_nbval_heeds_them(notebook):
    for cell in notebook.cells:
        assert set(tags(cell)) <= KNOWN_TAGS


def test_each_cell_of_a_lesson_says_whether_it_is_a_slide(path, notebook):
    types = [slide_type(cell) for cell in notebook.cells]
    if path.parent.name == "solutions":
        assert set(types) == {None}
        return
    missing = [cell.id for cell in notebook.cells if not slide_type(cell)]
    assert missing == [], "give these a slide type, or save with save_notebooks.py"
    assert set(types) <= SLIDE_TYPES
    assert types[0] == "slide"
    assert 15 <= sum(kind in ("slide", "subslide") for kind in types) <= 36
    for cell in notebook.cells:
        assert "exercise" not in tags(cell) or slide_type(cell) == "skip"
        assert "slide-output" not in tags(cell) or slide_type(cell) != "skip"


def test_on_slides_a_prediction_comes_before_its_answer(notebook):
    predicted = False
    for cell in notebook.cells:
        if slide_type(cell) in ("slide", "subslide", "fragment"):
            predicted = False  # what follows comes with the next key
        if slide_type(cell) != "skip":
            assert not (predicted and cell.get("outputs")), cell.source
            predicted |= cell.cell_type == "markdown" and "*Predict" in cell.source


def test_it_was_saved_as_one_run_from_1_to_n(notebook):
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1))


def test_every_checkpoint_is_compared_and_holds(path, notebook):
    cells = [cell for cell in code_cells(notebook) if is_checkpoint(cell)]
    if path.parent.name == "solutions":  # there the checks of the exercises count
        cells = [cell for cell in code_cells(notebook) if cell.id.startswith("check_")]
    assert cells if path.parent.name == "solutions" else len(cells) >= 3
    for cell in cells:
        assert "nbval-check-output" in tags(cell)
    for cell in code_cells(notebook):
        if "nbval-check-output" in tags(cell):
            (output,) = cell.outputs
            assert all(line.startswith("✓ ") for line in output.text.splitlines())


def test_all_checkpoints_are_collapsed_or_none(notebook):
    if any("hide-input" in tags(cell) for cell in notebook.cells):
        for cell in code_cells(notebook):
            assert "hide-input" in tags(cell) or not is_checkpoint(cell), cell.source


def test_nothing_in_it_is_an_error_or_a_warning(notebook):
    assert find_faults(notebook) == []
    assert all(output.output_type != "error" for output in outputs(notebook))


def test_no_text_is_left_as_the_value_of_a_cell(notebook):
    for output in outputs(notebook):
        if output.output_type == "execute_result":
            assert "image/png" in output.data, output.data


def test_it_names_no_machine_path(path):
    found = re.findall(
        r"(?:/(?:home|root|work|tmp|Users|mnt|opt)/|[A-Z]:\\\\)[\w.-]+",
        path.read_text("utf-8"),
    )
    assert found == []


def test_every_picture_has_alternative_text_and_fits_a_screen(notebook):
    for output in outputs(notebook):
        if "image/png" in output.get("data", {}):
            alt = output.metadata.get("image/png", {}).get("alt", "")
            assert len(alt) >= 20, alt
            png = base64.b64decode(output.data["image/png"])
            width, height = Image.open(io.BytesIO(png)).size
            assert width <= 1050, alt
            assert height <= 650, alt


def test_what_a_cell_shows_fits_the_screen_of_a_laptop(notebook):
    """JupyterLab at 1280 × 800 has 848 × 678 pixels for it; a line of text takes 17."""
    for cell in code_cells(notebook):
        height = 0.0
        for output in cell.outputs:
            data = output.get("data", {})
            if "image/png" in data:
                png = base64.b64decode(data["image/png"])
                width, tall = Image.open(io.BytesIO(png)).size
                height += tall * min(1, 848 / width)
            else:
                text = output.get("text") or data.get("text/plain", "")
                height += 17 * len(text.splitlines())
        assert height <= 660, cell.id


def test_it_is_small_and_was_run_on_mnist(path, notebook):
    assert path.stat().st_size < 1_500_000
    texts = [output.text for output in outputs(notebook) if "text" in output]
    assert not any("digits: 1,500" in text or "1,797" in text for text in texts)


def test_cells_are_short_and_words_come_first(notebook):
    code = sorted(n_lines(cell) for cell in code_cells(notebook))
    assert statistics.median(code) <= 8
    assert code[int(0.9 * (len(code) - 1))] <= 15
    assert code[-1] <= 25
    n_words = sum(cell.cell_type == "markdown" for cell in notebook.cells)
    assert n_words >= 0.4 * len(notebook.cells)
    assert notebook.cells[0].source.startswith("# ")


def test_code_fits_a_projector(notebook):
    for cell in code_cells(notebook):
        assert max(map(len, cell.source.splitlines())) <= 88, cell.source


def test_links_to_other_notebooks_lead_somewhere(path, notebook):
    for target in re.findall(r"\]\(([^)#]+\.ipynb)(?:#[^)]*)?\)", words(notebook)):
        assert (path.parent / target).is_file(), target


def find_pictures(text):
    """(alternative text, address) of each picture, written as Markdown or HTML."""
    found = re.findall(r"!\[([^\]]*)\]\(([^)\s]+)[^)]*\)", text)
    for tag in re.findall(r"<img\b[^>]*>", text):
        alt, src = (re.search(rf'\b{name}="([^"]*)"', tag) for name in ("alt", "src"))
        found.append((alt[1] if alt else "", src[1] if src else ""))
    return found


def test_pictures_among_the_words_are_there_and_described(path, notebook):
    for alt, target in find_pictures(words(notebook)):
        assert len(alt) >= 20, target
        assert (path.parent / target).is_file(), target


def test_pictures_are_found_in_markdown_and_html():
    text = """![A graph](a.svg) ![](b.svg "title")
    <img src="c.svg" alt="A map" width="3"> <img src="d.svg">"""
    expected = [("A graph", "a.svg"), ("", "b.svg"), ("A map", "c.svg"), ("", "d.svg")]
    assert find_pictures(text) == expected


ANSWER = re.compile(r"<details><summary>Answer</summary>\n\n\S.*?\n\n</details>", re.S)


def find_open_predictions(text):
    """The predictions in a cell's words that no folded answer follows.

    Without a blank line after the summary, Markdown and formulas are not rendered.
    """
    questions = re.split(r"(?=\*Predict\b)", text)[1:]
    return [question for question in questions if not ANSWER.search(question)]


def test_every_prediction_has_a_folded_answer(notebook):
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            assert find_open_predictions(cell.source) == []


def test_an_open_prediction_is_found():
    folded = (
        "*Predict:* why?\n\n<details><summary>Answer</summary>\n\n$x$\n\n</details>"
    )
    assert find_open_predictions(folded) == find_open_predictions("No question.") == []
    assert find_open_predictions(f"{folded}\n\n*Predict:* how?") == ["*Predict:* how?"]
    for wrong in (
        folded.removesuffix("</details>"),
        folded.replace("</summary>\n", "</summary>"),
        folded.replace("$x$\n\n", ""),
        folded.replace("Answer", "Aside"),
    ):
        assert find_open_predictions(wrong) == [wrong]


def make_notebook():
    """A notebook with everything that must not be committed."""
    still, line = {"image/png": "aaaa", "text/plain": "demo"}, {"text/html": LINE}
    shown = [still, line, {WIDGET: {"model_id": "0"}}]  # by `display_with_still`
    cell = nbformat.v4.new_code_cell("demo", execution_count=7)
    cell.metadata = {"tags": TAGS, "execution": {"shell": "now"}}
    cell.outputs = [
        nbformat.v4.new_output("stream", name="stdout", text="✗ no"),
        nbformat.v4.new_output("stream", name="stdout", text="t\n"),
        nbformat.v4.new_output("stream", name="stderr", text="careful\n"),
        *[nbformat.v4.new_output("display_data", data) for data in shown],
        nbformat.v4.new_output("execute_result", still, execution_count=7),
    ]
    notebook = nbformat.v4.new_notebook(cells=[cell])
    notebook.metadata = {"widgets": {"state": {}}, "kernelspec": {"name": "conda-me"}}
    return notebook


def test_normalise_keeps_what_a_reader_sees():
    notebook = make_notebook()
    normalise(notebook)
    (cell,) = notebook.cells
    assert notebook.metadata == METADATA
    assert cell.metadata == {"tags": TAGS, "jupyter": {"source_hidden": True}}
    assert cell.execution_count == cell.outputs[-1].execution_count == 1
    assert cell.outputs[0].text == "✗ not\n"
    assert [set(output.get("data", {})) for output in cell.outputs] == [
        set(),
        set(),
        {"image/png", "text/plain"},
        {"image/png", "text/plain"},
    ]


def test_normalise_shows_a_cell_that_is_not_to_be_hidden():
    notebook = make_notebook()
    notebook.cells[0].metadata = {"tags": TAGS[:1], "jupyter": {"source_hidden": True}}
    normalise(notebook)
    assert notebook.cells[0].metadata == {"tags": TAGS[:1]}


def test_normalise_keeps_the_slides_and_puts_a_new_cell_on_none():
    notebook = make_notebook()
    first = nbformat.v4.new_markdown_cell("# Title")
    first.metadata = {"slideshow": {"slide_type": "slide", "data": {}}}
    notebook.cells.insert(0, first)
    normalise(notebook)
    assert [slide_type(cell) for cell in notebook.cells] == ["slide", "skip"]
    assert first.metadata == {"slideshow": {"slide_type": "slide"}}


def make_picture(alt):
    with io.BytesIO() as buffer:
        Image.new("RGB", (4, 3)).save(buffer, "png")
        data, metadata = plots.picture(buffer.getvalue(), alt)
    return nbformat.v4.new_output("display_data", data, metadata=metadata)


def test_a_saved_picture_is_followed_by_its_text_for_screen_readers_once():
    first, second = (make_picture(f"a picture, number {n} < 3") for n in (1, 2))
    outputs = add_spoken(add_spoken([first, second]))
    assert [outputs[0], outputs[2]] == [first, second]
    for picture, text in (outputs[:2], outputs[2:]):
        alt = picture.metadata["image/png"]["alt"]
        assert text == nbformat.v4.new_output(
            "display_data", {"text/html": plots.spoken(alt)}
        )
    assert len(outputs) == 4


def test_nbconvert_shows_that_text_to_nobody_who_sees():
    alt = "a picture that is described"
    cell = nbformat.v4.new_code_cell("plot", outputs=add_spoken([make_picture(alt)]))
    page, _ = HTMLExporter().from_notebook_node(
        nbformat.v4.new_notebook(cells=[cell], metadata=METADATA)
    )
    body = page[page.index("<main>") :]
    assert f'title="{alt}"' in body
    assert alt not in re.sub(r"<[^>]*>", "", body)


def test_find_faults_refuses_stderr_failed_checkpoints_and_lone_widgets():
    notebook = make_notebook()
    normalise(notebook)
    assert len(find_faults(notebook)) == 2
    notebook.cells[0].outputs[-1].data[WIDGET] = {"model_id": "0"}
    assert len(find_faults(notebook)) == 3


def test_the_readme_names_every_notebook():
    readme = (NOTEBOOKS.parent / "README.md").read_text("utf-8")
    for path in PATHS:
        named = path.parent if path.parent.name == "solutions" else path
        assert named.relative_to(NOTEBOOKS.parent).as_posix() in readme
