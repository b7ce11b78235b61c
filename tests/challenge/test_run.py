"""`ariel run`: the same bytes as its three commands, a valid submission at any moment, and what a budget does to it."""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import fake_folder
import numpy as np
import pytest
from build_scenes import timeless_contents
from fake_folder import open_fake, set_visit
from run_scenes import reduce_planet
from tiny_models import save_model

from ariel_scripts.alone import alone_in
from ariel_scripts.challenge import flow
from ariel_scripts.challenge.budget import Clock
from ariel_scripts.challenge.filling import ENOUGH, LEFT_OUT, NOT_REACHED, usual
from ariel_scripts.challenge.flow import Commands, Flow
from ariel_scripts.challenge.modes import MODES, Pace, chosen
from ariel_scripts.commands import run as command
from ariel_scripts.commands import submit
from ariel_scripts.durations import in_words, seconds_of
from ariel_scripts.options.run import RunOptions
from ariel_scripts.options.submit import SubmitOptions
from ariel_scripts.prediction import job as jobs
from ariel_scripts.prediction.fit_pool import FitPool
from ariel_scripts.prediction.job import Job
from ariel_scripts.run_record import run_record
from ariel_scripts.submission.sheet import problems
from hf_dataset.build import plan
from hf_dataset.build import run as builds
from hf_dataset.build.plan import BuildOptions
from hf_dataset.build.summary import BuildSummary
from hf_dataset.reduction.options import ReductionOptions
from hf_dataset.simulation import planets
from hf_dataset.store.contents import read_contents
from modeling_ariel.predictions import Predictions, read_predictions
from modeling_ariel.scoring import REFERENCE_2024

BINS = 60
TEST = {101: 1, 102: 2, 103: 1, 104: 1, 106: 1, 107: 1, 108: 1}  # visits of each planet


@pytest.fixture(autouse=True, scope="module")
def _quick() -> Iterator[None]:
    """Chunks of two planets of a folder of text files, while the sources may be edited."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flow, "open_folder", open_fake)
        patch.setattr(flow, "BATCH", 2)
        patch.setattr(flow, "EVERY_S", 0.0)
        patch.setattr(jobs, "code_digest", lambda: "code")
        patch.setattr(plan, "code_version", lambda: fake_folder.CODE)
        patch.setattr(fake_folder, "WAVELENGTHS", planets.wavelengths_um("2025"))
        yield


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("models") / "plain", physics="none")


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fake_folder.write_folder(tmp_path_factory.mktemp("raw"), {1: 1}, TEST)


@pytest.fixture
def options(raw: Path, tmp_path: Path, model: Path) -> RunOptions:
    return RunOptions(raw, tmp_path / "out", model=[str(model)], bins=BINS, workers=1, batch="2", device="cpu")


@pytest.fixture(scope="module")
def by_commands(raw: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `build-dataset`, `predict` and `submit` leave, one by one."""
    out = tmp_path_factory.mktemp("commands")
    build = BuildOptions(ReductionOptions(n_bins=BINS), planets=list(TEST), workers=1)
    builder()(raw, str(out / "light-curves"), build, None)
    job = Job(
        dataset=str(out / "light-curves"), models=(str(model),), out=out / "predictions.parquet",
        split="test", batch="2", device="cpu", workers=1,
    )  # fmt: skip
    jobs.predict(job)
    flow.write_wide(out / "sample.csv", list(TEST), *np.full((2, len(TEST), 283), 0.1, np.float32))
    submit.main(SubmitOptions(job.out, out / "sample.csv", out / "submission.csv"))
    return content(out)


def builder(reduce: Callable[..., Any] = reduce_planet) -> flow.Build:
    def build(root: Path, out: str, options: BuildOptions, most: int | None) -> BuildSummary:
        return builds.build_dataset(root, out, options, open_folder=open_fake, reduce_visit=reduce, most=most)

    return build


def go(options: RunOptions, clock: Clock | None = None, build: flow.Build | None = None) -> dict[str, Any]:
    """Run, and return run.json."""
    with run_record(options.out, "run", {}) as run:
        Flow(options, Commands(build or builder(), submit.main), clock or Clock(None), run).go()
    assert problems(options.out / "submission.csv", options.out / "sample_submission.csv") == []
    return record(options)


def record(options: RunOptions) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((options.out / "run.json").read_text())
    return found


def content(out: Path) -> dict[str, Any]:
    """What may not depend on interruptions."""
    found = read_predictions(out / "predictions.parquet")
    return {
        **timeless_contents(out / "light-curves"),
        "submission": (out / "submission.csv").read_bytes(),
        **{name: np.asarray(value).tobytes() for name, value in vars(found).items() if name != "extra"},
    }


# --- the same as the commands --------------------------------------------------------------------------------------


def test_a_run_leaves_the_bytes_that_build_dataset_predict_and_submit_leave_one_by_one(
    options: RunOptions, by_commands: dict[str, Any]
) -> None:
    metrics = go(options, Clock(3600.0))["metrics"]
    assert (metrics["planets"], metrics["predicted"], metrics["filled"]) == (7, 7, {})
    assert content(options.out) == by_commands


def test_a_run_killed_at_any_moment_has_a_valid_submission_and_goes_on_to_the_same_result(
    options: RunOptions, by_commands: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshots: list[Path] = []
    original = jobs.predict_planets

    def snapshot() -> None:
        """What a process killed now leaves behind."""
        snapshots.append(tmp_path / f"killed-{len(snapshots)}")
        shutil.copytree(options.out, snapshots[-1])

    def predict(*arguments: Any) -> Any:
        snapshot()
        return original(*arguments)

    def build(root: Path, out: str, options: BuildOptions, most: int | None) -> BuildSummary:
        halfway = builder()(root, out, options, None if most is None else max(0, most - 1))
        snapshot()
        return builder()(root, out, options, 1) if most else halfway

    monkeypatch.setattr(jobs, "predict_planets", predict)
    go(options, build=build)
    monkeypatch.setattr(jobs, "predict_planets", original)
    assert len(snapshots) > 6
    for killed in (snapshots[2], snapshots[5]):  # in the second build, in the third prediction
        assert problems(killed / "submission.csv", options.out / "sample_submission.csv") == []
        go(replace(options, out=killed))
        assert content(killed) == by_commands


def test_bad_planets_are_filled_counted_and_named(options: RunOptions, tmp_path: Path) -> None:
    options = replace(options, root=fake_folder.write_folder(tmp_path / "raw", {}, dict.fromkeys((102, 103), 1)))
    set_visit(options.root, "test", 103, 0, "bad")
    for place in (options.root, options.out):
        flow.write_wide(place / "sample_submission.csv", [999, 102, 103], *np.full((2, 3, 283), 0.1, np.float32))
    metrics = go(options)["metrics"]
    assert metrics["filled"] == {LEFT_OUT: [999, 103]}
    found = read_predictions(options.out / "submitted.parquet")
    row = found.planet_id.tolist().index(103)
    assert found.extra["notes"][row].startswith("test/103/0.txt: planet 103: expected 11,392 columns, found 1; it has")
    assert found.mu[row][0] == np.float32(REFERENCE_2024[0])
    assert json.loads((options.out / "submission.manifest.json").read_text())["not_ok"] == {LEFT_OUT: [999, 103]}


@pytest.mark.parametrize("restart", [False, True])
def test_a_folder_of_a_study_is_refused(options: RunOptions, restart: bool) -> None:
    options.out.mkdir()
    (options.out / "stages.json").write_text('{"done": {}, "begun": {}}')
    with pytest.raises(ValueError, match=r"expected a folder of `ariel run`, found another command's stages.json"):
        go(replace(options, restart=restart))
    assert (options.out / "stages.json").is_file()


def test_other_settings_are_refused_unless_begun_anew(options: RunOptions, tmp_path: Path) -> None:
    options = replace(options, root=fake_folder.write_folder(tmp_path / "raw", {1: 1}, {101: 1, 102: 1}))
    go(options)
    other = replace(options, samples=2)
    with pytest.raises(ValueError, match=r"samples was 0, is 2.*--restart"):
        go(other)
    modes = go(replace(other, restart=True, mode="coarse"))["metrics"]["modes"]
    assert [(one["mode"], one["planets"]) for one in modes] == [("coarse", 2)]
    assert read_contents(options.out / "light-curves").n_bins == BINS // 2
    with pytest.raises(ValueError, match=r"expected one of auto, full, .*, found 'hasty'"):
        go(replace(options, mode="hasty"))


# --- time ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("9h", 32400),
        ("45m", 2700),
        ("1h30m", 5400),
        ("90s", 90),
        ("1.5H", 5400),
        ("1h2m3s", 3723),
        ("1 h 30 min", 5400),
        ("10min", 600),
    ],
)
def test_a_budget_is_read_from_words(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["9", "", "h", "-1h", "30m1h", "1:30", "nan", "1.h", "9 hours", "0s"])
def test_what_is_no_budget_is_refused_with_examples(text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"--budget: expected (a time such as 9h, 45m|more than no time)"):
        RunOptions(tmp_path, tmp_path / "out", budget=text)  # before anything slow is imported
    assert not (tmp_path / "out").exists()


def test_durations_are_told_in_words() -> None:
    assert [in_words(seconds) for seconds in (5, 65, 5400)] == ["5 s", "1 min 5 s", "1 h 30 min"]


def test_the_longest_budget_has_an_alarm() -> None:
    with Clock(seconds_of("9" * 30 + "h")).alarm():
        assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] < 2e8


def test_two_runs_in_one_folder_are_refused(tmp_path: Path) -> None:
    with alone_in(tmp_path / "out"), pytest.raises(ValueError, match=r"out: expected no other command to write it"):
        command.main(RunOptions(tmp_path, tmp_path / "out"))
    assert not (tmp_path / "out/run.json").exists()


def test_when_the_time_is_over_it_is_like_an_interruption_that_the_clock_owns_up_to() -> None:
    clock = Clock(0.1)
    with pytest.raises(KeyboardInterrupt), clock.alarm():
        time.sleep(60)
    assert clock.ended
    assert clock.left < 0


def test_when_the_budget_ends_the_rest_is_filled_and_a_later_call_ends_with_the_whole_result(
    options: RunOptions, by_commands: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    original, calls = jobs.predict_planets, iter(range(2))

    def predict(*arguments: Any) -> Any:
        if next(calls, None) is None:
            signal.raise_signal(signal.SIGALRM)
        return original(*arguments)

    monkeypatch.setattr(jobs, "predict_planets", predict)
    found = go(options, Clock(3600.0))
    metrics = found["metrics"]
    assert found["status"] == "incomplete"
    assert metrics["predicted"] == 4
    assert len(metrics["filled"][NOT_REACHED]) == len(TEST) - 4
    monkeypatch.setattr(jobs, "predict_planets", original)
    again = go(options)
    assert again["status"] == "done"
    assert len(again["metrics"]["earlier_calls_s"]) == 1
    assert content(options.out) == by_commands


class Short(Clock):
    """Time for three planets at 150 s each, whatever happens."""

    @property
    def left(self) -> float:
        return 450.0


def test_a_faster_mode_is_chosen_by_the_budget_and_recorded(
    options: RunOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = []
    fit = FitPool.fit

    def spied(self: FitPool, batch: Any, wavelength: Any, settings: Any = None) -> Any:
        steps.append(settings.iterations)
        return fit(self, batch, wavelength, settings)

    monkeypatch.setattr(FitPool, "fit", spied)
    monkeypatch.setattr(Pace, "of", lambda self, step: 100.0 if self.chunks[step] else None)
    with_fit = save_model(tmp_path / "with-fit")
    options = replace(options, model=[str(with_fit)])
    modes = go(options, Short(3600.0))["metrics"]["modes"]
    assert [one["mode"] for one in modes] == ["full", "fewer-steps"]
    assert sum(one["planets"] for one in modes) == len(TEST)
    assert set(steps) == {4, 2}
    assert len(read_predictions(options.out / "predictions-2.parquet").planet_id) == modes[1]["planets"]
    state = json.loads((options.out / "stages.json").read_text())
    assert [one["mode"] for one in state["stages"]] == ["full", "fewer-steps"]


def test_planets_not_reached_in_a_hurry_are_predicted_in_the_full_mode_by_a_later_call_with_time(
    options: RunOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hurried(Clock):
        """Time for one planet at 150 s, and none after the first chunk."""

        @property
        def left(self) -> float:
            return 450.0 if not calls else -1.0

    calls: list[int] = []
    original = jobs.predict_planets

    def counted(*arguments: Any) -> Any:
        calls.append(1)
        return original(*arguments)

    monkeypatch.setattr(jobs, "predict_planets", counted)
    before = go(replace(options, mode="fewer-steps"), Hurried(3600.0))["metrics"]
    assert 0 < before["predicted"] < len(TEST)
    hurried = read_predictions(options.out / "submitted.parquet")
    after = go(options, Clock(36000.0))["metrics"]
    assert [one["mode"] for one in after["modes"]] == ["fewer-steps", "full"]
    assert (after["modes"][0]["planets"], after["predicted"]) == (before["predicted"], len(TEST))
    again = read_predictions(options.out / "submitted.parquet")
    kept = [row for row, state in enumerate(hurried.extra["status"]) if state != NOT_REACHED]
    np.testing.assert_array_equal(again.mu[kept], hurried.mu[kept])


def test_the_best_mode_that_fits_is_chosen_and_the_fastest_where_none_does() -> None:
    pace = Pace()
    assert chosen(MODES, pace, 100, 100, 1.0) is MODES[0], "nothing is measured yet"
    for seconds in (100.0, 10.0, 10.0):  # the first chunk starts processes
        pace.add("build", MODES[0], 10, seconds)
        pace.add("predict", MODES[0], 10, seconds)
    assert pace.seconds(MODES[0], 100, 100) == pytest.approx(200)
    assert [chosen(MODES, pace, 100, 100, left) for left in (300, 1)] == [MODES[0], MODES[-1]]


def test_a_planet_not_looked_at_has_the_mean_of_the_others_and_their_spread_with_its_error() -> None:
    rng = np.random.default_rng(0)
    mu = rng.normal(0.01, 0.002, (1000, 3)).astype(np.float32)
    found = Predictions(np.arange(1000), mu, np.full_like(mu, 0.0015), {"status": ["ok"] * 1000})
    mean, sigma, _ = usual(found, 3)
    np.testing.assert_allclose(mean, 0.01, atol=3e-4)
    np.testing.assert_allclose(sigma, np.hypot(0.002, 0.0015), rtol=0.05)
    few = Predictions(
        found.planet_id[: ENOUGH - 1], mu[: ENOUGH - 1], mu[: ENOUGH - 1], {"status": ["ok"] * (ENOUGH - 1)}
    )
    assert usual(few, 3)[0][0] == np.float32(REFERENCE_2024[0])
