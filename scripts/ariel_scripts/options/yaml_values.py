"""Values of options written as YAML: configuration files, and options that are mappings."""

from __future__ import annotations

import re
from typing import Any

import yaml


class _Loader(yaml.SafeLoader):
    """YAML in which 12:00:00 is a text, as Slurm's times are; YAML 1.1 counts it to base 60."""


_TIME = ("tag:yaml.org,2002:str", re.compile(r"\d+(:\d\d)+$"))
_Loader.yaml_implicit_resolvers = {
    first: [_TIME, *others] if first.isdigit() else others for first, others in _Loader.yaml_implicit_resolvers.items()
}


def read_yaml(text: str) -> Any:
    """Plain values of a YAML text."""
    return yaml.load(text, _Loader)
