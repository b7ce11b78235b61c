"""A whole study, killed and resumed, walked back to its raw files, and made again: `study`, `lineage`, `reproduce`."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import typer
import yaml

from ariel_scripts import cli
from ariel_scripts.alone import alone_in
from ariel_scripts.commands import reproduce
from ariel_scripts.content import shards_of
from ariel_scripts.ledger import Ledger
from ariel_scripts.options.reproduce import ReproduceOptions
from ariel_scripts.reproduction.compare import compared
from ariel_scripts.reproduction.history import read_history
from ariel_scripts.reproduction.lineage import CHANGED, MISSING, MOVED, SAME, UNKNOWN, Node, lineage
from ariel_scripts.reproduction.tree import as_text, as_values
from ariel_scripts.stage_runner import Study
from ariel_scripts.stages import read_stages
from hf_dataset.digests import file_hash

STAGES = [
    {"name": "raw", "command": "simulate", "options": {"planets": 1, "test_planets": 1, "frames": 150, "seed": 3}},
    {
        "name": "curves",
        "command": "build-dataset",
        "options": {"root": "raw", "workers": 1, "reduction": {"n_bins": 75}},
    },
    {"name": "predicted", "command": "predict", "options": {"dataset": "curves", "split": "test", "workers": 1}},
    {
        "name": "submitted",
        "command": "submit",
        "options": {"predictions": "predicted", "sample": "raw/sample_submission.csv"},
    },
]
KILLED = """
import os, signal, sys
from ariel_scripts import cli

main_of = cli.main_of
killed = lambda options: os.kill(os.getpid(), signal.SIGKILL)
cli.main_of = lambda name: killed if name == "predict" else main_of(name)
cli.call("study", *sys.argv[1:])
"""


def study(place: Path) -> Study:
    return Study("study", place / "study.yaml", place / "out", read_stages(place / "study.yaml", place / "out"))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A study that was killed while it predicted, and then run again; its events beside it."""
    place = tmp_path_factory.mktemp("study")
    (place / "study.yaml").write_text(yaml.safe_dump({"stages": STAGES}))
    events = {"ARIEL_EVENTS": str(place / "events.jsonl")}
    words = [str(place / "study.yaml"), "--out", str(place / "out")]
    killed = subprocess.run([sys.executable, "-c", KILLED, *words], env=os.environ | events, capture_output=True)
    assert killed.returncode == -9, killed.stderr
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ARIEL_EVENTS", events["ARIEL_EVENTS"])
        cli.call("study", *words)
    yield place
    shutil.rmtree(place)


@contextlib.contextmanager
def changed(path: Path) -> Iterator[None]:
    """One byte of the file is another, of the same size and time, for a while."""
    content, status = path.read_bytes(), path.stat()
    middle = len(content) // 2
    path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    try:
        yield
    finally:
        path.write_bytes(content)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def found(root: Node) -> dict[str, Node]:
    """Nodes by the command that left them and what they were read as."""
    return {f"{(one.made or {}).get('command')} {one.label}": one for one in root.every()}


def not_as_recorded(root: Node) -> list[str]:
    """Without what depends on the checkout that is tested."""
    return [text for text in root.wrong() if "made by other code" not in text]


def test_a_killed_study_goes_on_where_it_was(place: Path) -> None:
    events = read_history(place / "events.jsonl").events
    assert [event["command"] for event in events] == ["simulate", "build-dataset", "predict", "submit", "study"]
    assert {event["outcome"] for event in events} == {"done"}
    assert events[1]["metrics"]["rows.train"] == 1
    assert all(len(event["config_hash"]) == 12 and event["seconds"] > 0 for event in events)
    record = json.loads((place / "out/run.json").read_text())
    assert list(record["metrics"]) == [stage["name"] for stage in STAGES]
    assert record["config_hash"] == events[-1]["config_hash"]


def test_a_finished_study_has_nothing_to_do(place: Path) -> None:
    assert all("(done, up to date)" in line for line in study(place).plan())
    done = Ledger(place / "out").done
    study(place).run()
    assert Ledger(place / "out").done == done


def test_two_studies_in_one_folder_are_refused(place: Path) -> None:
    record = (place / "out/run.json").read_bytes()
    with alone_in(place / "out"), pytest.raises(ValueError, match=r"out: expected no other command to write it"):
        study(place).run()
    assert (place / "out/run.json").read_bytes() == record


def test_a_stage_in_a_linked_folder_is_not_run_over_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "other_disk").mkdir()
    (tmp_path / "submitted").symlink_to(tmp_path / "other_disk")
    place = (tmp_path / "submitted/submission.csv", tmp_path / "submitted")
    with pytest.raises(ValueError, match=r"submitted: expected a folder to be written anew, found a link to .*other"):
        Ledger(tmp_path).run("submitted", {"command": "submit"}, *place, lambda restart: None, restart=True)
    assert (tmp_path / "other_disk").is_dir()


def test_the_plan_says_what_has_changed_and_what_waits_for_it(place: Path, tmp_path: Path) -> None:
    stages = [stage | {"options": dict(stage["options"])} for stage in STAGES]
    stages[1]["options"] |= {"reduction": {"n_bins": 60}, "workers": 2}  # of which one decides
    (tmp_path / "study.yaml").write_text(yaml.safe_dump({"stages": stages}))
    plan = Study("study", tmp_path, place / "out", read_stages(tmp_path / "study.yaml", place / "out")).plan()
    why = [line.split(" (", 1)[1] for line in plan]
    assert why == [
        "done, up to date)",
        "changed: reduction {'n_bins': 75} → {'n_bins': 60})",
        "if curves will leave something else)",
        "if predicted will leave something else)",
    ]
    with changed(place / "out/predicted/predictions.parquet"):
        assert study(place).plan()[2].endswith("(its result is not what it left)")


def test_a_submission_leads_back_to_raw_hashes(place: Path) -> None:
    root = lineage(place / "out/submitted/submission.csv", deep=True)
    nodes = found(root)
    assert {*nodes} == {
        "submit file",
        "predict predictions",
        "build-dataset dataset",
        "calibrate model",
        "training model",
        "None dataset",  # of the released checkpoint, which is not here
        "simulate root",
        "simulate sample",
    }
    raw, record = nodes["simulate root"], json.loads(next((place / "out/curves/manifest").glob("train*")).read_text())
    assert raw.name.endswith("raw (31 files)")
    hashes = record["input_sha256"]
    assert len(hashes) > 10
    assert hashes == {name: file_hash(place / "out/raw" / name) for name in hashes}
    for name in ("submit file", "predict predictions", "build-dataset dataset", "simulate root", "simulate sample"):
        node = nodes[name]
        assert (node.state, node.made["versions"]["python"][:2]) == (SAME, "3."), name  # type: ignore[index]
        assert {"config_hash", "seeds", "commit", "lock_hash"} <= {*node.made}  # type: ignore[misc]
    assert nodes["simulate root"].made["seeds"] == [3]  # type: ignore[index]
    assert nodes["predict predictions"].made["line"].endswith("--split test --workers 1")  # type: ignore[index]
    assert all("simulated/model" in text or text.startswith("both") for text in not_as_recorded(root))
    assert "← ariel submit" in as_text(root)
    assert (
        json.loads(json.dumps(as_values(root)))["inputs"][0]["inputs"][0]["sha256"]
        == nodes["build-dataset dataset"].sha256
    )


@pytest.mark.parametrize("name", ["submission.zip", "submission.long.csv", "submission.manifest.json"])
def test_files_beside_a_submission_lead_to_the_same(place: Path, name: str) -> None:
    root = lineage(place / "out/submitted" / name)
    assert root.made is not None
    assert (root.made["command"], root.state) == ("submit", UNKNOWN if "manifest" in name else SAME)


@pytest.mark.parametrize(
    ("file", "where", "deep"),
    [
        ("submitted/submission.csv", "submit file", False),
        ("predicted/predictions.parquet", "predict predictions", False),
        ("curves/data", "build-dataset dataset", False),
        ("raw/sample_submission.csv", "simulate sample", False),
        ("raw/test", "simulate root", True),
    ],
)
def test_a_changed_byte_is_found(place: Path, file: str, where: str, deep: bool) -> None:
    path = place / "out" / file
    if path.is_dir():
        path = sorted(one for one in path.rglob("*.parquet") if "sample" not in str(one))[0]
    with changed(path):
        assert found(lineage(place / "out/submitted/submission.csv", deep))[where].state == CHANGED
        if deep:  # of the same size and time
            assert found(lineage(place / "out/submitted/submission.csv"))[where].state == SAME
            os.utime(path)
            node = found(lineage(place / "out/submitted/submission.csv"))[where]
            assert f"{path.relative_to(place / 'out/raw')}: expected sha256" in node.findings[0]


def test_the_shard_with_the_changed_byte_is_named(place: Path) -> None:
    curves = place / "out/curves"
    shard = shards_of(curves)[0]
    with changed(curves / shard):
        assert f"{shard}: expected the bytes of its manifest" in as_text(lineage(curves))


def test_what_was_moved_is_found_and_what_is_gone_is_said(place: Path, tmp_path: Path) -> None:
    moved = (place / "out").rename(place / "elsewhere")
    try:
        nodes = found(lineage(moved / "submitted/submission.csv"))
        states = [nodes[name].state for name in ("predict predictions", "build-dataset dataset", "simulate sample")]
        assert states == [MOVED] * 3
        assert nodes["simulate root"].path == str(moved / "raw")
        reproduce.main(ReproduceOptions(moved / "submitted/submission.csv"))
        shutil.copytree(moved / "submitted", tmp_path / "alone")
        alone = lineage(tmp_path / "alone/submission.csv")
        assert {one.label: one.state for one in alone.inputs} == {"predictions": MISSING, "sample": MISSING}
        assert alone.inputs[0].findings[0].startswith("expected file, sha256 ")
    finally:
        moved.rename(place / "out")


def test_a_file_of_no_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(ValueError, match=r"notes.txt: expected the record of the run that left it .* found none"):
        lineage(tmp_path / "notes.txt")
    with pytest.raises(ValueError, match="found nothing there"):
        lineage(tmp_path / "none.csv")
    with pytest.raises(ValueError, match="whose record says how its command was called, found none"):
        reproduce.main(ReproduceOptions(tmp_path / "notes.txt"))


def test_the_same_comes_out_again(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reproduce.main(ReproduceOptions(place / "out/submitted/submission.csv"))
    reproduce.main(ReproduceOptions(place / "out/predicted/predictions.parquet", out=tmp_path / "again"))
    assert capsys.readouterr().out.splitlines() == [
        "submission.csv: the same bytes",
        "predictions.parquet: the same numbers",
    ]
    assert (tmp_path / "again/predictions.run.json").is_file()


def test_a_result_that_comes_out_otherwise_is_an_error_with_the_difference(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(place / "out/submitted", tmp_path / "submitted")
    path = tmp_path / "submitted/submission.csv"
    header, row = path.read_text().splitlines()
    cells = row.split(",")
    value = float(cells[5])
    path.write_text("\n".join([header, ",".join([*cells[:5], f"{value * 1.5:.9g}", *cells[6:]])]))
    with pytest.raises(typer.Exit):
        reproduce.main(ReproduceOptions(path))
    said = capsys.readouterr().out
    assert f"wl_5: 1 of 1 values differ, by up to {value * 0.5:.3g}" in said
    assert "tolerance 1e-05" in said


def test_other_inputs_are_not_run_on(place: Path) -> None:
    with (
        changed(place / "out/predicted/predictions.parquet"),
        pytest.raises(
            ValueError, match=r"expected the inputs of `ariel submit` as they were, found:\n  predictions .*sha256"
        ),
    ):
        reproduce.main(ReproduceOptions(place / "out/submitted/submission.csv"))


def test_predictions_carry_their_invocation_and_the_content_of_their_inputs(place: Path) -> None:
    record = json.loads(pq.read_schema(place / "out/predicted/predictions.parquet").metadata[b"run"])
    invocation = record["invocation"]
    assert (invocation["command"], invocation["options"]["split"]) == ("predict", "test")
    assert {name: [one["kind"] for one in entries] for name, entries in invocation["inputs"].items()} == {
        "dataset": ["dataset"],
        "model": ["model"],
    }
    left = json.loads((place / "out/predicted/predictions.run.json").read_text())["outputs"]
    assert [one["sha256"] for one in left.values()] == [file_hash(place / "out/predicted/predictions.parquet")]


@pytest.mark.parametrize("name", ["linked.csv", "renamed/mine.csv", "renamed/other.zip"])
def test_what_is_linked_or_renamed_is_known_by_its_content(
    name: str, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "linked.csv").symlink_to(place / "out/submitted/submission.csv")
    shutil.copytree(place / "out/submitted", tmp_path / "renamed")
    (tmp_path / "renamed/submission.csv").rename(tmp_path / "renamed/mine.csv")
    (tmp_path / "renamed/submission.zip").rename(tmp_path / "renamed/other.zip")
    root = lineage(tmp_path / name)
    assert (found(root)["submit file"].state, len(root.inputs)) == (SAME, 2)
    reproduce.main(ReproduceOptions(tmp_path / name))
    assert capsys.readouterr().out == f"{Path(name).name}: the same bytes\n"


def test_a_shard_that_is_gone_is_a_difference(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(place / "out/curves", tmp_path / "curves")
    gone = shards_of(tmp_path / "curves")[0]
    (tmp_path / "curves" / gone).unlink()
    assert f"{gone}: expected the bytes of its manifest, found nothing there" in as_text(lineage(tmp_path / "curves"))
    (difference, *_) = compared(tmp_path / "curves", place / "out/curves", 1.0)[::-1]
    assert not difference.close
    assert difference.differences == [f"expected {tmp_path / 'curves' / gone}, found nothing there"]


@pytest.mark.slow
def test_the_example_study_runs_and_every_result_comes_out_again(repository: Path, tmp_path: Path) -> None:
    shutil.copyfile(repository / "configs/study.yaml", tmp_path / "study.yaml")
    study(tmp_path).run()
    out = tmp_path / "out"
    for name in ("curves", "calibrated", "finetuned/model", "page/report.html", "submitted/submission.csv"):
        assert not [one for one in lineage(out / name).every() if one.state in (CHANGED, MISSING)], name
        reproduce.main(ReproduceOptions(out / name))
