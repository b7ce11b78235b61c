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
from test_model_release import saved
from tiny_models import BINS, POPULATION

from ariel_scripts import _hub, _training_options
from ariel_scripts._model_release import one_thread
from hf_dataset import publish, shards
from hf_dataset.simulation import fast, planets
from modeling_ariel.modeling_ariel import AUTO_MAP, ArielForPreTraining
from modeling_ariel.predictions_ariel import read_predictions

SPECTRA, TINY, MASKED = "observer/ariel-spectra", "observer/ariel-tiny", "observer/ariel-masked"
CURVES = "observer/curves"
COMMANDS = """
from ariel_scripts import cli, _model_release
def call(*words):  # several in a process: importing torch takes longer than most of them
    code = cli.call(*words)
    if code:
        raise SystemExit(f"{words}: exit code {code}")
"""


@dataclass
class Published:
    """A Hub with models and a dataset on it; ``folder`` holds what was pushed, ``said`` is what the pushes said."""

    hub: LocalHub
    folder: Path
    said: str

    def run(self, code: str, home: str = "home", cwd: str = ".", **options: object) -> CompletedProcess[str]:
        """Python code of a client, in ``folder``."""
        where = self.folder / cwd
        where.mkdir(exist_ok=True)
        return self.hub.run(code, self.folder / home, cwd=where, **options)  # type: ignore[arg-type]

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
    shards.write_rows(
        folder / "curves", "train", list(fast.simulate_rows(POPULATION, n_bins=BINS, seed=1)), n_bins=BINS
    )
    publish.write_card(folder / "curves", planets.wavelengths_um("2024"), "Simulated.", {})
    with LocalHub() as hub:
        said = hub.run(
            f"{COMMANDS}"
            f"call('push', 'model', '{SPECTRA}')\n"
            "_model_release.check_alone = lambda *_: None\n"  # another three processes; test_model_release.py has them
            f"call('push', 'model', '{TINY}', 'tiny')\n"
            f"call('push', 'model', '{MASKED}', 'masked')\n"
            f"call('push', 'model', '{TINY}', 'tiny')\n"
            "from huggingface_hub import HfApi\n"
            "api = HfApi()\n"
            f"curves = dict(repo_id='{CURVES}', repo_type='dataset')\n"
            "more = dict(path_or_fileobj=b'more', path_in_repo='more.txt')\n"
            "api.create_repo(**curves)\n"
            "api.upload_folder(**curves, folder_path='curves')\n"
            "api.create_tag(**curves, tag='v1')\n"
            "api.upload_file(**curves, **more)\n"
            f"api.upload_file(repo_id='{SPECTRA}', **more)\n"
            "api.create_repo('observer/hidden', private=True)\n",
            folder / "home",
            cwd=folder,
        )
        yield Published(hub, folder, said.stdout)


def blocks(text: str, language: str) -> list[Block]:
    return [block for block in code_blocks(text) if block.language == language]


# --- models, loaded by anybody -------------------------------------------------------------------------------------


def test_a_second_push_of_the_same_checkpoint_sends_nothing(published: Published) -> None:
    assert "nothing to send" in published.said
    assert published.said.count("published: ") == 3


def test_the_cards_example_runs_without_the_package_and_gives_the_same_bits(published: Published) -> None:
    alone, _ = blocks(published.card(SPECTRA), "python")
    keep = "\nnp.savez('alone.npz', mean=spectrum.mean, sigma=spectrum.sigma)\n"
    said = published.run(alone.code + keep, "stranger", package=False, token=None)
    assert "['ok']" in said.stdout
    names: dict[str, object] = {}
    local = alone.code.replace(SPECTRA, str(Path(__file__).parents[1] / "modeling_ariel/released"))
    with one_thread():
        exec(local.replace(", trust_remote_code=True", ""), names)
    with np.load(published.folder / "alone.npz") as found:
        for name in ("mean", "sigma"):
            assert torch.equal(torch.from_numpy(found[name]), getattr(names["spectrum"], name)), name


def test_the_cards_other_examples_run_with_the_package_and_no_code_of_the_hub(published: Published) -> None:
    text = published.card(SPECTRA)
    alone, here = blocks(text, "python")
    commands = [line.split()[1:] for block in blocks(text, "bash") for line in block.lines]
    assert [command[0] for command in commands] == ["simulate", "predict"]
    compare = alone.code.replace(", trust_remote_code=True", "")
    code = (
        f"{COMMANDS}for command in {commands!r}:\n    call(*command)\n"
        f"{here.code}\nimport sys\nassert spectrum.mean.shape == (2, 283)\n{compare}\n"
        "np.savez('here.npz', mean=spectrum.mean, sigma=spectrum.sigma)\n"
        "assert not [name for name in sys.modules if name.startswith('transformers_modules')]\n"
    )
    published.run(code, token=None)
    assert len(read_predictions(published.folder / "predictions.parquet").planet_id) == 4
    with np.load(published.folder / "alone.npz") as one, np.load(published.folder / "here.npz") as two:
        assert np.array_equal(one["mean"], two["mean"])
        assert np.array_equal(one["sigma"], two["sigma"])


def test_the_cards_of_other_models_run_too(published: Published) -> None:
    tiny, masked = published.card(TINY), published.card(MASKED)
    (commands,) = blocks(masked, "bash")
    words = [line.split()[1:] for line in commands.lines]
    assert [command[0] for command in words] == ["simulate", "finetune"]
    published.run(f"{COMMANDS}for command in {words!r}:\n    call(*command)\n", cwd="masked-curves")
    alone = blocks(tiny, "python")[0].code + blocks(masked, "python")[0].code
    published.run(alone, "stranger", package=False, token=None)


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


def test_predictions_by_hub_ids_at_a_revision_are_those_of_the_folders_and_say_the_commits(
    published: Published,
) -> None:
    published.run(
        f"{COMMANDS}quick = ('--workers', 1, '--device', 'cpu')\n"
        f"call('predict', '{CURVES}', '--model', '{SPECTRA}', '--out', 'hub/p.parquet', '--revision', 'v1', "
        "'--dataset-revision', 'v1', *quick)\n"
        "call('predict', 'curves', '--out', 'here/p.parquet', *quick)\n"
        f"call('evaluate', 'hub/p.parquet', '{CURVES}', '--dataset-revision', 'v1')\n"
        f"call('retrieve', '{CURVES}', '--out', 'retrieved/p.parquet', '--limit', 1, '--prior', 'none')\n"
        "import numpy as np\nfrom ariel_scripts._datasets import wavelengths_of\n"
        f"np.save('axis.npy', wavelengths_of('{CURVES}', 'simulated'))\n"
    )
    hub, here = (read_predictions(published.folder / name / "p.parquet") for name in ("hub", "here"))
    assert np.array_equal(hub.mu, here.mu)
    assert np.array_equal(hub.sigma, here.sigma)
    record = json.loads((published.folder / "hub/p.run.json").read_text())["metrics"]
    dataset = {"name": CURVES, "commit": published.commit("dataset", CURVES, "v1")}
    assert record["dataset"] == dataset
    assert record["sources"] == [{"name": SPECTRA, "commit": published.commit("model", SPECTRA, "v1")}]
    assert record["sources"][0]["commit"] != published.commit("model", SPECTRA)
    evaluated = json.loads((published.folder / "hub/p.evaluation.run.json").read_text())
    assert evaluated["metrics"]["truth"] == dataset
    retrieved = json.loads((published.folder / "retrieved/p.run.json").read_text())
    assert retrieved["metrics"]["dataset"] == {"name": CURVES, "commit": published.commit("dataset", CURVES)}
    # of the dataset's card, which says the axis of 2024; without one they would be 2025's
    assert np.allclose(np.load(published.folder / "axis.npy"), planets.wavelengths_um("2024"), atol=1e-6)
    assert not np.allclose(planets.wavelengths_um("2024"), planets.wavelengths_um("2025"), atol=1e-6)


def test_a_model_fine_tuned_and_calibrated_from_hub_ids_goes_back_with_its_own_card(published: Published) -> None:
    tuned = "observer/ariel-tuned"
    published.run(
        f"{COMMANDS}_model_release.check_alone = lambda *_: None\n"
        f"call('finetune', '{CURVES}', '--model', '{TINY}', '--revision', 'v1', '--out', 'tuned', '--physics', 'none', "
        "'--steps', 2, '--evaluate-every', 2, '--batch-size', 2, '--tracker', 'none', '--validation', 0.2, "
        "'--prior', 'simulated', '--spectra', 'simulated', '--groups', 0, '--swap', 0)\n"
        f"call('push', 'model', '{tuned}', 'tuned/model')\n"
        f"call('calibrate', '{TINY}', '{CURVES}', '--out', 'calibrated', '--split', 'train', '--workers', 1)\n"
    )
    sent = published.hub.files("model", tuned)
    assert json.loads(sent["config.json"])["auto_map"] == AUTO_MAP
    record = json.loads(sent["training.json"])
    start = {"name": TINY, "commit": published.commit("model", TINY), "layouts": ["simulated"]}
    data = {"source": CURVES, "commit": published.commit("dataset", CURVES), "split": "train", "layouts": ["simulated"]}
    assert record["base"] == start
    assert {name: record["data"][name] for name in data} == data
    card = ModelCard(sent["README.md"].decode())
    assert (card.data.base_model, card.data.datasets, card.data.license) == (TINY, [CURVES], "apache-2.0")
    assert {result.metric_type for result in card.data.eval_results} >= {"score_2024", "log_likelihood"}
    calibrated = json.loads((published.folder / "calibrated/calibration.json").read_text())
    assert calibrated["model"] == {"name": TINY, "commit": start["commit"]}
    assert calibrated["layouts"] == ["simulated"]
    assert json.loads((published.folder / "calibrated/config.json").read_text())["auto_map"] == AUTO_MAP


# --- what is not there ---------------------------------------------------------------------------------------------

ASK = """
from ariel_scripts._hub import locate_dataset, locate_model
from ariel_scripts._datasets import open_split
import sys
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
        "runs/some/model: expected a model folder or a Hub id (OWNER/NAME), found neither",
        "observer/gated: the model is gated on the Hub: ask for access on its page, then log in (hf auth login)",
        "observer/gated: the dataset is gated on the Hub: ask for access on its page, then log in (hf auth login)",
        "observer/broken: expected a model folder or a Hub id, found no such folder; the Hub answers 503, and its "
        "cache has no complete copy",
        "observer/broken: the Hub answers 503: planned failure",
    ]


def test_without_the_hub_what_was_fetched_is_read_and_the_rest_is_refused(published: Published) -> None:
    fetch = f"from huggingface_hub import snapshot_download as fetch\nfetch('{CURVES}', repo_type='dataset')\n"
    known, unknown = [("model", TINY, None), ("dataset", CURVES, None)], [("model", SPECTRA, None)]
    published.run(fetch + ASK.format(wanted=known), "traveller")
    read = f"print(len(list(open_split('{CURVES}', 'train'))))\n"
    done = published.run(ASK.format(wanted=[*known, *unknown]) + read, "traveller", HF_HUB_OFFLINE="1")
    model, dataset, refused, rows = done.stdout.splitlines()
    assert published.commit("model", TINY) in model
    assert published.commit("dataset", CURVES) in dataset
    assert refused == (
        f"{SPECTRA}: expected a model folder or a Hub id, found no such folder; the Hub isn't asked (HF_HUB_OFFLINE), "
        "and its cache has no complete copy"
    )
    assert rows == str(len(POPULATION))
    assert "the Hub can't be reached: the copy in its cache is read" in done.stderr


def test_a_revision_of_a_folder_or_of_nothing_is_an_error(tmp_path: Path) -> None:
    for wanted, said in (({"dataset_revision": "v1"}, "--dataset-revision v1: expected a dataset"),
                         ({"revision": "v1"}, "--revision v1: expected a model")):  # fmt: skip
        nothing = dict.fromkeys(("dataset", "dataset_revision", "model", "revision"))
        with pytest.raises(ValueError, match=f"{said} on the Hub, found none given"):
            _training_options.locate({**nothing, **wanted})
    with pytest.raises(ValueError, match=r"--dataset-revision v1: expected a dataset on the Hub, found the folder"):
        _hub.locate_dataset(str(tmp_path), "v1")
    with pytest.raises(ValueError, match=r"--revision v1: expected a model on the Hub, found the folder"):
        _hub.locate_model("released", "v1")
