"""Checkpoints of transients: saved and loaded the same, by the auto classes, and where the package is not installed."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from needs import only_with_needs
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, AutoModelForPreTraining
from transformers import AutoModelForSequenceClassification as AutoClassifier
from transient_scenes import NAMES, SMALL, features, network, row, rows

import modeling_ariel.transients as package
from modeling_ariel.transients import TransientFeatureExtractor, TransientPipeline
from modeling_ariel.transients.architectures import ARCHITECTURES, pretraining_class

FOLDER = Path(str(package.__file__)).parent
WITHOUT_NETWORK = {
    f"{name}.py"
    for name in ("__init__", "band_features", "detection_scores", "feature_families", "gaussian_process",
                 "light_features", "observed", "shape_features", "siblings", "smooth", "variability_features")
}  # fmt: skip
SOURCES = {path.name for path in FOLDER.glob("*.py")} - WITHOUT_NETWORK
NOT_INSTALLED = (
    "modeling_ariel",
    "hf_dataset",
    "ariel_scripts",
    "datasets",
    "scipy",
    "pyarrow",
    "pandas",
    "accelerate",
)


def taught(name: str) -> Any:
    """A model all of whose buffers differ from those of a new one."""
    model = network(name)
    model.calibration.slope.fill_(0.7)
    model.calibration.offset.fill_(-1.5)
    return model


@pytest.mark.parametrize("name", NAMES)
def test_saved_and_loaded_a_classifier_is_the_same_by_every_auto_class(name: str, tmp_path: Path) -> None:
    model, (listed, _) = taught(name), rows(2)
    TransientPipeline(model, TransientFeatureExtractor(max_measurements=20)).save_pretrained(tmp_path)
    assert {path.name for path in tmp_path.glob("*.py")} == SOURCES
    extractor = AutoFeatureExtractor.from_pretrained(tmp_path)
    assert (type(extractor), extractor.max_measurements) == (TransientFeatureExtractor, 20)
    expected = model(**extractor(listed)).probability
    for kind in (AutoModel, AutoClassifier):
        loaded = kind.from_pretrained(tmp_path)
        assert type(loaded) is type(model)
        torch.testing.assert_close(loaded(**extractor(listed)).probability, expected)
        for key, value in model.state_dict().items():
            assert torch.equal(loaded.state_dict()[key], value), key
    assert AutoConfig.from_pretrained(tmp_path).model_type == name
    maps = json.loads((tmp_path / "config.json").read_text())["auto_map"]
    homes = {ARCHITECTURES[name][0]} | {
        "configuration_transient",
        "feature_extraction_transient",
    }
    assert {value.split(".")[0] for value in maps.values()} <= homes
    found = TransientPipeline.from_pretrained(tmp_path)(listed)
    torch.testing.assert_close(torch.from_numpy(found.probability).float(), expected)


@pytest.mark.parametrize("name", ["transient", "transient_astromer"])
def test_a_pretrained_backbone_is_taken_over_and_the_rest_starts_anew(name: str, tmp_path: Path) -> None:
    kind = pretraining_class(name)
    settings = SMALL[name] | {"hidden_size": 16}
    pretrained = kind(kind.config_class(**settings))
    pretrained.save_pretrained(tmp_path)
    assert type(AutoModelForPreTraining.from_pretrained(tmp_path)) is kind
    model, found = AutoClassifier.from_pretrained(
        tmp_path, output_loading_info=True, feature_names=["a"], classes=["other", "TDE"]
    )
    for key, value in pretrained.transient.state_dict().items():
        assert torch.equal(model.transient.state_dict()[key], value), key
    parts = {"norm", "classify", "calibration", "transient"}  # of the last, the tokens of features
    assert {key.split(".")[0] for key in found["missing_keys"]} <= parts
    assert float(model.calibration.slope) == 1.0
    assert float(model.calibration.offset) == 0.0
    TransientFeatureExtractor().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"expected a model that classifies, missing .* of its weights"):
        TransientPipeline.from_pretrained(tmp_path)


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected a checkpoint of transients, found"):
        TransientPipeline.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "ariel"}))
    with pytest.raises(ValueError, match=r"expected config.json with a model_type of transient, .*, found 'ariel'"):
        TransientPipeline.from_pretrained(tmp_path)


def test_a_pipeline_answers_alike_in_any_batches_and_names_what_is_wrong() -> None:
    listed = rows(3)[0]
    pipeline = TransientPipeline(taught("transient"), TransientFeatureExtractor())
    whole, parts = pipeline(listed), pipeline(listed, batch_size=2)
    np.testing.assert_allclose(parts.probability, whole.probability, rtol=1e-4)
    np.testing.assert_allclose(whole.shares.sum(1), 1.0)
    assert whole.object_id == [one["object_id"] for one in listed]
    assert list(whole.columns()) == ["object_id", "probability", "logit", "share_AGN", "share_SN", "share_TDE"]
    expected = 1 / (1 + np.exp(-(0.7 * whole.logit - 1.5)))
    np.testing.assert_allclose(whole.probability, expected, rtol=1e-5)
    with pytest.raises(ValueError, match="object AGN 0: flux_err: expected errors above 0"):
        pipeline([listed[0] | {"lightcurve": listed[0]["lightcurve"] | {"flux_err": np.zeros(18)}}])
    with pytest.raises(ValueError, match="batch_size: expected 1 or more, found 0"):
        pipeline(listed, batch_size=0)


ELSEWHERE = """
import importlib.util, pickle, sys
site, *missing = sys.argv[1:]
sys.path.append(site)
found = [name for name in missing if importlib.util.find_spec(name)]
if found:
    raise SystemExit(f"expected none of these, found {found}")
import torch
from transformers import AutoFeatureExtractor, AutoModel, AutoModelForPreTraining
from transformers.dynamic_module_utils import get_class_from_dynamic_module
rows = pickle.load(open("rows.pickle", "rb"))
answers = {}
for folder in sys.stdin.read().split():
    extractor = AutoFeatureExtractor.from_pretrained(folder, trust_remote_code=True)
    kind = AutoModelForPreTraining if folder == "pretrained" else AutoModel
    model = kind.from_pretrained(folder, trust_remote_code=True).eval()
    with torch.no_grad():
        if folder == "pretrained":
            answers[folder] = model(**extractor(rows), noise=torch.zeros(answers["shape"])).reconstruction
        else:
            batch = extractor(rows)
            answers["shape"] = batch["flux"].shape
            answers[folder] = model(**batch).probability
    model.save_pretrained(f"again {folder}")
pipeline = get_class_from_dynamic_module("pipeline_transient.TransientPipeline", "transient")
answers["pipeline"] = torch.from_numpy(pipeline.from_pretrained("transient")(rows).probability)
torch.save(answers, "answers.pt")
"""


def test_a_process_with_transformers_and_torch_alone_gives_the_same(tmp_path: Path) -> None:
    listed = [{name: value for name, value in one.items() if name != "layout"} for one in rows(1)[0]]
    expected = {}
    for name in NAMES:
        TransientPipeline(taught(name), TransientFeatureExtractor()).save_pretrained(tmp_path / name)
        with torch.no_grad():
            expected[name] = taught(name)(**features(listed)).probability
    kind = pretraining_class("transient")
    pretrained = kind(kind.config_class(**SMALL["transient"], hidden_size=16)).eval()
    pretrained.save_pretrained(tmp_path / "pretrained")
    TransientFeatureExtractor().save_pretrained(tmp_path / "pretrained")
    batch = features(listed)
    with torch.no_grad():
        expected["pretrained"] = pretrained(**batch, noise=torch.zeros(batch["flux"].shape)).reconstruction
    (tmp_path / "rows.pickle").write_bytes(pickle.dumps(listed))
    site = only_with_needs(tmp_path / "site", ("transformers", "torch", "numpy", "huggingface_hub", "safetensors"))
    (tmp_path / "script.py").write_text(ELSEWHERE)
    keep = {name: os.environ[name] for name in ("PATH", "HOME", "LD_LIBRARY_PATH") if name in os.environ}
    environment = keep | {"HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-I", "-S", "script.py", str(site), *NOT_INSTALLED]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300,
                          input=" ".join([*NAMES, "pretrained"]))  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = torch.load(tmp_path / "answers.pt")
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)
    torch.testing.assert_close(found["pipeline"].float(), expected["transient"])
    for name in NAMES:  # saved there, they are whole again
        again = AutoModel.from_pretrained(tmp_path / f"again {name}")
        torch.testing.assert_close(again(**features(listed)).probability, expected[name])
        maps = json.loads((tmp_path / f"again {name}/config.json").read_text())["auto_map"]
        assert maps == taught(name).auto_map


def test_features_that_a_model_learned_from_and_does_not_get_are_missed_aloud(
    caplog: pytest.LogCaptureFixture,
) -> None:
    names = ["a", "b"]
    extractor = TransientFeatureExtractor(feature_names=names, feature_median=[0, 0], feature_scale=[1, 1])
    pipeline = TransientPipeline(network("transient", feature_names=names), extractor, source="mine")
    pipeline([row("TDE", 0)], features={"TDE 0": [1.0, 2.0]})
    assert not caplog.text
    pipeline([row("TDE", 0)])
    assert "mine: learned from 2 features beside the curves, found none of them" in caplog.text
