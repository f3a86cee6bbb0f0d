"""The four tests of a code space, against brute force and decoders of known answer."""

from vae_helpers.latent_tests import (
    hole_distances,
    image_shifts,
    nearest_distance,
    path_distances,
    sample_codes,
)

import pytest
import torch
from torch.testing import assert_close

torch.set_num_threads(1)


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def as_corner(z):
    """A decoder whose images are the codes themselves, in the first pixels."""
    return torch.nn.functional.pad(z, (0, 784 - z.shape[1])).view(-1, 1, 28, 28)


@pytest.fixture(scope="module")
def two_classes():
    """Codes (3000, 3): class 0 twice as frequent, two Gaussians that are known."""
    labels = torch.tensor([0, 1, 0]).repeat(1000)
    mix = torch.tensor([[1.0, 0, 0], [0.8, 0.6, 0], [0, 0, 0.1]])
    codes = normal(3000, 3) @ mix.T + 10.0 * labels[:, None]
    return codes, labels, mix @ mix.T


# ── distances ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("batch_size", [1, 7, 500])
def test_the_nearest_is_found_by_brute_force(batch_size):
    images, references = normal(20, 1, 28, 28), normal(30, 1, 28, 28, seed=1)
    expected = [
        min((x - r).square().sum().sqrt().item() for r in references) for x in images
    ]
    found = nearest_distance(images, references, batch_size=batch_size)
    assert_close(found, torch.tensor(expected))


def test_an_image_of_the_references_is_at_distance_zero_exactly():
    images = normal(200, 1, 28, 28).sigmoid()
    assert nearest_distance(images[50:60], images).tolist() == [0.0] * 10


def test_white_and_black_are_28_apart():
    white, black = torch.zeros(1, 1, 28, 28), torch.ones(1, 1, 28, 28)
    assert_close(nearest_distance(white, black).item(), 28.0)


# ── samples ─────────────────────────────────────────────────────────────────────────


def test_normal_does_not_look_at_the_codes(two_classes):
    codes, labels, _ = two_classes
    sample = sample_codes(codes, labels, 20_000, "normal", seed=0)
    assert_close(sample.mean(0), torch.zeros(3), atol=0.03, rtol=0)
    assert_close(sample.T.cov(), torch.eye(3), atol=0.05, rtol=0)


@pytest.mark.parametrize("how", ["per class", "mixture"])
def test_means_covariances_and_shares_are_those_of_the_classes(two_classes, how):
    codes, labels, covariance = two_classes
    sample = sample_codes(codes, labels, 20_000, how, seed=0)
    second = sample[:, 2] > 5  # the classes are far apart
    assert_close(second.float().mean().item(), 1 / 3, atol=0.02, rtol=0)
    for own, centre in ((sample[~second], 0.0), (sample[second], 10.0)):
        assert_close(own.mean(0), torch.full((3,), centre), atol=0.1, rtol=0)
        assert_close(own.T.cov(), covariance, atol=0.12, rtol=0)


def test_a_class_whose_codes_fill_no_volume_is_sampled_all_the_same():
    codes = normal(40, 1) * torch.tensor([1.0, -2, 0])  # a line in three dimensions
    sample = sample_codes(codes, torch.zeros(40, dtype=int), 50, "per class", seed=0)
    assert_close(sample[:, 1], -2 * sample[:, 0])
    assert sample[:, 2].abs().max() == 0


def test_the_covariance_of_a_class_of_two_or_one_is_the_unbiased_one():
    codes = torch.tensor([[-1.0, 0], [1, 0], [50, 3]])
    labels = torch.tensor([0, 0, 1])
    sample = sample_codes(codes, labels, 20_000, "per class", seed=0)
    pair, single = sample[sample[:, 0] < 25], sample[sample[:, 0] > 25]
    assert_close(pair[:, 0].var().item(), 2.0, atol=0.1, rtol=0)
    assert torch.equal(single, codes[2].expand_as(single))


@pytest.mark.parametrize("how", ["normal", "per class", "mixture"])
def test_the_seed_decides_and_classes_come_mixed(two_classes, how):
    codes, labels, _ = two_classes
    first, again = (sample_codes(codes, labels, 100, how, seed=3) for _ in range(2))
    other = sample_codes(codes, labels, 100, how, seed=4)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert (first.shape, first.dtype) == ((100, 3), codes.dtype)
    if how != "normal":
        assert 0 < (first[:20, 2] > 5).sum() < 20


def test_an_unknown_way_is_refused(two_classes):
    codes, labels, _ = two_classes
    with pytest.raises(ValueError, match="say 'normal', 'per class' or 'mixture'"):
        sample_codes(codes, labels, 3, "uniform", seed=0)


# ── holes, paths, smoothness ────────────────────────────────────────────────────────


def test_places_lie_inside_the_triangle_of_the_medians():
    # class medians at (0, 0), (4, 0), (0, 2); one far code of each moves none of them
    medians = torch.tensor([[0.0, 0], [4, 0], [0, 2]])
    codes = torch.cat([medians] * 3 + [medians * 9])
    labels = torch.arange(3).repeat(4)
    places, distances = hole_distances(
        as_corner, codes, labels, as_corner(medians), n_side=41
    )
    z1, z2 = places.T
    assert bool(((z1 >= -1e-5) & (z2 >= -1e-5) & (z1 / 4 + z2 / 2 < 1 + 1e-5)).all())
    # a square grid, step 0.1, fills the triangle of area 4 and its border
    assert 380 < len(places) < 460
    expected = torch.cdist(places, medians).min(1).values
    assert_close(distances, expected, atol=1e-4, rtol=1e-4)


def test_the_longer_side_of_the_frame_has_n_side_points_wherever_it_is():
    medians = torch.tensor([[10.0, 5], [14, 5], [10, 7]])
    codes, labels = medians.repeat(3, 1), torch.arange(3).repeat(3)
    places, _ = hole_distances(as_corner, codes, labels, as_corner(medians), n_side=41)
    steps = places[:, 0].unique().diff()
    assert_close(steps, torch.full_like(steps, 0.1), atol=1e-4, rtol=0)


def test_holes_need_a_plane(two_classes):
    codes, labels, _ = two_classes
    with pytest.raises(ValueError, match="not in 3-D"):
        hole_distances(as_corner, codes, labels, as_corner(codes))


def test_a_path_between_two_images_of_the_data_is_a_tent():
    # the data are the two ends, 6 apart: half-way both are 3 away
    ends = torch.tensor([[0.0, 0, 0], [2.0, 4, 4]])
    shares, distances = path_distances(
        as_corner, ends[:1], ends[1:], as_corner(ends), n_steps=5
    )
    assert shares.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert distances.shape == (5, 1)
    assert_close(distances[:, 0], torch.tensor([0.0, 1.5, 3, 1.5, 0]))


def test_a_linear_decoder_shifts_by_the_share_of_the_standard_deviations():
    codes = normal(1000, 3) * torch.tensor([1.0, 2, 0]) + 5
    shifts = image_shifts(as_corner, codes, [0, 0.1, 0.5], seed=0)
    whole = codes.std(0).norm().item()  # Pythagoras: every coordinate by its own
    expected = torch.tensor([[0.0], [0.1 * whole], [0.5 * whole]]).expand(3, 1000)
    assert_close(shifts, expected, atol=1e-4, rtol=1e-4)


def test_up_and_down_are_equally_frequent_and_the_seed_decides():
    codes, moved = normal(4000, 2), []

    def spy(z):
        moved.append(z)
        return as_corner(z)

    image_shifts(spy, codes, [1.0], seed=0)
    image_shifts(spy, codes, [1.0], seed=0)
    before, after, _, again = moved
    assert torch.equal(after, again)
    ups = (after > before).float().mean(0)
    assert_close(ups, torch.full((2,), 0.5), atol=0.05, rtol=0)
