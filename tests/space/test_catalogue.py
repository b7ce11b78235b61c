"""The Space's datasets: the sample, folders, the Hub; search and ranking."""

from __future__ import annotations

import json
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from space_scenes import engine, planet, sample_folder

from engine import sample
from engine.catalogue import ROWS_KEPT
from engine.inference import CatalogueError, Engine

if TYPE_CHECKING:
    from local_hub import LocalHub


def test_the_sample_has_24_planets_some_hard_and_all_labelled() -> None:
    planets = engine().planets()
    assert len(planets) == 24
    assert all(found.labelled for found in planets)
    notes = " ".join(found.note for found in planets)
    for word in ("noisy", "strong drift", "missing", "two visits", "raw frames", "cut off", "gap"):
        assert word in notes
    assert sum(path.stat().st_size for path in sample_folder().rglob("*") if path.is_file()) < 20e6


def test_the_sample_of_the_same_code_is_the_same() -> None:
    case = sample.cases()[planet("strong drift")]
    again, stored = sample.observe(case)[0], engine().visits(case.planet.planet_id)[0]
    for name in ("time", "flux", "flux_err", "valid"):
        np.testing.assert_array_equal(again[name], stored[name])


def test_a_sample_made_by_somebody_else_first_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(stage: Path) -> None:
        (stage / sample.RECORD).write_text(f"{threading.get_ident()}")
        time.sleep(0.05)

    monkeypatch.setattr(sample, "_write", write)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: sample.ensure(tmp_path / "made"), range(4)))
    assert {path.name for path in found} == {"made"}
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_a_folder_with_other_files_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="expected a new or empty folder"):
        sample.make(tmp_path)


def test_planets_are_found_by_id_and_by_words() -> None:
    some = planet("two visits")
    assert [found.planet_id for found in engine().search(str(some))] == [some]
    assert all("noisy" in found.note for found in engine().search("NOISY"))
    assert len(engine().search("")) == 24
    assert engine().search("no such planet") == []


def test_a_random_planet_is_the_same_for_the_same_seed() -> None:
    assert engine().random(5) == engine().random(5)
    assert len({engine().random(seed).planet_id for seed in range(40)}) > 10


def test_a_planet_that_is_not_there_is_named() -> None:
    with pytest.raises(CatalogueError, match="expected one of its 24 planets, found 17"):
        engine().visits(17)


def test_rows_of_the_dataset_cannot_be_written_to() -> None:
    row = engine().visits(planet())[0]
    with pytest.raises(ValueError, match="read-only"):
        row["flux"][0, 0] = 1.0


def test_few_rows_are_in_memory_whatever_was_asked() -> None:
    for found in engine().planets():
        engine().visits(found.planet_id)
    assert len(engine().catalogue._rows) <= ROWS_KEPT


@pytest.mark.parametrize("dataset", ["nobody/nothing", "/no/such/folder"])
def test_a_dataset_that_is_not_there_is_an_error(dataset: str) -> None:
    with pytest.raises(CatalogueError, match="expected a dataset folder or an id on the Hub"):
        Engine.open(dataset=dataset)


def test_a_folder_without_shards_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="found no shards with rows"):
        Engine.open(dataset=str(tmp_path))


def test_a_revision_of_a_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="expected a Hub id, found the folder"):
        Engine.open(dataset=str(tmp_path), dataset_revision="v1")
    with pytest.raises(ValueError, match="expected a checkpoint"):
        Engine.open(model=str(tmp_path), dataset=str(sample_folder()))


def test_a_checkpoint_of_a_pickle_alone_is_refused_unopened(repository: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(repository / "modeling_ariel/released", tmp_path / "model")
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04never read")
    with pytest.raises(ValueError, match="expected a checkpoint, safetensors only"):
        Engine.open(model=str(folder), dataset=str(sample_folder()))


HUB_CODE = """
import json, sys
sys.path[:0] = json.loads(sys.argv[1])
from huggingface_hub import HfApi
from engine.inference import Engine
for kind, folder in (("dataset", sys.argv[2]), ("model", sys.argv[3])):
    HfApi().create_repo("observer/space", repo_type=kind)
    HfApi().upload_folder(repo_id="observer/space", repo_type=kind, folder_path=folder)
engine = Engine.open(model="observer/space", dataset="observer/space", model_revision="main", dataset_revision="main")
rows = engine.visits(int(sys.argv[4]))
about = {**engine.about, "shape": rows[0]["flux"].shape, "sum": float(rows[0]["flux"].sum(dtype="f8"))}
about["planets_calibrated_on"] = engine.reliability().n_planets
for wrong in ({"dataset": "observer/space", "dataset_revision": "v9"}, {"dataset": "observer/nothing"}):
    try:
        Engine.open(**wrong)
    except ValueError as error:
        about[wrong["dataset"]] = str(error)
print(json.dumps(about))
"""


def test_a_dataset_and_a_model_on_the_hub_are_opened_without_fetching_all(
    hub: LocalHub, repository: Path, tmp_path: Path
) -> None:
    paths, folder = [str(repository / "space"), str(repository)], str(sample_folder())
    script = tmp_path / "client.py"
    script.write_text(HUB_CODE)
    model = str(repository / "modeling_ariel/released")
    done = hub.run([str(script), json.dumps(paths), folder, model, str(planet())], tmp_path / "home")
    about = json.loads(done.stdout.splitlines()[-1])
    row = engine().visits(planet())[0]
    assert about["planets"] == 24
    assert about["shape"] == [375, 283]
    assert about["sum"] == float(row["flux"].sum(dtype="f8"))
    assert about["model_sha256"] == engine().network.digest
    assert len(about["dataset_revision"]) == 40
    assert about["planets_calibrated_on"] == engine().reliability().n_planets
    assert about["observer/space"] == "observer/space: expected a branch, tag or commit, found no 'v9'"
    assert "found none of that name" in about["observer/nothing"]
    fetched = hub.calls("GET */resolve/*.parquet")
    assert fetched
    assert {call.status for call in fetched} == {206}  # parts, never the file


# --- ranking ----------------------------------------------------------------------------------------------------------


def test_planets_are_ranked_by_scores_kept_beside_the_sample(tmp_path: Path) -> None:
    folder = shutil.copytree(sample_folder(), tmp_path / "sample")
    ids = list(sample.cases())
    ranks = {str(p): {"score": n / 24, "sigma_ppm": 30.0, "verdict": None} for n, p in enumerate(ids)}
    kept = {"model_sha256": engine().network.digest, "planets": ranks}
    (folder / sample.SCORES).write_text(json.dumps(kept))
    one = Engine.open(dataset=str(folder))
    assert [found.planet_id for found in one.hardest(2)] == ids[:2]
    assert [found.planet_id for found in one.best(2)] == ids[:-3:-1]
    assert one.best(1)[0].score == 23 / 24
    (folder / sample.SCORES).write_text(json.dumps({**kept, "model_sha256": "another"}))
    other = Engine.open(dataset=str(folder))
    assert other.info(ids[0]).score is None


def test_scores_are_made_and_kept_where_there_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = shutil.copytree(sample_folder(), tmp_path / "sample")
    (folder / sample.SCORES).unlink(missing_ok=True)
    one = Engine.open(dataset=str(folder))
    few = [one.info(planet()), one.info(planet("FGS1 missing"))]
    monkeypatch.setattr(one, "_first_planets", lambda: few)
    monkeypatch.setattr(one, "spectrum", engine().spectrum)
    assert len(one.hardest()) == 2
    assert one.hardest(1)[0].score < one.best(1)[0].score
    assert set(json.loads((folder / sample.SCORES).read_text())["planets"]) == {str(p.planet_id) for p in few}


def test_a_planet_that_cannot_be_predicted_is_left_out_of_the_ranking(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Engine(engine().network, engine().catalogue, workers=1)
    good, bad = engine().info(planet()), engine().info(planet("FGS1 missing"))

    def visits(planet_id: int) -> list:
        if planet_id == bad.planet_id:
            raise CatalogueError("its shard is cut")
        return engine().visits(planet_id)

    monkeypatch.setattr(one, "_first_planets", lambda: [bad, good])
    monkeypatch.setattr(one, "visits", visits)
    monkeypatch.setattr(one, "spectrum", engine().spectrum)
    monkeypatch.setattr(one.catalogue, "write_scores", lambda content: None)
    one._ranks.clear()
    assert [found.planet_id for found in one.hardest()] == [good.planet_id]


def test_an_error_of_a_file_shows_users_no_path(tmp_path: Path) -> None:
    folder = shutil.copytree(sample_folder(), tmp_path / "sample")
    one = Engine.open(dataset=str(folder))
    for shard in folder.rglob("train*.parquet"):
        shard.unlink()
    with pytest.raises(CatalogueError, match="cannot be read at present") as caught:
        one.visits(planet())
    assert str(tmp_path) not in str(caught.value)


def test_scores_of_another_checkpoint_are_not_kept_beside_the_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repository: Path
) -> None:
    folder = shutil.copytree(sample_folder(), tmp_path / "sample")
    (folder / sample.SCORES).unlink(missing_ok=True)
    one = Engine.open(model=str(repository / "modeling_ariel/released"), dataset=str(folder))
    monkeypatch.setattr(one, "_first_planets", lambda: [one.info(planet())])
    monkeypatch.setattr(one, "spectrum", engine().spectrum)
    assert one.hardest(1)[0].planet_id == planet()
    assert not (folder / sample.SCORES).exists()
