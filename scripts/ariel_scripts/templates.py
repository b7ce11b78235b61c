"""Pages from Jinja templates: what a template does not write itself is escaped."""

from __future__ import annotations

from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
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
    environment.globals["source"] = lambda name: Markup((folder / name).read_text("utf-8"))
    return environment
