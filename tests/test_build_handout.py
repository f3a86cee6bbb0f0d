"""The handout: every piece is found in the notebooks, and two pages hold it all."""

import re
import sys

from vae_helpers.plots import COLORS

import build_handout
import pytest
from browser import skip_without_browser

FILLED = build_handout.fill(build_handout.TEMPLATE.read_text("utf-8"))


def test_everything_asked_for_is_there():
    text = build_handout.plain_markdown(FILLED)
    assert "{{" not in text
    assert "<div" not in text
    assert r"KL\big(q\,\|\,p(z\mid x)\big)" in text  # 02's identity
    assert text.count("| Symptom |") == 2
    assert "| 255 Σse + kl [3] | 0.044 | 0.0020 |" in text  # 04b's printed table
    assert r"| σ of p(x\|z) |" in text  # a | that is no border
    assert "| $\\beta$ | the weight of the KL in the objective; 1 in the ELBO |" in text


@pytest.mark.parametrize(
    ("wish", "named"),
    [
        ('picture none.svg "alt"', "none.svg"),
        ("02_none 75177411 formula 1", "02_none"),
        ("02_elbo none formula 1", "the id none"),
        ("02_elbo 75177411 formula 2", "formula 2"),
        ("02_elbo 75177411 table 1", "table 1"),
        ("02_elbo 75177411 poem 1", "poem"),
        ("02_elbo 75177411 output", "not printed a table"),
        ('02_elbo 75177411 "Three things"', "Three things"),
        (r'02_elbo 75177411 formula 1 broken at "\none"', "none"),
        ("notation.md table 1: Symbol, Sound", "Sound"),
    ],
)
def test_a_piece_that_is_gone_is_named(wish, named):
    with pytest.raises(LookupError, match=named):
        build_handout.fill(f"{{{{ {wish} }}}}")


def test_a_column_may_hold_a_border_that_is_escaped():
    table = "| a | b | c |\n|---|---|---|\n| p(x\\|z) | 1 | 2 |"
    assert build_handout.keep_columns(table, ["c", "a"], "here").splitlines() == [
        "| c | a |",
        "|---|---|",
        "| 2 | p(x\\|z) |",
    ]


def test_the_colours_are_those_of_the_course():
    page = build_handout.to_html(FILLED, script="")
    for word, key in build_handout.COLOUR_WORDS.items():
        assert f'<i style="background:{COLORS[key]}"></i>{word}</td>' in page
    assert set(build_handout.COLOUR_WORDS.values()) == set(COLORS)
    amber, violet = (build_handout.pale(COLORS[key]) for key in ("kl", "elbo"))
    tinted = build_handout.tint(r"\text{ELBO} - KL\big(q\,\|\,p(z)\big)")
    assert tinted == (
        rf"\bbox[{violet},1.5pt]{{\text{{ELBO}}}} - "
        rf"\bbox[{amber},1.5pt]{{KL\big(q\,\|\,p(z)\big)}}"
    )


def test_no_text_is_smaller_than_eight_and_a_half_points():
    sizes = re.findall(r"([\d.]+)pt", build_handout.STYLE.read_text("utf-8"))
    assert min(map(float, sizes)) >= 8.5


def test_without_a_browser_there_is_a_page_and_a_sentence(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(sys, "argv", ["build_handout.py", "--out", str(tmp_path)])
    monkeypatch.setattr(build_handout, "print_pdf", lambda page, out: "Chromium")
    build_handout.main()
    assert "there is no Chromium" in capsys.readouterr().out
    assert r"\[p(z\mid x)" in (tmp_path / "handout.html").read_text("utf-8")
    assert (tmp_path / "handout.md").exists()
    assert not (tmp_path / "handout.pdf").exists()


@skip_without_browser
@pytest.mark.skipif(build_handout.find_mathjax() is None, reason="no MathJax")
def test_two_pages_on_both_papers(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["build_handout.py", "--out", str(tmp_path)])
    build_handout.main()
    assert "No PDF" not in capsys.readouterr().out
    for name in build_handout.PAPERS:
        pages = re.findall(rb"/Type\s*/Page\b", (tmp_path / name).read_bytes())
        assert len(pages) == 2, name
    page = (tmp_path / "handout.html").read_text("utf-8")
    assert "<script" not in page  # the formulas are drawn
    assert "mjx-container" in page
    assert not re.search(r'(src|href)="(?!https://github.com|data:|#)', page)
