"""JupyterLab in a real browser: a slider is dragged, and the picture follows.

Needs Chromium and `pip install -e '.[browser]'`; skipped without them, never in CI.
"""

import base64
import itertools
import re

from vae_helpers import plots

import matplotlib.pyplot as plt
import nbformat
import pytest
from browser import (
    chromium,
    expect,
    jupyterlab,
    run_cell,
    save_and_open_again,
    skip_without_browser,
    wait_until,
    write_notebook,
)
from save_notebooks import METADATA, add_spoken

pytestmark = skip_without_browser

LONG = "the_standard_deviation_of_the_first_latent_dimension"
DEMO = (
    f"LONG = '{LONG}'"
    + """
import matplotlib.pyplot as plt
import numpy as np
from vae_helpers import plots
from vae_helpers.widgets import slider_demo

fig, ax = plt.subplots(figsize=(9, 3))
image = plots.show_image(ax, np.zeros((28, 28)))

def update(grey, mu_1, **_):
    image.set_data(np.full((28, 28), grey))
    if grey > 0.99:
        raise ValueError("as black as it gets")
    return [image]

ranges = {"grey": (0.0, 1.0, 0.2), "mu_1": (-3.0, 3.0, -1.25), LONG: (0, 9, 4)}
slider_demo(fig, update, alt="A square that turns black.", **ranges)
"""
)


@pytest.fixture(scope="module")
def lab_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("lab")


@pytest.fixture(scope="module")
def lab(lab_folder):
    """The address of a JupyterLab that has the demo in a notebook."""
    write_notebook(lab_folder / "demo.ipynb", DEMO)
    with jupyterlab(lab_folder) as address:
        yield address


@pytest.fixture(scope="module")
def page(lab):
    """The demo's notebook, run, in a window as large as a projector's."""
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(f"{lab}/tree/demo.ipynb?reset")
        run_cell(page, page.locator(".widget-image"))
        wait_until(lambda: shade(page) is not None)
        yield page


def shade(page):
    """The picture's middle pixel as the browser shows it, 0 black to 255 white."""
    return page.evaluate(
        """() => {
            const image = document.querySelector('.widget-image');
            if (!image.complete || !image.naturalWidth) return null;  // not yet there
            const canvas = document.createElement('canvas');
            [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
            const context = canvas.getContext('2d');
            context.drawImage(image, 0, 0);
            return context.getImageData(
                canvas.width / 2, canvas.height / 2, 1, 1).data[0];
        }"""
    )


def is_near(page, white, tolerance):
    return abs((shade(page) or 0) - 255 * white) < tolerance


def test_a_dragged_slider_changes_the_picture(page):
    assert shade(page) == pytest.approx(0.8 * 255, abs=3)
    handle = page.locator(".noUi-handle").first.bounding_box()
    track = page.locator(".noUi-base").first.bounding_box()
    y = handle["y"] + handle["height"] / 2
    page.mouse.move(handle["x"] + handle["width"] / 2, y)
    page.mouse.down()
    for share in (0.3, 0.4, 0.5, 0.6):  # while the button is down
        page.mouse.move(track["x"] + share * track["width"], y)
        wait_until(lambda share=share: is_near(page, 1 - share, 8))
    page.mouse.up()


def test_arrow_keys_move_it_and_errors_are_shown_beneath(page):
    page.locator(".noUi-handle").first.focus()
    page.keyboard.press("End")
    error = page.get_by_text("ValueError: as black as it gets")
    expect(error).to_be_visible()
    page.keyboard.press("Home")
    wait_until(lambda: shade(page) == 255)
    expect(error).not_to_be_visible()


def test_a_burst_of_moves_ends_at_the_last_value(page):
    page.locator(".noUi-handle").first.focus()
    page.keyboard.press("Home")
    for _ in range(40):
        page.keyboard.press("ArrowRight")
    value = float(page.locator(".noUi-handle").first.get_attribute("aria-valuenow"))
    assert value == pytest.approx(0.4)
    wait_until(lambda: is_near(page, 1 - value, 3))


def test_the_picture_is_one_and_has_a_text_for_screen_readers(page):
    expect(page.locator(".jp-OutputArea-output img:visible")).to_have_count(1)
    expect(page.locator(".widget-image")).to_be_visible()
    expect(page.locator(".vae-still")).not_to_be_visible()
    expect(page.locator(".spoken")).to_have_text("A square that turns black.")


def test_a_handle_tells_screen_readers_what_it_moves_and_where_it_stands(page):
    handles = [page.get_by_role("slider", name=name) for name in ("grey", "mu_1", LONG)]
    for handle, value in zip(handles, ("grey 0.4", "μ₁ −1.25", "4"), strict=True):
        expect(handle).to_have_count(1)
        expect(handle).to_have_class(re.compile("noUi-handle"))
        expect(handle).to_have_attribute("aria-valuetext", re.compile(f"{value}$"))
    handles[1].focus()
    page.keyboard.press("ArrowRight")
    expect(handles[1]).to_have_attribute("aria-valuetext", "μ₁ −1.24")


def widths_of(page, selector):
    """How wide each is, and how wide what is in it: more brings a scroll bar."""
    return page.locator(selector).evaluate_all(
        "(all) => all.map((element) => [element.clientWidth, element.scrollWidth])"
    )


def test_the_picture_keeps_its_proportions_in_a_narrow_cell(page):
    picture = page.locator(".widget-image")
    size = picture.evaluate("(image) => [image.naturalWidth, image.naturalHeight]")
    for width in (1920, 1280, 800):
        page.set_viewport_size({"width": width, "height": 800})
        page.wait_for_timeout(500)
        box = picture.bounding_box()
        cell = page.locator(".jp-OutputArea-output:visible").last.bounding_box()
        assert box["width"] == pytest.approx(min(size[0], cell["width"]), abs=1)
        assert box["width"] / box["height"] == pytest.approx(size[0] / size[1], 0.01)
        for outer, inner in widths_of(page, ".widget-vbox, .jp-OutputArea-output"):
            assert inner <= outer
        for row in page.locator(".widget-hslider").all():
            parts = [part.bounding_box() for part in row.locator("> *").all()]
            for left, right in itertools.pairwise(parts):
                assert left["x"] + left["width"] <= right["x"]
            assert parts[1]["width"] >= 80
    assert box["width"] < size[0]  # it had to shrink
    page.set_viewport_size({"width": 1280, "height": 800})


def test_saved_and_opened_again_it_shows_a_still_picture_and_no_error(page):
    save_and_open_again(page)
    still = page.locator(".jp-RenderedImage img")
    expect(still).to_be_visible()
    page.wait_for_timeout(3000)  # for the widget's own words
    expect(page.locator(".jp-OutputArea-output:visible")).to_have_count(2)
    expect(page.locator(".vae-still")).to_contain_text("run this cell")
    run_cell(page, page.locator(".widget-image"))
    expect(still).not_to_be_visible()
    expect(page.locator(".jp-OutputArea-output img:visible")).to_have_count(1)


def test_a_saved_picture_is_described_before_anything_is_run(lab, page, lab_folder):
    """As someone reads it who has just cloned the course: not trusted, not run."""
    png = base64.b64encode(plots.to_png(plt.figure(figsize=(2, 1)))).decode()
    alt = "A line that rises < 3 & falls."
    picture = nbformat.v4.new_output(
        "display_data", {"image/png": png}, metadata={"image/png": {"alt": alt}}
    )
    cell = nbformat.v4.new_code_cell("1", execution_count=1)
    cell.outputs = add_spoken([picture])
    notebook = nbformat.v4.new_notebook(cells=[cell], metadata=METADATA)
    nbformat.write(notebook, lab_folder / "saved.ipynb")
    saved = page.context.browser.new_page()
    saved.goto(f"{lab}/tree/saved.ipynb?reset")
    expect(saved.get_by_title(alt, exact=True)).to_have_count(1)
    tree = saved.context.new_cdp_session(saved).send("Accessibility.getFullAXTree")
    heard = [n for n in tree["nodes"] if n.get("name", {}).get("value") == alt]
    assert [node["ignored"] for node in heard] == [False]
    assert alt not in saved.locator(".jp-OutputArea").inner_text()
    row = saved.get_by_title(alt, exact=True).locator("xpath=../..").bounding_box()
    assert row["height"] < 12  # the eye sees no gap
    saved.close()
