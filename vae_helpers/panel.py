"""The panel that `fit` shows while it trains."""

import time
from collections.abc import Sequence

from vae_helpers.plots import (
    CLASS_COLORS,
    STYLE,
    as_images,
    picture,
    running_mean,
    show_image,
    tile,
)

import matplotlib.pyplot as plt
import numpy as np
from IPython import get_ipython
from IPython.display import display
from matplotlib.image import AxesImage
from torch import Tensor


class TrainingPanel:
    """Steps, time left, loss curve and reconstructions, redrawn in place.

    Redrawing takes at most about a twentieth of the time. Outside Jupyter it is silent.
    """

    def __init__(self, title: str, steps: int, preview: Tensor | None = None) -> None:
        self.title, self.steps, self.preview = title, steps, preview
        self._started = self._drawn = time.perf_counter()
        self._pause = 0.3
        self._handle = None
        if get_ipython() is None:
            return
        with plt.rc_context(STYLE):
            self._fig, (self._curve_ax, self._image_ax) = plt.subplots(
                1, 2, figsize=(9.5, 2.6), width_ratios=[1, 1.25]
            )
        plt.close(self._fig)
        self._curve_ax.set(xlabel="step", ylabel="loss per image", xlim=(0, steps))
        (self._curve,) = self._curve_ax.plot([], [], color=CLASS_COLORS[0])
        self._image: AxesImage | None = None
        self._image_ax.set_axis_off()

    def is_due(self) -> bool:
        """Is it time to redraw?"""
        return time.perf_counter() - self._drawn > self._pause

    def redraw(
        self, losses: Sequence[float], reconstructions: Tensor | None = None
    ) -> None:
        """Show the state so far, with the time left."""
        began = time.perf_counter()
        done = max(len(losses), 1)
        left = (began - self._started) * (self.steps - done) / done
        self._draw(losses, reconstructions, f"{left:.0f} s left")
        self._drawn = time.perf_counter()
        self._pause = max(0.3, 20 * (self._drawn - began))

    def close(
        self, losses: Sequence[float], reconstructions: Tensor | None = None
    ) -> None:
        """Show the last state, which is the same on every run, so without seconds."""
        ended = "done" if len(losses) == self.steps else "stopped"
        self._draw(losses, reconstructions, ended)

    def _draw(
        self, losses: Sequence[float], reconstructions: Tensor | None, state: str
    ) -> None:
        if get_ipython() is None or not losses:
            return
        steps, means = running_mean(losses)
        skipped = len(means) // 50  # the fall at the very start would hide the rest
        self._curve.set_data(steps[skipped:], means[skipped:])
        self._curve_ax.relim()
        self._curve_ax.autoscale_view(scalex=False)
        loss = f"loss {means[-1]:.4g}"
        progress = f"step {len(losses):,} of {self.steps:,}"
        self._fig.suptitle(f"{self.title} · {progress} · {loss} · {state}")
        if self.preview is not None and reconstructions is not None:
            self._draw_images(self.preview, reconstructions)
        alt = f"Training panel of {self.title}: {progress}, {state}, {loss} per image."
        data, metadata = picture(self._fig, alt)
        if self._handle is None:
            self._handle = display(data, metadata=metadata, raw=True, display_id=True)
        else:
            self._handle.update(data, metadata=metadata, raw=True)

    def _draw_images(self, preview: Tensor, reconstructions: Tensor) -> None:
        both = np.concatenate([as_images(preview), as_images(reconstructions)])
        tiles = tile(both, n_columns=len(preview))
        if self._image is None:
            self._image = show_image(self._image_ax, tiles)
            self._image_ax.set_title("above: originals, below: reconstructions")
        self._image.set_data(tiles)
