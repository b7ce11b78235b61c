"""A build that is run again: what it keeps, what it makes anew, and what it refuses to mix."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from build_scenes import contents, fake_build, options, visits
from detector_frames import write_tables
from fake_folder import reduce_until_full, reduce_with_a_stale_handle, set_visit, write_folder

from hf_dataset import folders
from hf_dataset.build import plan
from hf_dataset.build.resume import BuildConflict
from hf_dataset.raw.fingerprints import table_fingerprints
from hf_dataset.reduction.options import ReductionOptions
from hf_dataset.store.shards import find_shards

pytestmark = pytest.mark.usefixtures("same_code")


def test_a_finished_build_is_not_done_again(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    fake_build(root, out, options())
    before = {path: path.stat().st_mtime_ns for path in (out / "data/light_curves").rglob("*.parquet")}
    assert fake_build(root, out, options(workers=2)).rows == {"train": 8, "test": 3}
    assert {path: path.stat().st_mtime_ns for path in (out / "data/light_curves").rglob("*.parquet")} == before


def test_only_the_missing_shard_is_made_again(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    fake_build(root, out, options())
    before = contents(out)
    times = {path: path.stat().st_mtime_ns for path in (out / "data/light_curves").rglob("*.parquet")}
    lost = find_shards(out)["train"][1]
    lost.write_bytes(lost.read_bytes()[:1000])
    fake_build(root, out, options())
    assert contents(out) == before
    assert [path for path, time in times.items() if path.stat().st_mtime_ns != time] == [lost]


@pytest.mark.parametrize("content", ["{}", "[]", "null", '{"rows": 0}', '{"rows"'])
def test_a_manifest_that_lacks_its_keys_is_none_and_its_shard_is_made_again(
    root: Path, tmp_path: Path, content: str
) -> None:
    out = tmp_path / "out"
    fake_build(root, out, options())
    path = out / "manifest/train-00001-of-00003.json"
    whole = json.loads(path.read_text())
    path.write_text(content)
    assert fake_build(root, out, options()).rows == {"train": 8, "test": 3}
    assert json.loads(path.read_text())["sha256"] == whole["sha256"]


def test_a_mended_visit_is_made_on_the_next_run_and_the_rest_kept(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    set_visit(root, "train", 5, 0, "bad")
    (root / "test" / "103").mkdir()
    assert len(fake_build(root, out, options()).failures) == 2
    times = {path: path.stat().st_mtime_ns for path in (out / "data/light_curves").rglob("*.parquet")}
    set_visit(root, "train", 5, 0, "good")
    summary = fake_build(root, out, options())
    assert [failure["planet_id"] for failure in summary.failures] == [103]
    assert (5, 0) in visits(out, "train")
    again = [path.name for path, time in times.items() if path.stat().st_mtime_ns != time]
    assert again == ["train-00002-of-00003.parquet"]


def test_shards_to_be_made_again_do_not_count_as_finished(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root, out = write_folder(tmp_path / "raw", {10: 1, 11: 1}), tmp_path / "out"
    for planet in (10, 11):
        set_visit(root, "train", planet, 0, "needs 9 bins")
    with pytest.raises(RuntimeError, match="none of 2 visits gave a row"):
        fake_build(root, out, options(planets_per_shard=1))
    again = options(planets_per_shard=1, reduction=ReductionOptions(n_bins=9))
    with pytest.raises(OSError, match="File too large"):
        fake_build(root, out, again, reduce_visit=reduce_until_full)
    assert "0 of 2 shards are finished and kept" in caplog.text


def test_a_visit_that_the_system_did_not_let_be_read_is_tried_again_by_the_next_run(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    set_visit(root, "train", 1, 0, "bad")
    first = fake_build(root, out, options(), reduce_visit=reduce_with_a_stale_handle)
    assert [failure["planet_id"] for failure in first.failures] == [1, 5]
    times = {path.name: path.stat().st_mtime_ns for path in (out / "data/light_curves").rglob("*.parquet")}
    assert [failure["planet_id"] for failure in fake_build(root, out, options()).failures] == [1]
    again = [
        path.name
        for path in (out / "data/light_curves").rglob("*.parquet")
        if path.stat().st_mtime_ns != times[path.name]
    ]
    assert again == ["train-00002-of-00003.parquet"]


def _new_planet(root: Path) -> None:
    set_visit(root, "train", 9, 0, "good")


def _changed_visit(root: Path) -> None:
    set_visit(root, "train", 2, 0, "good ")


def _changed_table(root: Path) -> None:
    (root / "train.csv").write_text("planet_id,wl_1\n")


def _new_table(root: Path) -> None:
    (root / "wavelengths.csv").write_text("wl_1\n")


def _lost_table(root: Path) -> None:
    (root / "train.csv").unlink()


@pytest.mark.parametrize(
    ("change", "changes", "message"),
    [
        (None, {"reduction": ReductionOptions(n_bins=9)}, "reduction.n_bins was 8, is 9"),
        (None, {"validation_fraction": 0.5}, "validation_fraction was 0.0, is 0.5"),
        (None, {"planets": [1, 2]}, "other planets or visits were in it"),
        (_new_planet, {}, "other planets or visits were in it"),
        (_changed_visit, {}, r"train/2/0.txt: was 4 bytes of 2\S+, is 5 bytes of 2"),
        (_new_table, {}, r"wavelengths.csv: was no file, is \d+ bytes of"),
        (_lost_table, {}, r"train.csv: was \d+ bytes of \S+, is no file"),
        (_changed_table, {}, r"train.csv: was \d+ bytes of"),
    ],
)
def test_what_was_begun_differently_is_refused_and_left_alone_until_restart(
    root: Path, tmp_path: Path, change: Any, changes: dict[str, Any], message: str
) -> None:
    out = tmp_path / "out"
    fake_build(root, out, options())
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    if change:
        change(root)
    with pytest.raises(BuildConflict, match=message) as refusal:
        fake_build(root, out, options(**changes))
    assert "--restart" in str(refusal.value)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    restarted = fake_build(root, out, options(restart=True, **changes))
    fresh = fake_build(root, tmp_path / "fresh", options(**changes))
    assert restarted.rows == fresh.rows
    assert contents(out) == contents(tmp_path / "fresh")
    assert (out / "README.md").read_text().replace("`out`", "`fresh`").count("`fresh`")


def test_files_that_rows_do_not_depend_on_may_come_and_go(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    fake_build(root, out, options())
    (root / "my_predictions.csv").write_text("mine")
    find_shards(out)["train"][1].unlink()
    assert fake_build(root, out, options()).rows == {"train": 8, "test": 3}


@pytest.mark.parametrize("layout", ["2024", "2025"])
def test_every_table_that_a_raw_folder_has_is_watched(layout: str, tmp_path: Path) -> None:
    write_tables(tmp_path, layout, [7], 8, 8)
    written = {path.name for path in tmp_path.iterdir()}
    assert len(written) >= 4
    assert set(table_fingerprints(tmp_path)) == written


@pytest.mark.parametrize("planet", [1, 4])
def test_a_table_edited_while_the_build_runs_stops_it_and_no_shard_is_mixed(
    root: Path, tmp_path: Path, planet: int
) -> None:
    out = tmp_path / "out"
    set_visit(root, "train", planet, 0, "edits a table")
    with pytest.raises(BuildConflict, match=r"raw: tables changed while the build ran: train.csv: was 10 bytes of .*"):
        fake_build(root, out, options())
    assert len(contents(out)) == len(list((out / "manifest").glob("*"))) == planet // 3
    assert not (out / "README.md").exists()
    set_visit(root, "train", planet, 0, "good")
    if planet == 1:  # nothing is finished that could be mixed with
        assert fake_build(root, out, options()).rows == {"train": 8, "test": 3}
    else:
        with pytest.raises(BuildConflict, match="--restart"):
            fake_build(root, out, options())


def test_what_killed_processes_left_half_written_is_swept_away_and_nothing_else(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    fake_build(root, out, options())
    left = [folders.hidden(out / name) for name in ("README.md", "manifest/train-00000-of-00003.json", "run.json")]
    for path in left:
        path.write_text("half")
    (out / ".mine.tmp").write_text("mine")
    fake_build(root, out, options())
    assert not [path for path in left if path.exists()]
    assert (out / ".mine.tmp").exists()


def test_a_file_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "README.md").mkdir()
    with pytest.raises(OSError, match=r"README\.md"):
        folders.write_bytes(tmp_path / "README.md", b"card")
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


def test_a_seed_that_decides_nothing_may_change(root: Path, tmp_path: Path) -> None:
    fake_build(root, tmp_path / "a", options(seed=1))
    assert fake_build(root, tmp_path / "a", options(seed=2)).rows == {"train": 8, "test": 3}
    fake_build(root, tmp_path / "b", options(seed=1, validation_fraction=0.3))
    with pytest.raises(BuildConflict, match="seed was 1, is 2"):
        fake_build(root, tmp_path / "b", options(seed=2, validation_fraction=0.3))


def test_shards_made_by_other_code_are_refused(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_build(root, tmp_path / "out", options())
    monkeypatch.setattr(plan, "code_version", lambda: {"ariel-hf": "9.9", "source": "abc"})
    with pytest.raises(BuildConflict, match=r"made by code .*, this is .*9.9"):
        fake_build(root, tmp_path / "out", options())


def test_other_files_in_the_output_folder_survive_a_restart(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    fake_build(root, out, options())
    (out / "predictions.parquet").write_text("mine")
    fake_build(root, out, options(restart=True))
    assert (out / "predictions.parquet").read_text() == "mine"
