"""A still picture beside each widget, for where the widget does not live.

A widget needs a kernel that knows it. A notebook that was saved and opened again has
none until its cells are run, and JupyterLab then shows "Error displaying widget: model
not found", whatever other forms the same output has. So a cell shows three outputs:
the picture, a line that says how to bring it to life, and the widget. While the widget
lives, it hides the other two.
"""

from vae_helpers.plots import picture

from IPython.display import display

WIDGET = "application/vnd.jupyter.widget-view+json"
# One output of a cell in JupyterLab and Notebook; in VS Code; in Colab (the last two
# by their class names, not tried).
_OUTPUT = ":is(.jp-OutputArea-child, .output_container, .output_subarea)"
# With this style, a widget of class `vae-live` hides the two outputs before its own.
HIDE_STILL = f"""
{_OUTPUT}:has(.vae-still):has(+ {_OUTPUT} .vae-live),
{_OUTPUT}:has(+ {_OUTPUT} + {_OUTPUT} .vae-live) {{ display: none; }}
"""
# An error is a text without elements; a live widget has some.
LINE = """\
<style>
.jp-OutputArea-child:has(.vae-still) + .jp-OutputArea-child
> .jupyter-widgets:not(:has(*)) { display: none; }
</style>
<div class="vae-still"><small>A still picture: run this cell to make it move.</small>
</div>"""


def display_with_still(
    live: tuple[dict, dict] | dict | None, png: bytes, alt: str
) -> None:
    """Display a widget's own bundle after a still picture of it.

    live: what the widget's `_repr_mimebundle_` returns: data, and metadata if any.
    """
    data, metadata = picture(png, alt)
    display(data, metadata=metadata, raw=True)
    display({"text/html": LINE, "text/plain": ""}, raw=True)
    data, metadata = live if isinstance(live, tuple) else (live or {}, {})
    display({**data, "text/plain": ""}, metadata=metadata, raw=True)
