"""Sprites against geometry: areas by formula, centres of mass, turns by torch.rot90.

The outside referee for a whole picture is a brute-force one: each pixel cut into 16×16
points, each point asked whether it lies in the shape.
"""

import math

from vae_helpers.sprites import (
    FACTORS,
    SHAPES,
    draw_sprites,
    hold_out,
    make_sprites,
)

import pytest
import torch
from torch.testing import assert_close

torch.set_num_threads(1)

KINDS = pytest.mark.parametrize("kind", range(3), ids=SHAPES)
FULL_TURN = 2 * math.pi


def work_out_heart():
    """Side, and rise in sides, of the heart that reaches 1: by summing over points."""
    u, v = torch.meshgrid(*2 * [torch.linspace(-2, 2, 2001).double()], indexing="ij")
    lift = math.sqrt(1 / 8)
    discs = (u.abs() - lift) ** 2 + (v - lift) ** 2 < 0.25
    inside = (u.abs() + v.abs() < math.sqrt(1 / 2)) | discs
    rise = v[inside].mean().item()
    return 1 / torch.hypot(u, v - rise)[inside].max().item(), rise


HEART = work_out_heart()


def rand(n, low=0.0, high=1.0, seed=0):
    u = torch.rand(n, generator=torch.Generator().manual_seed(seed))
    return low + (high - low) * u


def random_poses(n):
    """Scale, rotation, x and y inside the allowed ranges, each (n,)."""
    ranges = [(0.5, 1), (0, FULL_TURN), (0.3, 0.7), (0.3, 0.7)]
    return [rand(n, *ends, seed=seed) for seed, ends in enumerate(ranges)]


def mass_centre(images):
    """x and y of the centre of mass, (B, 2), y upwards, in widths of the picture."""
    size = images.shape[-1]
    centres = (torch.arange(size) + 0.5) / size
    mass = images[:, 0] / images.sum((1, 2, 3))[:, None, None]
    x, y = (mass.sum(1) * centres).sum(1), (mass.sum(2) * centres.flip(0)).sum(1)
    return torch.stack([x, y], 1)


# ── drawing ─────────────────────────────────────────────────────────────────────────


def is_inside(kind, u, v):
    """Whether points lie in the shape that reaches 1 from its centre of mass."""
    if kind == 0:
        return (u.abs() < math.sqrt(0.5)) & (v.abs() < math.sqrt(0.5))
    if kind == 1:
        return u**2 + (v / 0.5) ** 2 < 1
    s, rise = HEART  # the square's side, and how far its centre lies below
    up = v + rise * s
    tip_up = u.abs() + up.abs() < s / math.sqrt(2)
    discs = (u.abs() - s / math.sqrt(8)) ** 2 + (up - s / math.sqrt(8)) ** 2
    return tip_up | (discs < s**2 / 4)


@KINDS
def test_pixels_are_the_share_of_their_area_inside(kind):
    size, fine = 32, 16
    points = (torch.arange(size * fine) + 0.5) / (size * fine)
    for scale, turn, x, y in zip(*(p.tolist() for p in random_poses(8)), strict=True):
        dx, dy = points[None, :] - x, 1 - points[:, None] - y
        along, across = math.cos(turn), math.sin(turn)
        reach = 0.25 * scale
        u, v = along * dx + across * dy, along * dy - across * dx
        share = is_inside(kind, u / reach, v / reach).float()
        share = torch.nn.functional.avg_pool2d(share[None, None], fine)
        error = (draw_sprites(kind, scale, turn, x, y) - share).abs()
        assert error.max() < 0.3  # at corners the soft edge is not the exact share
        assert error.mean() < 0.002


@pytest.mark.parametrize("size", [16, 32, 64])
def test_areas_are_those_of_the_formulas(size):
    scale, turn, x, y = random_poses(50)
    reach = 0.25 * size * scale
    side = reach * HEART[0]
    expected = [
        2 * reach**2,
        math.pi * reach**2 / 2,
        side**2 * (1 + math.pi / 4),
    ]
    for kind, area in enumerate(expected):
        images = draw_sprites(kind, scale, turn, x, y, size)
        drawn = images.sum((1, 2, 3))
        assert_close(drawn, area, rtol=0.015, atol=0.6)
        assert abs((drawn - area).mean()) < 0.5


@KINDS
@pytest.mark.parametrize("size", [16, 32])
def test_the_centre_of_mass_is_x_and_y(kind, size):
    scale, turn, x, y = random_poses(200)
    images = draw_sprites(kind, scale, turn, x, y, size)
    error = (mass_centre(images) - torch.stack([x, y], 1)) * size
    assert error.abs().max() < 0.1  # pixels


@KINDS
def test_a_quarter_turn_is_that_of_rot90(kind):
    scale, turn, x, y = random_poses(20)
    turned = draw_sprites(kind, scale, turn + math.pi / 2, 1 - y, x)
    still = draw_sprites(kind, scale, turn, x, y)
    assert_close(turned, still.rot90(1, (2, 3)), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "turn"), [(0, FULL_TURN / 4), (1, FULL_TURN / 2), (2, FULL_TURN)]
)
def test_symmetries_are_the_documented_ones_and_no_others(kind, turn):
    scale, _, x, y = random_poses(20)
    still = draw_sprites(kind, scale, 0.0, x, y)
    assert_close(draw_sprites(kind, scale, turn, x, y), still, rtol=0, atol=1e-4)
    for other in (turn / 2, turn / 3):
        turned = draw_sprites(kind, scale, other, x, y)
        assert ((turned - still).abs().amax((1, 2, 3)) > 0.3).all()


def test_a_heart_stands_on_its_tip():
    heart = draw_sprites(2, 1.0, 0.0, 0.5, 0.5, 64)[0, 0]
    rows = (heart > 0.5).sum(1)
    rows = rows[rows > 0]
    assert rows[-1] <= 2  # the tip
    assert rows[: len(rows) // 2].sum() > 1.5 * rows[len(rows) // 2 :].sum()
    assert_close(heart, heart.flip(1), rtol=0, atol=1e-4)


@KINDS
def test_edges_are_soft_and_move_smoothly(kind):
    steps = torch.linspace(0.45, 0.45 + 1 / 32, 33)  # one pixel in 32 steps
    images = draw_sprites(kind, 0.8, 0.3, steps, 0.5)
    grey = (images > 0) & (images < 1)
    assert grey.any((1, 2, 3)).all()
    change = images.diff(dim=0).abs()
    assert change.amax() < 1.6 / 32  # a pixel gains at most a little per step
    assert (change.sum((1, 2, 3)) > 0.1).all()  # and never stands still
    half = (images[16] - images[0]).abs().sum()
    assert 0.4 < half / (images[32] - images[0]).abs().sum() < 0.6


@KINDS
def test_a_pixel_at_the_very_centre_is_ink(kind):
    assert draw_sprites(kind, 1.0, 0.0, 0.5, 0.5, 17)[0, 0, 8, 8] == 1


def test_draw_sprites_takes_numbers_and_tensors():
    x = torch.tensor([0.3, 0.5])
    images = draw_sprites(torch.tensor([0, 2]), 1, 0.0, x, 0.5, 20)
    assert images.shape == (2, 1, 20, 20)
    assert images.dtype == torch.float32
    assert torch.equal(images[1], draw_sprites(2, 1, 0.0, 0.5, 0.5, 20)[0])


def test_a_batch_is_drawn_as_its_members_are():
    poses = [torch.arange(500) % 3, *random_poses(500)]
    images = draw_sprites(*poses)
    for i in (0, 1, 2, 299, 499):
        alone = draw_sprites(*(p[i] for p in poses))[0]
        assert_close(images[i], alone, rtol=0, atol=1e-5)


# ── the grid ────────────────────────────────────────────────────────────────────────


def test_the_whole_grid_has_each_combination_once_y_fastest():
    sprites = make_sprites(size=16, scale=2, rotation=3, x=4, y=5)
    assert sprites.factor_sizes == (3, 2, 3, 4, 5)
    assert sprites.images.shape == (360, 1, 16, 16)
    assert len(sprites.factor_indices.unique(dim=0)) == 360
    assert sprites.factor_indices[:6, 4].tolist() == [0, 1, 2, 3, 4, 0]
    assert len(sprites.factors.unique(dim=0)) == 360


@pytest.mark.parametrize("n", [1, 97, 1000])
def test_a_sample_covers_each_factor_evenly(n):
    sprites = make_sprites(n, size=16)
    assert sprites.factor_sizes == (3, 6, 40, 16, 16)
    for column, k in zip(
        sprites.factor_indices.unbind(1), sprites.factor_sizes, strict=True
    ):
        counts = column.bincount(minlength=k)
        assert len(counts) == k
        assert counts.max() - counts.min() <= 1


def test_which_values_come_once_more_is_left_to_chance():
    shapes = [make_sprites(1, size=12, seed=s).factor_indices[0, 0] for s in range(30)]
    assert torch.stack(shapes).unique().tolist() == [0, 1, 2]


def test_the_factors_of_a_sample_are_independent():
    sprites = make_sprites(20_000, size=12)
    correlation = torch.corrcoef(sprites.factor_indices.T.double())
    off_diagonal = correlation - torch.eye(5, dtype=torch.float64)
    assert off_diagonal.abs().max() < 4 / math.sqrt(20_000)


def test_images_are_those_of_their_factors():
    sprites = make_sprites(300, seed=1)
    shape, *pose = sprites.factors.unbind(1)
    assert torch.equal(sprites.images, draw_sprites(shape.long(), *pose))
    assert sprites.images.dtype == sprites.factors.dtype == torch.float32
    assert sprites.factor_indices.dtype == torch.int64
    assert sprites.factor_names == FACTORS
    for column, index in zip(
        sprites.factors.unbind(1), sprites.factor_indices.unbind(1), strict=True
    ):
        pairs = torch.stack([column, index.float()], 1).unique(dim=0)
        assert len(pairs) == len(column.unique())
        assert (pairs.diff(dim=0) > 0).all()


@pytest.mark.parametrize("size", [12, 16, 32])
def test_every_sprite_lies_inside_the_picture(size):
    ends = {"x": [0.3, 0.7], "y": [0.3, 0.7]}
    sprites = make_sprites(size=size, scale=[1.0], rotation=80, **ends)
    shape, scale, turn, x, y = sprites.factors.unbind(1)
    # The same in the middle of a picture twice as wide: no ink beyond the middle.
    x, y = 0.25 + x / 2, 0.25 + y / 2
    wide = draw_sprites(shape.long(), scale / 2, turn, x, y, 2 * size)
    middle = slice(size // 2, size // 2 + size)
    assert_close(wide[..., middle, middle], sprites.images, rtol=0, atol=1e-4)
    wide[..., middle, middle] = 0
    assert wide.max() == 0


def test_the_seed_decides_and_the_global_state_is_left_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first, again, other = (make_sprites(50, size=16, seed=s) for s in (3, 3, 4))
    assert torch.equal(first.images, again.images)
    usual, zero = make_sprites(50, size=16), make_sprites(50, size=16, seed=0)
    assert torch.equal(usual.images, zero.images)
    assert not torch.equal(first.factor_indices, other.factor_indices)
    assert torch.equal(torch.get_rng_state(), before)


def test_factors_take_counts_or_values():
    sprites = make_sprites(
        size=16, shape=["heart"], scale=1, rotation=[0.0, 0.5], x=1, y=[0.4, 0.5, 0.6]
    )
    assert sprites.factor_sizes == (1, 1, 2, 1, 3)
    expected = torch.tensor([2, 0.75, 0.5, 0.5, 0.6])
    assert_close(sprites.factors[-1], expected)
    turns = make_sprites(size=16, shape=1, scale=1, rotation=4, x=1, y=1).factors[:, 2]
    assert_close(turns, torch.arange(4) * math.pi / 2)


def test_to_moves_all_tensors():
    moved = make_sprites(3, size=16).to("meta")
    tensors = (moved.images, moved.factors, moved.factor_indices)
    assert all(t.device.type == "meta" for t in tensors)


# ── errors ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"size": 64}, r"184,320 .* take 3\.0 GB: ask for n at most 65,536"),
        ({"n": 0}, "n is 0"),
        ({"n": 5, "size": 8}, "at least 12 pixels"),
        ({"n": 5, "shape": 4}, r"shape is 4: it must lie in 0…2"),
        ({"n": 5, "shape": 0}, "shape is 0"),
        ({"n": 5, "shape": "heart"}, "shape is 'heart'"),
        ({"n": 5, "shape": ["star"]}, "star"),
        ({"n": 5, "shape": []}, "shape is"),
        ({"n": 5, "x": [0.2]}, r"x is \[0.2\]: it must lie in 0.3…0.7"),
        ({"n": 5, "y": [0.5, 0.7001]}, r"y is .*: it must lie in 0.3…0.7"),
        ({"n": 5, "scale": [1.1]}, "scale is"),
        ({"n": 5, "scale": [0.0]}, "scale"),
        ({"n": 5, "rotation": 0}, "rotation is 0: say how many values"),
        ({"n": 5, "rotation": [math.nan]}, "rotation is .nan.: it must lie in"),
        (
            {"n": 5, "shape": ["heart", "heart"]},
            "shape is .*: say how many values, or list different",
        ),
        ({"n": 5, "rotation": [1, 2, 1]}, "rotation is .*list different ones"),
        ({"n": 5, "y": []}, "list different ones"),
    ],
)
def test_make_sprites_refuses(wanted, message):
    with pytest.raises(ValueError, match=message):
        make_sprites(**wanted)


@pytest.mark.parametrize(
    ("pose", "message"),
    [
        ((3, 1, 0, 0.5, 0.5), "shape must be 0, 1 or 2: square, ellipse, heart"),
        ((0.5, 1, 0, 0.5, 0.5), "shape must be"),
        ((torch.tensor([0, 3]), 1, 0, 0.5, 0.5), "shape must be"),
        ((0, 0, 0, 0.5, 0.5), "scale must be positive"),
        ((0, torch.tensor([1, 0]), 0, 0.5, 0.5), "scale must be positive"),
        ((0, math.nan, 0, 0.5, 0.5), "scale must be positive"),
        ((0, 1, 0, 0.5, math.inf), "rotation, x and y must be finite"),
        ((0, 1, torch.tensor([0, math.nan]), 0.5, 0.5), "must be finite"),
        ((0, torch.ones(2), torch.zeros(3), 0.5, 0.5), r"\(2,\), \(3,\)"),
        ((0, torch.ones(2, 1), 0, 0.5, 0.5), r"a number or \(B,\)"),
        ((0, 1, 0, 0.5, 0.5, 0), "size is 0"),
    ],
)
def test_draw_sprites_refuses(pose, message):
    with pytest.raises(ValueError, match=message):
        draw_sprites(*pose)


def test_hold_out_takes_a_quarter_of_the_poses_and_every_value_equally_often():
    world = make_sprites(size=12, shape=["ellipse"], rotation=1, x=8, y=4)
    held_out = hold_out(world)
    assert held_out.sum() == len(world.images) / 4
    for column, n_values in zip(
        world.factor_indices.T, world.factor_sizes, strict=True
    ):
        assert len(column[held_out].bincount().unique()) == 1
        assert len(column[held_out].unique()) == n_values


def test_hold_out_keeps_copies_together_and_neighbours_apart():
    world = make_sprites(2_000, size=12, shape=2, rotation=1, x=4, y=4)
    held_out = hold_out(world)
    test_poses = set(map(tuple, world.factor_indices[held_out].tolist()))
    train_poses = set(map(tuple, world.factor_indices[~held_out].tolist()))
    assert test_poses
    assert test_poses.isdisjoint(train_poses)
    for shape, scale, rotation, x, y in test_poses:
        if x > 0:
            assert (shape, scale, rotation, x - 1, y) not in test_poses
