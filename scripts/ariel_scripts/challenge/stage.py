"""Planets of one mode: a dataset that grows shard by shard, and predictions that follow it batch by batch."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ariel_scripts.challenge.modes import Mode
from ariel_scripts.opening.datasets import count_visits
from ariel_scripts.prediction.fit_pool import FitPool
from ariel_scripts.prediction.job import Job, Prepared, predict, predict_parts
from ariel_scripts.prediction.resuming import Part, Parts
from hf_dataset.build.plan import BuildOptions, shard_size
from hf_dataset.build.report import NothingBuiltError
from hf_dataset.build.summary import BuildSummary
from hf_dataset.digests import config_hash
from hf_dataset.folders import read_json
from hf_dataset.reduction.options import ReductionOptions
from modeling_ariel.predictions import Predictions, read_predictions, read_run

Build = Callable[[Path, str, BuildOptions, int | None], BuildSummary]  # raw folder, dataset, options, most shards

logger = logging.getLogger(__name__)


@dataclass
class Stage:
    """A ``mode`` for some ``planets`` of the raw folder ``root``; ``job`` names its dataset and its predictions.

    reduction: settings of the build. workers: of it, 0 for one a core.
    """

    root: Path
    mode: Mode
    planets: Sequence[int]
    job: Job
    reduction: Mapping[str, Any]
    workers: int
    build_shards: Build
    _prepared: Prepared | None = field(default=None, init=False)

    @property
    def closed(self) -> bool:
        """Whether its predictions are whole."""
        return self.job.out.exists()

    @property
    def shard_size(self) -> int:
        """Planets a shard."""
        return shard_size(len(self.planets))

    @property
    def visits(self) -> list[dict[str, Any]]:
        """The build's entries of the visits of finished shards."""
        report = read_json(Path(self.job.dataset) / "report.json") or {}
        return list(report.get("visits", []))

    @property
    def built(self) -> set[int]:
        """Planets whose visits were reduced, or left out."""
        return {int(entry["planet_id"]) for entry in self.visits}

    @property
    def left_out(self) -> dict[int, str]:
        """Planets of which no visit gave a row, and why."""
        entries = self.visits
        good = {entry["planet_id"] for entry in entries if "error" not in entry}
        bad = [entry for entry in entries if entry["planet_id"] not in good]
        return {int(entry["planet_id"]): str(entry["error"]) for entry in bad}

    def build(self, shards: int) -> int:
        """Make at most so many shards more; planets that are new. With 0 what a killed call left is counted."""
        before = len(self.built)
        options = BuildOptions(
            reduction=ReductionOptions(**self.reduction), planets=self.planets, workers=self.workers or None
        )
        try:
            self.build_shards(self.root, self.job.dataset, options, shards)
        except NothingBuiltError as error:  # its visits are told as left out
            logger.debug("%s", error)
        return len(self.built) - before

    def predict(self, pool: FitPool) -> int:
        """Predict whole batches of what is built; planets that are new."""
        prepared = self._grown()
        if prepared is None:
            return 0
        parts = prepared.parts()
        before = len(parts.planets)
        for part in predict_parts(prepared, parts, pool, whole=True):
            parts.add(part)
        return len(parts.planets) - before

    def tail(self, pool: FitPool) -> list[Part]:
        """The last batch, which is not full: not kept, for a run that goes on will fill it."""
        prepared = self._grown()
        return [] if prepared is None else list(predict_parts(prepared, prepared.parts(), pool))

    def close(self, pool: FitPool) -> int:
        """Predict all that is built, and write it as `ariel predict` does; planets that are new."""
        prepared = self._grown()
        if prepared is None:
            return 0
        parts = prepared.parts()
        before = len(parts.planets)
        for part in predict_parts(prepared, parts, pool):
            parts.add(part)
        new = len(parts.planets) - before
        if not set(prepared.index) <= parts.refused.keys():
            predict(self.job, prepared=prepared)
        return new

    def found(self, tail: Sequence[Part] = ()) -> tuple[Predictions | None, dict[int, str]]:
        """Its predictions so far, and why planets were refused."""
        if self.closed:
            return self._whole
        parts = Parts.kept(self.job.parts_folder)
        refused = parts.refused | {planet: why for part in tail for planet, why in part.refused.items()}
        if not any(planet not in refused for planet in parts.planets) and not any(part.planet_id for part in tail):
            return None, refused
        return parts.finish(tail)

    def about(self) -> dict[str, Any]:
        """Digests and sources of its models, where they are known yet."""
        if self._prepared is not None:
            members = self._prepared.members
            return {
                "models": [member.digest for member in members],
                "sources": [member.located.record() for member in members],
            }
        metrics = read_run(self.job.out).get("metrics", {}) if self.closed else {}
        return {name: metrics[name] for name in ("models", "sources") if name in metrics}

    @cached_property
    def _whole(self) -> tuple[Predictions, dict[int, str]]:
        refused = read_run(self.job.out).get("metrics", {}).get("refused", {})
        return read_predictions(self.job.out), {int(planet): why for planet, why in refused.items()}

    def _grown(self) -> Prepared | None:
        """The job with its models loaded once and the planets that the dataset has now; None while it has none."""
        if not self.built - set(self.left_out):
            return None
        if self._prepared is None:
            made = [str(self.root.resolve()), self.mode.name, *self.planets]
            self._prepared = self.job.prepare(growing=config_hash(made))
            for member in self._prepared.members:
                if member.has_fit and self.mode.iterations is not None:
                    physics = member.model.physics
                    physics.fit_settings = replace(physics.fit_settings, iterations=self.mode.iterations)
        self._prepared.index = count_visits(self._prepared.curves, self.job.split, None)
        return self._prepared

    def remove(self) -> None:
        """Delete its dataset and predictions."""
        for folder in (Path(self.job.dataset), self.job.parts_folder):
            shutil.rmtree(folder, ignore_errors=True)
        for path in (self.job.out, self.job.out.with_name(f"{self.job.out.stem}.run.json")):
            path.unlink(missing_ok=True)
