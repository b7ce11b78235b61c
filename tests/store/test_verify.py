"""`ariel verify`: whatever is changed in a finished dataset, or in what it was made of, is found and named."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fake_folder import make_row, open_fake, reduce_fake, set_visit, write_folder
from typer.testing import CliRunner
from upath import UPath

from ariel_scripts import cli
from hf_dataset.build.plan import BuildOptions
from hf_dataset.build.run import build_dataset
from hf_dataset.digests import config_hash
from hf_dataset.reduction.options import ReductionOptions
from hf_dataset.store.shards import ShardWriter
from hf_dataset.store.verify import Verdict, verify

BINS = 8
FIRST, SECOND, TEST = (f"data/light_curves/{name}.parquet" for name in (
    "train-00000-of-00003", "train-00001-of-00003", "test-00000-of-00001"))  # fmt: skip


SAMPLE = "data/sample/train-00000-of-00001.parquet"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """raw/ (planets 1 … 5 with two visits of planet 1, a bad visit, and test planets 8, 9) and its dataset out/."""
    folder = tmp_path_factory.mktemp("built")
    root = write_folder(folder / "raw", {1: 2, 2: 1, 3: 1, 4: 1, 5: 1}, {8: 1, 9: 1})
    set_visit(root, "train", 4, 0, "bad")
    options = BuildOptions(reduction=ReductionOptions(n_bins=BINS), planets_per_shard=2, workers=1)
    build_dataset(root, folder / "out", options, open_folder=open_fake, reduce_visit=reduce_fake)
    return folder


@pytest.fixture
def copy(built: Path, tmp_path: Path) -> Path:
    """A dataset and raw folder to spoil, with the modification times of the original."""
    for name in ("raw", "out"):
        shutil.copytree(built / name, tmp_path / name, copy_function=shutil.copy2)
    return tmp_path


def found(folder: Path, **options: object) -> list[str]:
    return [str(difference) for difference in verify(folder / "out", folder / "raw", **options).differences]


def edit_json(path: Path, change: Callable[[dict], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def write_shard(path: Path, visits: list[tuple[int, int]]) -> None:
    with ShardWriter(path, BINS) as writer:
        for planet, visit in visits:
            writer.write(make_row(planet, visit, BINS))


def accept(out: Path, shard: str) -> None:
    """Make the manifest of a shard agree with its file and rows, as a forger would."""
    data = out / shard
    ids = pq.read_table(data, columns=["planet_id", "visit"])
    digest_of = subprocess.run(["sha256sum", data], capture_output=True, text=True, check=True).stdout.split()[0]

    def change(manifest: dict) -> None:
        manifest["visits"] = [{**row, "files": [], "seconds": 0.0} for row in ids.to_pylist()]
        manifest |= {"rows": len(ids), "bytes": data.stat().st_size, "sha256": digest_of}

    edit_json(out / "manifest" / f"{data.stem}.json", change)


def test_a_finished_dataset_is_sound(copy: Path) -> None:
    verdict = verify(copy / "out", copy / "raw")
    assert verdict.differences == []
    assert (verdict.shards, dict(verdict.rows)) == (4, {"train": 5, "test": 2})
    assert verdict.inputs == 9  # eight visits and a table
    assert verify(copy / "out", copy / "raw", quick=True).differences == []


def flip_a_byte(out: Path) -> None:
    content = bytearray((out / FIRST).read_bytes())
    content[len(content) // 3] ^= 0xFF
    (out / FIRST).write_bytes(content)


def truncate(out: Path, shard: str = FIRST) -> None:
    os.truncate(out / shard, 2000)


def other_sample(out: Path) -> None:
    rows = [make_row(*visit, BINS) for visit in [(1, 0), (1, 1), (2, 0), (3, 0), (5, 0)]]
    rows[1]["flux"][2, 3] += 1
    with ShardWriter(out / SAMPLE, BINS) as writer:
        for row in rows:
            writer.write(row)


def swap(out: Path) -> None:
    (out / FIRST).rename(out / "away")
    (out / SECOND).rename(out / FIRST)
    (out / "away").rename(out / SECOND)


def other_settings(out: Path) -> None:
    edit_json(out / "manifest/train-00000-of-00003.json", lambda m: m["settings"]["reduction"].update(hit_threshold=9))


def other_settings_with_their_hash(out: Path) -> None:
    def change(manifest: dict) -> None:
        manifest["settings"]["reduction"]["hit_threshold"] = 9
        manifest["config_hash"] = config_hash(manifest["settings"])

    edit_json(out / "manifest/train-00000-of-00003.json", change)


def other_code(out: Path) -> None:
    edit_json(out / "manifest/train-00000-of-00003.json", lambda m: m["code"].update(source="other"))


def extra_shard(out: Path) -> None:
    shutil.copy(out / FIRST, out / "data/light_curves/train-00003-of-00003.parquet")


def planet_in_two_splits(out: Path) -> None:
    write_shard(out / TEST, [(8, 0), (9, 0), (2, 1)])
    accept(out, TEST)


def planet_twice(out: Path) -> None:
    write_shard(out / TEST, [(8, 0), (9, 0), (9, 0), (2, 0)])
    accept(out, TEST)


def readme_counts(out: Path) -> None:
    text = (out / "README.md").read_text()
    assert "num_examples: 5" in text
    (out / "README.md").write_text(text.replace("num_examples: 5", "num_examples: 6"))


def other_columns(out: Path) -> None:
    table = pq.read_table(out / FIRST)
    pq.write_table(table.drop_columns(["Rs"]), out / FIRST)
    accept(out, FIRST)


def value_not_finite(out: Path) -> None:
    from hf_dataset.store import shards

    row = make_row(3, 0, BINS)
    row["flux"][2, 5] = float("nan")
    pq.write_table(shards.to_table([row], BINS), out / SECOND)
    accept(out, SECOND)


DAMAGES: list[tuple[Callable[[Path], object], list[str]]] = [
    (flip_a_byte, [f"{FIRST}: SHA-256: expected "]),
    (truncate, [f"{FIRST}: bytes: expected ", f"{FIRST}: expected a whole Parquet file"]),
    (lambda out: (out / FIRST).unlink(), [f"{FIRST}: expected a shard of "]),
    (lambda out: (out / "manifest/train-00001-of-00003.json").unlink(),
     [f"{SECOND}: expected a manifest manifest/train-00001-of-00003.json, found none"]),
    (lambda out: [(out / SECOND).unlink(), (out / "manifest/train-00001-of-00003.json").unlink()],
     [f"{SECOND}: expected 3 shards of train, found no shard, no manifest"]),
    (lambda out: (out / "manifest/train-00001-of-00003.json").write_text("{"),
     ["manifest/train-00001-of-00003.json: expected a readable JSON manifest"]),
    (lambda out: edit_json(out / "manifest/train-00001-of-00003.json", lambda m: m.pop("sha256")),
     ["manifest/train-00001-of-00003.json: expected the keys ", "found sha256 missing"]),
    (lambda out: (out / "manifest/train-00001-of-00003.json").write_text("[]"),
     ["manifest/train-00001-of-00003.json: expected a JSON object, found list"]),
    (lambda out: edit_json(out / "manifest/train-00001-of-00003.json", lambda m: m.update(visits=[1])),
     ["manifest/train-00001-of-00003.json: expected the keys ", "found visits[0] missing"]),
    (lambda out: pq.write_table(pa.table({"a": [1]}), out / FIRST),
     [f"{FIRST}: bytes", f"{FIRST}: SHA-256", f"{FIRST}: column planet_id: expected Value('int64'), found None",
      *["column"] * 10]),
    (lambda out: (out / "report.json").write_text("[]"), ["report.json: expected a report with `rows`"]),
    (other_settings, ["manifest/train-00000-of-00003.json: config_hash: expected "]),
    (other_settings_with_their_hash, ["manifest/train-00000-of-00003.json: config_hash, as most of the shards"]),
    (other_code, ["manifest/train-00000-of-00003.json: code, as most of the shards: expected "]),
    (swap, [f"{FIRST}: SHA-256", f"{FIRST}: planets and visits: expected 3 rows, row 0 planet 1 visit 0, found 1 rows, "
            "row 0 planet 3 visit 0", f"{SECOND}: planets and visits"]),
    (extra_shard, ["train-00003-of-00003.parquet: expected a manifest"]),
    (planet_in_two_splits,
     ["planet 2: expected all visits in test-00000-of-00001, found visit 0 in train-00000-of-00003",
      "README.md: rows of test", "report.json"]),
    (planet_twice, ["planet 9 visit 0: expected one row, found rows in test-00000-of-00001 and test-00000-of-00001",
     "planet 2 visit 0: expected one row, found rows in test-00000-of-00001 and train-00000-of-00003"]),
    (readme_counts, ["README.md: rows of train, as in the shards: expected 5, found 6"]),
    (lambda out: (out / SAMPLE).unlink(), ["data/sample: files: expected ['train-00000-of-00001.parquet'], found []"]),
    (lambda out: truncate(out, SAMPLE), [f"{SAMPLE}: expected a sample of the shards, found ArrowInvalid"]),
    (other_sample, [f"{SAMPLE}: row 1, planet 1 visit 1: columns that differ from the shard's: expected [], "
                    "found ['flux']"]),
    (lambda out: write_shard(out / SAMPLE, [(1, 0)]), [f"{SAMPLE}: row 1, planet 1 visit 1: expected there, found no"]),
    (lambda out: (out / "croissant.json").unlink(), ["croissant.json: expected a description of the columns"]),
    (lambda out: edit_json(out / "croissant.json", lambda c: c["recordSet"][2]["field"].pop()),
     ["croissant.json: fields: expected ['split', 'planet_id'"]),
    (lambda out: (out / "README.md").unlink(), ["README.md: expected a dataset card"]),
    (lambda out: edit_json(out / "report.json", lambda r: r["rows"].update(train=4)), ["report.json: rows of train"]),
    (other_columns, [f"{FIRST}: column Rs: expected Value('float32'), found None"]),
    (value_not_finite, [f"{SECOND}: a row: expected one of the schema, found planet 3 visit 0: flux: expected finite"]),
]  # fmt: skip


@pytest.mark.parametrize(("damage", "messages"), DAMAGES, ids=lambda case: getattr(case, "__name__", ""))
def test_every_damage_is_found_and_named(damage: Callable[[Path], object], messages: list[str], copy: Path) -> None:
    damage(copy / "out")
    lines = found(copy)
    for message in messages:
        assert any(message in line for line in lines), lines
    assert len(lines) <= 2 * len(messages) + 2, lines


@pytest.mark.parametrize("damage", [truncate, swap, extra_shard, planet_twice, readme_counts])
def test_a_quick_check_finds_what_sizes_and_ids_tell(damage: Callable[[Path], object], copy: Path) -> None:
    damage(copy / "out")
    assert found(copy, quick=True)


def test_changed_and_missing_raw_files_are_named_with_sizes_and_times(copy: Path) -> None:
    (copy / "raw/train/1/0.txt").write_text("good or not")
    (copy / "raw/test/8/0.txt").unlink()
    changed, missing = sorted(found(copy), key=lambda line: "no file" in line)
    assert "raw/train/1/0.txt: expected 4 bytes of 20" in changed
    assert "found 11 bytes of 20" in changed
    assert "raw/test/8/0.txt: expected 4 bytes" in missing


def test_a_table_that_has_come_since_is_named(copy: Path) -> None:
    (copy / "raw/sample.csv").write_text("nothing that rows depend on")
    assert not found(copy)
    (copy / "raw/train_labels.csv").write_text("planet_id\n")
    [line] = found(copy)
    assert "raw/train_labels.csv: expected no file, found 10 bytes of 20" in line


def test_the_recorded_raw_folder_is_compared_where_it_is_still_there(copy: Path) -> None:
    assert verify(copy / "out").root is None  # no run.json: `ariel build-dataset` writes it
    (copy / "out/run.json").write_text(json.dumps({"config": {"root": str(copy / "raw")}}))
    assert verify(copy / "out").root == str(copy / "raw")
    shutil.rmtree(copy / "raw")
    verdict = verify(copy / "out")
    assert (verdict.root, verdict.differences) == (None, [])


def test_a_dataset_at_a_url_is_verified_as_one_in_a_folder(copy: Path) -> None:
    url = UPath(f"memory://verify-{uuid.uuid4().hex}")
    for path in (path for path in (copy / "out").rglob("*") if path.is_file()):
        target = url / path.relative_to(copy / "out").as_posix()
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    assert verify(str(url), copy / "raw").differences == []
    (url / FIRST).write_bytes((url / FIRST).read_bytes()[:-1] + b"\0")
    assert any("SHA-256" in str(difference) for difference in verify(str(url)).differences)


def test_the_command_says_sound_or_every_difference_and_its_exit_code_tells_which(copy: Path) -> None:
    def run(*arguments: object) -> tuple[int, str]:
        result = CliRunner().invoke(cli.app, ["verify", *map(str, arguments)])
        return result.exit_code, result.output

    code, text = run(copy / "out", "--root", copy / "raw")
    assert (code, text.count("\n")) == (0, 1)
    assert "4 shards, 2 test + 5 train rows, 9 raw files" in text
    assert text.endswith(": sound\n")
    truncate(copy / "out")
    readme_counts(copy / "out")
    code, text = run(copy / "out")
    assert code == 1
    assert f"{FIRST}: bytes: expected " in text
    assert "README.md: rows of train" in text
    for wrong in ([copy / "raw"], [copy / "out", "--root", copy / "nowhere"]):
        code, text = run(*wrong)
        assert code == 2
        assert "Invalid value" in text


def test_the_command_runs_in_a_process_of_its_own(copy: Path) -> None:
    command = [sys.executable, "-m", "ariel_scripts.cli", "verify", copy / "out", "-q"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def test_the_progress_counts_the_shards(copy: Path) -> None:
    steps: list[tuple[int, int]] = []
    verdict: Verdict = verify(copy / "out", progress=lambda done, total: steps.append((done, total)))
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert verdict.shards == 4
