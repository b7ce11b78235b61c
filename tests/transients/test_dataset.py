"""`ariel transients build`: from raw tables to rows that `load_dataset` opens, its card, records and refusals."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import warm_python
from bad_transient_cases import TRAIN_CURVES, write_folder
from code_blocks import code_blocks
from datasets import load_dataset
from huggingface_hub import DatasetCard
from typer.testing import CliRunner, Result

from ariel_scripts.cli import app
from hf_dataset.raw.files import RawDataError
from hf_dataset.splits import fold_of
from hf_dataset.transients import contents, raw, schema
from hf_dataset.transients.dataset import build_dataset
from hf_dataset.transients.folds import stratified_folds


def ariel(*words: object) -> Result:
    return CliRunner().invoke(app, ["transients", *map(str, words)])


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of the commands: four simulated objects to train on and two to test."""
    folder = tmp_path_factory.mktemp("transients")
    words = ("--objects", 4, "--test-objects", 2, "--seasons", 3, "--seed", 1)
    for done in (ariel("simulate", folder / "raw", *words), ariel("build", folder / "raw", folder / "out", "--strict")):
        assert done.exit_code == 0, done.output
    return folder / "out"


def test_a_simulated_folder_opens_with_load_dataset_whole_and_streaming(built: Path, tmp_path: Path) -> None:
    whole = load_dataset(str(built), cache_dir=str(tmp_path))
    assert {split: len(rows) for split, rows in whole.items()} == {"train": 4, "test": 2}
    assert whole["train"].features == schema.features()
    stream = list(load_dataset(str(built), split="train", streaming=True))
    assert stream == list(whole["train"])
    read = raw.read_objects(built.parent / "raw").rows["train"]
    for row, expected in zip(stream, read, strict=True):
        assert row["object_id"] == expected["object_id"]
        for name, values in expected["lightcurve"].items():
            np.testing.assert_array_equal(row["lightcurve"][name], values)
    assert {row["target"] for row in whole["test"]} == {None}


def test_the_same_folder_gives_the_same_bytes(built: Path, tmp_path: Path) -> None:
    code = json.loads((built / "dataset.json").read_text())["provenance"]["code"]
    build_dataset(built.parent / "raw", tmp_path / "out", {name: code[name] for name in ("ariel-hf", "commit")})
    for path in [*built.rglob("*.parquet"), built / "README.md", built / "dataset.json", built / "report.json"]:
        again = tmp_path / "out" / path.relative_to(built)
        assert path.read_bytes() == again.read_bytes(), path


def test_a_build_takes_the_place_of_an_earlier_one_and_of_nothing_else(built: Path, tmp_path: Path) -> None:
    root, out = write_folder(tmp_path / "raw"), tmp_path / "out"
    assert [part.rows for part in build_dataset(root, out, {})[0].splits.values()] == [3, 1]
    (root / "test_log.csv").unlink()
    assert ariel("build", root, out).exit_code == 0
    assert {path.name for path in (out / contents.DATA_DIR).iterdir()} == {"train-00000-of-00001.parquet"}
    (out / "data/light_curves").mkdir()
    with pytest.raises(ValueError, match="expected a new folder or a dataset of transients, found data/light_curves"):
        build_dataset(root, out, {})


def test_what_is_left_out_is_in_the_log_the_report_the_record_and_the_card(tmp_path: Path) -> None:
    root, out = write_folder(tmp_path / "raw"), tmp_path / "out"
    path = root / "split_01" / TRAIN_CURVES
    path.write_text(path.read_text().replace("ann,61000.5,0.25", "ann,61000.5,").replace("bel,", "eve,"))
    done = ariel("build", root, out, "--strict", "--log-json", tmp_path / "log.jsonl")
    assert done.exit_code == 1
    messages = [json.loads(line)["message"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert messages[0] == "1 measurement left out, no flux: of 1 object, the first ann"
    assert messages[1] == f"3 measurements left out, {raw.UNLISTED}: of 1 object, the first eve"
    assert messages[2].startswith("2 objects left out, the first bel: expected its light curve in split_01/")
    assert messages[-1] == f"error: 2 objects left out, see {out / 'report.json'}"
    report = json.loads((out / "report.json").read_text())
    assert set(report["objects left out"]) == {"bel", "eve"}
    assert report["measurements left out"]["no flux"] == {"count": 1, "objects": {"ann": 1}}
    counts = json.loads((out / "dataset.json").read_text())["left out"]
    assert counts == {"objects": 2, "measurements: no flux": 1, f"measurements: {raw.UNLISTED}": 3}
    text = (out / "README.md").read_text()
    for what, count in counts.items():
        assert f"| {what} left out | {count} |" in text
    assert json.loads((out / "run.json").read_text())["status"] == "failed"
    assert ariel("build", root, out).exit_code == 0


def test_a_folder_that_cannot_be_read_leaves_an_earlier_dataset_as_it_was(tmp_path: Path) -> None:
    root, out = write_folder(tmp_path / "raw"), tmp_path / "out"
    build_dataset(root, out, {})
    before = (out / "README.md").read_bytes()
    (root / "train_log.csv").write_text("object_id\n")
    with pytest.raises(RawDataError, match="expected the columns Z, Z_err"):
        build_dataset(root, out, {})
    assert (out / "README.md").read_bytes() == before


def test_only_what_the_simulators_record_names_is_open(built: Path, tmp_path: Path) -> None:
    card = DatasetCard((built / "README.md").read_text()).data
    assert (card.license, contents.read_contents(built).layouts) == ("apache-2.0", ("simulated",))
    root = write_folder(tmp_path / "raw")
    (root / raw.RECORD).write_text(json.dumps({"objects": ["ann", "bel"]}))
    found, _ = build_dataset(root, tmp_path / "out", {})
    assert (found.layouts, found.licence) == (("mallorn", "simulated"), "other")
    text = (tmp_path / "out/README.md").read_text()
    assert DatasetCard(text).data.license_name == "mallorn-challenge"
    assert "Do not pass these rows on" in text


def test_python_of_the_card_runs_word_for_word_beside_the_folder(built: Path, tmp_path: Path) -> None:
    blocks = [block.code for block in code_blocks((built / "README.md").read_text()) if block.language == "python"]
    checks = (
        "assert times.shape == fluxes.shape and in_r.any()\nassert longest.startswith('simulated_train_')",
        "print([fold_of(str(name), 5, seed=3) for name in range(100)])",
    )
    for block, check in zip(blocks, checks, strict=True):
        done = warm_python.run(["-c", f"{block}\n{check}"], built.parent, {**os.environ, "HF_HOME": str(tmp_path)})
        assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [fold_of(str(name), 5, seed=3) for name in range(100)]


def test_folds_have_every_class_alike_and_keep_groups_together() -> None:
    names = [f"object {place}" for place in range(310)]
    classes = ["TDE"] * 13 + ["AGN"] * 200 + ["SN Ia"] * 97
    folds = stratified_folds(names, classes, 5, seed=1)
    for one in set(classes):
        sizes = Counter(fold for fold, own in zip(folds.tolist(), classes, strict=True) if own == one)
        assert max(sizes.values()) - min(sizes.values()) <= 1
    assert (folds == stratified_folds(names, classes, 5, seed=1)).all()
    assert (folds != stratified_folds(names, classes, 5, seed=2)).any()
    order = np.random.default_rng(0).permutation(310)
    shuffled = stratified_folds([names[k] for k in order], [classes[k] for k in order], 5, seed=1)
    np.testing.assert_array_equal(shuffled, folds[order])
    groups = [f"event {place // 2}" for place in range(310)]
    held = stratified_folds(names, classes, 5, groups=groups)
    assert (held[::2] == held[1::2]).all()
    assert sorted(Counter(held[:14:2].tolist()).values()) == [1, 1, 1, 2, 2]  # 7 events with a TDE
    with pytest.raises(ValueError, match="expected 1 … 2 for 2 groups, found 3"):
        stratified_folds(["a", "b"], [0, 1], 3)
    with pytest.raises(ValueError, match="expected as many classes and groups as objects, found 1, 2"):
        stratified_folds(["a", "b"], [0], 1)


def test_the_challenges_folder_is_read_whole(mallorn: Path, tmp_path: Path) -> None:
    found, findings = build_dataset(mallorn, tmp_path / "out", {})
    assert findings.counts() == {"objects": 0, "measurements: no flux": 891}
    train, test = found.splits["train"], found.splits["test"]
    assert (train.rows, train.labelled, train.positives) == (2_131, 2_131, 104)
    assert (test.rows, test.labelled) == (912, 0)
    assert train.measurements + test.measurements == 479_384 - 891
    assert found.licence == "other"


def test_a_download_is_the_competitions_archive(tmp_path: Path) -> None:
    done = ariel("download", tmp_path / "mallorn", "--dry-run")
    assert done.exit_code == 0
    assert "kaggle competitions download mallorn-astronomical-classification-challenge -p" in done.stdout
    assert not (tmp_path / "mallorn").exists()
