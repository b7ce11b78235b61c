"""All architectures: where they start, what they learn, how they are saved, and how one of one's own is named."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from architecture_scenes import FIRST_OF_OTHERS, OTHERS, SMALL, small_model
from small_models import MOST_BYTES, SETTINGS
from spectrum_scenes import CHANNELS, PLANETS, extractor, features, prepared, rows, spectrum_model
from torch import Tensor
from transformers import AutoModel

from ariel_scripts.opening.models import save_model
from hf_dataset.simulation.planets import wavelengths_um
from modeling_ariel import ArielForSpectrumPrediction, ArielPipeline
from modeling_ariel.architectures import ARCHITECTURES, DEFAULT, checkpoint_class, model_class

DOCS = Path(__file__).resolve().parents[2] / "docs/architectures.md"
OWN = DOCS.read_text().split("```python\n")[1].split("```")[0]  # what docs tell


def predict(model: Any, batch: dict[str, Tensor]) -> Any:
    with torch.no_grad():
        return model(**batch)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An architecture in a file outside the package."""
    (tmp_path / "my_package.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("my_package", None)
    return "my_package.MyModel"


@pytest.mark.parametrize("name", OTHERS)
def test_at_initialisation_it_returns_the_classical_posterior(name: str) -> None:
    batch = prepared()
    out = predict(small_model(name), batch)
    torch.testing.assert_close(out.mean.double(), batch["classical_mean"].double(), rtol=1e-5, atol=0)
    torch.testing.assert_close(out.sigma.double(), batch["classical_sigma"].double(), rtol=1e-5, atol=0)


@pytest.mark.parametrize("name", FIRST_OF_OTHERS)
@pytest.mark.parametrize("physics", ["residual", "none"])
def test_it_learns_one_batch_by_heart(name: str, physics: str) -> None:
    model = small_model(name, physics=physics, hidden_dropout_prob=0.0).train()
    batch = prepared() if physics == "residual" else features()
    labels = prepared()["labels"]
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    first, best = None, float("inf")
    for _ in range(250):
        optimizer.zero_grad()
        found = model(**(batch | {"labels": labels}))
        found.loss.backward()
        optimizer.step()
        loss = -float(found.log_likelihood.detach().mean()) / CHANNELS
        first, best = first or loss, min(best, loss)
    assert first is not None
    assert best < first - 1.0  # e times smaller errors


@pytest.mark.parametrize("name", OTHERS)
def test_every_weight_of_it_is_trained(name: str) -> None:
    model = small_model(name, stirred=0.02).train()
    model(**prepared()).loss.backward()
    assert not [key for key, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()]


@pytest.mark.parametrize("name", OTHERS)
def test_visits_are_averaged_and_draws_are_rows(name: str) -> None:
    model, batch = small_model(name, stirred=0.02), prepared()
    out = predict(model, batch)
    classical = {key: value.repeat_interleave(2, 0) for key, value in batch.items() if key.startswith("classical_")}
    twice = predict(model, batch | classical | {"labels": batch["labels"].repeat_interleave(2, 0)})
    torch.testing.assert_close(twice.mean, out.mean.repeat_interleave(2, 0), rtol=1e-5, atol=0)
    order = torch.arange(len(batch["planet"])).flip(0)
    visits = ("light_curve", "valid", "time", "centroid", "star_features", "residual", "planet", "noise")
    flipped = {key: value[order] if key in visits else value for key, value in batch.items()}
    torch.testing.assert_close(predict(model, flipped).mean, out.mean, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("physics", ["residual", "none"])
def test_what_is_not_valid_is_not_looked_at(name: str, physics: str) -> None:
    model = small_model(name, stirred=0.02, physics=physics)
    batch = prepared() if physics == "residual" else features()
    batch = {key: value for key, value in batch.items() if key not in ("flux", "flux_err")}
    batch["valid"] = batch["valid"].clone()
    batch["valid"][0, 10:14] = False
    out = predict(model, batch)
    spoiled = dict(batch)
    for key in {"light_curve", "residual"} & set(batch):
        spoiled[key] = torch.where(batch["valid"], batch[key], torch.full_like(batch[key], 1e4))
    torch.testing.assert_close(predict(model, spoiled).mean, out.mean, rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", OTHERS)
def test_a_saved_one_is_the_same_by_its_class_the_auto_class_and_the_pipeline(name: str, tmp_path: Path) -> None:
    model = small_model(name, stirred=0.02)
    save_model(model, tmp_path, extractor())
    assert checkpoint_class(tmp_path) is type(model)
    loaded: list[Any] = [type(model).from_pretrained(tmp_path), AutoModel.from_pretrained(tmp_path)]
    expected = predict(model, features())
    for one in loaded:
        torch.testing.assert_close(predict(one.eval(), features()).mean, expected.mean, rtol=0, atol=0)
    found = ArielPipeline.from_pretrained(tmp_path)(list(rows()))
    torch.testing.assert_close(torch.as_tensor(found.mean), expected.mean.double(), rtol=1e-6, atol=0)
    assert (tmp_path / f"{ARCHITECTURES[name][0]}.py").exists()
    assert not (tmp_path / "pipeline_ariel.py").exists()


@pytest.mark.parametrize("name", [*OTHERS, DEFAULT])
@pytest.mark.parametrize("physics", ["none", pytest.param("residual", marks=pytest.mark.slow)])
def test_company_changes_nothing_however_long_its_visits_are(name: str, physics: str) -> None:
    changes: dict[str, Any] = {"physics": physics, "stirred": 0.1}
    model = spectrum_model(**changes) if name == DEFAULT else small_model(name, **changes)
    curves = ("time", "flux", "flux_err", "valid", "centroid")
    short = rows()[0] | {key: rows()[0][key][:61] for key in curves}
    for familiarity in model.familiarities:
        familiarity.whiten.copy_(torch.eye(len(familiarity.whiten)))
        familiarity.limit.fill_(1e3)  # a distance that answers differ by
    alone, both = (predict(model, features(visits)) for visits in ([short], [rows()[4], short, rows()[3]]))
    for key in ("mean", "sigma", "distance"):
        torch.testing.assert_close(getattr(both, key)[1], getattr(alone, key)[0], rtol=1e-4, atol=1e-8)


def test_a_class_of_another_architecture_refuses_its_checkpoint(tmp_path: Path) -> None:
    small_model("transit_cnn").save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="model_type: expected ariel, found transit_cnn"):
        ArielForSpectrumPrediction.from_pretrained(tmp_path)


@pytest.mark.parametrize("name", FIRST_OF_OTHERS)
def test_it_can_be_exported(name: str) -> None:
    model = small_model(name, stirred=0.02, physics="none")
    names = ("light_curve", "valid", "time", "centroid", "star_features")
    batch = {key: value for key, value in features().items() if key in names}
    batch["noise"] = torch.full((len(batch["time"]), CHANNELS), 1e-3)
    program = torch.export.export(model, (), kwargs=batch).module()
    torch.testing.assert_close(program(**batch).mean, predict(model, batch).mean, rtol=1e-5, atol=1e-9)


def test_a_depth_is_seen_only_where_the_noise_is_known() -> None:
    model, batch = small_model("transit_cnn", stirred=0.02, physics="none"), features()
    with_flux = predict(model, batch).mean
    batch["flux_err"], batch["flux"] = 7.0 * batch["flux_err"], 7.0 * batch["flux"]
    torch.testing.assert_close(predict(model, batch).mean, with_flux, rtol=1e-5, atol=0)
    batch["flux"] = 2.0 * batch["flux"]
    assert not torch.allclose(predict(model, batch).mean, with_flux, rtol=1e-4, atol=0)


@pytest.mark.parametrize(
    "changes",
    [
        {"temporal_attention": True},
        {"encoders": "airs"},
        {"encoders": "fgs1"},
        {"convolution": "image"},
        {"convolution": "image", "temporal_attention": True},
    ],
)
def test_transit_cnn_has_variants(changes: dict[str, Any]) -> None:
    out = predict(small_model("transit_cnn", stirred=0.02, **changes), prepared())
    assert torch.isfinite(out.mean).all()
    if changes.get("temporal_attention"):
        torch.testing.assert_close(out.maps["temporal_attention"].sum(-1), torch.ones(6))


def test_transit_cnn_has_the_published_sizes() -> None:
    model = model_class("transit_cnn")(model_class("transit_cnn").config_class())

    def convolutions(channels: int, sizes: tuple[int, ...]) -> int:
        return sum(k * a * b + b for k, a, b in zip((5, 5, 3), (channels, *sizes), sizes, strict=False))

    def of(part: Any) -> int:
        return sum(p.numel() for p in part.parameters())

    assert of(model.airs) == convolutions(282, (64, 128, 128))
    assert of(model.fgs1) == convolutions(1, (16, 32, 32))
    into = 128 + 32 + 3 * 283 + 2 * 23 + 5 + 2 + 16
    assert of(model.fusion) == sum(a * b + b for a, b in ((into, 512), (512, 512), (512, 256)))


def test_an_architecture_of_ones_own_is_named_by_its_class(own: str, tmp_path: Path) -> None:
    SMALL[own] = {"width": 8}
    model = small_model(own, stirred=0.02)
    save_model(model, tmp_path / "model", extractor())
    with pytest.raises(ValueError, match="found 'my_model': name its class"):
        ArielPipeline.from_pretrained(tmp_path / "model")
    found = ArielPipeline.from_pretrained(tmp_path / "model", architecture=own)(list(rows()))
    assert found.mean.shape == (PLANETS, CHANNELS)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cnn", "expected ariel, gp_autoencoder_nmf, transit_cnn"),
        ("nowhere.Model", "expected a package.Class to import, found 'nowhere.Model'"),
        ("torch.nn.Linear", "expected a class that inherits ArielSpectrumModel"),
        ("modeling_ariel.spectrum_model.ArielSpectrumModel", "a model_type of its own"),
    ],
)
def test_a_name_that_means_nothing_is_refused(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model_class(name)


def test_a_checkpoint_of_another_architecture_is_refused(tmp_path: Path) -> None:
    save_model(small_model("transit_cnn"), tmp_path, extractor())
    with pytest.raises(ValueError, match="expected the architecture ariel, found transit_cnn"):
        checkpoint_class(tmp_path, "ariel")


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_small_checkpoint_is_small(name: str) -> None:
    kind: Any = model_class(name)
    model = kind(kind.config_class(wavelength=wavelengths_um("2025").tolist(), **SETTINGS[name]))
    assert sum(tensor.nbytes for tensor in model.state_dict().values()) < 0.99 * MOST_BYTES
