"""The browser's half as one module, and a page that holds it and needs nothing else."""

import base64
import hashlib
import html
import json
from pathlib import Path

from vae_helpers.explorers.packing import to_base64

_HERE = Path(__file__).parent
_PARTS = ("parts.js", "plane.js", "latent.js", "posterior.js")
SCRIPT = "\n".join((_HERE / part).read_text("utf-8") for part in _PARTS)
STYLE = (_HERE / "explorer.css").read_text("utf-8")


def write_page(
    path: str | Path, state: dict, *, title: str, alt: str, hint: str, still: bytes
) -> None:
    """Write one page that holds the module, its state and the still picture (PNG).

    state: each synced trait of the explorer, by name. The page opens from the disk
    (file://); without JavaScript it shows the still. hint: what to do, in one line.
    """
    style, script = STYLE + _PAGE_STYLE, SCRIPT + _PAGE_SCRIPT
    page = _PAGE.format(
        title=html.escape(title),
        style=style,
        style_hash=_hash(style),
        script=script,
        script_hash=_hash(script),
        # Else "</script>" in a title would end the data.
        state=json.dumps({**state, "hint": hint}, default=to_base64).replace(
            "<", r"\u003c"
        ),
        alt=html.escape(alt),
        still=base64.b64encode(still).decode(),
    )
    Path(path).write_text(page, "utf-8", newline="\n")  # the hashes are those of "\n"


def _hash(text: str) -> str:
    """What a Content-Security-Policy calls this very text and no other."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


# A page of its own fills the window, by its width or, with its words, by its height.
_PAGE_STYLE = """
body { background: white; color: #1b1b1b; margin: 1.2vw; }
@media (max-width: 480px) { body { margin: 4px; } }
.vae-body, .vae-hint, .vae-title { font-size: clamp(14px, min(2cqw, 2.9vh), 48px); }
.vae-explorer:has(.vae-posterior) :is(.vae-body, .vae-hint, .vae-title) {
  font-size: clamp(14px, min(1.63cqw, 2.9vh), 48px);
}
.embedded :is(.vae-body, .vae-hint, .vae-title) {
  font-size: clamp(14px, 1.63cqw, 24px) !important;
}
.vae-hint { margin: 0 0 0.5em; }
"""
_PAGE_SCRIPT = """
const state = JSON.parse(document.getElementById("state").textContent);
const main = document.getElementById("explorer");
render({ model: pageModel(state), el: main });
const hint = add(main.firstChild, "p", "vae-hint");
hint.textContent = state.hint;
main.querySelector(".vae-body").before(hint);
// Within another page, such as the site's, its width alone decides its size, and it
// says how tall the frame must be.
const root = document.documentElement;
const tell = () => parent.postMessage({ vaeExplorerHeight: root.offsetHeight }, "*");
if (parent !== window) {
  root.classList.add("embedded");
  new ResizeObserver(tell).observe(root);
}
"""
# Nothing may be loaded and no other script may run.
_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; \
script-src {script_hash}; style-src {style_hash}; img-src data:">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
<main id="explorer"></main>
<noscript><img src="data:image/png;base64,{still}" alt="{alt}"></noscript>
<script type="application/json" id="state">{state}</script>
<script type="module">{script}</script>
</body>
</html>
"""
