"""Stages run one after another: those that are up to date are skipped, a stopped one goes on."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, is_dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ariel_scripts import cli
from ariel_scripts.alone import alone_in
from ariel_scripts.invocation import invoked
from ariel_scripts.ledger import CHANGED, LOST, Ledger, Reason, decided
from ariel_scripts.options.fields import values_of
from ariel_scripts.run_record import run_record
from ariel_scripts.stages import Stage
from hf_dataset import folders
from hf_dataset.digests import config_hash

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Study:
    """Stages of the file ``source``, to be run in ``out`` by `ariel COMMAND`.

    keeps: refuse to run a finished stage again because its options or inputs have changed.
    """

    command: str
    source: Path
    out: Path
    stages: Sequence[Stage]
    keeps: bool = False

    def reasons(self, restart: bool = False) -> dict[str, Reason | None]:
        """Why each stage must be run, as far as is known before the first is; None where it is up to date.

        ValueError where the study ``keeps`` its stages and a finished one is not up to date.
        """
        ledger, found = Ledger(self.out), dict[str, Reason | None]()
        for stage in self.stages:
            waits = sorted(name for name in stage.after if found[name] is not None)
            if restart:
                found[stage.name] = Reason(CHANGED, "--restart")
            elif waits and stage.name in ledger.done:
                found[stage.name] = Reason(CHANGED, f"if {', '.join(waits)} will leave something else")
            elif waits:
                found[stage.name] = Reason("new", f"new, after {', '.join(waits)}")
            else:
                found[stage.name] = ledger.why(stage.name, _decided(stage), stage.result)
            reason = found[stage.name]
            if self.keeps and not restart and not waits and reason is not None and reason.kind in (CHANGED, LOST):
                raise ValueError(
                    f"{ledger.path}: expected stage {stage.name} with the options that it was run with, found "
                    f"{reason.words}; choose another folder or --restart"
                )
        return found

    def plan(self, restart: bool = False) -> list[str]:
        """A line for each stage: what it runs, where its result goes, and why."""
        reasons = self.reasons(restart)
        return [
            f"{stage.name}: ariel {stage.command} → {stage.result} ({reason.words if reason else 'done, up to date'})"
            for stage in self.stages
            for reason in [reasons[stage.name]]
        ]

    def run(self, restart: bool = False) -> None:
        """Run what is not up to date; stages.json says what is, run.json how it went."""
        ledger = Ledger(self.out)
        self.reasons(restart)
        config = {"stages": str(self.source), "digest": _digest(self.stages)}
        with alone_in(self.out), run_record(self.out, self.command, config) as run:
            for number, stage in enumerate(self.stages, 1):
                wanted = _decided(stage)
                reason = ledger.why(stage.name, wanted, stage.result)
                if reason is None and not restart:
                    logger.info("%s: done in an earlier run", stage.name)
                    found = ledger.done[stage.name]
                else:
                    why = "" if reason is None else f": {reason.words}"
                    logger.info("%s (%d of %d): ariel %s%s", stage.name, number, len(self.stages), stage.command, why)
                    with run.timed(stage.name):
                        place = (stage.name, wanted, stage.result, stage.folder)
                        found = ledger.run(*place, partial(_call, stage), restart)
                run.metrics[stage.name] = {name: found[name] for name in ("command", "result", "content", "seconds")}
                run.metrics[stage.name] |= _metrics(stage)
        logger.info("%s: %d stages done", self.stages[-1].result, len(self.stages))


def _decided(stage: Stage) -> dict[str, Any]:
    return decided(stage.command, values_of(stage.options))


def _digest(stages: Sequence[Stage]) -> str:
    """Hash of all commands and options."""
    return config_hash([[stage.name, stage.command, values_of(stage.options)] for stage in stages])


def _call(stage: Stage, restart: bool) -> None:
    invoked(cli.main_of(stage.command), _restarted(stage.options) if restart else stage.options)


def _restarted(options: DataclassInstance) -> DataclassInstance:
    """Options that tell a command, if it can be told, to begin anew."""
    if hasattr(options, "restart"):
        return replace(options, restart=True)
    loop = getattr(options, "loop", None)
    return replace(options, loop=replace(loop, restart=True)) if is_dataclass(loop) else options  # type: ignore[type-var]


def _metrics(stage: Stage) -> dict[str, Any]:
    """The metrics of the stage's own record, if it writes one."""
    names = ("run.json", f"{stage.result.stem}.run.json")
    records = (folders.read_json(stage.folder / name) for name in names)
    return next(({"metrics": record["metrics"]} for record in records if record is not None), {})


def run_or_plan(study: Study, restart: bool, dry_run: bool) -> None:
    """Run a study, or print what would be run."""
    if dry_run:
        typer.echo("\n".join(study.plan(restart)))
    else:
        study.run(restart)
