"""Pages and texts from Jinja templates: what the template of a page does not write itself is escaped."""

from __future__ import annotations

from importlib.resources import files

from jinja2 import ChainableUndefined, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup


def page_templates(package: str) -> Environment:
    """The folder ``templates`` of a package; ``{{ source(name) }}`` is a style or script in it, as it is."""
    environment = Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    folder = files(package) / "templates"
    environment.globals["source"] = lambda name: Markup((folder / name).read_text("utf-8"))  # noqa: S704, our own files
    return environment


def text_templates(package: str) -> Environment:
    """The same of Markdown: nothing is escaped, and what a record lacks is empty."""
    return Environment(  # noqa: S701, no HTML
        loader=PackageLoader(package), undefined=ChainableUndefined, trim_blocks=True, lstrip_blocks=True
    )
