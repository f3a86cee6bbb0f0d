"""Record the README's moving picture: both explorers of notebook 06, in Chromium.

    .venv/bin/python scripts/record_explorers.py

Needs MNIST in `data/`, or where `VAE_DATA_DIR` says, and `pip install -e '.[browser]'`
with Chromium. Writes `notebooks/pictures/explorers.webp`, and its still
`explorers.png` for readers who ask for less motion.
"""

import io
import itertools
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from vae_helpers.data import load_images
from vae_helpers.explorers import LatentExplorer, PosteriorExplorer
from vae_helpers.pretrained import load_pretrained

import numpy as np
import torch
from PIL import Image
from playwright.sync_api import Locator, Page, sync_playwright

FOLDER = Path(__file__).resolve().parent.parent / "notebooks" / "pictures"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
SIZE = {"width": 840, "height": 520}
# Places on the map, each among the codes of one class or between two.
WALK = [(3.4, -0.6), (1.0, -0.4), (0.6, 1.2), (-0.5, 2.6), (-2.4, 0.3), (-0.5, -1.8)]
# q's centre, then its standard deviations: parts of each slider's way.
AWAY = [(0.15, 0.35, 0.6, 0.6), (0.5, 0.75, 0.4, 0.8), (0.7, 0.4, 0.75, 0.55)]
PAUSE, STEP = 1_500, 80  # milliseconds a frame is shown


def main() -> None:
    model = load_pretrained("vae-2d").eval()
    data = load_images("mnist")
    with torch.no_grad():
        codes, _ = model.encode(data.test_images)
    limits = (-4.5, 4.5)
    title = "One image for each point of the plane"
    plane = LatentExplorer(model, codes, data.test_labels, limits=limits, title=title)
    title = "log p(x) = ELBO + KL, wherever q is put"
    fit = PosteriorExplorer(model, data.test_images[100], title=title)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport=SIZE)
        frames = []
        for explorer, moves in [(plane, walk_on_the_map), (fit, fit_q)]:
            file = Path(folder) / "page.html"
            explorer.to_html(file)
            page.goto(file.as_uri())
            page.locator("canvas").first.wait_for()
            frames += [(photograph(page), pause) for pause in moves(page)]
        browser.close()
    save(frames)


def walk_on_the_map(page: Page) -> Iterator[int]:
    """Move the cross from place to place; after each move, how long to show it."""
    sliders = page.locator("input[type=range]").all()
    for start, end in zip(WALK, [*WALK[1:], WALK[0]], strict=True):
        set_values(sliders, start)
        yield 6 * STEP
        for t in eased(9):
            set_values(sliders, (1 - t) * np.array(start) + t * np.array(end))
            yield STEP


def fit_q(page: Page) -> Iterator[int]:
    """Move q away from the encoder's and back, then to the best Gaussian."""
    sliders = page.locator("input[type=range]").all()
    low, high = (
        np.array([float(slider.get_attribute(end)) for slider in sliders])
        for end in ("min", "max")
    )
    home = np.array([float(slider.input_value()) for slider in sliders])
    yield PAUSE
    stops = [home, *(low + np.array(part) * (high - low) for part in AWAY), home]
    for start, end in itertools.pairwise(stops):
        for t in eased(9):
            set_values(sliders, (1 - t) * start + t * end)
            yield STEP
        yield 3 * STEP
    page.get_by_role("button", name="best Gaussian").click()
    yield PAUSE


def eased(n: int) -> np.ndarray:
    """n steps from 0 to 1, without the 0, slow at both ends."""
    return (1 - np.cos(np.pi * np.arange(1, n + 1) / n)) / 2


def set_values(sliders: list[Locator], values: np.ndarray) -> None:
    for slider, value in zip(sliders, values, strict=True):
        slider.evaluate(
            "(slider, value) => { slider.value = value;"
            " slider.dispatchEvent(new Event('input', { bubbles: true })); }",
            float(value),
        )


def photograph(page: Page) -> Image.Image:
    page.evaluate("() => new Promise(requestAnimationFrame)")
    return Image.open(io.BytesIO(page.screenshot())).convert("RGB")


def save(frames: list[tuple[Image.Image, int]]) -> None:
    first, *others = (frame for frame, _ in frames)
    first.quantize(256).save(FOLDER / "explorers.png", optimize=True)
    movie = FOLDER / "explorers.webp"
    first.save(
        movie,
        save_all=True,
        append_images=others,
        duration=[pause for _, pause in frames],
        loop=0,
        quality=75,
        method=6,
    )
    print(f"{movie.name}: {len(frames)} frames, {movie.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
