"""What a push of a checkpoint sends, and what it refuses to send: files, licence, card, a model that predicts alone."""

from __future__ import annotations

import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from architecture_scenes import FIRST_OF_OTHERS, SMALL
from huggingface_hub import ModelCard
from PIL import Image
from safetensors.torch import load_file, save_file
from saved_models import TRAINING, saved

from ariel_scripts.opening.models import add_code, save_model
from ariel_scripts.opening.provenance import calibrated_layouts, layouts_of, licence_of
from ariel_scripts.publishing import model_release as _model_release
from ariel_scripts.publishing.model_card import GENERATED, model_card, usage
from ariel_scripts.publishing.model_release import ALLOWED, model_release
from ariel_scripts.publishing.release import Related, Release
from modeling_ariel import ArielFeatureExtractor, ArielForPreTraining
from modeling_ariel.architectures import ARCHITECTURES, model_class
from modeling_ariel.feature_extraction_ariel import ariel_wavelength
from modeling_ariel.modeling_ariel import AUTO_MAP

REPO = "observer/ariel-tiny"
CALIBRATION = {
    "model": {"name": "someone/start", "commit": "c" * 40},
    "dataset": {"name": "someone/others"},
    "layouts": ["simulated"],
    "method": "temperature",
    "levels": [0.9],
    "planets": [7, 8, 9],
    "before": {"score_2024": 0.4, "score_2025": 0.3, "coverage": {"overall": {"0.9": [0.7, 0.6, 0.8]}}},
    "after": {"score_2024": 0.45, "score_2025": 0.35, "coverage": {"overall": {"0.9": [0.89, 0.8, 0.95]}}},
    "conformal": {"coverage": {"overall": {"0.9": [0.91, 0.8, 0.95]}}},
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def model(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "model"))


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Releases without the process that predicts, where something else is tested."""
    answer = {"mean": np.full((2, 283), 0.01), "sigma": np.full((2, 283), 1e-4)}
    monkeypatch.setattr(_model_release, "check_alone", lambda *_: answer)


def contents(release: Release) -> dict[str, bytes]:
    files = release.files
    return {path: content if isinstance(content, bytes) else content.read_bytes() for path, content in files.items()}


def rewrite(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


# --- what is sent --------------------------------------------------------------------------------------------------


def test_the_released_checkpoint_goes_with_its_code_records_figures_and_card(repository: Path) -> None:
    release = model_release("released", REPO)
    sent, folder = contents(release), repository / "modeling_ariel/released"
    assert sent["model.safetensors"] == (folder / "model.safetensors").read_bytes()
    assert json.loads(sent["config.json"])["auto_map"] == AUTO_MAP
    assert set(json.loads(sent["preprocessor_config.json"])["auto_map"]) == {"AutoFeatureExtractor"}
    for name in (name for name in sent if name.endswith(".py")):
        assert sent[name] == (repository / "modeling_ariel" / name).read_bytes()
    assert {path.name for path in folder.iterdir()} < set(sent)
    card = ModelCard(sent["README.md"].decode())
    assert card.data.license == "apache-2.0"
    assert card.data.eval_results
    assert card.data.pipeline_tag == "tabular-regression"
    assert "modeling_ariel/released" not in card.text
    assert "](spectrum.png)" in card.text.partition("## Use")[0]
    image = Image.open(io.BytesIO(sent["spectrum.png"]))
    assert (image.format, image.size) == ("PNG", (900, 400))


def test_the_same_folder_gives_the_same_bytes(model: Path, unchecked: None) -> None:
    assert contents(model_release(model, REPO)) == contents(model_release(model, REPO))


def test_a_stale_auto_map_and_foreign_code_are_replaced_and_other_files_left_out(model: Path, unchecked: None) -> None:
    stale = {"AutoModelForPreTraining": "someone/else--modeling_ariel.ArielForPreTraining"}
    rewrite(model / "config.json", auto_map=stale, _name_or_path="/home/somebody/model")
    (model / "modeling_ariel.py").write_text("raise SystemExit('not this package')")
    (model / "old_ariel.py").write_text("")
    (model / "optimizer.bin").write_bytes(b"0")
    sent = contents(model_release(model, REPO))
    assert json.loads(sent["config.json"])["auto_map"] == AUTO_MAP
    assert b"SystemExit" not in sent["modeling_ariel.py"]
    assert not {"old_ariel.py", "optimizer.bin"} & set(sent)
    assert "*_ariel.py" in ALLOWED  # so that what an older push left there goes
    code = {name for name in sent if name.endswith(".py")}
    allowed = {name for name in ALLOWED if name.endswith(".py")}
    assert code | {"*_ariel.py"} < allowed  # what is left there of another architecture goes too
    assert {f"{home}.py" for home, _ in ARCHITECTURES.values()} <= allowed


@pytest.mark.parametrize("name", FIRST_OF_OTHERS)
def test_another_architecture_goes_with_its_own_code_alone_and_answers_by_it(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    kind: Any = model_class(name)
    wavelength = ariel_wavelength()
    model = kind(kind.config_class(wavelength=wavelength, **SMALL[name]))
    save_model(model, tmp_path / "model", ArielFeatureExtractor(wavelength=wavelength))
    (tmp_path / "model/training.json").write_text(json.dumps(TRAINING))
    sent = contents(model_release(tmp_path / "model", REPO))  # asks a process without this package too
    code = {path for path in sent if path.endswith(".py")}
    assert f"{ARCHITECTURES[name][0]}.py" in code
    assert not {"modeling_ariel.py", "pipeline_ariel.py"} & code
    assert kind.__name__ in sent["README.md"].decode()


def test_records_go_without_this_machines_folders(model: Path, unchecked: None) -> None:
    release = model_release(model, REPO)
    record = json.loads(contents(release)["training.json"])
    assert record["command"] == "ariel finetune curves --out out"
    assert record["data"]["source"] == "curves"


def test_a_pretrained_model_goes_too_and_says_that_it_predicts_no_spectra(tmp_path: Path) -> None:
    record = {
        key: value for key, value in TRAINING.items() if key in ("data", "loop", "step", "seconds", "device", "config")
    }
    saved(tmp_path, ArielForPreTraining, {**record, "evaluation": {"validation_loss": 2.0}})
    sent = contents(model_release(tmp_path, REPO))
    card = ModelCard(sent["README.md"].decode())
    assert "does not predict spectra" in card.text
    assert [result.metric_type for result in card.data.eval_results] == ["validation_loss"]
    assert "classical fits" not in card.text
    assert "Wh" not in card.text  # the number of threads is not recorded


# --- what is refused -----------------------------------------------------------------------------------------------


def test_folders_that_are_no_checkpoint_are_refused_by_name(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nowhere: expected the folder of a model, found none"):
        model_release(tmp_path / "nowhere", REPO)
    rewrite(model / "config.json", architectures=["ArielModel"])
    with pytest.raises(
        ValueError, match=r"config.json: expected a model_type of ariel, .* and its class in architectures"
    ):
        model_release(model, REPO)
    (model / "preprocessor_config.json").unlink()
    with pytest.raises(ValueError, match=r"expected preprocessor_config.json, found none"):
        model_release(model, REPO)
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"expected weights in model.safetensors, found pytorch_model.bin: save it as"):
        model_release(model, REPO)


def test_weights_that_are_missing_too_many_or_not_finite_are_refused(model: Path) -> None:
    path = model / "model.safetensors"
    weights = load_file(path)
    for change, said in (
        ({"head.queries": None}, "found 1 missing: head.queries"),
        ({"calibration.scale": None}, "found 1 missing: calibration.scale"),
        ({"more": torch.zeros(1)}, "found 1 unexpected: more"),
        ({"head.queries": torch.full_like(weights["head.queries"], torch.nan)}, "head.queries: expected finite"),
        ({"physics.wavelength": weights["physics.wavelength"] * torch.nan}, "physics.wavelength: expected numbers"),
        ({"head.channel.weight": weights["head.channel.weight"] + 1e38}, "expected a finite"),
    ):
        changed = {name: value for name, value in {**weights, **change}.items() if value is not None}
        save_file(changed, path, metadata={"format": "pt"})
        with pytest.raises(ValueError, match=re.escape(said)):
            model_release(model, REPO)


def test_a_model_that_does_not_load_elsewhere_or_answers_otherwise_is_refused(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def add(line: str) -> None:
        def with_more(folder: Path) -> None:
            add_code(folder)
            path = folder / "modeling_ariel.py"
            path.write_text(path.read_text() + line)

        monkeypatch.setattr(_model_release, "add_code", with_more)

    add("\nimport hf_dataset\n")
    with pytest.raises(
        ValueError, match=r"expected a model that loads where this package is not installed.*hf_dataset"
    ):
        model_release(model, REPO)
    add("\n_DEPTH_SHIFT = ArielForSpectrumPrediction.forward\n"
        "def _shifted(self, *args, **named):\n    found = _DEPTH_SHIFT(self, *args, **named)\n"
        "    found.mean = found.mean * 1.0000002\n    return found\n"
        "ArielForSpectrumPrediction.forward = _shifted\n")  # fmt: skip
    with pytest.raises(ValueError, match="expected the same mean where this package is not installed, found another"):
        model_release(model, REPO)


def test_a_process_that_does_not_answer_in_time_is_an_error_of_the_push(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_model_release, "PATIENCE_S", 0.05)
    with pytest.raises(ValueError, match=r"predict two visits in 0.05 s, found it unfinished"):
        model_release(model, REPO)


# --- licence -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("training", "calibration", "stated", "expected"),
    [
        ({"data": {"layouts": ["simulated"]}}, None, None, "apache-2.0"),
        ({"data": {"source": "simulated on the fly"}}, None, None, "apache-2.0"),
        ({"data": {"layouts": ["2024", "simulated"]}}, None, None, "cc-by-nc-4.0"),
        ({"data": {"layouts": ["given"]}}, None, None, "cc-by-nc-4.0"),
        ({"data": {"layouts": ["simulated"]}, "base": {"layouts": ["2025"]}}, None, None, "cc-by-nc-4.0"),
        ({"data": {"layouts": ["simulated"]}, "base": {"layouts": None}}, None, None, "cc-by-nc-4.0"),
        ({"data": {"layouts": ["simulated"]}}, {"layouts": ["2024"]}, None, "cc-by-nc-4.0"),
        ({"data": {"layouts": ["2024"]}}, None, "apache-2.0", "expected license: cc-by-nc-4.0"),
        ({"data": {"layouts": ["simulated"]}}, None, "cc-by-nc-4.0", "expected license: apache-2.0"),
        ({"data": {"source": "both"}}, None, None, "cc-by-nc-4.0"),
        ({"data": {"source": "both"}}, None, "apache-2.0", "expected license: cc-by-nc-4.0, as training.json and"),
        ({"data": {"layouts": []}}, None, "apache-2.0", "expected license: cc-by-nc-4.0"),
        ({"data": {"source": "simulated on the fly", "layouts": ["2024"]}}, None, None, "cc-by-nc-4.0"),
        ({"data": {"layouts": ["simulated"]}, "base": {}}, None, "apache-2.0", "expected license: cc-by-nc-4.0"),
        ({"data": {"layouts": ["simulated"]}}, {"dataset": "real"}, "apache-2.0", "expected license: cc-by-nc-4.0"),
        ({"data": {"layouts": ["simulated"]}}, {"layouts": None}, None, "cc-by-nc-4.0"),
        (None, {"layouts": ["simulated"]}, None, "cc-by-nc-4.0"),
        (None, None, None, "cc-by-nc-4.0"),
        (None, None, "mit", "expected license: cc-by-nc-4.0"),
    ],
)
def test_the_licence_follows_all_data_that_a_model_learned_from(
    tmp_path: Path, training: Any, calibration: Any, stated: str | None, expected: str
) -> None:
    for name, record in (("training.json", training), ("calibration.json", calibration)):
        if record is not None:
            (tmp_path / name).write_text(json.dumps(record))
    if stated:
        (tmp_path / "README.md").write_text(f"---\nlicense: {stated}\n---\n")
    if expected.startswith("expected"):
        with pytest.raises(ValueError, match=expected):
            licence_of(tmp_path)
    else:
        assert licence_of(tmp_path) == expected


def test_the_released_checkpoints_records_say_that_all_was_simulated_whatever_its_card_says(
    repository: Path, tmp_path: Path
) -> None:
    for name in ("training.json", "calibration.json"):
        shutil.copy(repository / "modeling_ariel/released" / name, tmp_path)
    assert layouts_of(tmp_path) == {"simulated"}
    assert licence_of(tmp_path) == "apache-2.0"


def test_a_second_calibration_keeps_the_layouts_of_the_first_and_what_is_unknown_stays_so(tmp_path: Path) -> None:
    assert calibrated_layouts(tmp_path, ["simulated"]) == ["simulated"]
    for before, expected in (({"layouts": ["2024"]}, ["2024", "simulated"]), ({"planets": []}, None)):
        (tmp_path / "calibration.json").write_text(json.dumps(before))
        assert calibrated_layouts(tmp_path, ["simulated"]) == expected


# --- cards ---------------------------------------------------------------------------------------------------------


def test_a_model_without_a_card_gets_one_from_its_records(model: Path, unchecked: None) -> None:
    rewrite(model / "training.json", base={"name": "someone/start", "commit": "a" * 40, "layouts": ["simulated"]},
            data={"source": "someone/curves", "commit": "b" * 40, "split": "train", "layouts": ["2024"]})  # fmt: skip
    card = ModelCard(contents(model_release(model, REPO))["README.md"].decode())
    assert (card.data.library_name, card.data.license) == ("transformers", "cc-by-nc-4.0")
    assert (card.data.base_model, card.data.datasets) == ("someone/start", ["someone/curves"])
    found = {(result.dataset_name, result.metric_type): result.metric_value for result in card.data.eval_results}
    assert found["someone/curves, 2 validation planets", "score_2024"] == 0.6
    assert found["someone/curves, 1 held out planets", "rmse_ppm"] == 55.0
    assert all(result.task_type and result.dataset_type for result in card.data.eval_results)
    for said in ("3 train, 2 validation, 1 held out", "| 0.6 | 0.5 | 0.55 |", "someone/start at aaaaaaaaaaaa",
                 "2.0 minutes", "2 core(s) busy", "0.67 Wh",
                 "classical fits", "Not calibrated", "CC BY-NC 4.0", f'from_pretrained("{REPO}"'):  # fmt: skip
        assert said in card.text


def test_the_card_of_a_calibrated_model_tells_scores_before_and_after_and_whose_weights_it_has(
    model: Path, unchecked: None
) -> None:
    (model / "calibration.json").write_text(json.dumps(CALIBRATION))
    card = ModelCard(contents(model_release(model, REPO))["README.md"].decode())
    assert card.data.base_model == "someone/start"
    found = {(result.dataset_split, result.metric_type): result.metric_value for result in card.data.eval_results}
    assert found == {  # of sigma only what it is now
        ("validation", "rmse_ppm"): 50.0, ("held out", "rmse_ppm"): 55.0, ("calibration", "score_2024"): 0.45,
        ("calibration", "score_2025"): 0.35, ("calibration", "coverage_0.9"): 0.91,
    }  # fmt: skip
    for said in (
        "validation, before calibration",
        "held out, before calibration",
        "Ariel Data Challenge 2024 score 0.45",
        "someone/start at cccccccccccc",
        "| 90% | 70.0% | 89.0% | 91.0% |",
    ):
        assert said in card.text


def test_cards_show_a_spectrum_and_lead_to_the_space_that_is_named(model: Path, unchecked: None) -> None:
    related = Related(space="observer/demo")
    for own in (None, "---\nlicense: apache-2.0\n---\n# Mine\n\n<!-- picture -->\n<!-- /picture -->\n"):
        if own:
            (model / "README.md").write_text(own)
        release = model_release(model, REPO, related)
        card = ModelCard(contents(release)["README.md"].decode())
        assert "](spectrum.png)" in card.text
        assert "](https://huggingface.co/spaces/observer/demo)" in card.text
        assert card.data.pipeline_tag == "tabular-regression"


def test_a_card_written_by_a_push_is_written_anew_and_ones_own_is_kept(model: Path, unchecked: None) -> None:
    first = contents(model_release(model, REPO))["README.md"].decode()
    (model / "README.md").write_text(first.replace("Not calibrated", "Calibrated by magic"))
    assert contents(model_release(model, REPO))["README.md"].decode() == first
    own = "---\nlicense: apache-2.0\n---\n# Mine\n\n<!-- usage -->\nhere\n<!-- /usage -->\n\n[data](training.json)\n"
    (model / "README.md").write_text(own)
    sent = contents(model_release(model, REPO))["README.md"].decode()
    assert GENERATED not in sent
    assert "# Mine" in sent
    assert usage(REPO, "ArielForSpectrumPrediction") in sent
    assert ModelCard(sent).data.library_name == "transformers"
    (model / "README.md").write_text(own.replace("training.json", "../docs/model.md"))
    with pytest.raises(ValueError, match=r"expected links to addresses or to files of the model, found ../docs"):
        model_release(model, REPO)


def test_the_released_cards_numbers_are_those_of_its_records_and_of_the_benchmarks(repository: Path) -> None:
    folder = repository / "modeling_ariel/released"
    results = ModelCard.load(folder / "README.md").data.eval_results
    training, calibration = (json.loads((folder / f"{name}.json").read_text()) for name in ("training", "calibration"))
    tables = (repository / "docs/benchmarks.md").read_text() + ModelCard.load(folder / "README.md").text

    def of(text: str) -> dict[str, float]:
        return {result.metric_type: result.metric_value for result in results if text in result.dataset_name}

    validation = of("80 validation")
    assert len(training["planets"]["validation"]) == 80
    assert validation == {name: pytest.approx(training["evaluation"][name], rel=1e-3) for name in validation}
    test, after = of("120 test"), calibration["after"]
    assert len(calibration["planets"]) == 120
    assert test.pop("coverage_0.9") == pytest.approx(after["coverage"]["overall"]["0.9"][0], abs=5e-4)
    assert test == {name: pytest.approx(after[name], abs=5e-4) for name in test}
    labels = of("label spectra")
    assert "the released model | 5 | {score_2024} ± 0.007 | {score_2025} ± 0.008 | {rmse_ppm} | {log_likelihood}".format(**labels) in tables  # noqa: E501  # fmt: skip
    bands = {name: 100 * levels["0.9"][0] for name, levels in after["coverage"].items() if name != "overall"}
    white = bands.pop("FGS1")
    said = f"{white:.0f} % in FGS1 and {min(bands.values()):.0f} to {max(bands.values()):.0f} % in each molecular band"
    conformal = [round(100 * value[0]) for value in calibration["conformal"]["coverage"]["overall"].values()]
    text = ModelCard.load(folder / "README.md").text
    for words in (said, f"z scatters by {after['z_spread']['overall'][0]:.2f}", f"{training['seconds']:.0f} s",
                  "hold {}, {}, {} and {} %".format(*conformal)):  # fmt: skip
        assert words in text
    raw = of("raw frames")
    assert f"{raw['score_2024']:.3f}, {raw['rmse_ppm']} ppm | 0.778" in tables


def test_links_of_every_card_stay_in_the_repository(model: Path, repository: Path) -> None:
    for folder in (model, repository / "modeling_ariel/released"):
        text = model_card(folder, REPO, {"training.json", "training.png", "coverage.png"})
        assert "](../" not in text
