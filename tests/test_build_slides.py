"""The decks: what a slide shows of a cell; and in a browser, nothing is cut off."""

import re

import build_slides
import nbformat
import pytest
from browser import chromium, skip_without_browser
from bs4 import BeautifulSoup

PNG = "aaaa"  # no test without a browser looks at it
STUBS = {"css": "", "reveal": "", "mathjax": ""}


def words(source, kind="slide", **metadata):
    cell = nbformat.v4.new_markdown_cell(source)
    cell.metadata = nbformat.from_dict({"slideshow": {"slide_type": kind}} | metadata)
    return cell


def code(source, *outputs, kind="subslide", tags=()):
    cell = nbformat.v4.new_code_cell(source, outputs=list(outputs))
    slides = {"slideshow": {"slide_type": kind}, "tags": list(tags)}
    cell.metadata = nbformat.from_dict(slides)
    return cell


def text(value):
    return nbformat.v4.new_output("stream", name="stdout", text=value)


def figure(alt, output_type="display_data"):
    output = nbformat.v4.new_output(output_type, {"image/png": PNG})
    output.metadata = nbformat.from_dict({"image/png": {"alt": alt}})
    return output


def make_page(*cells):
    notebook = nbformat.v4.new_notebook(cells=[words("# 99 · Title"), *cells])
    return build_slides.make_deck(notebook, "99_test", STUBS)


def test_skipped_cells_are_on_no_slide_and_their_headings_name_the_next():
    page = make_page(words("## 1 · Skipped", "skip"), words("seen", "subslide"))
    assert "<h2>1 · Skipped" not in page
    assert 'data-cell="99 · cell 3" data-section="1 · Skipped"' in page
    assert build_slides.count_slides(page) == 2


def test_code_is_shown_unless_there_is_a_figure_a_tag_or_too_much_of_it():
    long = "\n".join(["late = 1"] * (build_slides.MAX_LINES + 1))
    page = make_page(
        code("shown = 1\n\n\nshown_too = 2", text("out-1")),
        code("behind = 1", figure("A dot & nothing else.")),
        code("collapsed = 1", text("✓ It holds."), tags=["hide-input"]),
        code("tabulated = 1", text("out-2"), tags=["slide-output"]),
        code(long, text("out-3")),
    )
    for name in ("shown", "shown_too"):
        assert f">{name}<" in page
    for name in ("behind", "collapsed", "tabulated", "late"):
        assert f">{name}<" not in page
    for value in ("out-1", "out-2", "out-3"):
        assert f'<pre class="output">{value}</pre>' in page
    assert '<p class="claim">✓ It holds.</p>' in page


def test_figures_keep_their_alternative_text_and_sliders_name_their_section():
    live = code("demo", figure("A slider.", "execute_result"))
    page = make_page(words("## 2 · Move"), code("plot", figure('"A" & B.')), live)
    assert BeautifulSoup(page, "html.parser").img["alt"] == '"A" & B.'
    assert page.count("<img") == 2
    assert page.count("Live in the notebook: 2 · Move") == 1


def test_a_fold_is_an_answer_or_for_readers_only():
    fold = "<details><summary>{}</summary>\n\nThe *reason*: {}.\n\n</details>"
    answer, aside = fold.format("Answer", "it is so"), fold.format("Why", "a proof")
    page = make_page(words(f"*Predict:* what?\n\n{answer}\n\n{aside}"))
    assert re.search(r'<div class="fragment">\s*<p>The <em>reason</em>: it is', page)
    assert "a proof" not in page
    assert '<em class="predict">Predict</em> what?' in page
    assert "fragment-" not in page


def test_links_lead_to_decks_and_nowhere_else_in_the_course():
    page = make_page(words("[00](00_start_here.ipynb#x) and [notation](notation.md)"))
    assert '<a href="00_start_here.html">00</a> and notation' in page


def test_exercises_are_named_on_the_last_slide():
    exercise = words("### Exercise 1 · Write it\n\nHow.", "skip", tags=["exercise"])
    page = make_page(exercise, words("## Recap"))
    assert page.index("Recap") < page.index("<li>Exercise 1 · Write it</li>")
    assert "How." not in page


def test_a_page_asks_for_nothing_from_outside():
    path = build_slides.NOTEBOOKS / "02_elbo.ipynb"
    notebook = nbformat.read(path, as_version=4)
    page = build_slides.make_deck(notebook, path.stem, STUBS)
    tags = BeautifulSoup(page, "html.parser").find_all(["img", "script", "link"])
    sources = [tag["src"] for tag in tags if tag.has_attr("src")]
    assert len(sources) >= 10
    assert not any(tag.has_attr("href") for tag in tags)
    assert all(source.startswith("data:image/") for source in sources)
    assert build_slides.make_index().count("<li>") == len(build_slides.find_lessons())


MEASURE = """() => [...document.querySelectorAll('.slide')].map(slide => {
    const size = element => parseFloat(getComputedStyle(element).fontSize);
    const all = name => [...slide.querySelectorAll(name)];
    const images = all('img');
    return {
        cell: slide.parentElement.dataset.cell,
        box: [slide.clientWidth, slide.clientHeight],
        over: Math.max(slide.scrollHeight - slide.clientHeight,
                       slide.scrollWidth - slide.clientWidth),
        words: Math.min(99, ...all('p, li, td, th').map(size)),
        code: Math.min(99, ...all('pre').map(size)),
        shrunk: Math.min(9, ...images.map(i => i.clientHeight / i.naturalHeight)),
        alts: images.map(i => i.alt.length),
        math: document.querySelectorAll('mjx-merror').length,
    };
})"""
SHOW_ALL = ".reveal .slides section { display: flex !important }"


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    """All slides, measured at 1280 × 720, and what went wrong without a network."""
    pytest.importorskip("sphinx_revealjs", reason="pip install -e '.[teaching]'")
    folder = tmp_path_factory.mktemp("slides")
    tools, measured, troubles = build_slides.read_tools(), {}, []
    is_local = re.compile("(file|data|blob|about):")
    with chromium() as browser:
        context = browser.new_context(viewport={"width": 1280, "height": 720})
        context.set_offline(True)
        context.on("requestfailed", lambda request: troubles.append(request.url[:80]))
        context.on("weberror", lambda error: troubles.append(str(error.error)))
        context.on("request", lambda r: is_local.match(r.url) or troubles.append(r.url))
        pages = []
        for path in build_slides.find_lessons():
            notebook = nbformat.read(path, as_version=4)
            deck = folder / f"{path.stem}.html"
            deck.write_text(build_slides.make_deck(notebook, path.stem, tools), "utf-8")
            pages.append(context.new_page())  # loads while the next deck is made
            pages[-1].goto(deck.as_uri(), wait_until="commit")
        for page in pages:
            page.wait_for_function("window.deckIsReady")
            page.add_style_tag(content=SHOW_ALL)
            for slide in page.evaluate(MEASURE):
                measured[slide["cell"], len(measured)] = slide
    return measured, troubles


@skip_without_browser
def test_nothing_is_cut_off_and_all_can_be_read(slides):
    measured, _ = slides
    assert len(measured) >= 13 * 15
    faults = {
        "another size": lambda slide: slide["box"] != [1152, 632],
        "more than a slide": lambda slide: slide["over"] > 0,
        "small words": lambda slide: slide["words"] < 22,
        "small code": lambda slide: slide["code"] < 18,
        "small figures": lambda slide: slide["shrunk"] < 0.59,
        "figures without words": lambda slide: min([99, *slide["alts"]]) < 20,
        "formulas that fail": lambda slide: slide["math"] > 0,
    }
    for name, is_faulty in faults.items():
        places = [cell for (cell, _), slide in measured.items() if is_faulty(slide)]
        assert places == [], name


@skip_without_browser
def test_the_decks_work_without_a_network(slides):
    assert slides[1] == []
