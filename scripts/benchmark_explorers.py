"""How soon does the picture follow the hand? Milliseconds from pointer to drawing.

    .venv/bin/python scripts/benchmark_explorers.py

Opens both explorers as pages of their own in Chromium (`pip install -e '.[browser]'`)
and drags on each map; all canvases are read back, so that the drawing is on the clock.
The target on a quiet machine is a median of 5 ms, and 17 ms, one frame, at worst.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from vae_helpers.explorers import LatentExplorer, PosteriorExplorer
from vae_helpers.explorers.base import Explorer
from vae_helpers.models import VAE

import numpy as np
import torch
from playwright.sync_api import Browser, sync_playwright

MOVES = 200
DRAG = """async (moves) => {
    const map = document.querySelector('.vae-map');
    const {left, top} = map.getBoundingClientRect();
    const canvases = [...document.querySelectorAll('canvas')];
    const times = [];
    for (let k = 1; k <= moves; k++) {
        const event = new PointerEvent('pointermove', {
            pointerId: 1, bubbles: true,
            clientX: left + 219 + 150 * Math.sin(k / 20),
            clientY: top + 181 + 150 * Math.sin(k / 7)});
        const start = performance.now();
        map.dispatchEvent(event);
        for (const canvas of canvases) {
            canvas.getContext('2d').getImageData(5, 5, 1, 1);
        }
        times.push(performance.now() - start);
        await new Promise(requestAnimationFrame);
    }
    return times;
}"""


def main() -> None:
    """Print a line for each explorer."""
    torch.manual_seed(0)
    model = VAE(2)
    codes, labels = torch.randn(5000, 2), torch.arange(5000) % 10
    explorers: dict[str, Explorer] = {
        "latent": LatentExplorer(model, codes, labels),
        "posterior": PosteriorExplorer(model, torch.rand(1, 28, 28).round()),
    }
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("no Chromium found")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        for name, explorer in explorers.items():
            times = time_moves(browser, explorer)
            print(
                f"{name}: median {np.median(times):.1f} ms, worst {max(times):.1f} ms"
            )
        browser.close()


def time_moves(browser: Browser, explorer: Explorer) -> list[float]:
    """Milliseconds for each of the moves of one drag."""
    with tempfile.TemporaryDirectory() as folder:
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(explorer.to_html(Path(folder) / "page.html").as_uri())
        box = page.locator(".vae-map").bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + 219, box["y"] + 181)
        page.mouse.down()
        return page.evaluate(DRAG, MOVES)


if __name__ == "__main__":
    main()
