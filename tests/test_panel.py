"""The panel that `fit` shows, judged by the pixels and the words that it displays."""

import base64
import io

from vae_helpers import panel
from vae_helpers.panel import TrainingPanel

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage


@pytest.fixture
def displayed(monkeypatch):
    """The (data, metadata) of all that is displayed, as a kernel would send it."""
    shown = []

    class Handle:
        def update(self, data, *, metadata, raw):
            assert raw
            shown.append((data, metadata))

    def display(data, *, metadata, raw, display_id=False):
        Handle().update(data, metadata=metadata, raw=raw)
        return Handle()

    monkeypatch.setattr(panel, "display", display)
    monkeypatch.setattr(panel, "get_ipython", object)
    return shown


def dark_squares(png):
    """The centres (y, x) of the black squares in a picture, from left to right."""
    dark = np.asarray(Image.open(io.BytesIO(base64.b64decode(png))).convert("L")) < 40
    squares = ndimage.binary_opening(dark, np.ones((9, 9)))  # no text and no lines
    areas, count = ndimage.label(squares)
    centres = ndimage.center_of_mass(squares, areas, range(1, count + 1))
    return sorted(centres, key=lambda centre: centre[1])


def images_of(*levels):
    """One even image per level, (n, 1, 28, 28)."""
    return torch.tensor(levels).view(-1, 1, 1, 1).expand(-1, 1, 28, 28).float()


def test_the_panel_shows_originals_above_reconstructions(displayed):
    for original, reconstruction in [(1, 0), (0, 1)]:
        shown = TrainingPanel("demo", 3, images_of(original))
        shown.close([3.0, 2.0, 1.0], images_of(reconstruction))
    (upper,), (lower,) = (dark_squares(data["image/png"]) for data, _ in displayed)
    assert upper[0] < lower[0] - 20
    assert upper[1] == pytest.approx(lower[1], abs=2)


def test_the_panel_says_what_it_shows_in_alternative_text(displayed):
    shown = TrainingPanel("demo", 4)
    shown.redraw([3.0, 2.0])
    shown.close([3.0, 2.0, 1.5, 1.0])
    during, after = (metadata["image/png"]["alt"] for _, metadata in displayed)
    for state in ("demo", "step 2 of 4", "s left", "loss 2.5"):
        assert state in during
    for state in ("demo", "step 4 of 4", "done"):
        assert state in after
    assert " left" not in after


def test_the_panel_leaves_no_figure_open_and_no_style_behind(displayed):
    before = dict(plt.rcParams)
    TrainingPanel("demo", 2).close([2.0, 1.0])
    assert plt.get_fignums() == []
    assert dict(plt.rcParams) == before


def test_outside_jupyter_the_panel_is_silent(capfd):
    shown = TrainingPanel("demo", 2, images_of(1))
    shown.redraw([1.0], images_of(1))
    shown.close([1.0, 2.0], images_of(1))
    assert capfd.readouterr() == ("", "")
    assert plt.get_fignums() == []
