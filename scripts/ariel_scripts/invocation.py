"""A command as it was called: its options, what it reads, and how it ended.

Records of runs name it (`invocation` in run.json), so that `ariel lineage` finds what a result was made of and
`ariel reproduce` makes it again; where ARIEL_EVENTS names a file, a line is added to it.
"""

from __future__ import annotations

import importlib.util
import os
import re
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ariel_scripts import events
from ariel_scripts.content import content_of, listed_at, plain, without_passwords
from ariel_scripts.options.fields import OptionsT, values_of
from ariel_scripts.options.roles import WORDS, role
from hf_dataset.digests import config_hash

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from ariel_scripts.run_record import Run

RELEASED = "released"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_OPTIONS = "ariel_scripts.options."
_current: ContextVar[Invocation | None] = ContextVar("invocation", default=None)


@dataclass
class Invocation:
    """`ariel COMMAND` with its ``options``, in the working ``folder``; ``commits`` of Hub repositories by their ids."""

    command: str
    options: DataclassInstance
    folder: Path = field(default_factory=Path.cwd)
    runs: list[Run] = field(default_factory=list)
    commits: dict[str, str] = field(default_factory=dict)

    @cached_property
    def inputs(self) -> dict[str, list[dict[str, str]]]:
        """What the options name, as it is when this is first asked for."""
        return inputs_of(self.command, values_of(self.options))

    def record(self) -> dict[str, Any]:
        """What is needed to call the command again, and to tell whether it would read the same."""
        known = {
            option: [
                one | ({"commit": self.commits[one["given"]]} if one["given"] in self.commits else {}) for one in found
            ]
            for option, found in self.inputs.items()
        }
        return {
            "command": self.command,
            "options": without_passwords(plain(values_of(self.options))),
            "folder": str(self.folder),
            "inputs": without_passwords(known),
        }


def current() -> Invocation | None:
    """The command that is running; None in a script or a test that calls no command."""
    return _current.get()


def command_name(options: type[DataclassInstance]) -> str:
    """`transients build` of the options in options/transients/build.py."""
    return options.__module__.removeprefix(_OPTIONS).replace(".", " ").replace("_", "-")


def invoked(main: Callable[[OptionsT], object], options: OptionsT) -> None:
    """Run a command with its options; all that is recorded meanwhile is known to be of it."""
    invocation = Invocation(command_name(type(options)), options)
    token, start, outcome = _current.set(invocation), time.perf_counter(), "done"
    began, said = datetime.now(UTC), ""
    try:
        main(options)
    except (KeyboardInterrupt, typer.Abort):
        outcome = "interrupted"
        raise
    except typer.Exit as error:
        outcome = "failed" if error.exit_code else "done"
        raise
    except BaseException as error:
        outcome, said = "failed", f"{type(error).__name__}: {error}"
        raise
    finally:
        _current.reset(token)
        if (where := events.place()) is not None:
            events.append(where, _event(invocation, began, time.perf_counter() - start, outcome, said))


def _event(invocation: Invocation, began: datetime, seconds: float, outcome: str, said: str) -> dict[str, Any]:
    """The line of a command that has ended."""
    from ariel_scripts.versions import git_commit

    values = values_of(invocation.options)
    run = next((one for one in invocation.runs if one.command == invocation.command), None)
    status = next((one.status for one in invocation.runs if one.status != "done"), outcome)
    return {
        "time": began.isoformat(timespec="milliseconds"),
        "command": invocation.command,
        "config_hash": config_hash(plain(values)) if run is None else config_hash(run.config),
        "commit": git_commit() if run is None else run.commit,
        "seed": values.get("seed"),
        "seconds": round(seconds, 3),
        "outcome": status if outcome == "done" else outcome,
        **({"error": without_passwords(said.splitlines()[0])[:300]} if said else {}),
        **({"dry_run": True} if values.get("dry_run") else {}),
        "metrics": {} if run is None else numbers_of(run.metrics),
        "process": os.getpid(),
    }


def numbers_of(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers among metrics, also one level down as `outer.inner`."""
    found: dict[str, Any] = {}
    for name, value in metrics.items():
        parts = (
            {f"{name}.{inner}": one for inner, one in value.items()} if isinstance(value, Mapping) else {name: value}
        )
        found |= {key: one for key, one in parts.items() if isinstance(one, int | float)}
    return found


def inputs_of(command: str, values: Mapping[str, Any]) -> dict[str, list[dict[str, str]]]:
    """What a command's options name to be read, by option: as `given`, its `path` and content, or a Hub id alone."""
    found: dict[str, list[dict[str, str]]] = {}
    for name, value in values.items():
        if role(command, name) == "reads":
            listed = value if isinstance(value, list | tuple) else [value]
            entries = [_input(one, name in WORDS) for one in listed if isinstance(one, str | Path)]
            if known := [entry for entry in entries if entry is not None]:
                found[name] = known
    return found


def _input(value: str | Path, word: bool) -> dict[str, str] | None:
    """One of them; None where nothing is there, which the command says better."""
    text = str(value)
    if "://" in text:
        return {"given": text, "kind": "url", **listed_at(text)}
    path = released_folder() if text == RELEASED else Path(text)
    content = None if word and not path.is_file() else content_of(path)
    if content is not None:
        return {"given": text, "path": str(path.absolute()), **content}
    return {"given": text, "kind": "hub"} if isinstance(value, str) and _HUB_ID.fullmatch(text) else None


def released_folder() -> Path:
    """The folder of the checkpoint that comes with the package."""
    spec = importlib.util.find_spec("modeling_ariel")
    places = spec.submodule_search_locations if spec is not None else None
    return Path(places[0] if places else ".") / RELEASED
