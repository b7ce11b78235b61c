"""What a push of transients sends, and that nothing of the challenge's is sent."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from boosting_scenes import QUICK, objects
from transient_scenes import dataset, network, rows
from typer.testing import CliRunner

from ariel_scripts.cli import app
from ariel_scripts.opening.provenance import TRAINING
from ariel_scripts.publishing.transient_release import dataset_release, model_release
from ariel_scripts.transients.search import Search, train_search
from hf_dataset.store.parquet import write_split
from hf_dataset.transients.contents import DATA_DIR
from hf_dataset.transients.dataset import build_dataset
from hf_dataset.transients.schema import row_format
from hf_dataset.transients.simulation.raw_folder import Settings, write_folder
from modeling_ariel.transients import TransientFeatureExtractor, TransientPipeline

REPO = "observer/transients"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small dataset of simulated transients."""
    folder = tmp_path_factory.mktemp("push")
    write_folder(folder / "raw", Settings(12, 4, 0), lambda _: None)
    build_dataset(folder / "raw", folder / "data", {"ariel-hf": "1", "node": "secret"})
    return folder / "data"


def search(layouts: tuple[str, ...]) -> Search:
    own = train_search(objects(200), QUICK)[0]
    return Search(own.features, own.members, own.calibration, own.threshold, own.chosen, layouts)


def checkpoint(out: Path, layouts: list[str] | None) -> Path:
    TransientPipeline(network("transient"), TransientFeatureExtractor()).save_pretrained(out)
    if layouts is not None:
        record = {"data": {"source": "/home/me/transients", "layouts": layouts}, "config": {"model": None}}
        (out / TRAINING).write_text(json.dumps(record))
    return out


def test_a_dataset_goes_with_a_card_for_the_hub_and_nothing_of_this_machine(built: Path) -> None:
    found = dataset_release(built, REPO)
    assert found.files.keys() >= {"README.md", "dataset.json", "report.json"}
    card = bytes(found.files["README.md"]).decode()  # type: ignore[arg-type]
    assert f'load_dataset("{REPO}"' in card
    assert "secret" not in card
    own = (built / "README.md").read_text()
    assert card.replace(REPO, built.name).splitlines()[-20:] == own.splitlines()[-20:]  # only the name differs
    assert {name for name in found.files if name.endswith(".parquet")} == {
        path.relative_to(built).as_posix() for path in (built / DATA_DIR).iterdir()
    }


def test_rows_of_the_challenge_are_refused(built: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected a dataset of `ariel transients build`"):
        dataset_release(dataset(tmp_path / "bare", 1), REPO)
    for name in ("README.md", "dataset.json", "report.json"):
        (tmp_path / name).write_bytes((built / name).read_bytes())
    real = [one | {"layout": "mallorn"} for one in rows(1)[0]]
    write_split(tmp_path, DATA_DIR, "train", real, row_format(), 10)
    with pytest.raises(ValueError, match="found layout mallorn; no licence was found"):
        dataset_release(tmp_path, REPO)
    done = CliRunner().invoke(app, ["transients", "push", "dataset", REPO, str(tmp_path), "--dry-run"])
    assert done.exit_code != 0
    write_split(tmp_path, DATA_DIR, "train", rows(1)[0], row_format(), 10)
    with pytest.raises(ValueError, match=r"dataset\.json: expected the rows of the shards"):
        dataset_release(tmp_path, REPO)


def test_a_boosted_model_goes_only_where_all_its_rows_were_simulated(tmp_path: Path) -> None:
    own = search(("simulated",))
    own.save(tmp_path)
    found = model_release(tmp_path, REPO)
    assert found.files.keys() == {"README.md", "search.json", "member-0.txt"}
    assert b"license: apache-2.0" in bytes(found.files["README.md"])  # type: ignore[arg-type]
    for layouts, said in ((("mallorn", "simulated"), "found layout mallorn"), ((), "found no record of its rows")):
        Search(own.features, own.members, own.calibration, own.threshold, own.chosen, layouts).save(tmp_path)
        with pytest.raises(ValueError, match=said):
            model_release(tmp_path, REPO)


def test_a_network_goes_with_its_code_only_where_all_its_rows_were_simulated(tmp_path: Path) -> None:
    out = checkpoint(tmp_path / "own", ["simulated"])
    found = model_release(out, REPO)
    assert {"README.md", "config.json", "model.safetensors", "modeling_transient.py", TRAINING} <= found.files.keys()
    assert b"/home/me" not in bytes(found.files[TRAINING])  # type: ignore[arg-type]
    sent = tmp_path / "sent"
    sent.mkdir()
    for name, content in found.files.items():
        (sent / name).write_bytes(content.read_bytes() if isinstance(content, Path) else content)
    listed = rows(1)[0]
    both = [TransientPipeline.from_pretrained(one)(listed).probability for one in (out, sent)]
    np.testing.assert_array_equal(*both)
    for layouts, said in ((["mallorn"], "found layout mallorn"), (None, "found no record")):
        with pytest.raises(ValueError, match=said):
            model_release(checkpoint(tmp_path / said[-7:], layouts), REPO)
