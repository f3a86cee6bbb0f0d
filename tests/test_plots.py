"""Figures, judged by the pixels and the texts that a reader sees."""

import base64
import io
import os
import subprocess
import sys
import warnings
from pathlib import Path
from xml.etree import ElementTree

import vae_helpers
from vae_helpers import plots

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgba
from matplotlib.offsetbox import AnnotationBbox
from matplotlib.text import Text
from PIL import Image
from scipy import ndimage
from torchvision.utils import make_grid


@pytest.fixture(autouse=True)
def own_style():
    with plt.rc_context():
        yield
    plt.close("all")


@pytest.fixture
def displayed(monkeypatch):
    """The (data, metadata) of all that `show` displays."""
    shown = []

    def display(data, *, metadata=None, raw):
        assert raw
        shown.append((data, metadata))

    monkeypatch.setattr(plots, "display", display)
    return shown


def decode(png):
    """The grey levels (height, width) of a PNG, as bytes or in base 64."""
    png = png if isinstance(png, bytes) else base64.b64decode(png)
    return np.asarray(Image.open(io.BytesIO(png)).convert("L"))


def dark_squares(fig_or_png):
    """The centres (y, x) of the black squares in a picture, from left to right."""
    is_figure = isinstance(fig_or_png, plt.Figure)
    dark = decode(plots.to_png(fig_or_png) if is_figure else fig_or_png) < 40
    squares = ndimage.binary_opening(dark, np.ones((9, 9)))  # no text and no lines
    areas, count = ndimage.label(squares)
    centres = ndimage.center_of_mass(squares, areas, range(1, count + 1))
    return sorted(centres, key=lambda centre: centre[1])


def texts(fig):
    return {text.get_text() for text in fig.findobj(Text) if text.get_visible()}


def images_of(*levels):
    """One even image per level, (n, 1, 28, 28)."""
    return torch.tensor(levels).view(-1, 1, 1, 1).expand(-1, 1, 28, 28).float()


# ── no effects but those asked for ──────────────────────────────────────────────────

IMPORT_ALL = """
import sys
import matplotlib.pyplot as plt, numpy, torch

def refuse(event, args):
    if event in ("socket.connect", "socket.getaddrinfo"):
        raise AssertionError(f"{module} caused {event}{args}")

sys.addaudithook(refuse)
states = lambda: (
    {k: v for k, v in dict.items(plt.rcParams) if k != "backend"},
    plt.get_fignums(),
    torch.get_rng_state().tolist(),
    torch.initial_seed(),
    torch.get_default_dtype(),
    repr(numpy.random.get_state()),
)
for module in sys.argv[1:]:
    before = states()
    __import__(module)
    assert states() == before, module
"""


def test_importing_a_module_has_no_effect(tmp_path):
    package = Path(vae_helpers.__file__).parent
    names = sorted(f"vae_helpers.{path.stem}" for path in package.glob("[!_]*.py"))
    names.append("vae_helpers.explorers")
    assert {"vae_helpers.plots", "vae_helpers.training"} <= set(names)
    done = subprocess.run(
        [sys.executable, "-W", "error:::vae_helpers", "-c", IMPORT_ALL, *names],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "VAE_DATA_DIR": str(tmp_path / "data")},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


def test_use_style_is_what_changes_the_style():
    with plt.rc_context():
        plt.rcdefaults()  # an earlier test may have asked for the style
        before = dict(plt.rcParams)
        plots.use_style()
        assert dict(plt.rcParams) != before


# ── showing ─────────────────────────────────────────────────────────────────────────


def test_show_sends_one_picture_with_alternative_text_and_closes_it(displayed):
    fig, ax = plt.subplots(figsize=(2, 1.5), dpi=100)
    ax.plot([1, 2])
    plots.show(fig, alt="a rising line")
    (data, metadata), (text, _) = displayed
    assert text == {"text/html": plots.spoken("a rising line")}
    assert decode(data["image/png"]).shape == (150, 200)
    assert decode(data["image/png"]).min() < 128
    assert metadata["image/png"]["alt"] == data["text/plain"] == "a rising line"
    assert plt.get_fignums() == []


def test_the_text_for_screen_readers_is_an_attribute_and_nothing_that_is_seen():
    html = plots.spoken('1 < 2, "so"')
    (canvas,) = ElementTree.fromstring(f"<p>{html}</p>")
    assert canvas.get("title") == '1 < 2, "so"'
    assert canvas.get("role") == "img"
    assert canvas.text is None
    assert canvas.tail is None


def test_a_title_that_the_font_lacks_signs_for_gives_no_warning():
    ax = plt.figure().add_subplot()
    ax.set_title("😀 地图 مرحبا")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decode(plots.to_png(ax.figure)).min() < 128


def test_to_numpy_takes_tensors_with_gradients_arrays_and_lists():
    expected = np.array([[1.0, 2.0]], dtype=np.float32)
    parameter = torch.nn.Parameter(torch.tensor([[1.0, 2.0]]))
    for values in (parameter, 1 * parameter, expected, [[1.0, 2.0]]):
        result = plots.to_numpy(values)
        assert type(result) is np.ndarray
        np.testing.assert_array_equal(result, expected)


# ── images ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("n_rows", [1, 6, 7, 10])
def test_image_rows_fit_a_screen_with_a_line_of_text_below(n_rows):
    rows = {f"row {i}": np.zeros((10, 1, 28, 28)) for i in range(n_rows)}
    fig = plots.image_rows(rows, "A title")
    assert (fig.get_size_inches() * fig.dpi <= [950, 600]).all()


@pytest.mark.parametrize("shape", [(-1, 1, 28, 28), (-1, 28, 28)])
def test_image_rows_puts_every_image_in_its_row_and_column(shape):
    rows = {
        "originals": images_of(1, 0, 1, 1).reshape(shape),
        "reconstructions": images_of(0, 1).reshape(shape).requires_grad_(),
    }
    fig = plots.image_rows(rows, "A title", captions=["one", "two"])
    first, below, third, fourth = dark_squares(fig)
    assert first[0] == pytest.approx(third[0], abs=2)
    assert third[0] == pytest.approx(fourth[0], abs=2)
    assert below[0] > first[0] + 20
    width = (fourth[1] - first[1]) / 3
    columns = [first[1] + width, first[1] + 2 * width]
    assert [below[1], third[1]] == pytest.approx(columns, abs=2)
    assert {"originals", "reconstructions", "A title", "one", "two"} <= texts(fig)


def test_one_row_of_one_image_without_title_or_captions_works():
    assert len(dark_squares(plots.image_rows({"x": images_of(1)}))) == 1


def test_images_keep_their_contrast_and_run_from_white_to_black():
    level = decode(plots.to_png(plots.image_rows({"x": images_of(0.5)})))
    middle = level[level.shape[0] // 2, level.shape[1] // 2 + 5]
    assert middle == pytest.approx(127.5, abs=8)
    assert dark_squares(plots.image_rows({"x": images_of(0.5, 0.6)})) == []


def test_images_are_not_turned_or_mirrored():
    image = torch.zeros(1, 1, 28, 28)
    image[..., :14, 14:] = 1  # black at the top right
    ((y, x),) = dark_squares(plots.image_rows({"x": image}))
    ((whole_y, whole_x),) = dark_squares(plots.image_rows({"x": images_of(1)}))
    assert y < whole_y - 5
    assert x > whole_x + 5


def test_images_keep_their_proportions_and_their_colours():
    wide = torch.zeros(3, 1, 8, 20)
    assert plots.tile(wide, 2).shape == (16, 40)
    assert plots.tile(wide, 3, gap=2).shape == (8 + 4, 3 * 22 + 2)
    colours = torch.zeros(2, 3, 8, 8)
    colours[0, 0], colours[1, 2] = 1, 1  # red, blue
    tiles = plots.tile(colours, 2, gap=4)
    assert tiles.shape == (16, 28, 3)
    np.testing.assert_array_equal(tiles[8, 6], [1, 0, 0])
    np.testing.assert_array_equal(tiles[8, 18], [0, 0, 1])
    np.testing.assert_array_equal(tiles[1, 1], [1, 1, 1])
    fig = plots.image_rows({"two": colours, "one": colours[:1]})
    (shown,) = fig.axes[0].images
    np.testing.assert_array_equal(shown.get_array()[-8, 18], [1, 1, 1])  # left empty
    assert plots.show_image(fig.axes[0], colours[0]).get_array().shape == (8, 8, 3)


@pytest.mark.parametrize("shape", [(7, 1, 8, 6), (2, 1, 4, 4), (1, 3, 5, 9)])
@pytest.mark.parametrize("gap", [0, 3])
def test_tiles_are_those_of_torchvision(shape, gap):
    images = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    white = 0.0 if shape[1] == 1 else 1.0
    wanted = make_grid(images, nrow=3, padding=gap, pad_value=white).numpy()
    wanted = wanted[0] if shape[1] == 1 else np.moveaxis(wanted, 0, -1)
    np.testing.assert_array_equal(plots.tile(images, 3, gap=gap), wanted)


# ── curves ──────────────────────────────────────────────────────────────────────────


def test_curves_draws_every_line_and_names_lines_and_axes():
    lines = {"train": ([1, 2, 3], [4.0, 5.0, 6.0]), "test": (range(60), range(60))}
    fig = plots.curves(lines, xlabel="epoch", ylabel="loss", title="Both")
    (ax,) = fig.axes
    for line, (label, (x, y)) in zip(ax.lines, lines.items(), strict=True):
        assert line.get_label() == label
        np.testing.assert_array_equal(line.get_xdata(), x)
        np.testing.assert_array_equal(line.get_ydata(), y)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "loss")
    assert ax.get_title() == "Both"
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend == ["train", "test"]


def test_a_single_curve_needs_no_legend():
    fig = plots.curves({"loss": ([1], [2])}, xlabel="x", ylabel="y", title="t")
    assert fig.axes[0].get_legend() is None


@pytest.mark.parametrize(("n", "width"), [(200, 50), (50, 50), (7, 1), (5, 3)])
def test_running_mean_agrees_with_numpy(n, width):
    values = np.random.default_rng(0).normal(size=n)
    steps, means = plots.running_mean(list(values), width)
    expected = np.convolve(values, np.ones(width) / width, "valid")
    np.testing.assert_allclose(means[width - 1 :], expected)
    assert means[0] == pytest.approx(values[0])  # before that, of all so far
    assert list(steps) == list(range(1, n + 1))


def test_the_last_running_mean_of_few_values_is_their_mean():
    steps, means = plots.running_mean([3.0, 4.0, 8.0])
    assert (list(steps)[-1], means[-1]) == (3, 5.0)


# ── the posterior ───────────────────────────────────────────────────────────────────


def gaussian_log_joint(mu, sigma, n=121):
    z1, z2 = np.linspace(-3, 3, n), np.linspace(-4, 2, n)
    log1 = -0.5 * ((z1 - mu[0]) / sigma[0]) ** 2
    return log1 - 0.5 * ((z2[:, None] - mu[1]) / sigma[1]) ** 2, z1, z2


def test_the_map_is_darkest_where_the_density_is_highest():
    fig = plots.posterior_map(*gaussian_log_joint((1.0, -2.0), (0.5, 0.2)), title="t")
    (ax,) = fig.axes
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title()) == ("$z_1$", "$z_2$", "t")
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    assert right - left == pytest.approx(top - bottom)
    reach = np.sqrt(2 * 5) * 0.5  # down to e^-5
    assert reach < (right - left) / 2 < 1.2 * reach
    ax.set_axis_off()
    ax.set_title("")
    level = decode(plots.to_png(fig)).astype(float)
    row, column = np.unravel_index(level.argmin(), level.shape)
    z = ax.transData.inverted().transform((column, fig.bbox.height - row))
    assert z == pytest.approx((1.0, -2.0), abs=0.08)


@pytest.mark.parametrize("limits", [None, ((-2.0, 2.0), (-3.0, 1.0))])
def test_each_q_is_outlined_and_within_the_limits(limits):
    joint = gaussian_log_joint((0.0, 0.0), (0.1, 0.1))
    mu, sigma = torch.tensor([[1.0, -2.0], [0.0, 0.5]]), torch.full((2, 2), 0.3)
    fig = plots.posterior_map(*joint, mu=mu, sigma=sigma, n_sigma=[2], limits=limits)
    (ax,) = fig.axes
    outlines = ax.collections[-1]
    np.testing.assert_array_equal(outlines.get_offsets(), mu)
    np.testing.assert_allclose(outlines.get_widths(), 2 * 2 * 0.3, rtol=1e-6)
    assert to_rgba(plots.COLORS["q"]) == tuple(outlines.get_edgecolor()[0])
    if limits:
        assert (ax.get_xlim(), ax.get_ylim()) == limits
    else:
        assert ax.get_xlim()[1] > 1 + 0.6
        assert ax.get_ylim()[0] < -2 - 0.6


# ── the latent plane ────────────────────────────────────────────────────────────────


def scatter(classes, **options):
    """Ten codes per class, class c around (c, -c)."""
    labels = torch.tensor(classes).repeat(10)
    noise = torch.randn(len(labels), 2, generator=torch.Generator().manual_seed(0))
    codes = torch.stack([labels, -labels], dim=1) + 0.1 * noise
    return plots.latent_scatter(codes.requires_grad_(), labels, title="t", **options)


def test_latent_scatter_marks_each_class_by_colour_and_numeral():
    (ax,) = scatter([0, 3, 9]).axes
    numerals = {text.get_text(): text.get_position() for text in ax.texts}
    assert set(numerals) == {"0", "3", "9"}
    for numeral, position in numerals.items():
        assert position == pytest.approx((int(numeral), -int(numeral)), abs=0.2)
    colors = {tuple(dots.get_facecolor()[0, :3]) for dots in ax.collections}
    assert len(colors) == 3
    assert sum(len(dots.get_offsets()) for dots in ax.collections) == 30


def test_numerals_hide_neither_each_other_nor_a_cross():
    labels = torch.arange(10).repeat(30)
    noise = torch.randn(300, 2, generator=torch.Generator().manual_seed(0))
    fig, axes = plt.subplots(1, 2, figsize=(9, 4.4), layout="constrained")
    for ax in axes:  # ten classes in one place
        plots.latent_scatter(noise, labels, title="t", ax=ax, clear_of=[[0, 0]])
        ax.plot(0, 0, "X", ms=13)
    fig.canvas.draw()
    for ax in axes:
        boxes = [text.get_bbox_patch().get_window_extent() for text in ax.texts]
        places = np.array([(box.x0 + box.x1, box.y0 + box.y1) for box in boxes]) / 2
        gaps = np.linalg.norm(places[:, None] - places, axis=-1)
        assert gaps[np.triu_indices(10, 1)].min() > boxes[0].width
        cross = ax.transData.transform((0, 0))
        reach = 13 / 2 * fig.dpi / 72
        assert np.linalg.norm(places - cross, axis=1).min() > boxes[0].width / 2 + reach
        assert np.linalg.norm(places - cross, axis=1).max() < 120  # still near


def test_what_is_far_enough_apart_stays_and_equal_places_part():
    homes = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
    np.testing.assert_array_equal(plots.spread_apart(homes, 2.9), homes)
    same = plots.spread_apart([[1.0, 1.0], [1.0, 1.0]], 2.0)
    assert np.linalg.norm(same[0] - same[1]) == pytest.approx(2.0, rel=0.05)
    np.testing.assert_allclose(same.mean(0), [1.0, 1.0])


@pytest.mark.parametrize("scale", [0.01, 100.0])
def test_places_are_spread_apart_alike_at_every_scale(scale):
    homes = np.random.default_rng(0).normal(size=(8, 2))
    places = plots.spread_apart(homes, 2.0, clear_of=[[0, 0]], berth=1.0)
    scaled = plots.spread_apart(
        scale * homes, scale * 2.0, clear_of=[[0, 0]], berth=scale * 1.0
    )
    np.testing.assert_allclose(scaled, scale * places, rtol=1e-6)


def test_a_class_has_the_same_colour_in_every_figure():
    (all_classes,), (one_class,) = scatter(list(range(10))).axes, scatter([7]).axes
    colors = [tuple(dots.get_facecolor()[0]) for dots in all_classes.collections]
    assert len(set(colors)) == 10
    assert tuple(one_class.collections[0].get_facecolor()[0]) == colors[7]


def test_latent_scatter_labels_both_axes_and_keeps_one_scale_for_both():
    fig, ax = plt.subplots(figsize=(6, 2))
    assert scatter([1, 2], ax=ax) is fig
    fig.canvas.draw()
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("$z_1$", "$z_2$")
    (x0, y0), (x1, y1) = ax.transData.transform([(0, 0), (1, 1)])
    assert x1 - x0 == pytest.approx(y1 - y0)


def test_thumbnails_sit_at_their_codes_and_keep_their_distance():
    codes = np.random.default_rng(0).random((300, 2)).astype(np.float32)
    fig = plots.latent_scatter(codes, np.zeros(300), title="t")
    plots.add_thumbnails(fig.axes[0], codes, torch.rand(300, 1, 28, 28), spacing=0.2)
    boxes = [a for a in fig.axes[0].artists if isinstance(a, AnnotationBbox)]
    places = np.array([box.xy for box in boxes])
    gaps = np.linalg.norm(places[:, None] - places, axis=-1)
    assert 10 < len(boxes) < 40
    assert gaps[np.triu_indices(len(boxes), 1)].min() > 0.9 * 0.2
    assert {tuple(place) for place in places} <= {tuple(code) for code in codes}


def dark_extent(fig, ax):
    """Left, right, bottom and top of what is dark in a figure, in data coordinates."""
    rows, columns = np.nonzero(decode(plots.to_png(fig)) < 128)
    height = fig.bbox.height
    corners = [
        (columns.min(), height - 1 - rows.max()),
        (columns.max() + 1, height - rows.min()),
    ]
    (left, bottom), (right, top) = ax.transData.inverted().transform(corners)
    return left, right, bottom, top


@pytest.mark.parametrize("n_sigma", [1.0, 2.0])
@pytest.mark.parametrize("kind", [np.asarray, torch.tensor])
def test_ellipses_reach_n_sigma_deviations_from_their_centres(n_sigma, kind):
    fig, ax = plt.subplots(figsize=(8, 8))
    ax.set(xlim=(-10, 10), ylim=(-5, 5))  # one unit is not as long as the other
    ax.set_axis_off()
    ax.set_autoscale_on(False)
    mu, sigma = kind([[1.0, -2.0]]), kind([[3.0, 0.5]])
    plots.add_ellipses(ax, mu, sigma, n_sigma=n_sigma)
    reach = 3 * n_sigma, 0.5 * n_sigma
    extent = (1 - reach[0], 1 + reach[0], -2 - reach[1], -2 + reach[1])
    assert dark_extent(fig, ax) == pytest.approx(extent, abs=0.06)


def test_every_code_has_its_ellipse_and_the_last_word_on_style_is_the_callers():
    ax = plt.figure().add_subplot()
    mu, sigma = torch.rand(7, 2, requires_grad=True), torch.rand(7, 2)
    plots.add_ellipses(ax, mu, sigma)
    plots.add_ellipses(ax, mu, 0.1 * sigma, n_sigma=2, edgecolors="red", linewidths=3)
    for outlines, factor, color in zip(
        ax.collections, (1, 0.2), ("black", "red"), strict=True
    ):
        np.testing.assert_array_equal(outlines.get_offsets(), mu.detach())
        np.testing.assert_allclose(outlines.get_widths(), 2 * factor * sigma[:, 0])
        np.testing.assert_allclose(outlines.get_heights(), 2 * factor * sigma[:, 1])
        assert not outlines.get_angles().any()
        assert len(outlines.get_facecolor()) == 0  # see-through
        assert to_rgba(color) == tuple(outlines.get_edgecolor()[0])
    assert ax.collections[1].get_linewidth() == [3]


def test_ellipses_on_empty_axes_bring_their_centres_into_view():
    ax = plt.figure().add_subplot()
    plots.add_ellipses(ax, [[50, 70], [60, 90]], [[1, 1], [1, 1]])
    (x0, x1), (y0, y1) = ax.get_xlim(), ax.get_ylim()
    assert x0 <= 50 < 60 <= x1
    assert y0 <= 70 < 90 <= y1


def test_heatmap_writes_every_number_where_its_labels_say():
    table = torch.tensor([[0.0, 0.25, 2.0], [1.5, 0.1, 0.75]])
    labels = {"rows": ["scale", "x"], "columns": ["a", "b", "c"], "unit": "nats"}
    fig = plots.heatmap(table, **labels, title="what a unit knows")
    ax, scale = fig.axes
    written = {text.get_position(): text.get_text() for text in ax.texts}
    assert written[2, 0] == "2.00"
    assert written[0, 1] == "1.50"
    assert len(written) == 6
    assert [label.get_text() for label in ax.get_yticklabels()] == labels["rows"]
    assert [label.get_text() for label in ax.get_xticklabels()] == labels["columns"]
    assert scale.get_ylabel() == "nats"
    assert ax.images[0].get_clim() == (0, 2)
    plt.close(fig)


def test_heatmap_of_zeros_and_on_given_axes_keeps_its_scale():
    fig, ax = plt.subplots()
    labels = {"rows": ["x"], "columns": ["a"], "unit": "nats", "title": "t"}
    assert plots.heatmap([[0.0]], **labels, ax=ax, top=3.0) is fig
    assert ax.images[0].get_clim() == (0, 3)
    assert plots.heatmap([[0.0]], **labels).axes[0].images[0].get_clim() == (0, 1)
    plt.close("all")
