"""The flow of `ariel run`: build some planets, predict them, write a submission of all; again until the time is over.

Nothing here builds, predicts or submits by itself: the functions of those three commands do. Datasets and predictions
have the bytes that the commands would give them, whatever the chunks, as shards and batches are those of one long run.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ariel_scripts.challenge.budget import Clock
from ariel_scripts.challenge.filling import LEFT_OUT, NOT_REACHED, REFUSED, filled, joined
from ariel_scripts.challenge.modes import MODES, Mode, Pace, chosen, modes_for
from ariel_scripts.challenge.stage import Build, Stage
from ariel_scripts.durations import in_words
from ariel_scripts.opening.hub import locate_model
from ariel_scripts.options.fields import taken
from ariel_scripts.options.run import RunOptions
from ariel_scripts.options.submit import SubmitOptions
from ariel_scripts.prediction.fit_pool import FitPool
from ariel_scripts.prediction.job import Job
from ariel_scripts.prediction.resuming import Part
from ariel_scripts.run_record import Run, write_json
from ariel_scripts.submission.sheet import problems, read_sample, write_wide
from hf_dataset.digests import config_hash
from hf_dataset.folders import read_json
from hf_dataset.raw.layouts import open_folder
from hf_dataset.reduction.options import ReductionOptions
from hf_dataset.schema import N_CHANNELS
from hf_dataset.words import number_of
from modeling_ariel.pipeline_ariel import BATCH
from modeling_ariel.predictions import Predictions, write_predictions

Submit = Callable[[SubmitOptions], None]
STATE = "stages.json"
EVERY_S = 300.0  # between two submissions
_PLANNED = 0.9  # of the time left may go into the next chunk
_SHARE = 20  # of a budget, at most one part in so many between two submissions
_QUIET = ("hf_dataset.build", "ariel_scripts.prediction", "ariel_scripts.commands.submit")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Commands:
    """What the commands `build-dataset` and `submit` run."""

    build: Build
    submit: Submit


class Flow:
    """One call of `ariel run`, its ``clock`` and what earlier calls left in OUT."""

    def __init__(self, options: RunOptions, commands: Commands, clock: Clock, run: Run) -> None:
        self.options, self.commands, self.clock, self.run = options, commands, clock, run
        self.out = options.out
        self.modes = modes_for(bool(options.samples) or len(options.model) > 1)
        self.asked = _place(options.mode, self.modes)
        self.sample, self.submitted = _planets_to_submit(options)
        raw = set(open_folder(options.root).planets(options.split))
        self.planets = sorted(planet for planet in self.submitted if planet in raw)
        if not self.planets:
            raise ValueError(f"{options.root}: split {options.split!r}: expected planets of {self.sample}, found none")
        self.state = self._open_state()
        self.pace = Pace(dict(self.state["pace"]))
        self.stages = [self._stage(k, **one) for k, one in enumerate(self.state["stages"])]

    # --- what is there already ---------------------------------------------------------------------------------------

    def _open_state(self) -> dict[str, Any]:
        """What earlier calls did; ValueError where they were asked for something else."""
        options = self.options
        asked = {
            "root": str(options.root.resolve()),
            "split": options.split,
            "planets": config_hash(self.planets),
            "models": [locate_model(model, options.revision).location for model in options.model],
            "samples": options.samples,
            "seed": options.seed,
            "bins": options.bins,
        }
        before = read_json(self.out / STATE)
        if before is not None and "asked" not in before:
            raise ValueError(f"{self.out}: expected a folder of `ariel run`, found another command's {STATE}")
        if options.restart and before is not None:
            for k, one in enumerate(before["stages"]):
                self._stage(k, **one).remove()
            (self.out / STATE).unlink()
            before = None
        if before is None:
            return {"asked": asked, "stages": [], "pace": {}, "calls": []}
        if changed := [name for name, value in asked.items() if before["asked"].get(name) != value]:
            what = "; ".join(f"{name} was {before['asked'].get(name)}, is {asked[name]}" for name in changed)
            raise ValueError(f"{self.out}: an earlier run had other settings: {what}. Take another --out, or --restart")
        return before

    def _stage(self, number: int, mode: str, planets: Sequence[int]) -> Stage:
        """The stage of this number: its folders have it in their names from the second on."""
        way = next(one for one in MODES if one.name == mode)
        suffix = f"-{number + 1}" if number else ""
        models = tuple(self.options.model)
        job = taken(
            Job,
            self.options,
            dataset=str(self.out / f"light-curves{suffix}"),
            models=models if way.extras else models[:1],
            samples=self.options.samples if way.extras else 0,
            out=self.out / f"predictions{suffix}.parquet",
        )
        bins = self.options.bins or ReductionOptions().n_bins
        reduction = dict(way.reduction) | {"n_bins": max(1, round(way.bins * bins))}
        return Stage(self.options.root, way, planets, job, reduction, self.options.workers, self.commands.build)

    def _begin(self, mode: Mode) -> Stage:
        """A stage of this mode for all planets that no other has reached."""
        planets = self._left()
        self.state["stages"].append({"mode": mode.name, "planets": planets})
        self.stages.append(self._stage(len(self.stages), mode.name, planets))
        write_json(self.out / STATE, self.state)
        return self.stages[-1]

    def _left(self) -> list[int]:
        """Planets that are neither built by a stage nor planned for it alone."""
        done = {planet for stage in self.stages for planet in stage.built}
        return [planet for planet in self.planets if planet not in done]

    # --- the work ----------------------------------------------------------------------------------------------------

    def go(self) -> None:
        """Work until all planets are predicted or the time is over; then say what was submitted."""
        self._submit()
        if self.clock.budget is not None:  # for the last submission and the end of processes
            self.clock.reserve = min(5.0 + 2 * self.run.durations["submit"], self.clock.budget / 4)
        tail: list[Part] = []
        try:
            with self.clock.alarm(), FitPool(self.options.workers, len(self.planets)) as pool, _quiet():
                if self.stages and not self.stages[-1].closed:
                    self.stages[-1].build(0)
                self._chunks(pool)
                if self.stages and not self.stages[-1].closed:
                    tail = self.stages[-1].tail(pool)
        except KeyboardInterrupt:
            if not self.clock.ended:
                raise
        finally:
            self._keep_account()
            self._submit(tail)
        self._tell()

    def _chunks(self, pool: FitPool) -> None:
        """Build and predict in turns, as long as there are planets and time."""
        while self.clock.left > 0:
            stage = self._next_stage(pool)
            shards = 0 if stage is None else self._shards(stage)
            if stage is None or not shards:
                return
            with self._measured("build", stage.mode) as count:
                count.append(stage.build(shards))
            with self._measured("predict", stage.mode) as count:
                count.append(stage.predict(pool))
            if len(stage.built) >= len(stage.planets):
                with self._measured("predict", stage.mode) as count:
                    count.append(stage.close(pool))
            self._keep_account()
            self._submit()
            self._progress(stage)

    def _next_stage(self, pool: FitPool) -> Stage | None:
        """The stage to go on with, in the mode that the time allows; None where all is done."""
        stage = self.stages[-1] if self.stages else None
        left = len(self._left())
        if not left:
            if stage is not None and not stage.closed:
                stage.close(pool)
            return None
        mode = self._mode(stage, left)
        if stage is not None and not stage.closed:
            if mode is stage.mode:
                return stage
            stage.close(pool)
        return self._begin(mode)

    def _mode(self, stage: Stage | None, left: int) -> Mode:
        """The mode for so many planets; within a call it only becomes faster."""
        begun = stage is not None and bool(self.pace.chunks["build"])
        first = self.asked
        if stage is not None and (begun or not self.pace.sure):
            first = max(first, self.modes.index(stage.mode))
        if not self.pace.sure:
            return self.modes[first]
        mode = chosen(self.modes[first:], self.pace, left, left, self.clock.left)
        if mode is not self.modes[first]:
            message = "mode %s from here on, without %s: %s would take %s in mode %s, and %s are left"
            needed = in_words(self.pace.seconds(self.modes[first], left, left) or 0.0)
            some, time_left = number_of(left, "planet"), in_words(self.clock.left)
            logger.warning(message, mode.name, mode.without, some, needed, self.modes[first].name, time_left)
        return mode

    def _shards(self, stage: Stage) -> int:
        """Shards of the next chunk: what a few minutes and the time left allow; 0 where not even one fits."""
        size, workers = stage.shard_size, self.options.workers or os.cpu_count() or 1
        fewest = workers * max(1, math.ceil(BATCH / size / workers))
        one = self.pace.seconds(stage.mode, size, size)
        if one is None or not (self.pace.sure or self.clock.budget is None):
            return fewest
        every = min(EVERY_S, (self.clock.budget or math.inf) / _SHARE)
        shards = min(max(fewest, every / one), _PLANNED * self.clock.left / one)
        return int(shards // workers) * workers

    @contextlib.contextmanager
    def _measured(self, step: str, mode: Mode) -> Iterator[list[int]]:
        """Count the planets that the block leaves in the list, and its seconds."""
        count: list[int] = []
        start = time.perf_counter()
        with self.run.timed(step):
            yield count
        self.pace.add(step, mode, sum(count), time.perf_counter() - start)

    # --- what is left behind -----------------------------------------------------------------------------------------

    def _found(self, tail: Sequence[Part] = ()) -> tuple[Predictions | None, dict[int, tuple[str, str]]]:
        """All predictions, and status and reason of planets that have none."""
        parts, why = [], dict[int, tuple[str, str]]()
        for stage in self.stages:
            found, refused = stage.found(tail if stage is self.stages[-1] else ())
            parts += [] if found is None else [found]
            why |= {planet: (LEFT_OUT, reason) for planet, reason in stage.left_out.items()}
            why |= {planet: (REFUSED, reason) for planet, reason in refused.items()}
        nowhere = set(self.submitted) - set(self.planets)
        why |= {planet: (LEFT_OUT, f"split {self.options.split} has no such planet") for planet in nowhere}
        return joined(parts), why

    def _submit(self, tail: Sequence[Part] = ()) -> None:
        """Write submission.csv of all planets, predicted or not, as the command does."""
        with self.run.timed("submit"):
            found, why = self._found(tail)
            every = filled(found, self.submitted, why, N_CHANNELS)
            missing = {NOT_REACHED: list[int](), LEFT_OUT: list[int](), REFUSED: list[int]()}
            for planet, state in zip(self.submitted, every.extra["status"], strict=True):
                if state in missing:
                    missing[state].append(planet)
            self.run.metrics.update(
                planets=len(self.submitted),
                predicted=len(self.submitted) - sum(map(len, missing.values())),
                filled={state: planets for state, planets in missing.items() if planets},
                dataset=[stage.job.dataset for stage in self.stages],
                **(self.stages[-1].about() if self.stages else {}),
            )
            self.run.status = "incomplete" if missing[NOT_REACHED] else "done"
            path = self.out / "submitted.parquet"
            write_predictions(path, every, self.run.record())
            with _quiet():
                self.commands.submit(SubmitOptions(path, self.sample, self.out / "submission.csv"))

    def _keep_account(self) -> None:
        """Write what the next call must know, and what the record says of modes and pace."""
        pace = self.pace.record()
        counts = [
            {"mode": stage.mode.name, "without": stage.mode.without, "planets": len(stage.built)}
            for stage in self.stages
        ]
        self.run.metrics.update(
            budget_s=self.clock.budget,
            used_s=round(self.clock.used, 3),
            earlier_calls_s=self.state["calls"],
            modes=counts,
            seconds_per_planet=pace,
        )
        calls = [*self.state["calls"], round(self.clock.used, 3)]
        write_json(self.out / STATE, self.state | {"pace": pace, "calls": calls})

    def _progress(self, stage: Stage) -> None:
        left, metrics = len(self._left()), self.run.metrics
        needed = self.pace.seconds(stage.mode, left, left)
        budget = "" if self.clock.budget is None else f", {in_words(self.clock.left)} left of the budget"
        logger.info(
            "%d of %s predicted, %.2f s a planet, %s to go%s",
            metrics["predicted"],
            number_of(metrics["planets"], "planet"),
            self.pace.seconds(stage.mode, 1, 1) or 0.0,
            "?" if needed is None else in_words(needed),
            budget,
        )

    def _tell(self) -> None:
        """Check the last submission and say what is in it."""
        path, metrics = self.out / "submission.csv", self.run.metrics
        if wrong := problems(path, self.sample):
            raise RuntimeError(f"{path}: {'; '.join(wrong)}")
        logger.info(
            "%s: valid, %d of %s predicted", path, metrics["predicted"], number_of(metrics["planets"], "planet")
        )
        for state, planets in metrics["filled"].items():
            some = f"{planets[:5]}{' …' if len(planets) > 5 else ''}"
            words = f"{number_of(len(planets), 'planet')} with the usual spectrum and a wide sigma"
            logger.warning("%s: %s: %s", state.replace("_", " "), words, some)
        if NOT_REACHED in metrics["filled"]:
            logger.warning("run the same command again, with the time that is left to you, to predict them too")


def _planets_to_submit(options: RunOptions) -> tuple[Path, list[int]]:
    """The sample submission and its planets; where there is none, one is written of all planets of the split."""
    sample = options.sample
    if sample is None and options.split == "test" and (options.root / "sample_submission.csv").is_file():
        sample = options.root / "sample_submission.csv"
    if sample is not None:
        return sample, read_sample(sample).planets
    planets = open_folder(options.root).planets(options.split)
    empty = filled(None, planets, {}, N_CHANNELS)
    sample = options.out / "sample_submission.csv"
    write_wide(sample, planets, empty.mu, empty.sigma)
    return sample, planets


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What the commands tell of a whole run is not told of each chunk; their warnings are."""
    before = {name: logging.getLogger(name).level for name in _QUIET}
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.ERROR if name.endswith("submit") else logging.WARNING)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


def _place(name: str, modes: Sequence[Mode]) -> int:
    """Place of the mode asked for, the first for auto; ValueError where there is none of that name."""
    known = ["auto", *(mode.name for mode in modes)]
    if name not in known:
        raise ValueError(f"--mode: expected one of {', '.join(known)}, found {name!r}")
    return max(0, known.index(name) - 1)
