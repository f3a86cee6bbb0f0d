"""Slider demos: drive `.value` and look at what is drawn.

The referee for the picture is the same figure, built anew and drawn in full.
"""

import base64
import html
import io
import time
import warnings

from vae_helpers.stills import WIDGET
from vae_helpers.widgets import _encode_png, slider_demo

import ipywidgets
import matplotlib.pyplot as plt
import nbclient
import nbformat.v4
import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image
from save_notebooks import keep_stills

SIZE = (220, 160)  # of the figures, in pixels


def decode(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def grey_demo(start=0.0, also=lambda level: None):
    """A slider that turns a white rectangle black, and what else `also` does."""
    fig, ax = plt.subplots(figsize=(2.2, 1.6), dpi=100)
    ax.set_axis_off()
    image = ax.imshow(np.zeros((3, 4)), vmin=0, vmax=1, cmap="gray_r")

    def update(level):
        image.set_data(np.full((3, 4), level))
        also(level)
        return [image]

    return slider_demo(fig, update, alt="a grey rectangle", level=(0.0, 1.0, start))


def shade(demo):
    """How bright the middle of the picture is, from 0 to 255."""
    pixels = decode(demo.png)
    return pixels[pixels.shape[0] // 2, pixels.shape[1] // 2].mean()


def plot_scene():
    """A figure with parts that stay and, over them, parts that move."""
    plt.rcParams["figure.constrained_layout.use"] = True
    fig, (left, right) = plt.subplots(1, 2, figsize=(4, 2), dpi=100)
    left.set(xlim=(-2, 2), ylim=(-2, 2), xlabel="$z_1$", ylabel="$z_2$", title="codes")
    left.scatter([-1, 0, 1], [1, -1, 0], color="C1")
    (dot,) = left.plot([0], [0], "kX")
    right.set_axis_off()
    image = right.imshow(np.zeros((4, 4)), vmin=0, vmax=1)
    label = right.text(1.5, 1.5, "", color="red", ha="center")

    def update(x, shade):
        dot.set_data([x], [0.5])
        image.set_data(np.linspace(0, shade, 16).reshape(4, 4))
        label.set_text(f"{shade}")
        return [label, dot, image]  # the text first: it must still come out on top

    return fig, update


@pytest.fixture(autouse=True)
def own_style():
    with plt.rc_context():
        yield
    plt.close("all")


# ── the picture ─────────────────────────────────────────────────────────────────────


def test_the_picture_follows_the_slider():
    demo = grey_demo()
    for level, expected in [(0.0, 255), (1.0, 0), (0.5, 127.5), (0.0, 255)]:
        demo.sliders["level"].value = level
        assert shade(demo) == pytest.approx(expected, abs=2)


def test_the_picture_is_the_figure_drawn_in_full():
    demo = slider_demo(*plot_scene(), alt="a", x=(-1.5, 1.5, 0.0), shade=(0, 9, 3))
    demo.sliders["shade"].value = 8
    demo.sliders["x"].value = -1.2
    fig, update = plot_scene()
    update(x=-1.2, shade=8)
    with io.BytesIO() as buffer:
        fig.savefig(buffer, format="png", dpi=100)
        in_full = decode(buffer.getvalue())
    np.testing.assert_array_equal(decode(demo.png), in_full)


def test_a_demo_looks_the_same_whether_it_starts_at_a_value_or_moves_there():
    moved = grey_demo(0.0)
    moved.sliders["level"].value = 0.4
    assert moved.png == grey_demo(0.4).png


def test_after_a_burst_of_moves_the_picture_is_that_of_the_last_value():
    demo = grey_demo()
    for level in np.random.default_rng(0).random(50):
        demo.sliders["level"].value = level
    assert demo.png == grey_demo(level).png


def test_what_does_not_move_is_drawn_only_once():
    class CountedText(Text):
        draws = 0

        def draw(self, renderer):
            CountedText.draws += 1
            super().draw(renderer)

    fig, update = plot_scene()
    fig.add_artist(CountedText(0.5, 0.5, "fixed"))
    demo = slider_demo(fig, update, alt="a", x=(-1.0, 1.0, 0.0), shade=(0, 9, 3))
    before = CountedText.draws
    demo.sliders["x"].value = 0.7
    assert CountedText.draws == before > 0


def test_the_size_is_known_so_that_nothing_below_jumps():
    demo = grey_demo()
    (view,) = (part for part in demo.children if isinstance(part, ipywidgets.Image))
    for level in (0.2, 0.9):
        demo.sliders["level"].value = level
        assert Image.open(io.BytesIO(demo.png)).size == SIZE
        assert (int(view.width), int(view.height)) == SIZE
        assert view.layout.height is view.layout.min_height is None  # it may shrink


def test_the_picture_is_encoded_in_less_time_than_pillow_needs():
    def seconds(encode):
        started = time.process_time()
        encode()
        return time.process_time() - started

    demo = slider_demo(*plot_scene(), alt="a", x=(-1.0, 1.0, 0.0), shade=(0, 9, 3))
    pixels = np.tile(np.asarray(demo._canvas.buffer_rgba()), (2, 2, 1))  # 800 × 400

    def by_pillow():
        Image.fromarray(pixels).save(io.BytesIO(), format="png", compress_level=1)

    pairs = [
        (seconds(lambda: _encode_png(pixels)), seconds(by_pillow)) for _ in "12345"
    ]
    ours, pillows = np.min(pairs, axis=0)
    assert ours < 0.7 * pillows


def test_signs_that_the_font_lacks_give_no_warning():
    fig, ax = plt.subplots(figsize=(2.2, 1.6))
    ax.set_title("😀 地图")
    label = ax.text(0, 0, "")

    def update(level):
        label.set_text(f"{level} 😀")
        return [label]

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        demo = slider_demo(fig, update, alt="a", level=(0.0, 1.0, 0.5))
        demo.sliders["level"].value = 0.7
    assert demo.error == ""


# ── the sliders ─────────────────────────────────────────────────────────────────────


def test_three_integers_make_a_slider_that_moves_in_whole_numbers():
    received = []
    fig, ax = plt.subplots()
    (line,) = ax.plot([])

    def update(n, z):
        received.append((n, z))
        return [line]

    demo = slider_demo(fig, update, alt="a", n=(1, 9, 4), z=(-3, 3, 0.5))
    n, z = demo.sliders["n"], demo.sliders["z"]
    assert (type(n), type(z)) == (ipywidgets.IntSlider, ipywidgets.FloatSlider)
    assert (n.min, n.max, n.value, z.min, z.max, z.value) == (1, 9, 4, -3, 3, 0.5)
    n.value = 5
    z.value = -2.25
    assert received[0] == (4, 0.5)
    assert received[-2:] == [(5, 0.5), (5, -2.25)]


def test_each_slider_names_the_argument_it_moves_and_all_are_shown():
    demo = slider_demo(*plot_scene(), alt="a", x=(-1.0, 1.0, 0.0), shade=(0, 9, 3))
    assert list(demo.sliders) == ["x", "shade"]
    assert [slider.description for slider in demo.sliders.values()] == ["x", "shade"]
    assert set(demo.sliders.values()) <= set(demo.children)


# ── errors ──────────────────────────────────────────────────────────────────────────


def refuse_high_levels(level):
    if level > 0.9:
        raise ValueError("<b>too high</b> & wrong")


def test_an_error_is_shown_in_the_widget_and_the_next_good_move_clears_it(capfd):
    demo = grey_demo(also=refuse_high_levels)
    message = demo.children[-1]
    assert demo.error == ""
    demo.sliders["level"].value = 0.95
    assert html.escape("ValueError: <b>too high</b> & wrong") in demo.error
    assert message.value == demo.error
    demo.sliders["level"].value = 0.5
    assert demo.error == message.value == ""
    assert shade(demo) == pytest.approx(127.5, abs=2)
    assert capfd.readouterr() == ("", "")


def test_update_must_return_its_artists():
    fig, ax = plt.subplots()
    with pytest.raises(TypeError, match="update must return the artists"):
        slider_demo(fig, lambda level: None, alt="a", level=(0.0, 1.0, 0.5))
    with pytest.raises(TypeError, match="as a list"):
        slider_demo(fig, lambda level: ax.title, alt="a", level=(0.0, 1.0, 0.5))


def test_forgetting_the_artists_later_is_shown_in_the_widget():
    fig, ax = plt.subplots()

    def update(level):
        return [ax.title] if level < 0.9 else None

    demo = slider_demo(fig, update, alt="a", level=(0.0, 1.0, 0.5))
    demo.sliders["level"].value = 1.0
    assert "update must return the artists" in demo.error


def test_no_figure_is_left_open():
    grey_demo().sliders["level"].value = 0.3
    assert plt.get_fignums() == []


def test_no_figure_is_left_open_by_a_demo_that_could_not_be_made():
    with pytest.raises(ValueError, match="too high"):
        grey_demo(start=1.0, also=refuse_high_levels)
    assert plt.get_fignums() == []


# ── what a notebook keeps ───────────────────────────────────────────────────────────


CELL = """
import matplotlib.pyplot as plt
from vae_helpers.widgets import slider_demo
fig, ax = plt.subplots(figsize=(2.2, 1.6), dpi=100)
ax.set_axis_off()
image = ax.imshow([[0]], vmin=0, vmax=1, cmap="gray_r")

def update(level):
    image.set_data([[level]])
    return [image]

demo = slider_demo(fig, update, alt="a grey rectangle", level=(0.0, 1.0, 1.0))
demo.sliders["level"].value = 0.5
demo
"""


def test_a_cell_shows_a_still_picture_a_line_and_the_widget(tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    folder = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=60, resources=folder).execute()
    output, line, widget = notebook.cells[0].outputs
    assert "run this cell" in line.data["text/html"]
    live = widget.data[WIDGET]
    assert "image/png" not in widget.data  # no picture is kept twice
    state = notebook.metadata.widgets["application/vnd.jupyter.widget-state+json"]
    assert live["model_id"] in state["state"]
    pixels = decode(base64.b64decode(output.data["image/png"]))
    assert pixels.shape == (*SIZE[::-1], 3)
    assert pixels[80, 110].mean() == pytest.approx(127.5, abs=2)
    assert output.metadata["image/png"]["alt"] == "a grey rectangle"
    assert output.data["text/plain"] == "a grey rectangle"
    kept = keep_stills(notebook.cells[0].outputs)
    assert kept == [output]
