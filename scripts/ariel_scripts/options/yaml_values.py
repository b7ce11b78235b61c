"""Values of options written as YAML: configuration files, and options that are mappings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from ariel_scripts.shipped import config_file

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
    return yaml.load(text, _Loader)  # noqa: S506, a SafeLoader


def read_mapping(path: Path, what: str, entries: str) -> dict[Any, Any]:
    """The mapping of ``entries`` in a YAML file of ``what``; ValueError with file, what was expected and found."""
    try:
        content = config_file(path).read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: expected a YAML file of {what}, found: {error.strerror}") from error
    if content[:2] == b"\x1f\x8b":
        raise ValueError(f"{path}: expected YAML, found a gzip file: unpack it")
    try:
        found = read_yaml(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ValueError(f"{path}: expected YAML as UTF-8 text, found other bytes") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: expected YAML, found: {_problem(error)}") from error
    if not isinstance(found, dict):
        found = "nothing" if found is None else shown(found)
        raise ValueError(f"{path}: expected a mapping of {entries}, found {found}")
    return found


def _problem(error: Exception) -> str:
    """What is wrong with the YAML, and in which line."""
    mark = getattr(error, "problem_mark", None)
    what = getattr(error, "problem", None) or str(error).splitlines()[0]
    return what if mark is None else f"{what}, line {mark.line + 1}"


def shown(value: Any) -> str:
    """A value in a message, as YAML has it."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, str):
        return repr(value[:80])
    return {True: "true", False: "false"}.get(value, str(value)) if isinstance(value, bool) else str(value)


def write_yaml(values: Any) -> str:
    """The YAML text of plain values, in their order."""
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
