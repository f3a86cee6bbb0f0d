"""Figures of single lessons, judged by what a reader sees."""

from vae_helpers import figures, plots

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgba
from matplotlib.text import Text


@pytest.fixture(autouse=True)
def own_style():
    with plt.rc_context():
        yield
    plt.close("all")


def texts(fig):
    """All words of a figure."""
    return {text.get_text() for text in fig.findobj(Text)}


# ── notebook 01: the plane of codes ─────────────────────────────────────────────────


def test_marked_places_have_a_letter_on_the_plane_and_above_their_image():
    labels = np.arange(100) % 10
    codes = np.random.default_rng(0).normal(size=(100, 2))
    places, images = [[0.0, 0], [1, 1], [-1, 0]], np.zeros((3, 1, 28, 28))
    captions = ["6.1", "5.2", "4.3"]
    fig = figures.marked_places(codes, labels, places, images, captions, title="holes")
    plane, *frames = fig.get_axes()
    assert {text.get_text() for text in plane.texts} >= set("ABC")
    assert [frame.get_title() for frame in frames[:3]] == ["A: 6.1", "B: 5.2", "C: 4.3"]
    assert max(fig.get_size_inches() * 100) <= 1050


def test_planes_side_by_side_have_one_scale():
    labels = np.arange(50) % 10
    wide = np.random.default_rng(0).normal(size=(50, 2)) * [4, 1] + [2, -1]
    fig = figures.planes({"wide": wide, "one point": np.zeros((50, 2))}, labels)
    left, right = fig.axes
    assert left.get_xlim() == right.get_xlim()
    assert left.get_ylim() == right.get_ylim()
    assert np.ptp(left.get_xlim()) == pytest.approx(np.ptp(left.get_ylim()))
    assert left.get_xlim()[0] < wide[:, 0].min()
    assert left.get_xlim()[1] > wide[:, 0].max()
    assert [ax.get_title() for ax in fig.axes] == ["wide", "one point"]


def test_framed_images_have_a_frame_on_all_sides_and_their_title():
    fig = figures.framed_images(
        {"white": np.zeros((28, 28)), "b": np.ones((1, 28, 28))}
    )
    assert [ax.get_title() for ax in fig.axes] == ["white", "b"]
    for ax in fig.axes:
        assert all(spine.get_visible() for spine in ax.spines.values())
        assert len(ax.images) == 1


# ── latent variables, KL and ELBO ───────────────────────────────────────────────────


def test_densities_take_the_colours_of_their_quantities():
    z = torch.linspace(-1, 1, 5)
    curves = {"prior": (z**2, "prior"), "other": (z, "red")}
    fig = figures.densities(z, curves, title="t", xlim=(-1, 1))
    (ax,) = fig.axes
    colors = [to_rgba(line.get_color()) for line in ax.lines]
    assert colors == [to_rgba(plots.COLORS["prior"]), to_rgba("red")]
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [1, 0.25, 0, 0.25, 1])
    assert {"prior", "other", "t"} <= texts(fig)


def test_the_shaded_area_is_the_kl():
    z = np.linspace(-9, 9, 2001)
    log_q, log_p = (-0.5 * (z - m) ** 2 - 0.5 * np.log(2 * np.pi) for m in (1, 0))
    fig = figures.kl_area(z, log_q, log_p, names=("q, truth", "p, belief"))
    title = fig.axes[0].get_title()
    assert "0.500 nats" in title  # half of the squared distance of the means
    (area,) = fig.axes[0].collections
    assert to_rgba(plots.COLORS["kl"])[:3] == tuple(area.get_facecolor()[0, :3])


def test_medians_are_a_line_in_the_band_of_eight_runs_of_ten():
    values = np.arange(11.0) * np.array([[1.0], [10.0]])  # (2 x values, 11 runs)
    labels = {"xlabel": "x", "ylabel": "y", "title": "t"}
    (ax,) = figures.medians({"runs": ([1, 2], values, "C0")}, **labels).axes
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [5, 50])
    ((band,),) = (paths.get_paths() for paths in ax.collections)
    corners = {tuple(corner) for corner in band.vertices.round(6)}
    assert {(1, 1), (1, 9), (2, 10), (2, 90)} <= corners


def test_the_posterior_stands_beside_its_image():
    table = torch.zeros(4, 3)
    table[3, 0] = 1  # the largest pose, the smallest blur
    kinds, shares = ["ball", "box"], [0.75, 0.25]
    fig = figures.image_and_posterior(
        torch.rand(28, 28), table, range(4), range(3), kinds, shares, (1, 2)
    )
    _, middle, right = fig.axes
    assert middle.lines[0].get_xydata().tolist() == [[1, 2]]
    fig.canvas.draw()
    x, y = middle.transData.transform((2.9, 0.1)).astype(int)
    pixels = np.asarray(fig.canvas.buffer_rgba())[::-1]
    assert pixels[y, x, 0] < 100  # dark green where the probability is
    assert [bar.get_height() for bar in right.patches] == [0.75, 0.25]
    assert "75%" in texts(fig)


def test_the_stack_puts_the_kl_on_top_of_the_elbo():
    z = np.linspace(-2, 4, 9)
    fig, line, stack = figures.posterior_and_stack(z, z * 0 + 0.1, -2.0)
    assert line.get_label() == "q"
    lower, upper, *labels = stack(torch.tensor(-5.0), torch.tensor(3.0))
    assert lower.get_y() + lower.get_height() == pytest.approx(-5)
    assert (upper.get_y(), upper.get_y() + upper.get_height()) == pytest.approx(
        (-5, -2)
    )
    assert lower.get_facecolor() == to_rgba(plots.COLORS["elbo"])
    assert upper.get_facecolor() == to_rgba(plots.COLORS["kl"])
    assert [label.get_text() for label in labels] == ["ELBO −5.00", "KL 3.00"]
    assert line in fig.axes[0].lines


def test_the_target_has_a_bar_for_each_name():
    z = np.linspace(-2, 2, 9)
    fig, line, bars = figures.target_and_bars(z, z**2, "there", "back")
    assert len(bars) == 2
    fig.canvas.draw()  # tick labels are made then
    assert {"there", "back", "target t", "q"} <= texts(fig)
    assert line.get_color() == plots.COLORS["q"]


def test_the_cloud_follows_its_noise_and_keeps_its_marks():
    eps = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    fig, show = figures.noise_and_cloud(eps)
    cloud, *marks, pointer, caption = show(
        3 + 2 * eps, torch.tensor([3.0, 3.0]), torch.tensor([4.0, 0.0]), "hello"
    )
    np.testing.assert_allclose(cloud.get_offsets(), 3 + 2 * eps, rtol=1e-6)
    still = fig.axes[0].lines
    for mark, origin in zip(marks, still, strict=True):
        np.testing.assert_allclose(
            mark.get_xydata(), 3 + 2 * origin.get_xydata(), rtol=1e-6
        )
    assert tuple(pointer.xy) == (4, 3)
    assert caption.get_text() == "hello"


def test_histograms_have_an_area_of_one():
    values = {"a": torch.randn(5000), "b": np.random.default_rng(0).random(5000)}
    labels = {"xlabel": "x", "limits": (-6.0, 6.0)}
    (ax,) = figures.histograms(values, ["C5", "C6"], **labels).axes
    for patch in ax.patches:
        heights, edges, _ = patch.get_data()
        assert (heights * np.diff(edges)).sum() == pytest.approx(1)


def test_recolor_changes_curves_and_legend():
    lines = {"a": ([1, 2], [1, 2]), "b": ([1, 2], [2, 1])}
    fig = plots.curves(lines, xlabel="x", ylabel="y", title="t")
    figures.recolor(fig, "red", "blue")
    (ax,) = fig.axes
    for shown in (ax.lines, ax.get_legend().get_lines()):
        assert [line.get_color() for line in shown] == ["red", "blue"]


# ── notebooks 04 and 04b ────────────────────────────────────────────────────────────


def test_stacked_loss_puts_the_sum_on_top_of_the_kl():
    log_px_z, kl = [-200.0, -120.0, -80.0], [0.0, 10.0, 25.0]
    fig = figures.stacked_loss(log_px_z, kl, title="falls", width=1)
    (ax,) = fig.axes
    (total,) = ax.lines
    np.testing.assert_allclose(total.get_ydata(), [200, 130, 105])
    assert total.get_color() == plots.COLORS["elbo"]
    tops = [area.get_datalim(ax.transData).y1 for area in ax.collections]
    assert tops == [25, 200]
    colors = [tuple(area.get_facecolor()[0][:3]) for area in ax.collections]
    assert colors == [to_rgba(plots.COLORS[key])[:3] for key in ("kl", "decoder")]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("step", "nats per image")


def test_posterior_planes_share_one_scale_and_show_the_prior():
    near, far = torch.tensor([[0.0, 1.0]]), torch.tensor([[-8.0, 3.0]])
    sigma, labels = torch.full((1, 2), 0.5), torch.tensor([4])
    fig = figures.posterior_planes({"near": (near, sigma), "far": (far, sigma)}, labels)
    left, right = fig.axes
    assert left.get_xlim() == right.get_xlim() == left.get_ylim()
    assert left.get_xlim()[1] > 8
    assert left.get_aspect() == 1
    for ax in (left, right):
        (circle,) = ax.patches
        assert circle.radius == 2
        assert circle.get_edgecolor() == to_rgba(plots.COLORS["prior"])
        assert [text.get_text() for text in ax.texts] == ["4"]
    (legend,) = fig.legends
    assert len(legend.get_texts()) == 3
    fig.draw_without_rendering()
    height = fig.bbox.height
    assert max(ax.title.get_window_extent().y1 for ax in (left, right)) < height
    assert max(fig.get_size_inches() * 100) <= 1050


def test_paths_and_pushes_start_at_zero_and_name_the_models():
    line = ([0, 0.5, 1], [3.0, 4.5, 3.2])
    fig = figures.paths_and_pushes({"AE": line, "VAE": line}, {"AE": line, "VAE": line})
    for ax in fig.axes:
        assert ax.get_ylim()[0] == 0
        assert [t.get_text() for t in ax.get_legend().get_texts()] == ["AE", "VAE"]
        assert "[" in ax.get_ylabel()
        colors = {line.get_color() for line in ax.lines}
        assert colors.isdisjoint({"C0", "C1", *plots.COLORS.values()})


def test_class_rows_show_each_class_in_its_row_and_leave_out_empty_ones():
    images = torch.zeros(9, 1, 4, 4)
    images[5:] = 1  # the second class is black
    labels = torch.tensor([0] * 5 + [2] * 4)
    fig = figures.class_rows(images, labels, ("a", "none", "b"), n_columns=3)
    (ax,) = fig.axes
    assert [text.get_text() for text in ax.get_yticklabels()] == ["a", "b"]
    shown = np.asarray(ax.images[0].get_array())
    upper, lower = np.array_split(shown, 2)
    assert upper[2:-2].max() == 0
    assert lower.max() == 1
    many = figures.class_rows(images, labels, [str(i) for i in range(26)], n_rows=9)
    assert len(many.axes[0].get_yticklabels()) == 1  # of 0, 3, 6 … only 0 has any
