"""Sphinx's settings for the site; `scripts/build_site.py` calls Sphinx with them."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import build_site

project = "Variational autoencoders, hands on"
language = "en"
extensions = ["myst_nb"]
suppress_warnings: list[str] = []

nb_execution_mode = "off"  # the outputs are those of the saved notebooks
nb_mime_priority_overrides = [("html", "text/html", 1)]
nb_merge_streams = True
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

mathjax_path = "mathjax/tex-chtml.js"  # else Sphinx takes it from the network
html_static_path = [
    str(Path(__file__).parent / "static"),
    str(build_site.BUILD / "static"),
]
html_css_files = ["course.css"]
html_js_files = ["course.js"]
html_theme = "sphinx_book_theme"
html_title = project
html_copy_source = False
html_show_sourcelink = False
html_use_index = False
html_theme_options = {
    "use_download_button": False,  # it would offer the page's source, not the notebook
    "show_navbar_depth": 1,
    "toc_title": "On this page",
    "footer_content_items": [],
    "logo": {"text": "VAEs, hands on"},
    "home_page_in_toc": False,
}
