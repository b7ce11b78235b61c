"""Stages of a study or a curriculum: read from YAML, and checked as their commands would."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ariel_scripts import cli
from ariel_scripts.config_files import typed_values
from ariel_scripts.options.fields import parameters_of
from ariel_scripts.options.roles import role
from ariel_scripts.options.yaml_values import read_mapping, shown
from ariel_scripts.typed_options import typed_options

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

LEAVES = {  # by command, where in its stage's folder its result lies
    "simulate": "",
    "build-dataset": "",
    "pretrain": "model",
    "finetune": "model",
    "adapt": "",
    "calibrate": "",
    "retrieve": "predictions.parquet",
    "predict": "predictions.parquet",
    "evaluate": "evaluation.json",
    "report": "report.html",
    "submit": "submission.csv",
}
TRAINING = ("simulate", "pretrain", "finetune", "adapt", "calibrate")  # what a curriculum is made of
MODELS = ("pretrain", "finetune", "adapt", "calibrate")
_FITS = {  # by option, the commands whose results it may name
    "root": ("simulate",),
    "sample": ("simulate",),
    "dataset": ("simulate", "build-dataset"),
    "truth": ("simulate", "build-dataset"),
    "model": MODELS,
    "predictions": ("retrieve", "predict"),
}
_NOUNS = {"root": "raw folder", "sample": "raw folder", "truth": "dataset"}
_KEYS = ("name", "command", "options")


@dataclass(frozen=True)
class Stage:
    """One command with its ``options``; what it leaves is at ``result``; ``after``: the stages it takes results of."""

    name: str
    command: str
    options: DataclassInstance
    folder: Path
    result: Path
    after: frozenset[str]


def read_stages(path: Path, out: Path, commands: Sequence[str] = tuple(LEAVES)) -> list[Stage]:
    """The stages in a YAML file, of these commands, to be run in ``out``; ValueError names file, stage and option."""
    found = read_mapping(path, "stages", "stages")
    listed = found.get("stages")
    if set(found) != {"stages"} or not isinstance(listed, list) or not listed:
        raise ValueError(f"{path}: expected stages: a list of name, command and options, found {', '.join(found)}")
    stages: list[Stage] = []
    for number, entry in enumerate(listed, 1):
        try:
            stages.append(_stage(entry, stages, out, commands))
        except (ValueError, typer.BadParameter) as error:
            known = entry.get("name") if isinstance(entry, Mapping) else None
            message = error.message if isinstance(error, typer.BadParameter) else str(error)
            raise ValueError(f"{path}: stage {known or number}: {message}") from error
    return stages


def _stage(entry: Any, before: Sequence[Stage], out: Path, commands: Sequence[str]) -> Stage:
    """A stage of an entry, given those before it."""
    if not isinstance(entry, Mapping) or not {"name", "command"} <= set(entry) <= set(_KEYS):
        found = ", ".join(map(str, entry)) if isinstance(entry, Mapping) else shown(entry)
        raise ValueError(f"expected {', '.join(_KEYS)}, found {found}")
    name, command, given = str(entry["name"]), entry["command"], entry.get("options") or {}
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise ValueError(f"name: expected letters, digits, - and _, found {name!r}")
    if any(name == stage.name for stage in before):
        raise ValueError("name: expected another for each stage, found it twice")
    if command not in commands:
        raise ValueError(f"command: expected {', '.join(commands)}, found {command!r}")
    if not isinstance(given, Mapping):
        raise ValueError(f"options: expected a mapping of option names to values, found {shown(given)}")
    for own in ("out", "restart", "dry_run"):
        if own in given:
            raise ValueError(f"{own}: expected to be left to the curriculum or study, found {given[own]}")
    folder = out / name
    file = Path(LEAVES[command]).suffix != ""
    values, after = _placed(command, given, before)
    options = typed_options(command, values | {"out": str(folder / LEAVES[command] if file else folder)})
    if getattr(options, "folds", 0) and command == "finetune":
        raise ValueError("folds: expected 0, a model to go on from, found more")
    return Stage(name, command, options, folder, folder / LEAVES[command], frozenset(after))


def _placed(command: str, given: Mapping[str, Any], before: Sequence[Stage]) -> tuple[dict[str, Any], set[str]]:
    """Options with stages replaced by what they leave, and these stages' names.

    `NAME` stands for the result of a stage, `NAME/FILE` for a file in its folder. A model that is not named is that of
    the stage before, if there is one and no predictions are named.
    """
    parameters = parameters_of(cli.COMMANDS[command])
    values = typed_values(given, parameters, f"ariel {command}")
    results, after = {stage.name: stage for stage in before}, set[str]()

    def place(option: str, value: Any) -> Any:
        name, _, rest = str(value).partition("/")
        stage = results.get(name)
        if stage is None or (rest and not isinstance(value, str)):
            return value
        if not rest and stage.command not in _FITS.get(option, (stage.command,)):
            raise ValueError(f"{option}: expected a stage that leaves a {_NOUNS.get(option, option)}, found {name}")
        after.add(name)
        return str(stage.folder / rest if rest else stage.result)

    for option, value in values.items():
        if role(command, option) == "reads" and value is not None:
            listed = [place(option, one) for one in value] if isinstance(value, list) else place(option, value)
            values[option] = listed
    models = [stage for stage in before if stage.command in MODELS]
    takes = any(parameter.name == "model" for parameter in parameters)
    if takes and models and not {"model", "predictions"} & set(values):
        after.add(models[-1].name)
        last = str(models[-1].result)
        several = "list[str]" in str(next(p.annotation for p in parameters if p.name == "model"))
        values["model"] = [last] if several else last
    return values, after
