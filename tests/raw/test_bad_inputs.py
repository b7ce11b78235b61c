"""Every way to spoil a raw folder ends in a right row or a refusal by name; other planets keep their rows.

The folders are real in format and small. The build is the real one but for its worker processes, which are this one,
and for visits that a case leaves alone: where all that a reduction reads is as in the unspoiled folder, its row is the
one known already. The visits a case is about are reduced every time.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import spoiled_folders as spoil
import typer
from bad_calibration_cases import calibration_cases
from bad_folder_cases import folder_cases
from bad_signal_cases import signal_cases
from bad_table_cases import table_cases
from spoiled_folders import BINS, EVERYTHING, SAME, TRUE, VISITS, Case
from typer.testing import CliRunner

from ariel_scripts.command_line import with_common_options
from ariel_scripts.commands.build_dataset import main
from hf_dataset.build import run
from hf_dataset.build.plan import BuildOptions
from hf_dataset.raw import layouts
from hf_dataset.reduction.options import ReductionOptions
from hf_dataset.reduction.visit import reduce_visit
from hf_dataset.store import card
from hf_dataset.store.shards import find_shards

CASES = [*signal_cases(), *calibration_cases(), *table_cases(), *folder_cases()]
OPTIONS = BuildOptions(reduction=ReductionOptions(n_bins=BINS), workers=1, planets_per_shard=8)
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "bad_inputs.md"
Rows = dict[tuple[int, int], pa.Table]


class Here:
    """An executor that runs its steps in this process."""

    def __init__(self, engine: str, pipeline: list[Any], *arguments: Any, **options: Any) -> None:
        self.pipeline = pipeline

    def run(self) -> None:
        for step in self.pipeline:
            list(step.run(rank=0, world_size=1))


class Recall:
    """`reduce_visit` that reduces what it has not seen: the same files, by their inodes, and the same table values."""

    def __init__(self) -> None:
        self.known: dict[Any, Any] = {}
        self.afresh: set[tuple[int, int]] = set()

    def __call__(self, visit: layouts.RawVisit, options: ReductionOptions) -> tuple[dict[str, Any], dict[str, Any]]:
        if (visit.planet_id, visit.visit) in self.afresh:
            return reduce_visit(visit, options)
        try:
            status = [(path.stat().st_ino, path.stat().st_mtime_ns, path.stat().st_size) for path in visit.files()]
            tables = [
                visit.folder.star(visit.split, visit.planet_id),
                visit.folder.truth(visit.split, visit.planet_id),
                visit.folder.axes,
                [visit.adc(name) for name in layouts.INSTRUMENTS],
            ]
            tables += [visit.folder.airs_wavelengths, visit.folder.wavelengths, visit.folder.simulated]
        except ValueError:
            return reduce_visit(visit, options)
        with np.printoptions(threshold=sys.maxsize, precision=17):
            key = (visit.layout, visit.split, visit.name, repr(options), repr(tables), tuple(status))
        if key not in self.known:
            self.known[key] = reduce_visit(visit, options)
        return self.known[key]


@pytest.fixture(scope="module")
def folders() -> Iterator[Path]:
    """`2024` and `2025`, in a folder that another user may enter."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield spoil.write_folders(Path(name))


@pytest.fixture(scope="module")
def recall() -> Recall:
    return Recall()


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "make_executor", Here)


def rows_of(out: Path) -> Rows:
    tables = [pq.read_table(path) for paths in find_shards(out).values() for path in paths]
    rows = [table.slice(k, 1) for table in tables for k in range(table.num_rows)]
    return {(row["planet_id"][0].as_py(), row["visit"][0].as_py()): row for row in rows}


@pytest.fixture(scope="module")
def unspoiled(folders: Path, recall: Recall) -> dict[str, Rows]:
    """The rows of both folders as they are."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "make_executor", Here)
        for layout in VISITS:
            out = folders / f"out {layout}"
            summary = run.build_dataset(folders / layout, out, OPTIONS, reduce_visit=recall)
            assert not summary.failures
            found[layout] = rows_of(out)
            assert set(found[layout]) == {(planet, visit) for _, planet, visit in VISITS[layout]}
            for row in found[layout].values():
                spoil.check_truth(row)
    return found


def same(found: pa.Table, expected: pa.Table) -> bool:
    """Whether two rows are equal in every byte of every column."""

    def content(row: pa.Table) -> pa.Buffer:
        return pa.RecordBatch.from_struct_array(row.to_struct_array().combine_chunks()).serialize()

    return content(found).equals(content(expected))


@pytest.fixture
def place(folders: Path) -> Iterator[Path]:
    """An empty folder on the file system of `folders`, its name as awkward as names get."""
    with tempfile.TemporaryDirectory(dir=folders, prefix="Ärìel données 光 ") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def build_case(
    case: Case, root: Path, out: Path, recall: Callable[..., Any]
) -> tuple[Rows, list[dict[str, Any]], str | None]:
    """(rows, entries of the visits left out, the error that ended the build)."""
    try:
        summary = run.build_dataset(root, out, OPTIONS, reduce_visit=recall)
    except (ValueError, OSError, RuntimeError) as error:  # what the command turns into exit code 1
        return {}, [], str(error)
    return rows_of(out), summary.failures, None


def test_every_case_has_a_name_of_its_own() -> None:
    assert len({case.name for case in CASES}) == len(CASES) > 200


def default_and_slow() -> Iterator[Any]:
    """The cases; after three of a group with the same good outcome, each a whole reduction, the others are slow."""
    seen: Counter[tuple[str, str]] = Counter()
    for case in CASES:
        kind = (case.group, str(case.outcome))
        seen[kind] += 1
        slow = case.outcome in (SAME, TRUE) and case.group != "frames" and seen[kind] > 3
        yield pytest.param(case, id=case.name, marks=[pytest.mark.slow] if slow else [])


@pytest.mark.parametrize("case", list(default_and_slow()))
def test_a_bad_input_gives_a_right_row_or_is_refused_by_name(
    case: Case,
    folders: Path,
    unspoiled: dict[str, Rows],
    recall: Recall,
    place: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(card, "write_card", lambda *arguments, **options: None)
    root = spoil.copy_of(folders / case.layout, place / "raw")
    case.spoil(root)
    recall.afresh = set() if case.of_tables else set(case.visits)
    rows, failures, error = build_case(case, root, place / "out", recall)
    before = unspoiled[case.layout]
    refused = isinstance(case.outcome, tuple)
    assert "Traceback" not in caplog.text
    assert case.log in caplog.text
    for entry in failures:
        assert "traceback" not in entry, entry["traceback"]
    if refused and set(before) <= {*case.visits, *case.gone}:
        assert not rows
        check_message(str(error), case.outcome)
        return
    assert error is None
    left_out = [(entry["planet_id"], entry["visit"]) for entry in failures]
    assert sorted(left_out) == sorted(case.visits if refused else ())
    lost = {*left_out, *case.gone}
    assert set(rows) == (set(before) | set(case.new)) - lost
    for visit in set(before) - lost - set(case.visits):
        assert same(rows[visit], before[visit]), f"the row of {visit}, which nobody touched, changed"
    for entry in failures:
        check_message(entry["error"], case.outcome, entry["planet_id"])
    if case.outcome == SAME:
        for visit in set(case.visits) & set(rows):
            assert same(rows[visit], before[visit])
    if case.outcome == TRUE:
        (case.check or spoil.check_truth)(rows[case.visits[0]])


def check_message(message: str, pieces: tuple[str, ...], planet: int | None = None) -> None:
    """All pieces of what a user must read are there."""
    assert all(piece in message for piece in pieces), f"expected {pieces}, found {message}"
    assert "unexpected" not in message
    assert re.search("expected .*found|cannot be decoded", message, re.DOTALL), message
    assert planet is None or re.search(rf"planet {planet}\b", message), message


# --- what a case cannot show ---------------------------------------------------------------------------------------


def test_a_file_that_changes_while_it_is_read_is_refused(
    folders: Path, unspoiled: dict[str, Rows], recall: Recall, place: Path
) -> None:
    root = spoil.copy_of(folders / "2025", place / "raw")

    def meanwhile(visit: layouts.RawVisit, options: ReductionOptions) -> tuple[dict[str, Any], dict[str, Any]]:
        result = recall(visit, options)
        if visit.name == "planet 7 visit 0":
            spoil.put(spoil.signal(root), spoil.signal(root).read_bytes())
        return result

    summary = run.build_dataset(root, place / "out", OPTIONS, reduce_visit=meanwhile)
    [entry] = summary.failures
    check_message(
        entry["error"],
        ("planet 7 visit 0: expected its files to stay as they were, found train/7/FGS1_signal_0.parquet changed",),
        7,
    )
    assert set(rows_of(place / "out")) == set(unspoiled["2025"]) - {(7, 0)}


@pytest.mark.parametrize("what", ["signal file", "planet's folder", "calibration folder"])
def test_what_may_not_be_read_is_named(
    what: str, folders: Path, unspoiled: dict[str, Rows], recall: Recall, place: Path
) -> None:
    """Root may read everything, so where the tests run as root another user reads."""
    root = Path(shutil.copytree(folders / "2025", place / "raw"))
    (place / "out").mkdir()
    signal = spoil.signal(root)
    folder = {"planet's folder": signal.parent, "calibration folder": spoil.calibration(root, "dark").parent}
    path = folder.get(what, signal)
    path.chmod(0)
    (place / "out").chmod(0o777)
    user = os.geteuid()
    recall.afresh = set(EVERYTHING)
    try:
        if user == 0:
            os.seteuid(65534)
        summary = run.build_dataset(root, place / "out", OPTIONS, reduce_visit=recall)
    finally:
        os.seteuid(user)
        path.chmod(0o755)
    assert "traceback" not in summary.failures[0]
    check_message(summary.failures[0]["error"], ("planet 7 visit 0", "Permission denied"), 7)
    rows = rows_of(place / "out")
    assert {(11, 0), (100, 0)} <= set(rows)
    assert all(same(row, unspoiled["2025"][visit]) for visit, row in rows.items())


COMMANDS: dict[str, tuple[Callable[[Path], Any], tuple[str, ...], int, str]] = {
    "one bad visit": (lambda root: spoil.signal(root).unlink(), (), 0, "FGS1_signal_0.parquet of planet 7 visit 0"),
    "one bad visit, strict": (lambda root: spoil.signal(root).unlink(), ("--strict",), 1, "1 visit left out"),
    "no good visit": (lambda root: (root / "adc_info.csv").unlink(), (), 1, "none of 4 visits gave a row"),
    "no wavelengths": (lambda root: (root / "wavelengths.csv").unlink(), (), 1, "expected a CSV table, found none"),
    "no folder": (shutil.rmtree, (), 1, "expected a raw challenge folder, found nothing"),
    "unspoiled": (lambda root: None, ("--strict",), 0, "3 train + 1 test rows"),
    "an unknown setting": (lambda root: None, ("--reduction", "{bins: 3}"), 2, "bins"),
    "a setting of another type": (
        lambda root: None,
        ("--reduction", "{flat: 'no'}"),
        2,
        "flat: expected true or false",
    ),
    "an unknown option": (lambda root: None, ("--bin", "3"), 2, "No such option"),
    "an option without sense": (lambda root: None, ("--bins", "many"), 2, "valid integer"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_command_says_what_is_wrong_and_ends_with_the_documented_exit_code(
    name: str, folders: Path, unspoiled: dict[str, Rows], recall: Recall, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change, arguments, code, message = COMMANDS[name]
    root = spoil.copy_of(folders / "2025", place / "raw")
    change(root)
    recall.afresh = {(7, 0)}
    monkeypatch.setattr(
        run.build_dataset, "__kwdefaults__", {**run.build_dataset.__kwdefaults__, "reduce_visit": recall}
    )
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(with_common_options(main))
    command = [str(root), str(place / "out"), "--bins", str(BINS), *arguments]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == code, result.output
    report = place / "out" / "report.md"
    said = result.output + (report.read_text() if report.exists() else "")
    assert message in " ".join(said.split()), said
    assert "Traceback" not in said


def test_the_installed_command_leaves_out_the_bad_and_keeps_the_good(
    folders: Path, unspoiled: dict[str, Rows], place: Path
) -> None:
    """One process with its workers, several faults at once."""
    root = spoil.copy_of(folders / "2025", place / "raw")
    spoil.cut(spoil.signal(root), lambda n: n // 2)
    spoil.calibration(root, "flat", visit=1).unlink()
    command = [
        sys.executable,
        "-m",
        "ariel_scripts.cli",
        "build-dataset",
        str(root),
        str(place / "out"),
        "--bins",
        str(BINS),
    ]
    done = subprocess.run(
        [*command, "--strict", "--workers", "1"], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert "2 visits left out" in done.stderr
    report = (place / "out/report.md").read_text()
    assert "FGS1_signal_0.parquet of planet 7 visit 0: expected a whole Parquet file" in report
    assert "FGS1_calibration_1/flat.parquet of planet 7 visit 1: expected a Parquet file, found none" in report
    rows = rows_of(place / "out")
    assert set(rows) == {(11, 0), (100, 0)}
    assert all(same(row, unspoiled["2025"][visit]) for visit, row in rows.items())


# --- the document --------------------------------------------------------------------------------------------------


def test_the_examples_of_the_document_are_messages_of_cases() -> None:
    refusals = [" ".join(case.outcome) for case in CASES if isinstance(case.outcome, tuple)]
    rows = re.findall(r"^\| .*`(.*expected.*)` \|$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(rows) > 10
    for example in rows:
        pieces = example.split(" … ")
        assert any(all(piece in refusal for piece in pieces) for refusal in refusals), example
