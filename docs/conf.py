"""The documentation site (`make site`): docs/*.md in a newcomer's order, and pages of the public names' docstrings.

Nothing is fetched: the theme's files are in the page's folder, and the search runs in the browser.
"""

from __future__ import annotations

import importlib.metadata

from sphinx.application import Sphinx

project = "ariel-hf"
author = "the ariel-hf developers"
release = importlib.metadata.version(project)

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode", "sphinx_copybutton"]
html_theme = "furo"
html_title = f"ariel-hf {release}"
html_show_copyright = False
html_static_path: list[str] = []

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4  # docs link to headings as GitHub names them

default_role = "code"
autodoc_typehints = "signature"
autodoc_class_signature = "mixed"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_default_options = {"members": True, "inherited-members": False, "show-inheritance": False}
napoleon_google_docstring = True
copybutton_prompt_text = "$ "
suppress_warnings = ["misc.highlighting_failure"]  # code with an … in it

CARDS = {"../modeling_ariel/released/README.md": "model_card.md", "../space/README.md": "space_card.md"}


def _card_is_a_page(app: Sphinx, name: str, source: list[str]) -> None:
    """Cards lie beside what they describe; links to them lead to their pages."""
    for path, page in CARDS.items():
        source[0] = source[0].replace(f"]({path}", f"]({page}")


def setup(app: Sphinx) -> None:
    app.connect("source-read", _card_is_a_page)
