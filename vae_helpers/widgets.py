"""Slider demos: one way to build them, fast enough to follow the hand."""

import contextlib
import html
import math
import re
import struct
import unicodedata
import zlib
from collections.abc import Callable, Iterable

from vae_helpers.plots import ignore_missing_glyphs
from vae_helpers.stills import HIDE_STILL, display_with_still

import anywidget
import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
import traitlets
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

_SMALL = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def slider_demo(
    fig: Figure,
    update: Callable[..., Iterable[Artist]],
    *,
    alt: str,
    **ranges: tuple[float, float, float],
) -> "SliderDemo":
    """A figure whose artists follow sliders; leave it as the last line of a cell.

    update: called as `update(name=value, …)`; it changes artists that are already in
        `fig` (`line.set_data`, `image.set_data`, `text.set_text`) and returns all of
        them, always the same ones. The rest of the figure is drawn once, beneath them.
    alt: what the picture shows, for readers who cannot see it.
    ranges: a slider for each argument of `update`: `name=(lowest, highest, start)`;
        with three integers the slider moves in whole numbers.

    The saved notebook keeps a static picture. An exception in `update` is shown under
    the picture, and the next move tries again.
    """
    return SliderDemo(fig, update, alt, ranges)


class SliderDemo(ipywidgets.VBox):
    """Sliders above a picture that follows them. Make one with `slider_demo`.

    `sliders["name"].value` reads and sets a slider; `png` is the picture now shown and
    `error` what went wrong at the last move, else empty.

    A move is answered before the next one is read, and while the kernel is busy the
    browser keeps only the latest value, so the picture never runs behind the hand.
    """

    def __init__(self, fig: Figure, update: Callable, alt: str, ranges: dict) -> None:
        plt.close(fig)  # first, so that none stays open if what follows fails
        self._fig, self._update, self._alt = fig, update, alt
        self.sliders = {name: _slider(name, *ends) for name, ends in ranges.items()}
        self._artists = self._call_update()
        self._canvas, self._background = _draw_background(fig, self._artists)
        width, height = self._canvas.get_width_height()
        # With both sizes known nothing jumps; narrow cells shrink it in proportion. A
        # margin would be wider than the cell, and a scroll bar would come.
        self._view = ipywidgets.Image(
            format="png", width=width, height=height, layout={"margin": "0"}
        )
        self._message = ipywidgets.HTML()
        spoken = _Spoken(
            alt=alt, names=list(ranges), said=[_say(name) for name in ranges]
        )
        self._draw()
        for slider in self.sliders.values():
            slider.observe(self._follow, names="value")
        super().__init__([*self.sliders.values(), self._view, spoken, self._message])
        self.add_class("vae-sliders")

    @property
    def png(self) -> bytes:
        """The picture now shown."""
        return self._view.value

    @property
    def error(self) -> str:
        """What went wrong at the last move, as HTML; empty if nothing did."""
        return self._message.value

    def _follow(self, _change: object) -> None:
        try:
            self._call_update()
            self._draw()
            self._message.value = ""
        except Exception as error:  # Jupyter would hide it, and the reader must see it
            text = html.escape(f"{type(error).__name__}: {error}")
            self._message.value = f"<b style='color: #b00020'>{text}</b>"

    def _call_update(self) -> list[Artist]:
        values = {name: slider.value for name, slider in self.sliders.items()}
        artists = self._update(**values)
        if not isinstance(artists, Iterable):
            raise TypeError("update must return the artists that it changes, as a list")
        return list(artists)

    @ignore_missing_glyphs()
    def _draw(self) -> None:
        """Put the moving artists on the stored background and show the result."""
        self._canvas.restore_region(self._background)
        for artist in sorted(self._artists, key=Artist.get_zorder):
            self._fig.draw_artist(artist)
        self._view.value = _encode_png(np.asarray(self._canvas.buffer_rgba()))

    def _ipython_display_(self, **kwargs: object) -> None:
        """The living widget, beside a still picture for where it does not live."""
        live = super()._repr_mimebundle_()
        display_with_still(live, bytes(self.png), self._alt)


class _Spoken(anywidget.AnyWidget):
    """What screen readers hear: the picture's text, and each slider's name and value.

    noUiSlider, which ipywidgets moves, names no handle and says "4.00" of any value.
    """

    _css = f"""
    {HIDE_STILL}
    .vae-sliders .widget-label {{ flex: 0 1 auto; }}
    .vae-sliders .slider-container {{ min-width: 80px; }}
    """
    _esm = """
    function render({ model, el }) {
      el.classList.add("spoken", "vae-live");
      el.textContent = model.get("alt");
      el.style = "position: absolute; left: -9999px";
      const [names, said] = [model.get("names"), model.get("said")];
      const sayValue = (handle, name) => {
        const value = Number(handle.getAttribute("aria-valuetext"));
        if (Number.isNaN(value)) return; // it is a sentence already
        const text = `${name} ${value}`.replace("-", "−");
        handle.setAttribute("aria-valuetext", text);
      };
      const nameHandles = () => {
        const handles = el.closest(".widget-vbox")?.querySelectorAll(".noUi-handle");
        if (handles?.length !== names.length) return; // not all of them are there yet
        clearInterval(timer);
        handles.forEach((handle, i) => {
          handle.setAttribute("aria-label", names[i]);
          sayValue(handle, said[i]);
          new MutationObserver(() => sayValue(handle, said[i])).observe(
            handle, { attributeFilter: ["aria-valuetext"] });
        });
      };
      const timer = setInterval(nameHandles, 50);
      return () => clearInterval(timer);
    }
    export default { render };
    """
    alt = traitlets.Unicode().tag(sync=True)
    names: traitlets.List = traitlets.List().tag(sync=True)
    said: traitlets.List = traitlets.List().tag(sync=True)


def _say(name: str) -> str:
    """A slider's name as people say it: `beta` is β, `mu_1` is μ₁, `sd` stays."""
    letters, digits = re.fullmatch(r"(.*?)_?(\d*)", name).groups()  # type: ignore[union-attr]
    with contextlib.suppress(KeyError):
        letters = unicodedata.lookup(f"GREEK SMALL LETTER {letters}")
    return letters.replace("_", " ") + digits.translate(_SMALL)


def _slider(
    name: str, low: float, high: float, start: float
) -> ipywidgets.IntSlider | ipywidgets.FloatSlider:
    whole = all(isinstance(value, int) for value in (low, high, start))
    kind = ipywidgets.IntSlider if whole else ipywidgets.FloatSlider
    low, high, start = (
        value if whole else float(value) for value in (low, high, start)
    )
    # The largest of …, 0.01, 0.1, 1, … that gives a hundred steps or more.
    step = 1 if whole else 10 ** math.floor(math.log10((high - low) / 100))
    look = {
        "layout": {
            "width": f"{max(480, 320 + 7 * len(name))}px",  # a track of 240 px or more
            "max_width": "calc(100% - 4px)",
        },
        "style": {"description_width": "initial"},
    }
    return kind(start, min=low, max=high, step=step, description=name, **look)


def _encode_png(pixels: np.ndarray) -> bytes:
    """Pixels (H, W, 4) as PNG without filters, in less than half the time of Pillow,
    which tries five filters for each row; figures, mostly white, need none.
    """
    height, width, _ = pixels.shape
    rows = np.zeros((height, 1 + 4 * width), np.uint8)  # each begins with its filter, 0
    rows[:, 1:] = pixels.reshape(height, -1)
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0),  # 8 bits, RGBA
        b"IDAT": zlib.compress(rows.data, level=1),
        b"IEND": b"",
    }
    packed = (
        _pack(len(data)) + name + data + _pack(zlib.crc32(name + data))
        for name, data in chunks.items()
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def _pack(number: int) -> bytes:
    return struct.pack(">I", number)


@ignore_missing_glyphs()
def _draw_background(
    fig: Figure, moving: list[Artist]
) -> tuple[FigureCanvasAgg, object]:
    """A canvas for `fig` and its pixels without the artists that move."""
    canvas = FigureCanvasAgg(fig)
    canvas.draw()  # once with everything in place, so that the layout has room for it
    fig.set_layout_engine("none")
    for artist in moving:
        artist.set_animated(True)  # left out of the background
    canvas.draw()
    return canvas, canvas.copy_from_bbox(fig.bbox)
