"""Checkpoints: saved and loaded the same, by the auto classes, and where only transformers and torch are installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from needs import only_with_needs
from spectrum_scenes import (
    CHANNELS,
    WAVELENGTH,
    backbone_inputs,
    config,
    extractor,
    features,
    population,
    prepared,
    pretraining_model,
    rows,
    spectrum_model,
)
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, AutoModelForPreTraining

from ariel_scripts.opening.models import open_model, save_model
from modeling_ariel import ArielForPreTraining, ArielForSpectrumPrediction, ArielModel, ArielPipeline
from modeling_ariel.configuration_ariel import ArielConfig
from modeling_ariel.feature_extraction_ariel import ArielFeatureExtractor
from modeling_ariel.modeling_ariel import AUTO_MAP

NOT_INSTALLED = ("modeling_ariel", "hf_dataset", "ariel_scripts", "datasets", "scipy", "pyarrow", "accelerate",
                 "pandas", "matplotlib", "typer_config", "exoplanet_core")  # fmt: skip
PIPELINE = {"architectures.py", "frames.py", "pipeline_ariel.py"}  # what no auto class needs
SOURCES = PIPELINE | {
    f"{name}.py"
    for name in ("arrays", "bands", "columns", "configuration_ariel", "correction_head", "familiarity",
                 "feature_extraction_ariel", "fit_batch", "heads", "joint_fit", "layers", "least_squares",
                 "light_curve_model", "limb_darkening", "losses", "masking", "modeling_ariel", "noise",
                 "noise_prior", "objective", "outputs", "penalties", "penalty_rules", "physics", "planet_groups",
                 "planet_kinds", "populations", "posterior", "residuals", "retrieval", "rule_scales",
                 "shared_parameters", "spectrum_config", "spectrum_model", "spectrum_prior", "status", "surprise",
                 "telescope", "transit", "transit_search", "uncertainty", "verdict", "visit_batch", "visit_data",
                 "visit_design", "visit_summary", "visits", "white_light", "white_stage")
}  # fmt: skip


def taught() -> Any:
    """A model all of whose buffers differ from those of a new one."""
    model = spectrum_model()
    for table in (False, True):
        model.physics.set_population(population(table), table)
    model.calibration.scale.copy_(torch.linspace(0.8, 1.3, CHANNELS))
    model.calibration.quantiles.mul_(1.1)
    return model


def assert_same_state(found: Any, expected: Any) -> None:
    one, two = found.state_dict(), expected.state_dict()
    assert one.keys() == two.keys()
    for name, value in two.items():
        assert one[name].dtype == value.dtype, name
        assert torch.equal(one[name], value), name


# --- here ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [ArielModel, ArielForPreTraining, ArielForSpectrumPrediction])
def test_saved_and_loaded_a_model_is_the_same(kind: Any, tmp_path: Path) -> None:
    if kind is ArielForSpectrumPrediction:
        model = taught()
    else:
        model = pretraining_model() if kind is ArielForPreTraining else pretraining_model().ariel
    model.save_pretrained(tmp_path)
    loaded = kind.from_pretrained(tmp_path)
    assert not loaded.training
    assert_same_state(loaded, model)
    assert [path.name for path in tmp_path.glob("*model*") if path.suffix != ".py"] == ["model.safetensors"]
    batch = prepared() if kind is ArielForSpectrumPrediction else backbone_inputs(features([1]))
    with torch.no_grad():
        torch.manual_seed(0)
        expected = model(**batch)
        torch.manual_seed(0)
        found = loaded(**batch)
    for name, value in expected.items():
        if isinstance(value, torch.Tensor):
            torch.testing.assert_close(found[name], value, rtol=2e-5, atol=2e-6)  # weights lie otherwise in memory


def test_what_is_not_in_a_checkpoint_starts_as_in_a_new_model(tmp_path: Path) -> None:
    """Loaded models are built without memory: what no one fills would hold garbage."""
    pretrained = pretraining_model(seed=4)
    pretrained.save_pretrained(tmp_path)
    model, found = ArielForSpectrumPrediction.from_pretrained(tmp_path, output_loading_info=True)
    assert_same_state(model.ariel, pretrained.ariel)
    assert {name.split(".")[0] for name in found["missing_keys"]} <= {"head", "physics", "calibration"}
    assert {name.split(".")[0] for name in found["unexpected_keys"]} == {"decoder"}
    fresh = ArielForSpectrumPrediction(config())
    assert_same_state(model.physics, fresh.physics)
    assert_same_state(model.calibration, fresh.calibration)
    assert not model.head.level.weight.any()
    assert not model.head.channel.bias.any()
    assert 0.5 < float(model.head.queries.detach().std()) < 2
    assert 0.01 < float(model.head.spectrum.weight.detach().std()) < 0.03


def test_a_checkpoint_loads_in_bfloat16_with_its_physics_in_full_precision(tmp_path: Path) -> None:
    model = taught()
    model.save_pretrained(tmp_path / "full")
    half = ArielForSpectrumPrediction.from_pretrained(tmp_path / "full", dtype=torch.bfloat16)
    half.save_pretrained(tmp_path / "half")
    again = ArielForSpectrumPrediction.from_pretrained(tmp_path / "half")
    for loaded in (half, again):
        assert loaded.head.spectrum.weight.dtype == torch.bfloat16
        assert_same_state(loaded.physics, model.physics)
        assert_same_state(loaded.calibration, model.calibration)
        with torch.no_grad():
            assert torch.isfinite(loaded(**prepared()).mean).all()


def test_the_auto_classes_know_the_models(tmp_path: Path) -> None:
    assert isinstance(AutoConfig.for_model("ariel", wavelength=WAVELENGTH.tolist()), ArielConfig)
    assert isinstance(AutoModelForPreTraining.from_config(config()), ArielForPreTraining)
    assert isinstance(AutoModel.from_config(config()), ArielForSpectrumPrediction)
    model = taught()
    save_model(model, tmp_path, extractor())
    loaded = AutoConfig.from_pretrained(tmp_path)
    assert loaded.to_diff_dict() | {"_name_or_path": ""} == model.config.to_diff_dict() | {"_name_or_path": ""}
    assert_same_state(AutoModel.from_pretrained(tmp_path), model)
    assert isinstance(AutoFeatureExtractor.from_pretrained(tmp_path), ArielFeatureExtractor)


def test_a_config_is_saved_and_loaded_the_same(tmp_path: Path) -> None:
    before = config(physics="none", mask_strategy="snr", loss="score_2025", max_log_scale=1.5)
    before.save_pretrained(tmp_path)
    assert ArielConfig.from_pretrained(tmp_path).to_dict() == before.to_dict()
    assert ArielConfig().n_channels == 283


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"physics": "magic"}, "physics: expected one of residual, none, found 'magic'"),
        ({"mask_strategy": "all"}, "mask_strategy: expected one of random, block, band, snr, found 'all'"),
        ({"loss": "score_2023"}, "loss: expected one of gaussian, score_2024, score_2025, found 'score_2023'"),
        ({"hidden_size": 17}, "hidden_size: expected a multiple of num_attention_heads = 2, found 17"),
        ({"decoder_hidden_size": 9}, "decoder_hidden_size: expected a multiple of num_attention_heads = 2, found 9"),
        ({"num_attention_heads": 0}, "num_attention_heads: expected 1 or more, found 0"),
        ({"patch_bins": 0}, "patch_bins: expected 1 or more, found 0"),
        ({"hidden_dropout_prob": 1.0}, "hidden_dropout_prob: expected 0 to 1, found 1.0"),
        ({"mask_ratio": 0.0}, "mask_ratio: expected between 0 and 1, found 0.0"),
        ({"sigma_floor_ppm": 0.0}, "sigma_floor_ppm: expected above 0, found 0.0"),
        ({"max_log_scale": -1.0}, "max_log_scale: expected above 0, found -1.0"),
        ({"wavelength": [0.7, 3.0, 2.0]}, "wavelength: expected um, FGS1 first and then AIRS ascending"),
        ({"wavelength": [700.0, 2000.0]}, "wavelength: expected um"),
        ({"hidden_size": "big"}, "hidden_size"),
        ({"wavelength": "all"}, "wavelength"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_settings_that_cannot_be_meant_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError, StrictDataclassError)) as caught:
        ArielConfig(**({"num_attention_heads": 2, "hidden_size": 16} | settings))
    assert message in f"{caught.value} {caught.value.__cause__}"


# --- elsewhere -----------------------------------------------------------------------------------------------------


ELSEWHERE = """
import importlib.util, json, sys
site, threads, *missing = sys.argv[1:]
sys.path.append(site)
found = [name for name in missing if importlib.util.find_spec(name)]
if found:
    raise SystemExit(f"expected none of these, found {found}")
import numpy as np, torch
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, AutoModelForPreTraining
from transformers.dynamic_module_utils import get_class_from_dynamic_module
torch.set_num_threads(int(threads))
rows = np.load("rows.npy", allow_pickle=True).tolist()
for folder in ("spectra", "own", "again"):
    model = AutoModel.from_pretrained(folder, trust_remote_code=True).eval()
    extractor = AutoFeatureExtractor.from_pretrained(folder, trust_remote_code=True)
    with torch.no_grad():
        out = model(**extractor(rows), output_covariance_factor=3)
    torch.save({name: value for name, value in out.items()}, f"{folder}.pt")
    model.save_pretrained("again")
    extractor.save_pretrained("again")
pipeline = get_class_from_dynamic_module("pipeline_ariel.ArielPipeline", "pipeline")
pipeline.from_pretrained("pipeline").save_pretrained("pipeline again")
np.save("pipeline.npy", pipeline.from_pretrained("pipeline again", threads=None)(rows).mean)
pretraining = AutoModelForPreTraining.from_pretrained("pretrained", trust_remote_code=True).eval()
torch.manual_seed(0)
batch = extractor(rows)
with torch.no_grad():
    out = pretraining(**{name: batch[name] for name in ("light_curve", "valid", "time", "centroid", "star_features")})
torch.save({name: value for name, value in out.items()}, "pretrained.pt")
json.dump({
    "config": type(AutoConfig.from_pretrained("spectra", trust_remote_code=True)).__name__,
    "model": type(model).__name__,
    "pretraining": type(pretraining).__name__,
    "extractor": type(extractor).__name__,
    "modules": sorted(name for name in sys.modules if "." not in name),
}, open("said.json", "w"))
"""


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where checkpoints were loaded by a process that has transformers, torch and what these need; nothing else."""
    folder = tmp_path_factory.mktemp("elsewhere")
    save_model(taught(), folder / "spectra", extractor())
    save_model(pretraining_model(), folder / "pretrained", extractor())
    ArielForSpectrumPrediction.from_pretrained(folder / "spectra").save_pretrained(folder / "own")
    extractor().save_pretrained(folder / "own")
    ArielPipeline(taught(), extractor()).save_pretrained(folder / "pipeline")
    visits = [{name: value for name, value in row.items() if name != "calibration"} for row in (rows()[1], rows()[3])]
    np.save(folder / "rows.npy", np.array(visits, dtype=object), allow_pickle=True)
    site = only_with_needs(folder / "site", ("transformers", "torch", "numpy", "huggingface_hub", "safetensors"))
    (folder / "script.py").write_text(ELSEWHERE)
    keep = {name: os.environ[name] for name in ("PATH", "HOME", "LD_LIBRARY_PATH") if name in os.environ}
    environment = keep | {"HF_HOME": str(folder / "home"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-I", "-S", "script.py", str(site), str(torch.get_num_threads()), *NOT_INSTALLED]
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    return folder


def test_a_process_with_transformers_and_torch_alone_predicts_the_same_bits(elsewhere: Path) -> None:
    model = AutoModel.from_pretrained(elsewhere / "spectra").eval()
    with torch.no_grad():
        expected = model(**features([1, 3]), output_covariance_factor=3)
    found = torch.load(elsewhere / "spectra.pt")
    for name in ("mean", "sigma", "log_likelihood", "classical_mean", "classical_sigma", "covariance_factor"):
        assert torch.equal(found[name], expected[name]), name
    assert (found["status"], found["notes"]) == (expected.status, expected.notes)
    np.testing.assert_array_equal(np.load(elsewhere / "pipeline.npy"), expected.mean.clamp_min(0.0).double())
    said = json.loads((elsewhere / "said.json").read_text())
    assert said["model"] == "ArielForSpectrumPrediction"
    assert said["config"] == "ArielConfig"
    assert said["extractor"] == "ArielFeatureExtractor"
    assert not set(NOT_INSTALLED) & set(said["modules"])


def test_a_pretrained_model_rebuilds_the_same_there(elsewhere: Path) -> None:
    model = AutoModelForPreTraining.from_pretrained(elsewhere / "pretrained").eval()
    torch.manual_seed(0)
    with torch.no_grad():
        expected = model(**backbone_inputs(features([1, 3])))
    found = torch.load(elsewhere / "pretrained.pt")
    assert torch.equal(found["mask"], expected.mask)
    assert torch.equal(found["reconstruction"], expected.reconstruction)


@pytest.mark.parametrize("saved", ["own", "again"])
def test_saved_by_save_pretrained_here_or_there_it_is_whole_and_gives_the_same(elsewhere: Path, saved: str) -> None:
    one, two = torch.load(elsewhere / "spectra.pt"), torch.load(elsewhere / f"{saved}.pt")
    assert torch.equal(one["mean"], two["mean"])
    assert torch.equal(one["sigma"], two["sigma"])
    assert {path.name for path in (elsewhere / saved).glob("*.py")} == SOURCES - PIPELINE
    assert json.loads((elsewhere / saved / "config.json").read_text())["auto_map"] == AUTO_MAP


def test_a_pipeline_is_saved_with_its_own_code(elsewhere: Path) -> None:
    for name in ("pipeline", "pipeline again"):
        assert {path.name for path in (elsewhere / name).glob("*.py")} == SOURCES
        assert json.loads((elsewhere / name / "config.json").read_text())["auto_map"] == AUTO_MAP


def test_a_backbone_saved_alone_names_its_own_class(tmp_path: Path) -> None:
    model = taught()
    model.ariel.save_pretrained(tmp_path / "backbone")
    model.save_pretrained(tmp_path / "whole")  # of the same config
    found = [json.loads((tmp_path / name / "config.json").read_text()) for name in ("backbone", "whole")]
    assert found[0]["auto_map"] == AUTO_MAP | {"AutoModel": "modeling_ariel.ArielModel"}
    assert found[1]["auto_map"] == AUTO_MAP


def test_a_saved_folder_holds_the_code_it_needs_and_no_more(elsewhere: Path) -> None:
    for name in ("spectra", "pretrained"):
        assert {path.name for path in (elsewhere / name).glob("*.py")} == SOURCES
        assert json.loads((elsewhere / name / "config.json").read_text())["auto_map"] == AUTO_MAP
        assert {path.suffix for path in (elsewhere / name).iterdir() if path.is_file()} == {
            ".py", ".json", ".safetensors",
        }  # fmt: skip


def test_fine_tuned_from_pretraining_a_model_is_saved_whole_with_its_own_auto_map(tmp_path: Path) -> None:
    save_model(pretraining_model(), tmp_path / "pretrained", extractor())
    path = tmp_path / "pretrained" / "config.json"
    stale = json.loads(path.read_text())
    stale["auto_map"] = {"AutoModelForPreTraining": "someone/else--modeling_ariel.ArielForPreTraining"}
    path.write_text(json.dumps(stale))
    checkpoint = str(tmp_path / "pretrained")
    for model in (
        ArielForSpectrumPrediction.from_pretrained(checkpoint),
        open_model(ArielForSpectrumPrediction, checkpoint, WAVELENGTH.tolist(), loss="score_2024"),
    ):
        save_model(model, tmp_path / "tuned", extractor())
        saved = json.loads((tmp_path / "tuned" / "config.json").read_text())
        assert saved["auto_map"] == AUTO_MAP
        assert saved["architectures"] == ["ArielForSpectrumPrediction"]
        assert {path.name for path in (tmp_path / "tuned").glob("*.py")} == SOURCES
        assert_same_state(AutoModel.from_pretrained(tmp_path / "tuned"), model)
    assert saved["loss"] == "score_2024"


def test_a_checkpoint_of_other_channels_is_refused(tmp_path: Path) -> None:
    pretraining_model().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="expected the dataset's channels"):
        open_model(ArielForSpectrumPrediction, str(tmp_path), (WAVELENGTH + 0.1).tolist())
