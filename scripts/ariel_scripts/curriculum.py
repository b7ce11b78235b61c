"""Stages of a curriculum: read from YAML, checked as their commands would, and run one after another."""

from __future__ import annotations

import logging
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ariel_scripts import cli
from ariel_scripts.command_line import check_value
from ariel_scripts.config_files import typed_values
from ariel_scripts.options.curriculum import CurriculumOptions
from ariel_scripts.options.fields import options_of, parameters_of, values_of
from ariel_scripts.options.yaml_values import read_mapping, shown
from ariel_scripts.run_record import Run, run_record, write_json
from hf_dataset import folders
from hf_dataset.digests import config_hash, file_hash

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

logger = logging.getLogger(__name__)

LEAVES = {"simulate": "", "pretrain": "model", "finetune": "model", "adapt": "", "calibrate": ""}  # where in its folder
RESUMES = ("pretrain", "finetune")  # in a folder that a stopped run has left; the others begin anew
RECORD = "stages.json"
_KEYS = ("name", "command", "options")


@dataclass(frozen=True)
class Stage:
    """One command with its ``options``; what it leaves is at ``result``; ``digest`` of all that decides it."""

    name: str
    command: str
    options: DataclassInstance
    folder: Path
    result: Path
    digest: str


def read_stages(path: Path, out: Path) -> list[Stage]:
    """The stages in a YAML file, to be run in folder ``out``; ValueError that names file, stage and option."""
    found = read_mapping(path, "stages", "stages")
    listed = found.get("stages")
    if set(found) != {"stages"} or not isinstance(listed, list) or not listed:
        raise ValueError(f"{path}: expected stages: a list of name, command and options, found {', '.join(found)}")
    stages: list[Stage] = []
    for number, entry in enumerate(listed, 1):
        try:
            stages.append(_stage(entry, stages, out))
        except (ValueError, typer.BadParameter) as error:
            known = entry.get("name") if isinstance(entry, Mapping) else None
            message = error.message if isinstance(error, typer.BadParameter) else str(error)
            raise ValueError(f"{path}: stage {known or number}: {message}") from error
    return stages


def _stage(entry: Any, before: Sequence[Stage], out: Path) -> Stage:
    """A stage of an entry, given those before it."""
    if not isinstance(entry, Mapping) or not {"name", "command"} <= set(entry) <= set(_KEYS):
        found = ", ".join(map(str, entry)) if isinstance(entry, Mapping) else shown(entry)
        raise ValueError(f"expected {', '.join(_KEYS)}, found {found}")
    name, command, given = str(entry["name"]), entry["command"], entry.get("options") or {}
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise ValueError(f"name: expected letters, digits, - and _, found {name!r}")
    if any(name == stage.name for stage in before):
        raise ValueError("name: expected another for each stage, found it twice")
    if command not in LEAVES:
        raise ValueError(f"command: expected {', '.join(LEAVES)}, found {command!r}")
    if not isinstance(given, Mapping):
        raise ValueError(f"options: expected a mapping of option names to values, found {shown(given)}")
    for own in ("out", "restart", "dry_run"):
        if own in given:
            raise ValueError(f"{own}: expected to be left to the curriculum, found {given[own]}")
    options = _options(command, given, before, out / name)
    if getattr(options, "folds", 0) and command == "finetune":
        raise ValueError("folds: expected 0, a model to go on from, found more")
    decides = {key: value for key, value in values_of(options).items() if key not in ("out", "workers", "fit_workers")}
    files = {key: file_hash(value) for key, value in decides.items() if isinstance(value, Path) and value.is_file()}
    earlier = before[-1].digest if before else ""
    digest = config_hash({"command": command, "options": decides, "files": files, "before": earlier})
    return Stage(name, command, options, out / name, out / name / LEAVES[command], digest)


def _options(command: str, given: Mapping[str, Any], before: Sequence[Stage], folder: Path) -> DataclassInstance:
    """Options of a command, checked as it would; stages named as dataset or model replaced by what they leave."""
    kind = cli.COMMANDS[command]
    parameters = parameters_of(kind)
    values = typed_values(given, parameters, f"ariel {command}")
    known = {parameter.name for parameter in parameters}
    results = {stage.name: stage for stage in before}
    for key in {"dataset", "model"} & set(values):
        if values[key] in results:
            is_data = results[values[key]].command == "simulate"
            if is_data is not (key == "dataset"):
                raise ValueError(f"{key}: expected a stage that leaves a {key}, found {values[key]}")
            values[key] = str(results[values[key]].result)
    models = [stage for stage in before if stage.command != "simulate"]
    if "model" in known and "model" not in values and models:
        values["model"] = str(models[-1].result)
    values["out"] = folder
    missing = [p.name for p in parameters if p.default is p.empty and values.get(p.name) is None]
    if missing:
        raise ValueError(f"expected {', '.join(missing)} too, found none")
    click: Any = typer.main.get_command(cli.app)
    of_command = click.commands[command]
    context = typer.Context(of_command)
    for option in of_command.params:
        if option.name != "out" and values.get(option.name) is not None:
            check_value(option, context, values[option.name], f"ariel {command}")
    for parameter in parameters:  # which YAML has as text
        if parameter.name in values and "pathlib.Path" in str(parameter.annotation):
            value = values[parameter.name]
            values[parameter.name] = [Path(one) for one in value] if isinstance(value, list) else value and Path(value)
    return options_of(kind, {p.name: p.default for p in parameters} | values)


def run_stages(stages: Sequence[Stage], options: CurriculumOptions) -> None:
    """Run the stages that are not done; stages.json says which are."""
    out = options.out
    done = {} if options.restart else _finished(stages, out)
    if options.dry_run:
        for stage in stages:
            typer.echo(f"{stage.name}: ariel {stage.command} → {stage.result}{' (done)' if stage.name in done else ''}")
        return
    config = {"stages": str(options.stages), "digest": stages[-1].digest}
    with run_record(out, "curriculum", config) as run:
        for number, stage in enumerate(stages, 1):
            if stage.name in done:
                logger.info("%s: done in an earlier run", stage.name)
            else:
                logger.info("%s (%d of %d): ariel %s", stage.name, number, len(stages), stage.command)
                done[stage.name] = _run(stage, done, out, run, options.restart)
            run.metrics[stage.name] = {**done[stage.name], **_metrics(stage)}
            if not stage.result.is_dir():
                raise ValueError(f"{stage.name}: expected it to leave {stage.result}, found nothing")
    logger.info("%s: %d stages done", stages[-1].result, len(stages))


def _run(stage: Stage, done: Mapping[str, Any], out: Path, run: Run, restart: bool) -> dict[str, Any]:
    """Run one stage, and write that it is done."""
    own = stage.options
    if stage.command not in RESUMES and (restart or _begun(out) == stage.name):
        shutil.rmtree(stage.folder, ignore_errors=True)
    if restart and stage.command in RESUMES:
        own = replace(own, loop=replace(own.loop, restart=True))  # type: ignore[attr-defined]
    elif restart and hasattr(own, "restart"):
        own = replace(own, restart=True)
    write_json(out / RECORD, {"done": done, "begun": stage.name})
    start = time.perf_counter()
    with run.timed(stage.name):
        cli.main_of(stage.command)(own)
    found: dict[str, Any] = {"command": stage.command, "digest": stage.digest, "result": str(stage.result)}
    found["seconds"] = round(time.perf_counter() - start, 1)
    write_json(out / RECORD, {"done": {**done, stage.name: found}, "begun": None})
    return found


def _record(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = folders.read_json(out / RECORD) or {}
    return found


def _begun(out: Path) -> str | None:
    """The stage that was running when a run was stopped."""
    return _record(out).get("begun")


def _finished(stages: Sequence[Stage], out: Path) -> dict[str, dict[str, Any]]:
    """What is known of finished stages; ValueError where one was run with other options."""
    done: dict[str, dict[str, Any]] = _record(out).get("done", {})
    for stage in stages:
        if stage.name in done and done[stage.name]["digest"] != stage.digest:
            raise ValueError(
                f"{out / RECORD}: expected stage {stage.name} with the options that it was run with, found others, of "
                "it or of a stage before; choose another folder or --restart"
            )
    return {stage.name: done[stage.name] for stage in stages if stage.name in done}


def _metrics(stage: Stage) -> dict[str, Any]:
    """The metrics of the stage's own record, if it writes one."""
    record = folders.read_json(stage.folder / "run.json")
    return {} if record is None else {"metrics": record["metrics"]}
