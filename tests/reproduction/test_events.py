"""Events of commands: one line each, whoever writes at once, however a command ends; and what is read out of them."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import multiprocessing
import os
from pathlib import Path

import pytest
import typer
from matplotlib.image import imread

from ariel_scripts import events
from ariel_scripts.commands import events as command
from ariel_scripts.invocation import current, invoked
from ariel_scripts.options.events import EventsOptions
from ariel_scripts.options.predict import PredictOptions
from ariel_scripts.options.submit import SubmitOptions
from ariel_scripts.reproduction.history import as_csv, as_markdown, heatmap, read_history
from ariel_scripts.run_record import Run, run_record
from hf_dataset.digests import config_hash

WRITERS, LINES = 4, 100


def write_many(path: Path, writer: int) -> None:
    for number in range(LINES):
        events.append(path, {"writer": writer, "number": number, "padding": "x" * 20_000})


def event(command: str = "predict", **changes: object) -> dict[str, object]:
    known = {"time": "2026-11-30T04:00:00+00:00", "command": command, "outcome": "done", "seconds": 2.0}
    return {**known, "config_hash": "0123456789ab", "metrics": {"planets": 3}, **changes}


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(events.VARIABLE, str(tmp_path / "made/events.jsonl"))
    return tmp_path / "made/events.jsonl"


def test_lines_of_several_processes_stay_whole(tmp_path: Path) -> None:
    path, context = tmp_path / "events.jsonl", multiprocessing.get_context("fork")
    writers = [context.Process(target=write_many, args=(path, writer)) for writer in range(WRITERS)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    found = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(found) == WRITERS * LINES
    for writer in range(WRITERS):
        assert [one["number"] for one in found if one["writer"] == writer] == list(range(LINES))


def test_a_line_that_was_cut_off_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    events.append(path, event())
    path.write_bytes(path.read_bytes() + b'{"time": "2026-1')
    events.append(path, event("submit"))
    found = read_history(path)
    assert [one["command"] for one in found.events] == ["predict", "submit"]
    assert found.damaged == [f"{path}: line 2: expected JSON, found other text or a part of a line"]


ENDS: dict[str, tuple[BaseException | None, str, str | None]] = {
    "well": (None, "done", None),
    "an error": (ValueError("no planets\nat all"), "failed", "ValueError: no planets"),
    "Ctrl-C": (KeyboardInterrupt(), "interrupted", None),
    "an exit code": (typer.Exit(1), "failed", None),
    "an exit": (typer.Exit(0), "done", None),
}


@pytest.mark.parametrize("how", ENDS)
def test_a_command_adds_one_line_however_it_ends(how: str, path: Path, tmp_path: Path) -> None:
    error, outcome, said = ENDS[how]

    def main(options: SubmitOptions) -> None:
        with run_record(tmp_path, "submit", {"x": 1}, seed=5) as run:
            run.metrics |= {"planets": 3, "name": "curves", "status": {"ok": 2}}
            if error is not None:
                raise error

    with contextlib.nullcontext() if error is None else pytest.raises(type(error)):
        invoked(main, SubmitOptions())
    (found,) = read_history(path).events
    assert (found["command"], found["outcome"], found.get("error")) == ("submit", outcome, said)
    assert found["metrics"] == {"planets": 3, "status.ok": 2}
    record = json.loads((tmp_path / "run.json").read_text())
    assert (found["config_hash"], found["commit"]) == (config_hash({"x": 1}), record["git_commit"])
    assert current() is None


def test_a_run_that_left_something_out_is_not_done(path: Path) -> None:
    def main(options: SubmitOptions) -> None:
        Run("submit", {}).status = "incomplete"

    invoked(main, SubmitOptions())
    assert [one["outcome"] for one in read_history(path).events] == ["incomplete"]


def test_no_line_is_written_unasked_nor_by_helpers_of_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(events.VARIABLE, raising=False)
    assert events.place() is None
    monkeypatch.setenv(events.VARIABLE, str(tmp_path))
    assert events.place() == tmp_path / "events.jsonl"
    monkeypatch.setenv("RANK", "1")
    assert events.place() is None


@pytest.mark.parametrize("name", ["file/events.jsonl", "n" * 300, "/dev/full"])
def test_a_place_that_cannot_be_written_is_a_warning(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(events.VARIABLE, str(tmp_path / name))
    invoked(lambda options: None, SubmitOptions())
    assert "the event could not be written" in caplog.text


def test_the_password_of_a_url_is_written_nowhere(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "ftp://me:secret@host:21/curves"
    monkeypatch.setattr("sys.argv", ["ariel", "predict", url])
    monkeypatch.setattr("ariel_scripts.invocation.listed_at", lambda where: {})

    def main(options: PredictOptions) -> None:
        with run_record(tmp_path, "predict", {"dataset": url, "model": [url]}) as run:
            run.metrics["sources"] = [{"name": url}]
            raise OSError(f"{url}: no answer")

    with pytest.raises(OSError, match="no answer"):
        invoked(main, PredictOptions(url, tmp_path / "p.csv"))
    for written in (path, tmp_path / "run.json"):
        assert "secret" not in written.read_text()
        assert "ftp://me:***@host:21/curves" in written.read_text()


def test_an_error_with_a_name_that_is_no_text_is_still_that_error(path: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9")

    def main(options: SubmitOptions) -> None:
        with run_record(tmp_path / "out", "submit", {"sample": name}):
            raise ValueError(name)

    with pytest.raises(ValueError, match=r"^caf"):
        invoked(main, SubmitOptions(out=Path(name)))
    assert read_history(path).events[0]["error"] == f"ValueError: {name}"
    assert json.loads((tmp_path / "out/run.json").read_text())["invocation"]["options"]["out"] == name


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "expected JSON"),
        ("[1]", "expected an event, found list"),
        (json.dumps(event(seconds="long")), "seconds: expected in an event, found 'long'"),
        (json.dumps(event(time="yesterday")), "time: expected a date and time, found 'yesterday'"),
        ("\xff", "expected JSON"),
    ],
)
def test_damaged_lines_are_named_and_left_out(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(f"{json.dumps(event())}\n".encode() + line.encode("latin-1") + b"\n\n")
    found = read_history(path)
    assert len(found.events) == 1
    assert f"{path}: line 2: {said}" in found.damaged[0]


@pytest.fixture
def several(tmp_path: Path) -> Path:
    path = tmp_path / "events.jsonl"
    for number in range(3):
        events.append(path, event(seconds=10.0**number, time=f"2026-11-{28 + number % 2}T04:00:00+00:00"))
    events.append(path, event("finetune", outcome="failed", error="ValueError: a | b", config_hash="ba9876543210"))
    return path


def test_the_table_has_durations_failures_and_configurations(several: Path) -> None:
    lines = as_markdown(read_history(several)).splitlines()
    assert lines[2] == "| predict | 3 | 0 | 0 | 10.0 | 100.0 | 0.03 | 0123456789ab | done, 2026-11-28T04:00:00 |"
    assert lines[3].startswith("| finetune | 1 | 1 | 0 |")
    assert lines[-1] == "- 2026-11-30T04:00:00 finetune (ba9876543210) failed: ValueError: a \\| b"
    rows = list(csv.DictReader(io.StringIO(as_csv(read_history(several)))))
    assert [row["seconds"] for row in rows] == ["1.0", "10.0", "100.0", "2.0"]
    assert json.loads(rows[0]["metrics"]) == {"planets": 3}
    assert [one["command"] for one in read_history(several, "finetune").events] == ["finetune"]


def test_the_heatmap_has_a_cell_a_command_and_day(several: Path) -> None:
    axes = heatmap(read_history(several)).axes[0]
    assert [one.get_text() for one in axes.get_yticklabels()] == ["predict", "finetune"]
    assert [one.get_text() for one in axes.get_xticklabels()] == ["11-28", "11-29", "11-30"]
    assert sorted(one.get_text() for one in axes.texts) == ["1", "1 (1✗)", "2"]
    assert float(axes.images[0].get_array()[0, 0]) == pytest.approx(50.5)  # type: ignore[index]


def test_all_forms_are_written(several: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command.main(EventsOptions(several, out=tmp_path / "history"))
    assert capsys.readouterr().out == (tmp_path / "history/events.md").read_text()
    assert imread(tmp_path / "history/events.png").shape[2] == 4
    with pytest.raises(ValueError, match="expected events of submit, found none"):
        command.main(EventsOptions(several, command="submit"))
    with pytest.raises(ValueError, match="expected an events file"):
        command.main(EventsOptions(tmp_path / "none.jsonl"))
