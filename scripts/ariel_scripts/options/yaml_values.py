"""Values of options written as YAML: configuration files, and options that are mappings."""

from __future__ import annotations

import re
from typing import Any

import yaml

_TIME = ("tag:yaml.org,2002:str", re.compile(r"\d+(:\d\d)+$"))
_EXPONENT = ("tag:yaml.org,2002:float", re.compile(r"[-+]?\d+[eE][-+]?\d+$"))
_RESOLVERS = {
    first: [_TIME, _EXPONENT, *others] if first in {*"+-0123456789"} else others
    for first, others in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class _Loader(yaml.SafeLoader):
    """YAML in which 12:00:00 is a text, as Slurm's times are, and 1e-3 a number; YAML 1.1 counts the one to base 60 and
    takes the other for a text. A key may be there once.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping of a node; ConstructorError where a key is there twice."""
        seen = set()
        for key, _ in node.value:
            name = (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else id(key)
            if name in seen:
                what = f"{key.value}: expected once, found twice"
                raise yaml.constructor.ConstructorError(None, None, what, key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Quotes what the loader would take for something else."""


_Loader.yaml_implicit_resolvers = _Dumper.yaml_implicit_resolvers = _RESOLVERS


def read_yaml(text: str) -> Any:
    """Plain values of a YAML text; yaml.YAMLError where it is none."""
    return yaml.load(text, _Loader)


def write_yaml(values: Any) -> str:
    """The YAML text of plain values, in their order."""
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
