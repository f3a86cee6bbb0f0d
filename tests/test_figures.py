"""Figures of single lessons, judged by what a reader sees."""

from vae_helpers import figures, plots

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex, to_rgba
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


# ── notebook 05 ─────────────────────────────────────────────────────────────────────


def test_rate_distortion_shows_the_best_elbo_in_both_panels():
    rate, distortion = [20.0, 15, 5, 0], [100.0, 101, 130, 200]
    fig = figures.rate_distortion([0.5, 1, 4, 40], rate, distortion)
    left, right = fig.axes
    violet = plots.COLORS["elbo"]
    (slanted,) = [line for line in left.lines if line.get_color() == violet]
    (flat,) = [line for line in right.lines if line.get_color() == violet]
    assert np.sum(slanted.get_data(), axis=0) == pytest.approx([116, 116])
    assert set(flat.get_ydata()) == {116}
    assert "β = 1" in {text.get_text() for text in right.texts}
    curves = [line for line in right.lines if len(line.get_xdata()) == 4]
    np.testing.assert_allclose(curves[0].get_ydata(), [120, 116, 135, 200])


def test_bars_and_panel_follow_the_slider():
    fig, show = figures.bars_and_panel(3, np.zeros((84, 168)), top=2)
    artists = show([0.5, 1.5, 0], np.ones((84, 168)), "β = 4")
    left, right = fig.axes
    assert [bar.get_height() for bar in left.patches] == [0.5, 1.5, 0]
    assert left.get_ylim()[1] >= 2
    assert right.images[0].get_array().min() == 1
    assert "β = 4" in texts(fig)
    assert len(artists) == 5


def test_framed_rows_have_a_frame_around_each_image():
    rows = {"a": np.zeros((3, 28, 28)), "b": np.zeros((2, 1, 28, 28))}
    fig = figures.framed_rows(rows, "frames")
    (ax,) = fig.axes
    assert len(ax.patches) == 5
    height, width = ax.images[0].get_array().shape
    for frame in ax.patches:
        box = frame.get_bbox()
        assert 0 <= box.x0 < box.x1 <= width
        assert 0 <= box.y0 < box.y1 <= height
        assert box.width >= 28


def test_information_tables_have_one_scale():
    tables = {1: np.full((2, 3), 0.5), 4: np.full((2, 3), 1.5)}
    fig = figures.information_tables(tables, ["x", "y"], top=2.0)
    shades = [ax.images[0].get_clim() for ax in fig.axes if ax.images]
    assert shades == [(0, 2), (0, 2)]
    assert {"β = 1", "β = 4", "x", "y"} <= texts(fig)


def test_seeds_by_beta_shows_every_seed_and_the_means():
    runs = [{"beta": b, "mig": b + s, "elbo": -s} for b in (1, 4) for s in (0, 1)]
    fig = figures.seeds_by_beta(runs, {"mig": "MIG", "elbo": "ELBO [nats]"})
    left, right = fig.axes
    *dots, means = left.lines
    assert [list(d.get_ydata()) for d in dots] == [[1, 2], [4, 5]]
    assert list(means.get_ydata()) == [1.5, 4.5]
    assert right.lines[-1].get_color() == plots.COLORS["elbo"]
    assert [ax.get_ylabel() for ax in fig.axes] == ["MIG", "ELBO [nats]"]


def test_turned_gaps_shows_the_mean_of_the_gaps():
    gaps = [[0.2, 0.4], [0.0, 0.2], [0.1, 0.3]]
    fig = figures.turned_gaps([0, 45, 90], gaps, ["x", "y"])
    (ax,) = fig.axes
    np.testing.assert_allclose(ax.lines[-1].get_ydata(), [0.3, 0.1, 0.2])
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["gap of x", "gap of y", "their mean: MIG"]


# ── notebook 06: all codes together, and the prior ──────────────────────────────────


def test_aggregate_and_prior_share_a_scale_and_the_ratio_is_right_within_reach():
    axis = torch.linspace(-4, 4, 81, dtype=torch.float64)
    curve = torch.distributions.Normal(0.0, 1.0).log_prob(axis).exp()
    prior = curve[:, None] * curve
    aggregate = torch.where(axis > 0, 2 * prior, 0 * prior)  # all to the right
    fig = figures.aggregate_and_prior(axis, aggregate, prior, reach=3.0)
    (first,), (second,), (ratio,) = (ax.images for ax in fig.axes[:3])
    assert first.get_clim() == second.get_clim()
    np.testing.assert_allclose(first.get_array() ** 2, prior)
    np.testing.assert_allclose(second.get_array() ** 2, aggregate)
    shown = ratio.get_array()
    assert shown[40, 60] == pytest.approx(1.0)  # z = (2, 0): log₂ 2
    assert shown[40, 20] < -2  # z = (−2, 0)
    assert shown.mask[75, 75]  # z = (3.5, 3.5)
    assert shown.mask.mean() == pytest.approx(1 - np.pi * 9 / 64, abs=0.03)
    low, high = ratio.cmap(ratio.norm(-2.0)), ratio.cmap(ratio.norm(2.0))
    assert low[0] > low[2]  # too few codes: red
    assert high[2] > high[0]  # too many: blue
    for ax in fig.axes[:3]:
        assert ax.get_title()
        assert ax.get_aspect() == 1
        assert ax.patches[0].radius == 3
    assert max(fig.get_size_inches() * 100) <= 1050


# ── how good is it? (notebooks 07 and 07b) ──────────────────────────────────────────


def test_two_climbs_end_under_the_line_of_log_px():
    fig = figures.two_climbs([1, 10, 100], [-9.0, -7, -6], [-20.0, -10, -5.5], -5.0)
    (ax,) = fig.axes
    from_q, from_prior, exact = ax.lines
    assert from_q.get_color() == plots.COLORS["q"]
    assert from_prior.get_color() == plots.COLORS["prior"]
    assert set(exact.get_ydata()) == {-5.0}
    assert ax.get_xscale() == "log"
    assert ax.get_ylim() == (-30, -3)


def test_stated_and_missed_tells_too_low_from_too_high():
    fig = figures.stated_and_missed([0.1, 0.2, 0.3], torch.tensor([40.0, -0.5, 1e-9]))
    (ax,) = fig.axes
    low, high, diagonal = ax.lines
    np.testing.assert_allclose(low.get_xydata(), [[0.1, 40], [0.3, 1e-3]])
    np.testing.assert_allclose(high.get_xydata(), [[0.2, 0.5]])
    assert high.get_markerfacecolor() == "none" != low.get_markerfacecolor()
    np.testing.assert_array_equal(diagonal.get_xdata(), diagonal.get_ydata())
    assert {"estimate below log p(x)", "estimate above log p(x)"} <= texts(fig)


def test_two_gaps_puts_the_encoders_above_the_diagonal():
    fig = figures.two_gaps([0.1, 0.2], [5.0, 0.0])
    (ax,) = fig.axes
    np.testing.assert_allclose(ax.lines[0].get_xydata(), [[0.1, 5], [0.2, 1e-3]])
    assert to_rgba(ax.lines[0].get_markerfacecolor()) == to_rgba(plots.COLORS["kl"])
    assert ax.get_xlabel().startswith("approximation")
    assert ax.get_ylabel().startswith("amortization")


def test_images_and_posteriors_stand_in_columns_and_show_the_samples():
    axis = np.linspace(-3, 3, 61)
    log_joint = -((axis - 1) ** 2) - 4 * (axis[:, None] + 1) ** 2
    tables, q = np.stack([log_joint] * 2), (np.zeros((2, 2)), np.ones((2, 2)))
    images, samples = np.zeros((2, 1, 28, 28)), np.ones((5, 2, 2))
    fig = figures.images_and_posteriors(images, tables, axis, q, ["a", "b"], samples)
    top, planes = fig.axes[:2], fig.axes[2:]
    assert [ax.get_title() for ax in top] == ["a", "b"]
    for plane in planes:
        assert len(plane.lines[-1].get_xdata()) == 5
        row, column = np.unravel_index(plane.images[0].get_array().argmax(), (61, 61))
        assert (axis[column], axis[row]) == pytest.approx((1, -1))
    fig = figures.images_and_posteriors(images, tables, axis, q, ["a", "b"])
    assert not fig.axes[2].lines


def test_within_radius_marks_how_far_samples_reach():
    radii = np.linspace(1, 20, 5)
    logs = {"typical": np.log([0.9, 1, 1, 1, 1]), "worst": np.log([1e-9, 0.5, 1, 1, 1])}
    fig = figures.within_radius(radii, logs, {name: radii for name in logs}, 4.1)
    left, right = fig.axes
    assert left.lines[1].get_ydata() == pytest.approx([1e-9, 0.5, 1, 1, 1])
    assert right.lines[1].get_ydata() == pytest.approx(radii)  # left as they are
    for ax in (left, right):
        assert set(ax.lines[-1].get_xdata()) == {4.1}


def test_image_posterior_climb_follows_what_it_is_shown():
    axis = np.linspace(-1, 1, 5)
    fig, show = figures.image_posterior_climb(axis, [1, 10], reach=1)
    log_joint = np.zeros((5, 5))
    log_joint[3, 1] = 4.0
    image = np.full((1, 28, 28), 0.5)
    artists = show(image, log_joint, [0.2, 0.3], [-3.0, -2], [-9.0, -1])
    digit, sheet, cross, from_q, from_prior = artists
    assert digit.get_array().mean() == pytest.approx(0.5)
    assert sheet.get_array()[3, 1] == pytest.approx(1)
    assert sheet.get_array()[0, 0] == pytest.approx(np.exp(-2))
    np.testing.assert_allclose(cross.get_xydata(), [[0.2, 0.3]])
    assert list(from_q.get_ydata()) == [-3, -2]
    assert list(from_prior.get_ydata()) == [-9, -1]
    assert "z from the prior" in texts(fig)


def test_score_and_ratio_are_two_histograms_of_the_same_kinds():
    rng = np.random.default_rng(0)
    scores = {"seen": rng.normal(-100, 10, 50), "new": rng.normal(-60, 5, 30)}
    ratios = {"seen": rng.normal(0, 1, 50), "new": rng.normal(-20, 2, 30)}
    fig = figures.score_and_ratio(scores, ratios)
    assert len(fig.axes) == 2
    for ax in fig.axes:
        shares = [patch.get_data().values for patch in ax.patches]
        assert len(shares) == 4  # a filled and an outlined one for each kind
        for share in shares:
            assert share.sum() == pytest.approx(1)
    seen, _, new, _ = (patch.get_data() for patch in fig.axes[0].patches)
    assert (new.values * new.edges[1:]).sum() > (seen.values * seen.edges[1:]).sum()


def test_bounds_by_size_has_a_pair_of_lines_for_each_size():
    runs = [
        {"latent_dim": d, "passes": n, "elbo_test": -d - n, "elbo_train": -d}
        for n in (3, 1)
        for d in (20, 3)
    ]
    fig = figures.bounds_by_size(runs)
    (ax,) = fig.axes
    test, training = ax.lines[:2]
    assert test.get_label() == "3"
    assert list(test.get_xdata()) == [60_000, 180_000]
    assert list(test.get_ydata()) == [-4, -6]
    assert list(training.get_ydata()) == [-3, -3]
    assert test.get_color() == training.get_color() != ax.lines[2].get_color()


def test_nll_is_drawn_over_passes_and_over_minutes():
    runs = {
        "VAE": [
            {"passes": 20, "training_minutes": 1.1, "nll": 92.6},
            {"passes": 80, "training_minutes": 3.1, "nll": 89.3},
        ],
        "IWAE": [{"passes": 20, "training_minutes": 3.3, "nll": 91.3}],
    }
    fig = figures.nll_by_passes_and_minutes(runs)
    by_passes, by_minutes = (ax.lines[0].get_xydata().tolist() for ax in fig.axes)
    assert by_passes == [[20, 92.6], [80, 89.3]]
    assert by_minutes == [[1.1, 92.6], [3.1, 89.3]]
    assert all(ax.lines[1].get_label() == "IWAE" for ax in fig.axes)


# ── the bug hunt ────────────────────────────────────────────────────────────────────


def test_maps_share_a_scale_of_shades_and_show_rows_upwards():
    density = np.zeros((5, 5))
    density[4, 0] = 2.0  # the highest z_2 and the lowest z_1
    points = np.array([[-1.0, 1.0], [0.5, 0.0]])
    panels = {"suspect": (density, points), "cured": (density / 4, points)}
    fig = figures.maps_with_samples(panels, "prior", reach=2)
    left, right, _ = fig.axes  # the last is the scale
    assert (left.get_title(), right.get_title()) == ("suspect", "cured")
    for ax in (left, right):
        (image,) = ax.images
        assert image.get_extent() == [-2, 2, -2, 2]
        assert image.origin == "lower"
        assert image.get_clim() == (0, 2)
        assert to_hex(image.cmap(1.0)) == plots.COLORS["prior"]
        np.testing.assert_array_equal(ax.lines[0].get_xydata(), points)
        assert ax.get_xlim() == ax.get_ylim() == (-2, 2)


def test_a_table_of_verdicts_marks_each_and_leaves_the_rest_empty():
    verdicts = {"one": {"a": True, "b": False}, "two": {"b": True}}
    (ax,) = figures.verdict_table(verdicts, ["a", "b"], title="t").axes
    marks = {text.get_position(): text.get_text() for text in ax.texts}
    expected = {(0.5, 0.5): "✓", (1.5, 0.5): "✗", (0.5, 1.5): "", (1.5, 1.5): "✓"}
    assert marks == expected
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["one", "two"]
    assert ax.get_ylim() == (2, 0)  # the first row on top


def test_versions_keep_their_colours_whichever_are_shown():
    labels = {"xlabel": "x", "ylabel": "y", "title": "t"}
    line = ([1, 2, 4], [0.0, 1.0, 2.0])
    names = ["suspect", "half cured", "cured"]
    (ax,) = figures.versions(dict.fromkeys(names, line), **labels).axes
    colors = {shown.get_label(): shown.get_color() for shown in ax.lines}
    assert len(set(colors.values())) == 3
    (ax,) = figures.versions(dict.fromkeys(names[::2], line), **labels).axes
    assert [shown.get_color() for shown in ax.lines] == [
        colors["suspect"],
        colors["cured"],
    ]
    (ax,) = figures.bounds_over_k({"cured": line}, title="t").axes
    assert ax.lines[0].get_color() == colors["cured"]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["1", "2", "4"]
    assert ax.lines[-1].get_label() == "log p(x)"
    assert set(ax.lines[-1].get_ydata()) == {0}


# ── notebook 09 ─────────────────────────────────────────────────────────────────────


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
