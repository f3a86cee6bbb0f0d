"""Folders of images as readers have them; Pillow writes, torchvision is the referee."""

import dataclasses
import os
import pickle
import struct
import time
import zlib
from pathlib import Path

from vae_helpers import data, folders
from vae_helpers.folders import load_folder
from vae_helpers.image_files import ImageFiles, UnreadableImageError, read_image
from vae_helpers.models import VAE
from vae_helpers.objectives import negative_elbo
from vae_helpers.training import fit

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import functional as vision

SIZE = (28, 28)


@pytest.fixture(autouse=True)
def no_wish(monkeypatch):
    monkeypatch.delenv("VAE_IMAGES", raising=False)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def write(path, pixels=None, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = noise(*SIZE, seed=seed) if pixels is None else pixels
    Image.fromarray(pixels).save(path)
    return path


def write_letters(root, letters="abc", n_fonts=10):
    for i, letter in enumerate(letters):
        for font in range(n_fonts):
            write(root / letter / f"font{font}.png", seed=100 * i + font)
    return root


PARTS = ("train", "validation", "test")


def collect(found):
    """{file: (pixels, label)} of all three parts."""
    return {
        file: (pixels, label.item())
        for part in PARTS
        for file, pixels, label in zip(
            getattr(found, f"{part}_files"),
            getattr(found, f"{part}_images"),
            getattr(found, f"{part}_labels"),
            strict=True,
        )
    }


# ── classes and files ───────────────────────────────────────────────────────────────


def test_classes_labels_and_pixels_are_those_of_torchvision(tmp_path, capsys):
    root = write_letters(tmp_path / "letters")
    found = load_folder(root)
    referee = ImageFolder(root)
    assert found.class_names == tuple(referee.classes)
    pixels = collect(found)
    assert len(pixels) == len(referee) == 30
    for path, label in referee.samples:
        image, own_label = pixels[Path(path).relative_to(root).as_posix()]
        with Image.open(path) as original:
            assert torch.equal(image, vision.to_tensor(original))  # bit for bit
        assert label == own_label
    for part, n in zip(PARTS, (24, 3, 3), strict=True):
        images = getattr(found, f"{part}_images")
        labels, files = (
            getattr(found, f"{part}_{what}") for what in ("labels", "files")
        )
        assert (images.shape, images.dtype) == ((n, 1, 28, 28), torch.float32)
        assert (labels.shape, labels.dtype, len(files)) == ((n,), torch.int64, n)
        assert images.is_contiguous()
        assert list(files) == sorted(files)
    assert (found.folder, found.name, found.skipped) == (root, "letters", {})
    assert capsys.readouterr().out == found.note + "\n"
    assert found.note.startswith(
        "letters: 30 images in 3 classes, 24 for training, 3 for validation, 3 for "
        "testing; 1×28×28, in [0, 1]. So few images"
    )


def test_files_lie_as_deep_as_you_like_and_the_first_folder_is_the_class(tmp_path):
    for seed, file in enumerate(["b/x/y/1.png", "b/2.png", "a/x/3.png", "a/4.png"]):
        write(tmp_path / file, seed=seed)
    found = load_folder(tmp_path)
    labels = {file: label for file, (_, label) in collect(found).items()}
    assert found.class_names == ("a", "b")
    assert labels == {"b/x/y/1.png": 1, "b/2.png": 1, "a/x/3.png": 0, "a/4.png": 0}


def test_a_flat_folder_is_one_class_of_its_own_name(tmp_path):
    for seed in range(10):
        write(tmp_path / "flat" / f"{seed}.png", seed=seed)
    found = load_folder(str(tmp_path / "flat"), mode="RGB")
    assert found.class_names == ("flat",)
    assert found.train_images.shape == (8, 3, 28, 28)
    assert {label for _, label in collect(found).values()} == {0}
    assert found.note.startswith("flat: 10 images, 8 for training, 1 for validation")


def test_hidden_files_and_folders_are_passed_over(tmp_path):
    write_letters(tmp_path, n_fonts=2)
    for hidden in ("._DS_Store", ".DS_Store", "a/._font0.png", ".cache/b/1.png"):
        (tmp_path / hidden).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / hidden).write_bytes(b"\0\5\x16\7")
    found = load_folder(tmp_path)
    assert len(collect(found)) == 6
    assert found.skipped == {}


def test_the_order_is_that_of_the_names_and_not_of_the_disk(tmp_path, monkeypatch):
    composed, decomposed = "caf\u00e9", "cafe\u0301"  # as Windows and macOS write é
    for name in (composed, decomposed):
        root = tmp_path / str(len(name))
        for i, label in enumerate(["a", "B", name, "cafz"]):
            for j in range(2):
                write(root / label / f"{j}.png", seed=2 * i + j)
    walk = os.walk

    def backwards(top, **settings):
        for parent, names, files in walk(top, **settings):
            names.sort(reverse=True)
            yield parent, names, files[::-1]

    one = load_folder(tmp_path / "4")
    monkeypatch.setattr(os, "walk", backwards)
    other = load_folder(tmp_path / "5")
    assert one.class_names == ("B", "a", "cafz", composed)
    for part in PARTS:
        images = [getattr(found, f"{part}_images") for found in (one, other)]
        assert torch.equal(*images)
    assert one.train_labels.tolist() == other.train_labels.tolist()


def test_all_tensors_move(tmp_path):
    found = load_folder(write_letters(tmp_path))
    moved = found.to("meta")
    tensors = [v for v in vars(moved).values() if isinstance(v, torch.Tensor)]
    assert [t.device.type for t in tensors] == ["meta"] * 6
    assert moved.train_files == found.train_files
    assert found.train_images.device.type == "cpu"
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.name = "other"


# ── which folder ────────────────────────────────────────────────────────────────────


def test_a_folder_that_is_named_comes_before_the_readers_and_that_before_the_example(
    tmp_path, monkeypatch
):
    for name in ("named", "own", "example"):
        write_letters(tmp_path / name)
    named, own, example = (tmp_path / name for name in ("named", "own", "example"))
    assert load_folder(example=example).name == "example"
    monkeypatch.setenv("VAE_IMAGES", "  ")
    assert load_folder(example=example).name == "example"
    monkeypatch.setenv("VAE_IMAGES", str(own))
    assert load_folder(example=example).name == load_folder().name == "own"
    assert load_folder(named, example=example).name == "named"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert load_folder("~/named").name == "named"
    monkeypatch.chdir(tmp_path)
    assert load_folder("named").name == "named"


def test_the_variable_starts_at_the_projects_folder(tmp_path, monkeypatch):
    project = tmp_path / "project"
    (project / "vae_helpers").mkdir(parents=True)
    (project / "pyproject.toml").touch()
    monkeypatch.setattr(data, "__file__", str(project / "vae_helpers/data.py"))
    monkeypatch.setenv("VAE_IMAGES", "letters")
    with pytest.raises(FileNotFoundError, match="variable VAE_IMAGES"):
        load_folder()
    write_letters(project / "letters")
    assert load_folder().name == "letters"


# ── more than memory holds ──────────────────────────────────────────────────────────


def test_training_on_files_is_training_in_memory(tmp_path):
    """Bit for bit: a tensor can be loaded from as well, in the same order."""
    found = load_folder(write_letters(tmp_path, n_fonts=20))
    losses = []
    for source in (
        found.train_images,
        ImageFiles([found.folder / file for file in found.train_files]),
    ):
        order = torch.Generator().manual_seed(3)
        loader = DataLoader(source, batch_size=10, shuffle=True, generator=order)
        torch.manual_seed(0)
        model = VAE(2, hidden_sizes=(5,))
        losses.append(fit(model, negative_elbo, loader, steps=13, quiet=True).losses)
    assert losses[0] == losses[1]
    assert len(set(losses[0])) == 13


def test_image_files_are_read_as_they_are_asked_for_and_turned_around(tmp_path):
    write(tmp_path / "1.png")
    path = tmp_path / "1.png"
    expected = read_image(path, (8, 6), "RGB").pixels
    (found,) = ImageFiles([path], (8, 6), "RGB")
    (turned,) = ImageFiles([path], (8, 6), "RGB", turn_around=True)
    assert_close(found, expected, rtol=0, atol=0)
    assert_close(turned, 1 - expected, rtol=0, atol=0)


def test_image_files_go_to_the_processes_of_a_loader(tmp_path):
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for seed, path in enumerate(paths):
        write(path, seed=seed)
    files = ImageFiles(paths)
    copied = pickle.loads(pickle.dumps(files))
    assert_close(list(copied), list(files), rtol=0, atol=0)


# ── the split ───────────────────────────────────────────────────────────────────────


def find_parts(found, original):
    return [
        {original(Path(file)) for file in getattr(found, f"{part}_files")}
        for part in PARTS
    ]


def test_copies_of_one_original_come_into_one_part(tmp_path):
    write_letters(tmp_path, "abcd", n_fonts=20)
    stem = lambda path: path.stem  # noqa: E731
    found = load_folder(tmp_path, group=stem)
    parts = find_parts(found, stem)
    assert [len(part) for part in parts] == [16, 2, 2]
    assert len(set.union(*parts)) == 20
    assert len(found.train_files) == 64
    assert (
        " 80 images of 20 originals in 4 classes, 64 for training, 8 for" in found.note
    )
    alone = load_folder(tmp_path)
    assert set.intersection(*find_parts(alone, stem)[::2])  # without it, they do not


def test_group_sees_the_path_within_the_folder(tmp_path):
    write_letters(tmp_path)
    seen = []
    load_folder(tmp_path, group=lambda path: seen.append(path) or path.stem)
    assert sorted(path.as_posix() for path in seen) == sorted(
        f"{letter}/font{i}.png" for letter in "abc" for i in range(10)
    )


def test_seed_and_fractions_decide_the_split(tmp_path):
    write_letters(tmp_path)
    first = load_folder(tmp_path)
    assert load_folder(tmp_path).test_files == first.test_files
    others = {load_folder(tmp_path, seed=seed).test_files for seed in range(5)}
    assert len(others) > 2
    uneven = load_folder(tmp_path, fractions=(0.5, 0.3, 0.2))
    assert [len(part) for part in find_parts(uneven, str)] == [15, 9, 6]
    little = load_folder(tmp_path, fractions=(0.98, 0.01, 0.01))
    assert [len(part) for part in find_parts(little, str)] == [28, 1, 1]
    whole = load_folder(tmp_path, fractions=(1, 0, 0))
    assert [len(part) for part in find_parts(whole, str)] == [30, 0, 0]
    assert whole.test_images.shape == (0, 1, 28, 28)
    assert whole.test_labels.shape == (0,)
    assert whole.test_labels.dtype == torch.int64


def test_known_images_among_the_held_out_are_counted(tmp_path):
    for i in range(300):
        write(tmp_path / f"{i}.png", seed=i)
    assert "equal" not in load_folder(tmp_path).note
    found = load_folder(tmp_path)
    copied, kept = found.train_files[0], found.validation_files + found.test_files
    for file in kept[:7]:
        (tmp_path / file).write_bytes((tmp_path / copied).read_bytes())
    assert load_folder(tmp_path).note.endswith(
        " 7 images for validation or testing equal one for training: if these are "
        "copies, remove them or name their original by `group`."
    )


def test_a_class_without_training_images_is_named(tmp_path):
    write_letters(tmp_path, n_fonts=3)
    note = load_folder(tmp_path, group=lambda path: path.parts[0]).note
    assert note.count("No image for training in ") == 1
    assert note.endswith(": add some, or try another seed.")
    held_out = note.split("No image for training in ")[1].split(":")[0].split(", ")
    assert len(held_out) == 2
    assert set(held_out) < set("abc")


# ── kinds of images ─────────────────────────────────────────────────────────────────


def read(path, size=SIZE, mode="L", **settings):
    return read_image(path, size, mode, **settings).pixels


GREYS = np.linspace(0, 1, 28 * 28).reshape(28, 28)


def test_grey_comes_of_colour_and_colour_of_grey(tmp_path):
    colour = noise(28, 28, 3)
    path = write(tmp_path / "colour.png", colour)
    assert_close(read(path, mode="RGB"), vision.to_tensor(colour), rtol=0, atol=0)
    luma = colour @ np.array([0.299, 0.587, 0.114]) / 255  # ITU-R 601
    assert_close(read(path)[0].double(), torch.from_numpy(luma), rtol=0, atol=0.003)
    path = write(tmp_path / "grey.png")
    assert torch.equal(read(path, mode="RGB"), read(path).expand(3, -1, -1))


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("file", ["deep.png", "deep.tiff", "deep.pgm"])
def test_greys_of_16_bits_are_scaled_and_not_clipped(tmp_path, file, mode):
    deep = np.round(GREYS * 65535).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / file)
    expected = torch.from_numpy(deep / 65535).float().expand(len(mode), -1, -1)
    assert_close(read(tmp_path / file, mode=mode), expected, rtol=0, atol=1e-7)


def test_what_was_divided_is_told(tmp_path):
    for i in range(4):
        write(tmp_path / f"{i}.png", np.full(SIZE, 1000 * i + 1, np.uint16))
    write(tmp_path / "4.png")
    note = load_folder(tmp_path).note
    assert "[0, 1]. 4 have greys of 16 bits: divided by 65,535. So few" in note


def test_big_endian_greys_of_16_bits(tmp_path):
    deep = np.round(GREYS * 65535).astype(">u2")
    image = Image.frombytes("I;16B", SIZE, deep.tobytes())
    image.save(tmp_path / "big.tiff")
    assert_close(read(tmp_path / "big.tiff")[0], torch.from_numpy(GREYS).float())


def test_floats_must_lie_between_0_and_1(tmp_path):
    path = tmp_path / "floats.tiff"
    Image.fromarray(GREYS.astype(np.float32)).save(path)
    assert_close(read(path)[0], torch.from_numpy(GREYS).float())
    for greys, ends in (
        (GREYS * 300, "0 to 300"),
        (GREYS - 0.5, "-0.5 to 0.5"),
        (GREYS * np.nan, "nan to nan"),
    ):
        Image.fromarray(greys.astype(np.float32)).save(path)
        with pytest.raises(
            UnreadableImageError, match=f"from {ends} and must lie .* 1:"
        ):
            read(path)
    Image.fromarray((GREYS * 1e6).astype(np.int32)).save(path)
    with pytest.raises(
        UnreadableImageError, match=r"0 to 1e\+06 .*between 0 and 65535:"
    ):
        read(path)


def test_bits_are_black_and_white(tmp_path):
    bits = GREYS > 0.4
    Image.fromarray(bits).save(tmp_path / "bits.png")
    with Image.open(tmp_path / "bits.png") as image:
        assert image.mode == "1"
    assert torch.equal(read(tmp_path / "bits.png")[0], torch.from_numpy(bits).float())


@pytest.mark.parametrize("kind", ["RGBA", "LA", "PA", "P", "RGB", "L"])
def test_transparent_pixels_show_the_background(tmp_path, kind):
    """Left half black and opaque, right half transparent."""
    path = tmp_path / "half.png"
    image = Image.new("RGBA", SIZE, (0, 0, 0, 255))
    image.paste((0, 0, 0, 0), (14, 0, 28, 28))
    if kind in ("RGBA", "LA"):
        image.convert(kind).save(path)
    elif kind == "PA":
        path = tmp_path / "half.tiff"
        image.convert("LA").save(path)
    elif kind == "P":
        palette = Image.new("P", SIZE, 0)
        palette.putpalette([0, 0, 0, 9, 9, 9])
        palette.paste(1, (14, 0, 28, 28))
        palette.save(path, transparency=1)
    else:
        key = 9 if kind == "L" else (9, 9, 9)
        plain = Image.new(kind, SIZE, 0)
        plain.paste(key, (14, 0, 28, 28))
        plain.save(path, transparency=key)
    for background, right in (("white", 1.0), ("black", 0.0), ("#ff0000", 76 / 255)):
        found = read_image(path, background=background)
        assert_close(found.pixels[0, :, 14:], torch.full((28, 14), right))
        assert found.pixels[0, :, :14].max() == 0
        assert found.was_transparent is True
    red = read(path, mode="RGB", background="red")[:, 0, -1]
    assert red.tolist() == [1, 0, 0]


def test_what_was_transparent_is_told(tmp_path):
    for i in range(4):
        write(tmp_path / f"{i}.png", noise(28, 28, 4, seed=i))
    write(tmp_path / "4.png")
    note = load_folder(tmp_path, background="black").note
    assert "[0, 1]. 4 were transparent: laid on black. So few" in note


def test_half_transparent_is_half_the_background_and_opaque_is_none(tmp_path):
    Image.new("RGBA", SIZE, (0, 0, 0, 128)).save(tmp_path / "half.png")
    assert_close(read(tmp_path / "half.png"), torch.full((1, *SIZE), 127 / 255))
    Image.new("RGBA", SIZE, (9, 9, 9, 255)).save(tmp_path / "none.png")
    found = read_image(tmp_path / "none.png")
    assert found.was_transparent is False
    assert_close(found.pixels, torch.full((1, *SIZE), 9 / 255))


def test_palettes_and_inks_become_their_colours(tmp_path):
    colours = Image.fromarray(noise(28, 28, 3) // 64 * 64)
    colours.convert("P", palette=Image.Palette.ADAPTIVE).save(tmp_path / "p.gif")
    expected = vision.to_tensor(colours)
    assert_close(read(tmp_path / "p.gif", mode="RGB"), expected, rtol=0, atol=0.01)
    colours.convert("CMYK").save(tmp_path / "inks.tiff")
    assert_close(read(tmp_path / "inks.tiff", mode="RGB"), expected, rtol=0, atol=0.01)


def test_photographs_stand_upright_and_animations_stand_still(tmp_path):
    left_half = Image.new("L", SIZE, 0)
    left_half.paste(255, (0, 0, 14, 28))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90° clockwise: the left side then is on top
    left_half.save(tmp_path / "turned.jpg", exif=exif, quality=100)
    found = read(tmp_path / "turned.jpg")[0]
    assert found[:12].min() > 0.95
    assert found[16:].max() < 0.05
    frames = [Image.new("L", SIZE, grey) for grey in (0, 100, 200)]
    frames[1].save(tmp_path / "a.gif", save_all=True, append_images=frames)
    assert_close(read(tmp_path / "a.gif"), torch.full((1, *SIZE), 100 / 255))


# ── sizes ───────────────────────────────────────────────────────────────────────────


def test_height_comes_first(tmp_path):
    path = write(tmp_path / "1.png", noise(20, 30))
    found = read_image(path, (20, 30))
    assert found.pixels.shape == (1, 20, 30)
    assert found[1:] == (False,) * 4
    assert torch.equal(
        found.pixels[0], torch.from_numpy(noise(20, 30) / np.float32(255))
    )


def test_one_pixel_is_a_size(tmp_path):
    write_letters(tmp_path)
    assert load_folder(tmp_path, size=(1, 2)).train_images.shape == (24, 1, 1, 2)


def test_an_image_keeps_its_aspect_and_its_middle(tmp_path):
    wide = np.zeros((10, 30), np.uint8)
    wide[:, 10:20] = np.arange(10, 20) * 10
    for pixels in (wide, wide.T):
        path = write(tmp_path / "1.png", np.ascontiguousarray(pixels))
        found = read_image(path, (10, 10))
        middle = wide[:, 10:20] if pixels is wide else wide[:, 10:20].T
        assert_close(found.pixels[0], torch.from_numpy(middle / np.float32(255)))
        assert found[1:] == (True, True, False, False)


@pytest.mark.parametrize("shape", [(56, 56), (280, 280), (7, 7)])
def test_scaling_keeps_the_mean_and_the_limits(tmp_path, shape):
    path = write(tmp_path / "1.png", 255 * (noise(*shape) > 127).astype(np.uint8))
    found = read_image(path)
    with Image.open(path) as image:
        assert found.pixels.mean() == pytest.approx(np.mean(image) / 255, abs=0.01)
    assert 0 <= found.pixels.min() < found.pixels.max() <= 1
    assert found[1:] == (True, False, False, False)
    referee = vision.resize(
        torch.from_numpy(np.array(Image.open(path)))[None] / 255, SIZE, antialias=True
    )
    assert_close(found.pixels, referee, rtol=0, atol=0.004)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("side", [(1200, 1600), (1600, 1200), (57, 900)])
def test_a_large_jpeg_is_read_coarsely_and_looks_the_same(tmp_path, side, turned):
    height, width = side
    wave = np.sin(np.linspace(0, 9, width)) * np.cos(np.linspace(0, 5, height))[:, None]
    image = Image.fromarray(np.uint8(127 + 120 * wave))
    exif = Image.Exif()
    exif[0x0112] = 6 if turned else 1
    image.save(tmp_path / "1.jpg", quality=95, exif=exif)
    (image.rotate(-90, expand=True) if turned else image).save(tmp_path / "1.png")
    size = (32, 24)
    coarse, fine = (read_image(tmp_path / name, size) for name in ("1.jpg", "1.png"))
    assert_close(coarse.pixels, fine.pixels, rtol=0, atol=0.03)
    assert coarse[1:] == fine[1:]


def test_one_pixel_more_or_less_is_not_called_cut(tmp_path):
    for shape, cut in (((28, 29), False), ((28, 30), True), ((29, 28), False)):
        path = write(tmp_path / "1.png", noise(*shape))
        assert read_image(path).was_cropped is cut


def test_mixed_sizes_are_told(tmp_path):
    for i, shape in enumerate([(28, 28), (56, 56), (40, 60), (100, 30), (10, 10)]):
        write(tmp_path / f"{i}.png", noise(*shape, seed=i))
    note = load_folder(tmp_path).note
    assert "[0, 1]. 4 were resized; 2 of another shape lost two edges. So few" in note


# ── what is bad ─────────────────────────────────────────────────────────────────────


def write_chunk(kind, content):
    body = kind + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def write_gigantic(path, width, height):
    """The head of a PNG, and nothing behind it."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = write_chunk(b"IHDR", head) + write_chunk(b"IDAT", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)


def test_what_cannot_be_read_is_skipped_and_named(tmp_path):
    for i in range(10):
        write(tmp_path / f"good{i}.png", seed=i)
    for kind in ("png", "jpg", "gif", "bmp", "tiff", "webp"):
        whole = write(tmp_path / f"cut.{kind}", noise(90, 90)).read_bytes()
        (tmp_path / f"cut.{kind}").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "empty.png").touch()
    write_gigantic(tmp_path / "giant.png", 20_000, 5_000)
    write_gigantic(tmp_path / "titan.png", 20_000, 50_000)
    found = load_folder(tmp_path)
    assert set(collect(found)) == {f"good{i}.png" for i in range(10)}
    large = "it has more than 89 million pixels: make it smaller first"
    assert found.skipped["giant.png"] == found.skipped["titan.png"] == large
    none = "Pillow finds no image in it"
    assert found.skipped["notes.txt"] == found.skipped["empty.png"] == none
    for kind in ("png", "jpg", "gif", "bmp", "tiff", "webp"):
        why = found.skipped[f"cut.{kind}"]
        assert why == none or (
            why.startswith("it cannot be read (")
            and why.endswith("): fetch it anew, or save it again as PNG")
        )
    assert len(found.skipped) == 10
    assert " Skipped: 10 (see `skipped`), as cut.bmp: it cannot be read (" in found.note


def test_no_bytes_bring_it_down(tmp_path):
    """Three hundred files, each with some bytes changed."""
    rng = np.random.default_rng(0)
    whole = {
        kind: write(tmp_path / f"1.{kind}", noise(9, 9)).read_bytes()
        for kind in ("png", "jpg", "gif", "bmp", "tiff")
    }
    n_read = 0
    for i in range(300):
        kind = [*whole][i % 5]
        content = np.frombuffer(whole[kind], np.uint8).copy()
        content[rng.integers(len(content), size=6)] = rng.integers(256, size=6)
        path = tmp_path / f"broken.{kind}"
        path.write_bytes(content.tobytes())
        try:
            found = read_image(path)
        except UnreadableImageError:
            continue
        n_read += 1
        assert found.pixels.shape == (1, 28, 28)
        assert 0 <= found.pixels.min() <= found.pixels.max() <= 1
    assert 30 < n_read < 270


def test_images_beside_the_classes_are_skipped(tmp_path):
    write_letters(tmp_path)
    write(tmp_path / "title.png")
    found = load_folder(tmp_path)
    why = "it lies beside the classes: move it into a sub-folder"
    assert found.skipped == {"title.png": why}
    assert len(collect(found)) == 30
    assert found.class_names == ("a", "b", "c")


def test_a_sub_folder_without_images_is_no_class(tmp_path):
    for i in range(4):
        write(tmp_path / f"{i}.png", seed=i)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "1.txt").write_text("no image")
    found = load_folder(tmp_path)
    assert found.class_names == (tmp_path.name,)
    assert found.skipped == {"notes/1.txt": "Pillow finds no image in it"}


def test_three_images_will_do_and_it_says_what_for(tmp_path):
    for i in range(3):
        write(tmp_path / f"{i}.png", seed=i)
    found = load_folder(tmp_path)
    assert [len(part) for part in find_parts(found, str)] == [1, 1, 1]
    assert found.note.endswith(
        "[0, 1]. So few images are enough to try the cells, not to judge a model: "
        "with 200 or more, numbers begin to mean something."
    )
    for i in range(200):
        write(tmp_path / f"{i}.png", seed=i)
        if i == 198:
            assert "So few images" in load_folder(tmp_path).note
    assert "So few images" not in load_folder(tmp_path).note


def test_two_images_are_too_few_and_one_original_too(tmp_path):
    for i in range(2):
        write(tmp_path / f"{i}.png", seed=i)
    end = (
        " to keep some for validation and testing: add images, look at what `group` "
        "makes of their paths, or say fractions=(1, 0, 0) to train on all"
    )
    with pytest.raises(ValueError) as error:  # noqa: PT011
        load_folder(tmp_path)
    assert str(error.value) == "the images are too few (2)" + end
    write_letters(tmp_path / "letters")
    with pytest.raises(ValueError) as error:  # noqa: PT011
        load_folder(tmp_path / "letters", group=lambda path: 0)
    few = "the 30 images are copies of too few originals (1)"
    assert str(error.value) == few + end
    assert len(load_folder(tmp_path / "letters", fractions=(1, 0, 0)).train_files) == 30
    halves = load_folder(tmp_path, fractions=(0.5, 0, 0.5))
    assert [len(part) for part in find_parts(halves, str)] == [15, 0, 15]


def test_a_folder_with_nothing_in_it(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r'^no folder is named: say load_folder\("my/'):
        load_folder()
    monkeypatch.chdir(tmp_path)
    missing = (
        r"^there is no folder 'lettres': check the spelling; a relative path starts"
    )
    with pytest.raises(FileNotFoundError, match=missing):
        load_folder("lettres")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / ".DS_Store").touch()
    with pytest.raises(ValueError, match=r"^the folder 'own' is empty: put image"):
        load_folder("own")
    (tmp_path / "own" / "notes.txt").touch()
    nothing = (
        r"^the folder 'own' holds no image that can be used\. Of 'notes\.txt': Pillow "
        r"finds no image in it\. Name a folder of image files, PNG or JPEG"
    )
    with pytest.raises(ValueError, match=nothing):
        load_folder("own")
    (tmp_path / "own.zip").touch()
    with pytest.raises(ValueError, match=r"'own.zip' is a file: name the folder that"):
        load_folder("own.zip")


def test_more_than_memory_holds_is_refused_before_it_is_read(tmp_path, monkeypatch):
    write_letters(tmp_path)
    monkeypatch.setattr(folders, "_MOST_BYTES", 4 * 30 * 3 * 28 * 30)
    load_folder(tmp_path, size=(28, 30), mode="RGB")
    monkeypatch.setattr(folders, "_read_all", None)
    advice = r"^30 images of this size take 0\.0 GB: choose .* a DataLoader"
    with pytest.raises(ValueError, match=advice):
        load_folder(tmp_path, size=(29, 30), mode="RGB")
    with pytest.raises(ValueError, match=r"take 1000.0 GB"):
        folders._refuse_too_many(250_000, (1000, 1000), "L")


@pytest.mark.parametrize(
    ("settings", "advice"),
    [
        ({"size": 28}, r"size is 28: say \(height, width\)"),
        ({"size": (28, 28, 3)}, r"size is \(28, 28, 3\): say"),
        ({"size": (0, 28)}, r"size is \(0, 28\): say"),
        ({"mode": "rgb"}, "mode is 'rgb': say 'L' for grey or 'RGB'"),
        ({"fractions": (0.8, 0.2)}, r"fractions is \(0.8, 0.2\): say three"),
        ({"fractions": (0.8, 0.3, 0.1)}, "that add up to 1"),
        ({"fractions": (1.1, -0.1, 0)}, "that add up to 1"),
        ({"fractions": (0, 0.5, 0.5)}, "that add up to 1"),
        ({"background": "wihte"}, "background is 'wihte': say a colour, such as"),
    ],
)
def test_wrong_arguments_are_refused(tmp_path, settings, advice):
    write_letters(tmp_path)
    with pytest.raises(ValueError, match=advice):
        load_folder(tmp_path, **settings)


def test_a_thousand_small_files_take_less_than_a_second(tmp_path):
    for i in range(1000):
        write(tmp_path / f"{i}.png", seed=i)
    started = time.process_time()
    load_folder(tmp_path)
    assert time.process_time() - started < 2  # 0.2 where it was measured
