"""What `ariel push dataset` sends, and what it refuses to: every refusal names file, expected and found."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import typer
from datasets import load_dataset
from fake_folder import WAVELENGTHS, make_row, open_fake, reduce_fake, set_visit, write_folder
from huggingface_hub import DatasetCard
from PIL import Image
from typer.testing import CliRunner, Result

from ariel_scripts.command_line import with_common_options
from ariel_scripts.commands.verify import main as verify_command
from ariel_scripts.publishing.dataset_release import ALLOWED, dataset_release
from ariel_scripts.publishing.pictures import white_curve
from ariel_scripts.publishing.previews import draw_previews
from ariel_scripts.publishing.release import Related
from hf_dataset import schema
from hf_dataset.build import locks
from hf_dataset.build.plan import BuildOptions
from hf_dataset.build.run import build_dataset
from hf_dataset.reduction.options import ReductionOptions
from hf_dataset.store.card import read_wavelengths, write_card
from hf_dataset.store.shards import ShardWriter, write_rows
from hf_dataset.store.verify import verify
from modeling_ariel.predictions import Predictions, write_predictions

BINS, REPO = 8, "observer/curves"
PREVIEWS = [f"previews/{split}-00000-of-00001.parquet" for split in ("test", "train")]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """built: of a raw folder, with a bad visit and a bug; simulated: rows of this project alone, without manifests."""
    folder = tmp_path_factory.mktemp("made")
    root = write_folder(folder / "raw", {1: 2, 2: 1, 3: 1, 4: 1, 5: 1}, {8: 1, 9: 1})
    set_visit(root, "train", 4, 0, "bad")
    set_visit(root, "train", 5, 0, "bug")
    options = BuildOptions(reduction=ReductionOptions(n_bins=BINS), planets_per_shard=2, workers=1)
    build_dataset(root, folder / "built", options, open_folder=open_fake, reduce_visit=reduce_fake)
    (folder / "built/run.json").write_text(json.dumps({"config": {"root": str(root)}}))
    write_simulated(folder / "simulated")
    return folder


def write_simulated(out: Path, **changes: Any) -> Path:
    rows = [make_row(planet, 0, BINS, "simulated") | changes for planet in range(1, 6)]
    write_rows(out, "train", rows, BINS, rows_per_shard=2)
    write_rows(out, "test", [make_row(20, 0, BINS, "simulated")], BINS)
    write_card(out, WAVELENGTHS, title="Simulated")
    return out


@pytest.fixture
def built(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made / "raw", tmp_path / "raw", copy_function=shutil.copy2)
    return Path(shutil.copytree(made / "built", tmp_path / "built"))


@pytest.fixture
def simulated(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made / "simulated", tmp_path / "simulated"))


def lay_out(folder: Path, out: Path) -> Path:
    """The files of a folder's release, as a download of the repository has them."""
    for path, content in sent(folder).items():
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        (out / path).write_bytes(content)
    return out


def sent(folder: Path) -> dict[str, bytes]:
    """What a push sends, by path."""
    files = dataset_release(folder, REPO).files
    return {path: content if isinstance(content, bytes) else content.read_bytes() for path, content in files.items()}


def edit_json(path: Path, change: Callable[[dict], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def replace_in(path: Path, *pairs: tuple[str, str]) -> None:
    text = path.read_text()
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)


# --- what is sent --------------------------------------------------------------------------------------------------


def test_a_release_holds_card_description_shards_sample_lineage_and_report(built: Path, simulated: Path) -> None:
    (built / "notes.txt").write_text("mine")
    paths = sorted(dataset_release(built, REPO).files)
    shards = sorted(path.relative_to(built).as_posix() for path in (built / "data").rglob("*.parquet"))
    manifests = sorted(path.relative_to(built).as_posix() for path in (built / "manifest").iterdir())
    records = ["dataset.json", "examples.png", *manifests, *PREVIEWS, "report.json", "report.md"]
    assert paths == ["README.md", "croissant.json", *shards, *records]
    release = dataset_release(str(simulated), REPO)
    assert (release.kind, release.repo_id, release.allowed) == ("dataset", REPO, ALLOWED)
    assert sorted(release.files) == [
        "README.md",
        "croissant.json",
        "data/light_curves/test-00000-of-00001.parquet",
        *(f"data/light_curves/train-0000{index}-of-00003.parquet" for index in range(3)),
        "data/sample/train-00000-of-00001.parquet",
        "dataset.json",
        "examples.png",
        *PREVIEWS,
    ]


def test_the_same_folder_gives_the_same_bytes_and_is_left_as_it_was(built: Path) -> None:
    before = {path: path.read_bytes() for path in built.rglob("*") if path.is_file()}
    assert sent(built) == sent(built)
    assert {path: path.read_bytes() for path in built.rglob("*") if path.is_file()} == before


def test_the_published_card_names_the_hub_and_is_else_that_of_the_folder(
    simulated: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    local = DatasetCard.load(simulated / "README.md")
    card = DatasetCard.load(lay_out(simulated, tmp_path / "snapshot") / "README.md")
    here, there = local.data.to_dict(), card.data.to_dict()
    for name in ("configs", "dataset_info"):
        assert [one for one in there.pop(name) if one["config_name"] != "previews"] == here.pop(name)
    assert there == here
    assert "](examples.png)" in card.text.partition("\n| configuration")[0]
    assert f'load_dataset("{REPO}", split="train", streaming=True)' in card.text
    assert f"hf://datasets/{REPO}/data/light_curves/train-*.parquet" in card.text
    assert "simulated/data" not in card.text
    before, after = (text.split("\n## ") for text in (local.text, card.text))
    assert [section.partition("\n")[0] for section in before] == [section.partition("\n")[0] for section in after]
    changed = [section.partition("\n")[0] for section, now in zip(before, after, strict=True) if section != now]
    assert changed == [before[0].partition("\n")[0], "Loading"]
    assert not caplog.messages
    replace_in(simulated / "README.md", ("# Simulated", "# Simulated\n\nWords of the owner."))
    assert sent(simulated)["README.md"].decode() == str(card)
    assert "edits are not sent: the card is written from dataset.json" in caplog.text


def test_previews_are_images_of_the_first_rows_of_each_split_and_the_default_stays(
    simulated: Path, tmp_path: Path
) -> None:
    snapshot = lay_out(simulated, tmp_path / "snapshot")
    cache = str(tmp_path / "cache")
    previews = load_dataset(str(snapshot), "previews", cache_dir=cache)
    assert {split: rows["planet_id"][:] for split, rows in previews.items()} == {"test": [20], "train": [1, 2, 3, 4, 5]}
    for row in previews["train"]:
        assert (row["spectrum"] is None) == (row["planet_id"] == 5)
        for name in ("light_curve", "spectrum") if row["spectrum"] else ("light_curve",):
            assert row[name].size == (320, 200)
            assert (np.asarray(row[name].convert("L"), float) < 200).sum() > 50, "something is drawn"
    assert set(load_dataset(str(snapshot), split="train", cache_dir=cache).features) == set(schema.features(BINS))
    with Image.open(snapshot / "examples.png") as image:
        assert image.width == 1200


def spectra_of(planets: Sequence[int], path: Path) -> Path:
    """A file of predictions: each planet's depth is its number in ppm."""
    depth = np.repeat(np.array(planets, np.float32)[:, None] * 1e-6, schema.N_CHANNELS, 1)
    notes = [f"of {planet}" for planet in planets]
    extra = {"status": ["ok"] * len(planets), "notes": notes}
    write_predictions(path, Predictions(np.array(planets, np.int64), depth, depth / 10, extra))
    return path


def test_retrieved_spectra_are_one_more_configuration_by_split(simulated: Path, tmp_path: Path) -> None:
    paths = [spectra_of([3, 1, 2, 5, 4], tmp_path / "train.parquet"), spectra_of([20], tmp_path / "test.npz")]
    out = tmp_path / "snapshot"
    for path, content in dataset_release(simulated, REPO, retrieval=paths).files.items():
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        (out / path).write_bytes(content if isinstance(content, bytes) else content.read_bytes())
    found = load_dataset(str(out), "retrieval", cache_dir=str(tmp_path / "cache"))
    assert {split: rows["planet_id"][:] for split, rows in found.items()} == {"test": [20], "train": [1, 2, 3, 4, 5]}
    row = found["train"][2]
    assert (row["status"], row["notes"]) == ("ok", "of 3")
    np.testing.assert_allclose(row["mu"], 3e-6)
    np.testing.assert_allclose(row["sigma"], 3e-7)
    assert load_dataset(str(out), split="train", cache_dir=str(tmp_path / "cache")).num_rows == 5
    assert "`retrieval`" in (out / "README.md").read_text()


@pytest.mark.parametrize(
    ("planets", "message"),
    [
        ([1, 2, 3, 4], "expected all 5 planets of train, found 4: planet 5 is missing"),
        ([1, 2, 3, 4, 5, 77], "planet 77: expected planets of"),
    ],
)
def test_spectra_that_are_not_the_datasets_are_not_sent(
    simulated: Path, tmp_path: Path, planets: list[int], message: str
) -> None:
    path = spectra_of(planets, tmp_path / "p.parquet")
    with pytest.raises(ValueError, match=message):
        dataset_release(simulated, REPO, retrieval=[path])


def test_spectra_of_a_planet_are_sent_once(simulated: Path, tmp_path: Path) -> None:
    path = spectra_of([1, 2, 3, 4, 5], tmp_path / "p.parquet")
    with pytest.raises(ValueError, match="planet 1: expected once in all files, found twice"):
        dataset_release(simulated, REPO, retrieval=[path, path])


def test_a_row_without_a_truth_has_a_light_curve_alone_and_one_without_data_is_drawn_empty(tmp_path: Path) -> None:
    out = write_simulated(tmp_path / "curves", spectrum=None, valid=np.zeros((BINS, schema.N_CHANNELS), bool))
    drawn = draw_previews(out, WAVELENGTHS)
    table = pq.read_table(io.BytesIO(drawn.files[PREVIEWS[1]])).to_pylist()
    assert [row["spectrum"] for row in table] == [None] * 5
    assert all(row["light_curve"]["bytes"].startswith(b"\x89PNG") for row in table)


def test_white_light_misses_no_channel_that_lacks_some_times() -> None:
    rng = np.random.default_rng(0)
    shape = 1.0 - 0.01 * (np.abs(np.arange(40) - 20) < 8)
    flux = shape[:, None] * rng.uniform(100.0, 200.0, 6)
    valid = rng.random(flux.shape) < 0.8
    found = white_curve({"flux": np.where(valid, flux, 7.0), "valid": valid})
    np.testing.assert_allclose(found / found.max(), shape, rtol=1e-6)


def test_the_card_leads_to_the_space_that_is_named_and_the_hub_takes_its_header(simulated: Path) -> None:
    card = DatasetCard(dataset_release(simulated, REPO, Related(space="observer/demo")).files["README.md"].decode())
    assert "](https://huggingface.co/spaces/observer/demo)" in card.text
    assert "huggingface.co/spaces" not in sent(simulated)["README.md"].decode()
    assert card.data.license == "apache-2.0"


def test_a_download_is_a_dataset_of_its_own(built: Path, tmp_path: Path) -> None:
    snapshot = lay_out(built, tmp_path / "snapshot")
    verdict = verify(snapshot)
    assert (verdict.differences, verdict.root, dict(verdict.rows)) == ([], None, {"train": 4, "test": 2})
    assert verify(snapshot, tmp_path / "raw").differences == []  # whoever has the raw folder can compare it
    for arguments in ((), ("sample",)):
        rows = load_dataset(str(snapshot), *arguments, split="train", cache_dir=str(tmp_path / "cache"))
        assert rows["planet_id"][:] == [1, 1, 2, 3]
    assert read_wavelengths(snapshot).shape == (283,)
    assert sent(snapshot) == {  # it can be pushed on, as it is
        path.relative_to(snapshot).as_posix(): path.read_bytes() for path in snapshot.rglob("*") if path.is_file()
    } | {"report.json": (snapshot / "report.json").read_bytes()}


def test_what_is_published_names_no_machine(built: Path, tmp_path: Path) -> None:
    """The raw folder, the output folder, nodes, stack traces of bugs."""
    local = (built / "report.json").read_text()
    assert '"node"' in local
    assert '"traceback"' in local
    snapshot = lay_out(built, tmp_path / "snapshot")
    for path in (path for path in snapshot.rglob("*") if path.is_file() and path.suffix != ".parquet"):
        text = path.read_bytes().decode(errors="replace")
        for word in (str(tmp_path), "/tmp/", '"node"', "Traceback", str(Path.home()) + "/"):
            assert word not in text, (path, word)
    report = json.loads((snapshot / "report.json").read_text())
    assert report["out"] == REPO
    assert {visit["planet_id"] for visit in report["visits"]} == {1, 2, 3, 4, 5, 8, 9}
    errors = [failure["error"] for failure in report["failures"]]
    assert errors == [
        "train/4/0.txt: planet 4: expected 11,392 columns, found 1",
        "planet 5 visit 0: unexpected KeyError: 'forgotten'",
    ]
    for name in ("README.md", "dataset.json", "report.md"):
        assert errors[0] in (snapshot / name).read_text()


def test_the_published_description_reads_a_download_of_the_repository(simulated: Path, tmp_path: Path) -> None:
    snapshot = lay_out(simulated, tmp_path / "snapshot")
    content = json.loads((snapshot / "croissant.json").read_text())
    assert content["url"] == f"https://huggingface.co/datasets/{REPO}"
    reader = (
        "import mlcroissant, sys\n"
        "dataset = mlcroissant.Dataset(sys.argv[1] + '/croissant.json', mapping={'repository': sys.argv[1]})\n"
        "assert not dataset.metadata.ctx.issues.errors\n"
        "print(sorted(record['light_curves/planet_id'].item() for record in dataset.records('light_curves')))"
    )
    done = subprocess.run([sys.executable, "-c", reader, str(snapshot)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [1, 2, 3, 4, 5, 20]


# --- licences ------------------------------------------------------------------------------------------------------


def refused(folder: Path) -> str:
    with pytest.raises(ValueError, match="expected") as caught:
        dataset_release(folder, REPO)
    return str(caught.value)


def test_the_licence_is_that_of_the_rows_and_no_other(built: Path, simulated: Path) -> None:
    for folder, theirs, other in ((built, "cc-by-nc-4.0", "apache-2.0"), (simulated, "apache-2.0", "cc-by-nc-4.0")):
        replace_in(folder / "README.md", (f"license: {theirs}", f"license: {other}"))  # nothing reads that back
        assert f"license: {theirs}" in sent(folder)["README.md"].decode()
        edit_json(folder / "dataset.json", lambda content, other=other: content.update(licence=other))
        assert f"dataset.json: licence, as in the shards: expected {theirs}, found {other}" in refused(folder)


@pytest.mark.parametrize("layout", ["2024", "2025", "given"])
def test_a_row_of_the_challenge_in_any_shard_ends_the_licence_of_simulations(simulated: Path, layout: str) -> None:
    """The shard is exchanged after the card was written; counts and sizes are made to agree with it."""
    with ShardWriter(simulated / "data/light_curves/test-00000-of-00001.parquet", BINS) as writer:
        writer.write(make_row(20, 0, BINS, layout))
    message = refused(simulated)
    assert "dataset.json: licence, as in the shards: expected cc-by-nc-4.0, found apache-2.0" in message
    assert (
        f"dataset.json: layouts, as in the shards: expected ['{layout}', 'simulated'], found ['simulated']" in message
    )


def test_simulated_rows_of_a_build_need_the_simulators_record_among_its_inputs(built: Path, tmp_path: Path) -> None:
    out = tmp_path / "forged"
    root = write_folder(tmp_path / "other", {1: 1}, {})
    options = BuildOptions(reduction=ReductionOptions(n_bins=BINS), workers=1)
    build_dataset(root, out, options, open_folder=open_fake, reduce_visit=reduce_as_simulated)
    assert "expected `simulation.json` among the inputs of simulated rows, found none" in refused(out)


def reduce_as_simulated(visit: Any, options: ReductionOptions) -> tuple[dict[str, Any], dict[str, Any]]:
    row, report = reduce_fake(visit, options)
    return row | {"layout": "simulated"}, report


def test_light_curves_of_given_spectra_that_an_older_version_called_simulated_are_refused(simulated: Path) -> None:
    (simulated / "run.json").write_text(json.dumps({"config": {"spectra": "/data/train_labels.csv"}}))
    assert "expected spectra drawn by the simulator under apache-2.0, found --spectra train_labels.csv" in refused(
        simulated
    )
    (simulated / "run.json").write_text(json.dumps({"config": {"spectra": "None"}}))
    dataset_release(simulated, REPO)


# --- what is not whole ---------------------------------------------------------------------------------------------

SHARD, SECOND, TEST, SAMPLE = (f"data/{name}.parquet" for name in (
    "light_curves/train-00000-of-00003", "light_curves/train-00001-of-00003", "light_curves/test-00000-of-00001",
    "sample/train-00000-of-00001"))  # fmt: skip


def rewrite(path: Path, *rows: dict[str, Any]) -> None:
    with ShardWriter(path, BINS) as writer:
        for row in rows:
            writer.write(row)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:500])


def without_a_column(out: Path) -> None:
    pq.write_table(pq.read_table(out / SHARD).drop_columns(["Rs"]), out / SHARD)


def not_finite(out: Path) -> None:
    from hf_dataset.store import shards

    row = make_row(3, 0, BINS, "simulated")
    row["flux"][2, 5] = float("nan")
    pq.write_table(shards.to_table([row, make_row(4, 0, BINS, "simulated")], BINS), out / SECOND)


def negative_depth(out: Path) -> None:
    from hf_dataset.store import shards

    row = make_row(3, 0, BINS, "simulated")
    row["spectrum"][7] = -0.01
    pq.write_table(shards.to_table([row, make_row(4, 0, BINS, "simulated")], BINS), out / SECOND)


def fewer_rows(out: Path) -> None:
    rewrite(out / SECOND, make_row(3, 0, BINS, "simulated"))
    rewrite(out / SAMPLE, *(make_row(planet, 0, BINS, "simulated") for planet in (1, 2, 3, 5)))


DAMAGES: list[tuple[Callable[[Path], object], str]] = [
    (lambda out: shutil.rmtree(out), "expected the folder of a dataset, found none"),
    (lambda out: (out / "README.md").unlink(), "README.md: expected the card of a finished dataset, found none"),
    (lambda out: shutil.rmtree(out / "data"), "data/light_curves: expected Parquet shards, found none"),
    (lambda out: (out / SECOND).unlink(), f"{SECOND}: expected 3 shards of train, found no shard"),
    (lambda out: cut(out / SHARD), f"{SHARD}: expected a whole Parquet file of light curves, found ArrowInvalid"),
    (lambda out: (out / SHARD).write_text("version https://git-lfs.github.com/spec/v1"), f"{SHARD}: expected a whole"),
    (lambda out: (out / "data/light_curves/.train-1.tmp").write_text("x"), ".train-1.tmp too"),
    (lambda out: (out / "data/labels.csv").write_text("x"), "found data/labels.csv too"),
    (lambda out: (out / TEST).rename(out / TEST.replace("test", "dev")),
     "dataset.json: rows of dev, as in the shards: expected 1, found 0"),
    (without_a_column, f"{SHARD}: column Rs: expected Value('float32'), found None"),
    (not_finite, f"{SECOND}: a row: expected one of the schema, found planet 3 visit 0: flux: expected finite"),
    (negative_depth, "planet 3 visit 0: spectrum: expected positive finite depths"),
    (lambda out: rewrite(out / TEST, make_row(2, 1, BINS, "simulated")),
     "planet 2: expected all visits in the split test, found visit 0 in data/light_curves/train-00000"),
    (lambda out: rewrite(out / TEST, *[make_row(20, 0, BINS, "simulated")] * 2), "planet 20 visit 0: expected one row"),
    (fewer_rows, "dataset.json: rows of train, as in the shards: expected 4, found 5"),
    (lambda out: (out / SAMPLE).unlink(), "data/sample: files: expected ['train-00000-of-00001.parquet'], found []"),
    (lambda out: (out / "dataset.json").unlink(), "dataset.json: expected the record of a dataset, found none"),
    (lambda out: (out / "dataset.json").write_text("{"), "found none that can be read (`ariel verify"),
    (lambda out: edit_json(out / "dataset.json", lambda c: c["splits"]["train"].update(rows=6)),
     "dataset.json: rows of train, as in the shards: expected 5, found 6"),
    (lambda out: edit_json(out / "dataset.json", lambda c: c["splits"]["train"].update(planets=6)),
     "dataset.json: splits, as in the shards: expected {'train': {'rows': 5, 'planets': 5"),
    (lambda out: edit_json(out / "dataset.json", lambda c: c.pop("title")),
     "dataset.json: title: expected str, found"),
    (lambda out: edit_json(out / "dataset.json", lambda c: c["wavelengths"].pop()),
     "dataset.json: wavelengths: expected 283 positive numbers"),
]  # fmt: skip


@pytest.mark.parametrize(("damage", "message"), DAMAGES, ids=[message[-40:] for _, message in DAMAGES])
def test_a_folder_that_is_not_whole_is_refused(damage: Callable[[Path], object], message: str, simulated: Path) -> None:
    damage(simulated)
    assert message in refused(simulated)


def test_a_built_dataset_is_held_to_its_manifests(built: Path) -> None:
    path = built / "data/light_curves/train-00001-of-00003.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0xFF
    path.write_bytes(content)
    assert "train-00001-of-00003.parquet: SHA-256: expected" in refused(built)


def test_changed_raw_files_do_not_hinder_a_publication(built: Path, tmp_path: Path) -> None:
    """They would hinder `ariel verify`; the dataset is what its manifests say."""
    (built / "run.json").write_text(json.dumps({"config": {"root": str(tmp_path / "raw")}}))
    shutil.rmtree(tmp_path / "raw/train")
    assert verify(built).differences
    assert dataset_release(built, REPO).files


def test_a_dataset_that_is_being_built_is_refused(built: Path) -> None:
    code = (
        "import sys, time, pathlib\nfrom hf_dataset.build import locks\n"
        "with locks.hold(pathlib.Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(60)"
    )
    (built / ".build").mkdir(exist_ok=True)
    holder = subprocess.Popen([sys.executable, "-c", code, str(built / ".build/lock")], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert "expected a finished dataset, found a build: another build is writing it" in refused(built)
    finally:
        holder.kill()
        holder.wait()
    with locks.hold(built / ".build/lock"):
        pass
    assert dataset_release(built, REPO).files
    submitted = {"engine": "jobs", "job_name": "ariel-1", "from": "here"}
    (built / ".build/submitted.json").write_text(json.dumps(submitted))
    assert "found a build: a build on jobs, submitted from here as ariel-1" in refused(built)


def test_a_url_is_refused_with_what_to_do() -> None:
    with pytest.raises(ValueError, match="expected a folder of this machine, found a URL: download it"):
        dataset_release("s3://bucket/curves", REPO)


def test_every_row_is_checked_once_and_a_file_is_opened_a_few_times_however_many_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: Counter[int] = Counter()
    opened: Counter[str] = Counter()
    check_row, parquet_file = schema.check_row, pq.ParquetFile

    def counted_row(row: Any, n_bins: int) -> None:
        checked[row["planet_id"]] += 1
        check_row(row, n_bins)

    def counted_file(file: Any, *arguments: Any, **options: Any) -> pq.ParquetFile:
        opened[file.name] += 1
        return parquet_file(file, *arguments, **options)

    write_rows(tmp_path, "train", [make_row(planet, 0, BINS, "simulated") for planet in range(1, 33)], BINS, 2)
    write_card(tmp_path, WAVELENGTHS)
    monkeypatch.setattr(schema, "check_row", counted_row)
    monkeypatch.setattr(pq, "ParquetFile", counted_file)
    dataset_release(tmp_path, REPO)
    assert checked == dict.fromkeys(range(1, 33), 1)
    assert len(opened) == 17
    assert max(opened.values()) <= 8  # rows, sample, contents twice, previews, and the first also for the first row


# --- cards of other versions ---------------------------------------------------------------------------------------


def verified(*arguments: object) -> Result:
    """What `ariel verify` says."""
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(with_common_options(verify_command))
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def as_an_earlier_version_left_it(out: Path) -> None:
    """Without a record, with other words on licence and loading in the card."""
    (out / "dataset.json").unlink()
    replace_in(out / "README.md", ("Please cite", "Cite"), ("is this folder's path", "is the folder"))


def test_a_build_without_a_record_is_not_called_damaged_and_gets_one_from_its_manifests(built: Path) -> None:
    sound = {path.relative_to(built): path.read_bytes() for path in built.rglob("*") if path.is_file()}
    as_an_earlier_version_left_it(built)
    verdict = verify(built, inputs=False)
    assert (verdict.differences, verdict.older) == ([], True)
    assert f"`ariel verify {built} --rewrite-card`" in refused(built)
    with pytest.raises(ValueError, match=r"dataset.json: expected the record .*`ariel verify .* --rewrite-card`"):
        read_wavelengths(built)
    result = verified(built)
    assert result.exit_code == 0, result.output
    assert "--rewrite-card` adds it" in result.output
    result = verified(built, "--rewrite-card")
    assert result.exit_code == 0, result.output
    now = {path.relative_to(built): path.read_bytes() for path in built.rglob("*") if path.is_file()}
    assert [str(path) for path in sound if now[path] != sound[path]] == ["README.md", "dataset.json"]
    before, after = (json.loads(files[Path("dataset.json")]) for files in (sound, now))
    del before["provenance"]["raw folder"]["layout"]  # all that manifests do not say
    assert after == before
    assert dataset_release(built, REPO).files


def test_without_manifests_a_lost_record_cannot_be_made_and_it_is_said_what_to_do(simulated: Path) -> None:
    (simulated / "dataset.json").unlink()
    result = verified(simulated, "--rewrite-card")
    assert result.exit_code == 2
    assert "run the command that made the dataset again" in " ".join(result.output.replace("│", "").split())


def test_a_build_that_is_run_again_adds_them_too(built: Path, tmp_path: Path) -> None:
    as_an_earlier_version_left_it(built)
    options = BuildOptions(reduction=ReductionOptions(n_bins=BINS), planets_per_shard=2, workers=1)
    build_dataset(tmp_path / "raw", built, options, open_folder=open_fake, reduce_visit=reduce_fake)
    assert not verify(built).older
    assert dataset_release(built, REPO).files


def test_a_lost_sample_is_a_damage_and_the_card_of_lost_rows_is_not_written_again(simulated: Path, built: Path) -> None:
    shutil.rmtree(built / "data/sample")
    assert not verify(built).older
    assert "data/sample: files" in refused(built)
    assert "--rewrite-card` writes README.md" in refused(built)
    fewer_rows(simulated)
    before = (simulated / "README.md").read_bytes()
    result = verified(simulated, "--rewrite-card")
    assert result.exit_code == 1
    assert "dataset.json: rows of train, as in the shards: expected 4, found 5" in result.output
    assert (simulated / "README.md").read_bytes() == before


def test_the_card_of_simulated_light_curves_is_written_again_with_its_own_title_and_origin(simulated: Path) -> None:
    before = (simulated / "README.md").read_text()
    replace_in(simulated / "README.md", ("## Loading", "## How to load"), ("num_bytes: ", "num_bytes: 1"))
    edit_json(simulated / "dataset.json", lambda content: content["splits"]["train"].update(truths=0))
    assert "`ariel verify" in refused(simulated)
    result = verified(simulated, "--rewrite-card")
    assert result.exit_code == 0, result.output
    assert (simulated / "README.md").read_text() == before
    assert dataset_release(simulated, REPO).files


def test_paths_in_the_reasons_of_left_out_visits_stay_here(built: Path, tmp_path: Path) -> None:
    """Of a library, say, or of what a link of the raw folder leads to."""
    where, reason = "/lustre/astro/jane/venv/lib/reader.py", "train/4/0.txt: planet 4: expected 11,392 columns, found 1"
    for name in ("dataset.json", "report.json", "report.md"):
        replace_in(built / name, (reason, f"{reason} in {where}"))
    snapshot = lay_out(built, tmp_path / "snapshot")
    for name in ("README.md", "dataset.json", "report.json", "report.md"):
        text = (snapshot / name).read_text()
        assert f"{reason} in reader.py" in text
        assert "jane" not in text
