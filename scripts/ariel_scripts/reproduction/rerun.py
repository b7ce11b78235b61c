"""A recorded command run again into another folder, from the same inputs or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ariel_scripts import cli
from ariel_scripts.content import content_of, listed_at
from ariel_scripts.invocation import RELEASED, invoked
from ariel_scripts.options.fields import parameters_of
from ariel_scripts.options.roles import role
from ariel_scripts.reproduction.records import RUN, Found, moved, record_of, written
from ariel_scripts.typed_options import typed_options

_REVISIONS = {"dataset": "dataset_revision", "truth": "dataset_revision", "model": "revision"}


def recorded(path: Path) -> Found:
    """The record of the run that left ``path``; ValueError where none says how the command was called."""
    found = record_of(path) if path.exists() else None
    if found is None or "invocation" not in found.record:
        what = "nothing there" if not path.exists() else "none" if found is None else f"{found.place}, which does not"
        raise ValueError(f"{path}: expected a result whose record says how its command was called, found {what}")
    if (command := found.record["invocation"]["command"]) not in cli.COMMANDS:
        raise ValueError(f"{found.place}: expected a command of this version, found {command!r}")
    return found


def check_inputs(found: Found) -> None:
    """ValueError that lists what the command would no longer read as it did."""
    invocation, wrong = found.record["invocation"], []
    for option, entries in invocation["inputs"].items():
        for entry in entries:
            if said := _differs(entry, found):
                wrong.append(f"{option} {entry['given']}: {said}")
    if wrong:
        raise ValueError(
            f"{found.place}: expected the inputs of `ariel {invocation['command']}` as they were, found:\n  "
            + "\n  ".join(wrong)
            + "\n(ariel lineage shows what they were made of)"
        )


def _place(path: str, found: Found) -> Path:
    """Where an input lies: as recorded, or moved together with the record."""
    recorded = Path(path)
    together = None if recorded.exists() else moved(found, recorded)
    return together if together is not None and together.exists() else recorded


def _differs(entry: Mapping[str, str], found: Found) -> str:
    """How an input is not what it was; empty where it is, or where only the Hub can tell."""
    if entry["kind"] == "hub":
        return "" if "commit" in entry else "no commit was recorded"
    if entry["kind"] == "url":
        now = listed_at(entry["given"])
    else:
        now = content_of(_place(entry["path"], found)) or {}
        if not now:
            return f"nothing at {entry['path']}"
    same = now.get("sha256") == entry.get("sha256")
    return "" if same else f"expected sha256 {entry.get('sha256')}, found {now.get('sha256')}"


def run_again(found: Found, scratch: Path) -> None:
    """Run the recorded command, all that it writes going to ``scratch``."""
    command = found.record["invocation"]["command"]
    main: Any = cli.main_of(command)
    invoked(main, typed_options(command, again(found, scratch)))


def again(found: Found, scratch: Path) -> dict[str, Any]:
    """The options of a recorded command: inputs as they were found, at their commits, and outputs in ``scratch``."""
    invocation = found.record["invocation"]
    command, known = invocation["command"], {p.name for p in parameters_of(cli.COMMANDS[invocation["command"]])}
    options = {name: value for name, value in invocation["options"].items() if name in known}
    for name, value in options.items():
        if value is not None and role(command, name) == "writes":
            options[name] = str(scratch / written(invocation, value).name)
    for name, entries in invocation["inputs"].items():
        here = [one for one in entries if "path" in one and one["given"] != RELEASED]
        paths = {one["given"]: str(_place(one["path"], found)) for one in here}
        value = options[name]
        options[name] = [paths.get(one, one) for one in value] if isinstance(value, list) else paths.get(value, value)
        for one in entries:
            if "commit" in one and _REVISIONS.get(name) in options:
                options[_REVISIONS[name]] = one["commit"]
    return options


def counterpart(path: Path, found: Found, scratch: Path) -> Path:
    """Where the same file or folder lies in ``scratch`` after the run; one that is not there is `out`, renamed."""
    invocation, path = found.record["invocation"], path.resolve()
    out = written(invocation, invocation["options"].get("out") or path)
    if found.place.name == RUN and found.place.parent.resolve() in (path, *path.parents):  # moved, perhaps renamed
        return scratch / out.name / path.relative_to(found.place.parent.resolve())
    there = scratch / _name_in_run(path, out.resolve(), out.name)
    return scratch / out.with_suffix(path.suffix).name if path.suffix and out.suffix and not there.exists() else there


def _name_in_run(path: Path, out: Path, name: str) -> Path:
    """Where ``path`` lies beside or in ``out``, which is called ``name``."""
    if path == out or out in path.parents:
        return name / path.relative_to(out)
    if out.parent in path.parents:
        return path.relative_to(out.parent)
    inside = [parent for parent in path.parents if parent.name == name]  # the run's folder was moved
    return name / path.relative_to(inside[0]) if inside else Path(path.name)
