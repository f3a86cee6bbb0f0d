"""Sphinx's settings for the site; `scripts/build_site.py` calls Sphinx with them."""

project = "Variational autoencoders, hands on"
language = "en"
extensions = ["myst_nb"]

nb_execution_mode = "off"  # the outputs are those of the saved notebooks
nb_merge_streams = True
myst_enable_extensions = ["dollarmath"]
myst_dmath_double_inline = True  # $$…$$ within a paragraph, as JupyterLab takes it
myst_heading_anchors = 3

mathjax_path = "mathjax/tex-chtml.js"  # else Sphinx takes it from the network
html_css_files = ["course.css"]
html_js_files = ["course.js"]
html_theme = "sphinx_book_theme"
html_title = project
html_copy_source = False
html_show_sourcelink = False
html_use_index = False
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system
html_theme_options = {
    "navbar_persistent": [],  # the search stands in the sidebar
    "use_download_button": False,  # it would offer the page's source, not the notebook
    "show_navbar_depth": 1,
    "toc_title": "On this page",
    "footer_content_items": [],
    "logo": {"text": "VAEs, hands on"},
    "home_page_in_toc": False,
}
