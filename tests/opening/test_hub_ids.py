"""Commands and notebooks given Hub ids instead of folders, through real clients and a Hub on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
import torch
from code_blocks import Block, code_blocks
from huggingface_hub import ModelCard
from local_hub import Fault, LocalHub
from push_scenes import UNCHECKED
from saved_models import saved
from tiny_models import BINS, POPULATION

from hf_dataset.simulation import light_curves, planets
from hf_dataset.store import shards
from hf_dataset.store.card import write_card
from modeling_ariel import ArielForPreTraining
from modeling_ariel.modeling_ariel import AUTO_MAP
from modeling_ariel.pipeline_ariel import torch_threads
from modeling_ariel.predictions import read_predictions

SPECTRA, TINY, MASKED = "observer/ariel-spectra", "observer/ariel-tiny", "observer/ariel-masked"
TUNED, CALIBRATED, MOVING = "observer/ariel-tuned", "observer/ariel-calibrated", "observer/ariel-moving"
CURVES, HALVES = "observer/curves", "observer/halves"
COMMANDS = """
from ariel_scripts import cli
from ariel_scripts.publishing import model_release
def call(*words):
    code = cli.call(*words)
    if code:
        raise RuntimeError(f"{words}: exit code {code}")
"""
# importing torch takes longer than most scenes: each in a folder of its own, one process for all of them
SCENES = """
import json, os, sys, traceback
said = {}
for name, code in json.load(open("scenes.json")).items():
    os.makedirs(name, exist_ok=True)
    os.chdir(name)
    try:
        exec(compile(code, name, "exec"), {"__name__": name})
    except BaseException:
        said[name] = traceback.format_exc()
    os.chdir("..")
json.dump(said, open("said.json", "w"))
"""


@dataclass
class Published:
    """A Hub with models and datasets on it; ``folder`` holds what was pushed, ``said`` is what the pushes said."""

    hub: LocalHub
    folder: Path
    said: str

    def run(self, code: str, home: str = "home", **options: object) -> CompletedProcess[str]:
        """Python code of a client, in ``folder``."""
        return self.hub.run(code, self.folder / home, cwd=self.folder, **options)  # type: ignore[arg-type]

    def scenes(self, codes: dict[str, str], home: str, **options: object) -> dict[str, str]:
        """Run codes of a client, each in the folder of its name, in one process: what those said that fail."""
        (self.folder / "scenes.json").write_text(json.dumps(codes))
        done = self.run(SCENES, home, **options)
        said = json.loads((self.folder / "said.json").read_text())
        return {name: f"{failed}\n{done.stderr}" for name, failed in said.items()}

    def commit(self, kind: str, repo_id: str, revision: str = "main") -> str:
        return self.hub.repo(kind, repo_id).find(revision).id

    def card(self, repo_id: str) -> str:
        return self.hub.files("model", repo_id)["README.md"].decode()


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    """The released checkpoint, two tiny models and seven labelled planets, each with a version v1 and a later main."""
    folder = tmp_path_factory.mktemp("published")
    saved(folder / "tiny")
    saved(folder / "masked", ArielForPreTraining)
    for name, n_bins, rows_per_shard in (("curves", BINS, 64), ("halves", 8, 4)):
        rows = list(light_curves.simulate_rows(POPULATION, visits=1, n_bins=n_bins, seed=1))
        shards.write_rows(folder / name, "train", rows, n_bins, rows_per_shard)
        write_card(folder / name, planets.wavelengths_um("2024"), "Simulated.", {})
    with LocalHub() as hub:
        said = hub.run(
            f"{COMMANDS}"
            f"{UNCHECKED}\n"
            f"call('push', 'model', '{SPECTRA}')\n"
            f"call('push', 'model', '{TINY}', 'tiny')\n"
            f"call('push', 'model', '{MASKED}', 'masked')\n"
            f"call('push', 'model', '{TINY}', 'tiny')\n"
            "from huggingface_hub import HfApi\n"
            "api = HfApi()\n"
            f"curves, halves = (dict(repo_id=name, repo_type='dataset') for name in ('{CURVES}', '{HALVES}'))\n"
            "more = dict(path_or_fileobj=b'more', path_in_repo='more.txt')\n"
            "api.create_repo(**curves)\n"
            "api.upload_folder(**curves, folder_path='curves')\n"
            "api.create_tag(**curves, tag='v1')\n"
            "api.upload_file(**curves, **more)\n"
            "api.create_repo(**halves)\n"
            "api.upload_folder(**halves, folder_path='halves')\n"
            f"api.upload_file(repo_id='{TINY}', **more)\n"
            f"api.create_repo('{MOVING}')\n"
            f"api.upload_file(repo_id='{MOVING}', path_in_repo='config.json', path_or_fileobj=b'{{}}')\n"
            "api.create_repo('observer/hidden', private=True)\n",
            folder / "home",
            cwd=folder,
        )
        yield Published(hub, folder, said.stdout)


@pytest.fixture(scope="module")
def here(published: Published) -> dict[str, str]:
    """What went wrong in the scenes of somebody who has the package: cards' commands, predictions, training."""
    spectra, masked = (
        [line.split()[1:] for block in blocks(published.card(repo_id), "bash") for line in block.lines]
        for repo_id in (SPECTRA, MASKED)
    )
    assert [command[0] for command in (*spectra, *masked)] == ["simulate", "predict", "simulate", "finetune"]
    alone, rows = blocks(published.card(SPECTRA), "python")
    codes = {
        "card": f"{COMMANDS}for command in {spectra!r}:\n    call(*command)\n"
        f"{rows.code}\nimport sys\nassert spectrum.mean.shape == (2, 283)\n"
        f"{alone.code.replace(', trust_remote_code=True', '')}\n"
        "np.savez('here.npz', mean=spectrum.mean, sigma=spectrum.sigma)\n"
        "assert not [name for name in sys.modules if name.startswith('transformers_modules')]\n",
        "masked-card": f"{COMMANDS}for command in {masked!r}:\n    call(*command)\n",
        "predictions": PREDICTIONS,
        "training": TRAINING,
    }
    return published.scenes(codes, "home")


@pytest.fixture(scope="module")
def elsewhere(published: Published, here: dict[str, str]) -> dict[str, str]:
    """What went wrong in the scenes of somebody who has not: each card's own example, of five models."""
    codes = {repo_id.split("/")[1]: blocks(published.card(repo_id), "python")[0].code
             for repo_id in (SPECTRA, TINY, MASKED, TUNED, CALIBRATED)}  # fmt: skip
    codes["ariel-spectra"] += "\nnp.savez('alone.npz', mean=spectrum.mean, sigma=spectrum.sigma)\n"
    for name in ("ariel-tuned", "ariel-calibrated"):
        codes[name] += "\nassert torch.isfinite(spectrum.mean).all() and (spectrum.sigma > 0).all()\n"
    return published.scenes(codes, "stranger", package=False, token=None)


def blocks(text: str, language: str) -> list[Block]:
    return [block for block in code_blocks(text) if block.language == language]


# --- models, loaded by anybody -------------------------------------------------------------------------------------


def test_a_second_push_of_the_same_checkpoint_sends_nothing(published: Published) -> None:
    assert "nothing to send" in published.said
    assert published.said.count("published: ") == 3


def test_the_cards_example_runs_without_the_package_and_gives_the_same_bits(
    published: Published, elsewhere: dict[str, str]
) -> None:
    assert "ariel-spectra" not in elsewhere, elsewhere["ariel-spectra"]
    alone = blocks(published.card(SPECTRA), "python")[0]
    names: dict[str, object] = {}
    local = alone.code.replace(SPECTRA, str(Path(__file__).parents[2] / "modeling_ariel/released"))
    with torch_threads(1):
        exec(local.replace(", trust_remote_code=True", ""), names)
    assert names["spectrum"].status == ["ok"]  # type: ignore[attr-defined]
    with np.load(published.folder / "ariel-spectra/alone.npz") as found:
        for name in ("mean", "sigma"):
            assert torch.equal(torch.from_numpy(found[name]), getattr(names["spectrum"], name)), name


def test_the_cards_other_examples_run_with_the_package_and_no_code_of_the_hub(
    published: Published, here: dict[str, str], elsewhere: dict[str, str]
) -> None:
    assert "card" not in here, here["card"]
    assert len(read_predictions(published.folder / "card/predictions.parquet").planet_id) == 4
    with (
        np.load(published.folder / "ariel-spectra/alone.npz") as one,
        np.load(published.folder / "card/here.npz") as two,
    ):
        assert np.array_equal(one["mean"], two["mean"])
        assert np.array_equal(one["sigma"], two["sigma"])


def test_the_cards_of_other_models_run_too(here: dict[str, str], elsewhere: dict[str, str]) -> None:
    assert "masked-card" not in here, here["masked-card"]
    for name in ("ariel-tiny", "ariel-masked", "ariel-tuned", "ariel-calibrated"):
        assert name not in elsewhere, elsewhere[name]


def test_the_released_cards_own_examples_run_in_a_checkout(
    published: Published, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (repository / "modeling_ariel/released/README.md").read_text()
    (block,) = code_blocks(text)
    (tmp_path / "modeling_ariel").symlink_to(repository / "modeling_ariel")
    (tmp_path / "light-curves").symlink_to(published.folder / "curves")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    block.run(names, "README.md")
    assert names["spectrum"].mean.shape == (2, 283)  # type: ignore[attr-defined]


# --- commands ------------------------------------------------------------------------------------------------------


PREDICTIONS = f"""{COMMANDS}
quick = ("--workers", 1, "--device", "cpu")
call("predict", "{CURVES}", "--model", "{TINY}", "--out", "hub/p.parquet", "--revision", "v1",
     "--dataset-revision", "v1", *quick)
call("predict", "../curves", "--model", "../tiny", "--out", "here/p.parquet", *quick)
call("evaluate", "hub/p.parquet", "{CURVES}", "--dataset-revision", "v1")
call("retrieve", "{CURVES}", "--out", "retrieved/p.parquet", "--limit", 1, "--prior", "none")
import numpy as np
from ariel_scripts.opening.datasets import wavelengths_of
np.save("axis.npy", wavelengths_of("{CURVES}", "simulated"))
"""


def test_predictions_by_hub_ids_at_a_revision_are_those_of_the_folders_and_say_the_commits(
    published: Published, here: dict[str, str]
) -> None:
    assert "predictions" not in here, here["predictions"]
    folder = published.folder / "predictions"
    hub, local = (read_predictions(folder / name / "p.parquet") for name in ("hub", "here"))
    assert np.array_equal(hub.mu, local.mu)
    assert np.array_equal(hub.sigma, local.sigma)
    record = json.loads((folder / "hub/p.run.json").read_text())["metrics"]
    dataset = {"name": CURVES, "commit": published.commit("dataset", CURVES, "v1")}
    assert record["dataset"] == dataset
    assert record["sources"] == [{"name": TINY, "commit": published.commit("model", TINY, "v1")}]
    assert record["sources"][0]["commit"] != published.commit("model", TINY)
    evaluated = json.loads((folder / "hub/p.evaluation.run.json").read_text())
    assert evaluated["metrics"]["truth"] == dataset
    retrieved = json.loads((folder / "retrieved/p.run.json").read_text())
    assert retrieved["metrics"]["dataset"] == {"name": CURVES, "commit": published.commit("dataset", CURVES)}
    # of the dataset's card, which says the axis of 2024; without one they would be 2025's
    assert np.allclose(np.load(folder / "axis.npy"), planets.wavelengths_um("2024"), atol=1e-6)
    assert not np.allclose(planets.wavelengths_um("2024"), planets.wavelengths_um("2025"), atol=1e-6)


TRAINING = f"""{COMMANDS}
call("finetune", "{CURVES}", "--model", "{TINY}", "--revision", "v1", "--out", "tuned", "--physics", "none",
     "--steps", 2, "--evaluate-every", 2, "--batch-size", 2, "--tracker", "none", "--validation", 0.2,
     "--prior", "simulated", "--spectra", "simulated", "--groups", 0, "--swap", 0)
call("push", "model", "{TUNED}", "tuned/model")
call("calibrate", "{TINY}", "{CURVES}", "--out", "calibrated", "--split", "train", "--workers", 1)
{UNCHECKED}
call("push", "model", "{CALIBRATED}", "calibrated")
"""


def test_a_model_fine_tuned_from_hub_ids_goes_back_with_its_own_card(
    published: Published, here: dict[str, str]
) -> None:
    assert "training" not in here, here["training"]
    sent = published.hub.files("model", TUNED)
    assert json.loads(sent["config.json"])["auto_map"] == AUTO_MAP
    record = json.loads(sent["training.json"])
    start = {"name": TINY, "commit": published.commit("model", TINY, "v1"), "layouts": ["simulated"]}
    data = {"source": CURVES, "commit": published.commit("dataset", CURVES), "split": "train", "layouts": ["simulated"]}
    assert record["base"] == start
    assert {name: record["data"][name] for name in data} == data
    card = ModelCard(sent["README.md"].decode())
    assert (card.data.base_model, card.data.datasets, card.data.license) == (TINY, [CURVES], "apache-2.0")
    assert {result.metric_type for result in card.data.eval_results} >= {"score_2024", "log_likelihood"}


def test_a_model_calibrated_from_hub_ids_goes_back_with_a_card_that_tells_whose_weights_it_has(
    published: Published, here: dict[str, str]
) -> None:
    assert "training" not in here, here["training"]
    sent = published.hub.files("model", CALIBRATED)
    record = json.loads(sent["calibration.json"])
    start = published.commit("model", TINY)
    assert record["model"] == {"name": TINY, "commit": start}
    assert record["layouts"] == ["simulated"]
    assert json.loads(sent["config.json"])["auto_map"] == AUTO_MAP
    assert {"coverage.png", "z.png"} <= set(sent)
    card = ModelCard(sent["README.md"].decode())
    assert (card.data.base_model, card.data.license) == (TINY, "apache-2.0")
    assert f"The weights are those of {TINY} at {start[:12]}" in card.text
    assert "validation, before calibration" in card.text


# --- what is not there ---------------------------------------------------------------------------------------------

ASK = """
from ariel_scripts.opening.hub import locate_dataset, locate_model
import logging
logging.basicConfig(level=logging.WARNING)
for kind, name, revision in {wanted!r}:
    try:
        print((locate_model if kind == "model" else locate_dataset)(name, revision))
    except ValueError as error:
        print(error)
"""


def test_ids_and_revisions_that_are_not_there_are_named_in_a_line(published: Published) -> None:
    wanted = [
        ("model", "observer/nothing", None),
        ("dataset", "observer/nothing", None),
        ("model", SPECTRA, "v9"),
        ("dataset", CURVES, "v9"),
        ("model", SPECTRA, "0" * 40),
        ("dataset", CURVES, "0" * 40),
        ("model", "observer/hidden", None),
        ("model", "runs/some/model", None),
        ("model", "observer/gated", None),
        ("dataset", "observer/gated", None),
        ("model", "observer/broken", None),
        ("dataset", "observer/broken", None),
    ]
    published.hub.faults += [
        Fault("GET /api/*/observer/gated*", 403, {"X-Error-Code": "GatedRepo"}, times=9),
        Fault("GET /api/*/observer/broken*", 503, times=99),
    ]
    absent = (
        "expected a {kind} folder or a Hub id, found no such folder and no such {kind} on the Hub; a private one needs "
        "a login (hf auth login)"
    )
    said = published.run(ASK.format(wanted=wanted), "visitor", token=None).stdout.splitlines()
    assert said == [
        f"observer/nothing: {absent.format(kind='model')}",
        f"observer/nothing: {absent.format(kind='dataset')}",
        f"{SPECTRA}: expected revision 'v9' of the model on the Hub, found none",
        f"{CURVES}: expected revision 'v9' of the dataset on the Hub, found none",
        f"{SPECTRA}: expected revision '{'0' * 40}' of the model on the Hub, found none",
        f"{CURVES}: expected revision '{'0' * 40}' of the dataset on the Hub, found none",
        f"observer/hidden: {absent.format(kind='model')}",
        "runs/some/model: expected a model folder or a Hub id, found nothing there",
        "observer/gated: the model is gated on the Hub: ask for access on its page, then log in (hf auth login)",
        "observer/gated: the dataset is gated on the Hub: ask for access on its page, then log in (hf auth login)",
        *(
            f"observer/broken: expected a {kind} folder or a Hub id, found no such folder; the Hub answers 503, and "
            "its cache has no complete copy"
            for kind in ("model", "dataset")
        ),
    ]


def test_without_the_hub_whole_copies_are_read_with_a_warning_and_the_rest_is_refused(published: Published) -> None:
    fetch = (
        "from huggingface_hub import HfApi, hf_hub_download, snapshot_download\n"
        f"snapshot_download('{CURVES}', repo_type='dataset')\n"
        "for name in ('README.md', 'data/light_curves/train-00000-of-00002.parquet'):\n"
        f"    hf_hub_download('{HALVES}', name, repo_type='dataset')\n"
    )
    move = f"HfApi().upload_file(repo_id='{MOVING}', path_in_repo='config.json', path_or_fileobj=b'{{\"a\": 1}}')\n"
    before = published.commit("model", MOVING)
    published.run(fetch + ASK.format(wanted=[("model", TINY, None), ("model", MOVING, None)]) + move, "traveller")
    published.hub.faults.append(Fault(f"GET /api/models/{MOVING}*", 503, times=99))
    moved = published.run(ASK.format(wanted=[("model", MOVING, None)]), "traveller")
    assert before != published.commit("model", MOVING)
    assert before in moved.stdout.splitlines()[-1]
    assert f"{MOVING}: the Hub answers 503: the copy in its cache is read, commit {before[:12]}" in moved.stderr

    wanted = [("model", TINY, None), ("dataset", CURVES, None), ("dataset", HALVES, None), ("model", SPECTRA, None)]
    read = f"from ariel_scripts.opening.datasets import open_split\nprint(len(list(open_split('{CURVES}', 'train'))))\n"
    done = published.run(ASK.format(wanted=wanted) + read, "traveller", HF_HUB_OFFLINE="1")
    model, dataset, half, refused, rows = done.stdout.splitlines()
    known = {TINY: published.commit("model", TINY), CURVES: published.commit("dataset", CURVES)}
    for (name, commit), line in zip(known.items(), (model, dataset), strict=True):
        assert commit in line
        said = f"{name}: the Hub isn't asked (HF_HUB_OFFLINE): the copy in its cache is read, commit {commit[:12]}"
        assert said in done.stderr
    assert half == (
        f"{HALVES}: expected a complete copy in the Hub's cache, found no "
        "data/light_curves/train-00001-of-00002.parquet, 4 of the 7 rows of split train; fetch it where the Hub "
        f"answers: hf download {HALVES} --repo-type dataset --revision {published.commit('dataset', HALVES)}"
    )
    assert refused == (
        f"{SPECTRA}: expected a model folder or a Hub id, found no such folder; the Hub isn't asked (HF_HUB_OFFLINE), "
        "and its cache has no complete copy"
    )
    assert rows == str(len(POPULATION))
