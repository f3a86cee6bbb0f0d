"""What both explorers share: their traits, their still picture, pages of their own."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from vae_helpers.explorers.page import SCRIPT, STYLE, write_page
from vae_helpers.plots import to_numpy, to_png
from vae_helpers.stills import HIDE_STILL, display_with_still

import anywidget
import numpy as np
import traitlets
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

Limits = Sequence[Sequence[float]]  # (lowest, highest) of each number
ANYWHERE = (-math.inf, math.inf)


class Numbers(traitlets.TraitType):
    """A trait of finite numbers, kept as a list; takes lists, arrays and tensors.

    limits: explorer → (lowest, highest) of each number, which also says how many.
    """

    def __init__(self, limits: Callable[[Any], Limits]) -> None:
        super().__init__(default_value=[])
        self._limits = limits

    def validate(
        self, owner: traitlets.HasTraits | None, value: ArrayLike
    ) -> list[float]:
        """The value as a list, or a `TraitError` that says what is wrong."""
        low, high = np.transpose(self._limits(owner))
        try:
            numbers = np.asarray(to_numpy(value), dtype=float)
        except (TypeError, ValueError):
            numbers = np.empty(())
        if numbers.shape != low.shape:
            raise traitlets.TraitError(
                f"{self.name} is {value!r}: it must be {len(low)} numbers"
            )
        if not np.isfinite(numbers).all():
            raise traitlets.TraitError(f"{self.name} is {value!r}: not finite")
        if ((numbers < low) | (numbers > high)).any():
            raise traitlets.TraitError(
                f"{self.name} is {value!r}: the grid holds {low.round(4)} to "
                f"{high.round(4)}"
            )
        return [float(number) for number in numbers]


class Explorer(anywidget.AnyWidget):
    """What both explorers share: the module, the page of their own, the still picture.

    A subclass has `limits` (its synced traits → (lowest, highest) of each number),
    `image`, `_alt`, `_hint` (what to do, in one line) and `_draw_still()`.
    """

    _esm = f"{SCRIPT}\nexport default {{ render }};\n"
    _css = STYLE + HIDE_STILL
    _setup = traitlets.Dict().tag(sync=True)
    _alt: str
    _hint: str
    limits: dict[str, Limits]

    @property
    def image(self) -> np.ndarray:
        """What is decoded at present, by PyTorch: (H, W) or, in colour, (H, W, 3)."""
        raise NotImplementedError

    def to_html(self, path: str | Path) -> Path:
        """Write the explorer as one page that needs no network and no kernel.

        It opens from the disk (file://), in its present state, fills the window and
        says in one line what to do; without JavaScript it shows the still picture.
        Returns the path.
        """
        state = {name: getattr(self, name) for name in self.limits}
        write_page(
            path,
            {**state, "_setup": self._setup},
            title=self._setup["title"] or type(self).__name__,
            alt=self._alt,
            hint=self._hint,
            still=self.png,
        )
        return Path(path)

    @property
    def png(self) -> bytes:
        """The still picture of the present state."""
        return to_png(self._draw_still())

    def _draw_still(self) -> Figure:
        raise NotImplementedError

    def _ipython_display_(self, **kwargs: object) -> None:
        """The living widget, beside a still picture for where it does not live."""
        display_with_still(super()._repr_mimebundle_(), self.png, self._alt)

    def __repr__(self) -> str:
        values = (
            f"{name}=[{', '.join(f'{value:.4g}' for value in getattr(self, name))}]"
            for name in self.limits
        )
        return f"{type(self).__name__}({', '.join(values)})"
