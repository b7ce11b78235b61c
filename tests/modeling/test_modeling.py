"""The Ariel models: what they start from, what they must not depend on, and what they refuse."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from spectrum_scenes import (
    BINS,
    CHANNELS,
    PATCH,
    PATCHES,
    PLANETS,
    SHARED,
    WAVELENGTH,
    WITHOUT_TABLE,
    backbone_inputs,
    extractor,
    features,
    fits,
    population,
    prepared,
    pretraining_model,
    prior,
    rows,
    spectrum_model,
)
from torch import Tensor
from transformers import Trainer, TrainingArguments

from modeling_ariel import ArielForSpectrumPrediction, scoring
from modeling_ariel.configuration_ariel import ArielConfig
from modeling_ariel.masking import MaskError, noise_shape
from modeling_ariel.populations import planet_depths
from modeling_ariel.shared_parameters import Shared, shared_groups
from modeling_ariel.visit_data import RetrievalError

FLOAT = {"rtol": 2e-5, "atol": 2e-6}


def predict(model: Any, batch: dict[str, Tensor], **more: Any) -> Any:
    with torch.no_grad():
        return model(**batch, **more)


def assert_same_spectra(found: Any, expected: Any, planets: Any = slice(None), tolerance: float = 1e-4) -> None:
    """Means within ``tolerance`` of their sigma, and sigmas within as much of themselves."""
    mean, sigma = expected.mean[planets], expected.sigma[planets]
    assert float(((found.mean - mean) / sigma).abs().max()) < tolerance
    assert float((found.sigma / sigma - 1).abs().max()) < tolerance


# --- what the model starts from ------------------------------------------------------------------------------------


@pytest.mark.parametrize("populations", [False, True], ids=["the fit's own depths", "populations of orbits and drifts"])
def test_at_initialisation_the_model_returns_the_classical_posterior(populations: bool) -> None:
    model, learned = spectrum_model(stirred=0.0), {}
    if populations:
        learned = {table: population(table) for table in (False, True)}
        for table, one in learned.items():
            model.physics.set_population(one, table)
    batch, free = features(), Shared.free(fits())
    out = predict(model, batch)
    members = [torch.nonzero(batch["planet"] == planet).squeeze(-1) for planet in range(PLANETS)]
    combined = [planet_depths(free.select(m), learned, shared_groups(SHARED)) for m in members]
    mean, spread = prior().posterior(*(torch.stack(part) for part in zip(*combined, strict=True)))
    sigma = spread.diagonal(dim1=1, dim2=2).sqrt()
    torch.testing.assert_close(out.mean.double(), mean, rtol=1e-5, atol=0)
    torch.testing.assert_close(out.sigma.double(), sigma, rtol=1e-5, atol=0)
    torch.testing.assert_close(out.classical_mean.double(), mean, rtol=1e-5, atol=0)
    assert out.status == ["ok"] * PLANETS


def test_before_a_prior_is_learned_the_model_starts_from_a_wide_one() -> None:
    model = spectrum_model(learned=False, stirred=0.0)
    out = predict(model, features([3]))
    mean, spread = model.physics.spectrum_prior().prior().posterior(fits().depth[3:4], fits().covariance[3:4])
    torch.testing.assert_close(out.mean.double(), mean, rtol=1e-5, atol=0)
    torch.testing.assert_close(out.sigma.double(), spread.diagonal(dim1=1, dim2=2).sqrt(), rtol=1e-5, atol=0)


def test_a_posterior_computed_before_gives_what_light_curves_give() -> None:
    model = spectrum_model()
    assert_same_spectra(predict(model, prepared()), predict(model, features()), tolerance=1e-3)


def test_the_log_likelihood_is_that_of_the_float64_score_and_the_loss_its_mean() -> None:
    model, batch = spectrum_model(), prepared()
    out = predict(model, batch)
    truth, mean, sigma = (x.double().numpy() for x in (batch["labels"], out.mean, out.sigma))
    expected = scoring.log_likelihood(truth, mean, sigma)
    np.testing.assert_allclose(out.log_likelihood, expected.sum(1), rtol=1e-5)
    assert float(out.loss) == pytest.approx(-expected.mean(), rel=1e-5)
    batch["labels"][1, 4:] = torch.nan
    batch["labels"][2] = torch.nan
    out = predict(model, batch)
    summed = [expected[0].sum(), expected[1, :4].sum(), 0.0, expected[3].sum()]
    np.testing.assert_allclose(out.log_likelihood, summed, rtol=1e-5, atol=1e-9)
    known = (expected[0].mean(), expected[1, :4].mean(), expected[3].mean())
    assert float(out.loss) == pytest.approx(-np.mean(known), rel=1e-5)


@pytest.mark.parametrize("year", ["2024", "2025"])
def test_the_score_as_a_loss_is_what_the_float64_score_lacks_of_one(year: str) -> None:
    model, batch = spectrum_model(stirred=0.01, loss=f"score_{year}"), prepared()
    out = predict(model, batch)
    score = scoring.SCORES[year](*(x.double().numpy() for x in (batch["labels"], out.mean, out.sigma)))
    assert 0 < score < 1
    assert float(out.loss) == pytest.approx(1 - score, rel=1e-5)


def test_calibration_scales_the_answer_and_its_likelihood_but_not_the_loss_of_training() -> None:
    model, batch = spectrum_model(), prepared()
    before = predict(model, batch)
    model.calibration.scale.copy_(torch.linspace(0.5, 2.0, CHANNELS))
    after = predict(model, batch)
    torch.testing.assert_close(after.sigma, before.sigma * model.calibration.scale)
    assert torch.equal(after.mean, before.mean)
    assert torch.equal(after.loss, before.loss)
    expected = scoring.log_likelihood(*(x.double().numpy() for x in (batch["labels"], after.mean, after.sigma)))
    np.testing.assert_allclose(after.log_likelihood, expected.sum(1), rtol=1e-5)


def test_the_covariance_factor_at_full_rank_is_the_posteriors_correlation_with_the_models_sigma() -> None:
    model = spectrum_model()
    out = predict(model, features([1, 3]), output_covariance_factor=CHANNELS)
    covariance = (out.covariance_factor @ out.covariance_factor.transpose(1, 2)).double()
    torch.testing.assert_close(covariance.diagonal(dim1=1, dim2=2).sqrt(), out.sigma.double(), rtol=1e-5, atol=0)
    _, spread = prior().posterior(fits().depth[[1, 3]], fits().covariance[[1, 3]])
    size, own = (x.diagonal(dim1=1, dim2=2).sqrt() for x in (spread, covariance))
    correlation = spread / size[:, :, None] / size[:, None]
    torch.testing.assert_close(covariance / own[:, :, None] / own[:, None], correlation, rtol=0, atol=1e-5)
    few = predict(model, features([1, 3]), output_covariance_factor=4).covariance_factor
    assert few.shape == (2, CHANNELS, 4)
    assert bool(((few**2).sum(-1) <= out.sigma**2 * (1 + 1e-6)).all())
    with pytest.raises(ValueError, match="output_covariance_factor: expected physics='residual' and light curves"):
        predict(model, prepared(), output_covariance_factor=4)


# --- what it must not depend on ------------------------------------------------------------------------------------


def test_each_planet_alone_gives_what_it_gives_in_company() -> None:
    model = spectrum_model()
    together = predict(model, features())
    for planet, visits in enumerate(([0, 2], [1], [3], [4, 5])):
        assert_same_spectra(predict(model, features(visits)), together, slice(planet, planet + 1))


def test_visits_may_come_in_any_order_with_planets_numbered_as_they_appear() -> None:
    model = spectrum_model()
    together = predict(model, features())
    shuffled = features([5, 2, 3, 0, 4, 1])  # planets 3, 0, 2, 0, 3, 1
    assert shuffled["planet"].tolist() == [0, 1, 2, 1, 0, 3]
    assert_same_spectra(predict(model, shuffled), together, [3, 0, 2, 1])


@pytest.mark.parametrize("bins", [BINS - 7, BINS], ids=["a short last patch", "whole patches"])
def test_a_shorter_visit_padded_with_invalid_bins_gives_what_it_gives_alone(bins: int) -> None:
    def cut(row: dict[str, Any], length: int) -> dict[str, Any]:
        return row | {name: row[name][:length] for name in ("time", "flux", "flux_err", "valid", "centroid")}

    model, pretraining = spectrum_model(physics="none"), pretraining_model()
    short, half = cut(rows()[1], bins), cut(rows()[3], BINS // 2)
    alone, company = features([half]), features([half, short])
    assert company["time"].shape[1] == bins
    assert_same_spectra(predict(model, alone), predict(model, company), slice(0, 1))
    hidden = torch.zeros(2, -(-bins // PATCH), dtype=torch.bool)
    hidden[:, 1] = True
    one = predict(pretraining, backbone_inputs(alone), mask=hidden[:1, : alone["time"].shape[1] // PATCH])
    two = predict(pretraining, backbone_inputs(company), mask=hidden)
    patches = slice(0, one.mask.shape[1])
    torch.testing.assert_close(one.mask[0], two.mask[0, patches])
    if bins % PATCH:  # the other visit's last patch is short, and goes on as padding would
        alone = features([short])
        longer = {k: torch.nn.functional.pad(v, (0, 0) * (v.ndim - 2) + (0, PATCH)) for k, v in alone.items()
                  if k in ("light_curve", "valid", "centroid")}  # fmt: skip
        step = alone["time"][:, -1:] - alone["time"][:, -2:-1]
        longer["time"] = torch.cat([alone["time"], alone["time"][:, -1:] + step * torch.arange(1, PATCH + 1)], 1)
        longer["star_features"] = alone["star_features"]
        assert_same_spectra(predict(model, backbone_inputs(longer)), predict(model, backbone_inputs(alone)))


def test_draws_of_a_planets_errors_are_answered_as_separate_calls_would() -> None:
    model, batch = spectrum_model(), prepared()
    draws = 3
    moved, source = {}, torch.Generator().manual_seed(1)
    for name in ("classical_mean", "classical_depth", "classical_share", "labels"):
        scatter = 1 + 0.05 * torch.rand(PLANETS, draws, batch[name].shape[-1], generator=source)
        moved[name] = batch[name][:, None] * scatter
    for name in ("classical_sigma", "classical_depth_sigma", "classical_shared", "classical_shared_sigma"):
        moved[name] = batch[name][:, None].expand(-1, draws, -1)
    together = predict(model, batch | {name: value.flatten(0, 1) for name, value in moved.items()})
    for draw in range(draws):
        one = predict(model, batch | {name: value[:, draw] for name, value in moved.items()})
        assert_same_spectra(one, together, slice(draw, None, draws))
        torch.testing.assert_close(one.log_likelihood, together.log_likelihood[draw::draws], **FLOAT)


@pytest.mark.parametrize("physics", ["residual", "none"])
def test_eager_attention_gives_what_sdpa_gives_and_alone_returns_weights(physics: str) -> None:
    model, batch = spectrum_model(physics=physics), prepared()
    assert model.config._attn_implementation == "sdpa"
    batch["valid"][0, :PATCH] = False  # a patch that no one looks at
    sdpa = predict(model, batch, output_hidden_states=True)
    with pytest.raises(ValueError, match="attn_implementation='eager'"):
        predict(model, batch, output_attentions=True)
    model.set_attn_implementation("eager")
    eager = predict(model, batch, output_hidden_states=True, output_attentions=True)
    assert_same_spectra(eager, sdpa)
    assert len(eager.hidden_states) == model.config.num_hidden_layers + 1
    for a, b in zip(eager.hidden_states, sdpa.hidden_states, strict=True):
        torch.testing.assert_close(a, b, **FLOAT)
    assert sdpa.attentions is None
    for weights in eager.attentions:
        assert weights.shape == (len(batch["time"]), 2, PATCHES + 1, PATCHES + 1)
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))
        assert float(weights[0, :, :, 1].max()) == 0.0


def test_gradient_checkpointing_gives_the_same_gradients() -> None:
    for model, batch in ((spectrum_model(), prepared()), (pretraining_model(), backbone_inputs(features()))):
        if "labels" not in batch:
            batch = batch | {"mask": torch.arange(PATCHES).expand(len(batch["time"]), -1) % 2 == 0}
        gradients = []
        for checkpointing in (False, True):
            model.train()
            if checkpointing:
                model.gradient_checkpointing_enable()
                assert model.is_gradient_checkpointing
            model.zero_grad()
            torch.manual_seed(0)  # of dropout
            model(**batch).loss.backward()
            gradients.append({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})
        assert gradients[0].keys() == gradients[1].keys()
        assert any("encoder.layers.0" in name for name in gradients[0])
        for name, gradient in gradients[0].items():
            torch.testing.assert_close(gradients[1][name], gradient, **FLOAT)


def test_every_parameter_is_trained() -> None:
    for model, batch in ((spectrum_model(), prepared()), (pretraining_model(), backbone_inputs(features()))):
        batch["valid"][0, 3::PATCH] = False
        model.train()
        model(**batch).loss.backward()
        without = [name for name, p in model.named_parameters() if p.grad is None or not bool(p.grad.any())]
        # of pretraining no residual is known
        assert [name for name in without if name != "ariel.embeddings.residual.weight"] == []


@pytest.mark.parametrize("physics", ["residual", "none"])
def test_bfloat16_is_finite_and_near(physics: str) -> None:
    model, batch = spectrum_model(physics=physics, stirred=0.05), prepared()
    exact = predict(model, batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        autocast = predict(model, batch)
    buffers = {name: value.clone() for name, value in model.physics.named_buffers()}
    half = predict(model.to(torch.bfloat16), batch)
    for out in (autocast, half):
        assert torch.isfinite(out.mean).all()
        assert out.mean.dtype == out.sigma.dtype == torch.float32
        assert float(((out.mean - exact.mean) / exact.sigma).abs().max()) < 0.1
        assert float((out.sigma / exact.sigma).log().abs().max()) < 0.1
    assert model.head.level.weight.dtype == torch.bfloat16
    for name, value in model.physics.named_buffers():
        assert value.dtype == torch.float32, name
        assert torch.equal(value, buffers[name]), name
    assert model.calibration.scale.dtype == torch.float32


def test_a_bfloat16_model_fits_light_curves_in_full_precision() -> None:
    model = spectrum_model(stirred=0.0)
    exact = predict(model, features([1]))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert_same_spectra(predict(model, features([1])), exact, tolerance=1e-9)
    assert_same_spectra(predict(model.to(torch.bfloat16), features([1])), exact, tolerance=1e-9)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_inputs_in_half_precision_change_the_networks_part_alone(dtype: torch.dtype) -> None:
    model, batch = spectrum_model(stirred=0.05), features([1])
    exact = predict(model, batch)
    half = predict(model, {name: batch[name].to(dtype) if name in ("light_curve", "centroid", "star_features")
                           else batch[name] for name in batch})  # fmt: skip
    assert torch.equal(half.classical_mean, exact.classical_mean)
    assert float(((half.mean - exact.mean) / exact.sigma).abs().max()) < 0.05


def test_pretraining_in_bfloat16_is_near() -> None:
    model, batch = pretraining_model(), backbone_inputs(features())
    mask = torch.arange(PATCHES).expand(len(batch["time"]), -1) % 2 == 0
    exact = predict(model, batch, mask=mask)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        autocast = predict(model, batch, mask=mask)
    for out in (autocast, predict(model.to(torch.bfloat16), batch, mask=mask)):
        assert float(out.loss) == pytest.approx(float(exact.loss), rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_compiled_models_give_what_they_give_uncompiled(backend: str) -> None:
    """The ahead-of-time autograd backend traces and functionalises all, as inductor does, but compiles no C++."""
    if backend == "inductor" and shutil.which("g++") is None:
        pytest.skip("inductor needs a C++ compiler, found no g++")
    torch._dynamo.reset()
    model, batch = spectrum_model(), prepared()
    backbone = torch.compile(model.ariel, backend=backend, fullgraph=True)
    inputs = backbone_inputs(batch) | {"residual": batch["residual"]}
    expected = predict(model.ariel, inputs).last_hidden_state
    torch.testing.assert_close(predict(backbone, inputs).last_hidden_state, expected, rtol=2e-5, atol=5e-5)
    assert_same_spectra(predict(torch.compile(model, backend=backend), batch), predict(model, batch))


def test_dropout_samples_differ_in_training_mode_and_not_in_evaluation() -> None:
    model, batch = spectrum_model(hidden_dropout_prob=0.3), prepared()
    assert torch.equal(predict(model, batch).mean, predict(model, batch).mean)
    model.train()
    assert not torch.equal(predict(model, batch).mean, predict(model, batch).mean)


# --- masked pretraining --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["random", "block", "band", "snr"])
def test_each_way_of_masking_trains_and_its_noise_decides_the_mask(strategy: str) -> None:
    model = pretraining_model(mask_strategy=strategy, mask_ratio=0.4, hidden_dropout_prob=0.0)
    batch = backbone_inputs(features())
    noise = torch.rand(noise_shape(strategy, len(batch["time"]), PATCHES, CHANNELS))
    first, again = predict(model, batch, noise=noise), predict(model, batch, noise=noise)
    assert torch.equal(first.loss, again.loss)
    assert torch.equal(first.mask, again.mask)
    assert torch.equal(predict(model, batch, mask=first.mask).loss, first.loss)
    torch.manual_seed(4)
    drawn = predict(model, batch)
    torch.manual_seed(4)
    assert torch.equal(predict(model, batch).mask, drawn.mask)
    optimizer = torch.optim.Adam(model.parameters(), 0.03)
    for _ in range(12):
        loss = model(**batch, noise=noise).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.95 * float(first.loss)


def test_the_loss_is_the_error_over_hidden_valid_points() -> None:
    model, batch = pretraining_model(), backbone_inputs(features())
    mask = torch.zeros(len(batch["time"]), PATCHES, dtype=torch.bool)
    mask[:, 2] = True
    out = predict(model, batch, mask=mask)
    assert out.reconstruction.shape == batch["light_curve"].shape
    hidden = slice(2 * PATCH, 3 * PATCH)
    size = (out.reconstruction - batch["light_curve"])[:, hidden].abs().double()
    expected = torch.where(size <= 5.0, size**2, 5.0 * (2 * size - 5.0)).mean()
    assert float(out.loss) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("axis", ["time", "channel"])
def test_hidden_values_change_nothing_but_the_loss(axis: str) -> None:
    model, batch = pretraining_model(), backbone_inputs(features())
    hidden = torch.zeros(len(batch["time"]), PATCHES, CHANNELS, dtype=torch.bool)
    if axis == "time":
        hidden[:, [1, 4]] = True
    else:
        hidden[:, :, 3:9] = True
    by_bin = hidden.repeat_interleave(PATCH, 1)
    other = dict(batch, light_curve=torch.where(by_bin, batch["light_curve"] + 40.0, batch["light_curve"]))
    one, two = predict(model, batch, mask=hidden), predict(model, other, mask=hidden)
    assert torch.equal(one.reconstruction, two.reconstruction)
    assert float(two.loss) > float(one.loss)
    seen = dict(batch, light_curve=torch.where(by_bin, batch["light_curve"], batch["light_curve"] + 40.0))
    assert not torch.equal(predict(model, seen, mask=hidden).reconstruction, one.reconstruction)


# --- what is missing -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["gaussian", "score_2024"])
def test_the_plain_transformer_predicts_and_learns_from_light_curves_alone(loss: str) -> None:
    model = spectrum_model(physics="none", stirred=0.0, loss=loss, hidden_dropout_prob=0.0)
    batch = features()
    before = predict(model, batch)
    torch.testing.assert_close(before.mean, torch.full_like(before.mean, model.config.depth_mean))
    torch.testing.assert_close(before.sigma, torch.full_like(before.sigma, model.config.depth_scale))
    assert before.classical_mean is before.status is None
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(10):
        out = model(**batch)
        optimizer.zero_grad()
        out.loss.backward()
        optimizer.step()
    assert float(out.loss.detach()) < float(before.loss)
    with pytest.raises(ValueError, match="output_covariance_factor: expected physics='residual'"):
        predict(model, batch, output_covariance_factor=2)


def test_missing_channels_bins_and_patches_give_finite_answers() -> None:
    few = [0, *range(3, CHANNELS)]
    row = rows()[1] | {name: rows()[1][name][:, few] for name in ("flux", "flux_err", "valid")}
    row |= {"wavelength": WAVELENGTH[few], "spectrum": rows()[1]["spectrum"][few]}
    gap = rows()[3] | {"valid": rows()[3]["valid"].copy()}
    gap["valid"][:PATCH] = False  # a patch
    gap["valid"][40:44] = False  # bins
    batch = dict(extractor()([row, gap]))
    assert not batch["valid"][0, :, 1:3].any()
    for physics in ("residual", "none"):
        model = spectrum_model(physics=physics)
        out = predict(model, batch)
        assert torch.isfinite(out.mean).all()
        assert bool((torch.isfinite(out.sigma) & (out.sigma > 0)).all())
        assert torch.isfinite(out.loss)
    classical = predict(spectrum_model(stirred=0.0), batch)
    whole = predict(spectrum_model(stirred=0.0), features([1, 3]))
    assert bool((classical.sigma[0, 1:3] > whole.sigma[0, 1:3]).all())  # what was not seen is known less well
    assert torch.isfinite(predict(pretraining_model(), backbone_inputs(batch)).loss)


@pytest.mark.parametrize("spoil", ["a flat curve", "no light"])
def test_a_visit_whose_fit_fails_says_so_and_gives_the_priors_answer(spoil: str) -> None:
    batch = features([3, 1])
    if spoil == "a flat curve":
        batch["flux"][0] = batch["flux"][0].mean(0) + batch["flux_err"][0] * torch.randn(BINS, CHANNELS)
    else:
        batch["valid"][0], batch["light_curve"][0] = False, 0.0
    model = spectrum_model(stirred=0.0)
    out = predict(model, batch)
    flat = spoil == "a flat curve"
    assert out.status == ["no_transit" if flat else "failed", "ok"]
    assert out.notes is not None
    assert out.notes[0].startswith("no transit found: white depth" if flat else "expected ")
    assert out.notes[1] == ""
    general = prior()
    variance = torch.einsum("k,kc->c", general.weights, general.covariances.diagonal(dim1=1, dim2=2))
    torch.testing.assert_close(out.mean[0].double(), general.mean, rtol=5e-3, atol=0)
    torch.testing.assert_close(out.sigma[0].double(), variance.sqrt(), rtol=5e-3, atol=0)
    assert_same_spectra(predict(model, features([1])), out, slice(1, 2))
    trained = predict(spectrum_model(), batch)
    torch.testing.assert_close(trained.mean[0], trained.classical_mean[0])
    torch.testing.assert_close(trained.sigma[0], trained.classical_sigma[0])
    assert not torch.allclose(trained.sigma[1], trained.classical_sigma[1])


def test_a_trainer_predicts_and_evaluates_beside_texts_of_status(tmp_path: Path) -> None:
    batch, expected = features([0, 1, 3]), predict(spectrum_model(), features([0, 1, 3]))
    arguments = TrainingArguments(
        str(tmp_path), per_device_eval_batch_size=2, report_to=[], remove_unused_columns=False, use_cpu=True,
        disable_tqdm=True,
    )  # fmt: skip
    trainer = Trainer(
        spectrum_model(),
        arguments,
        data_collator=lambda visits: features(visits),
        compute_metrics=lambda found: {"error": float(np.abs(found.predictions[0] - found.label_ids).mean())},
    )
    found = trainer.predict([0, 1, 3])
    np.testing.assert_allclose(found.predictions[0], expected.mean, rtol=1e-4)
    np.testing.assert_allclose(found.predictions[1], expected.sigma, rtol=1e-4)
    error = float((expected.mean - batch["labels"]).abs().mean())
    assert trainer.evaluate([0, 1, 3])["eval_error"] == pytest.approx(error, rel=1e-3)
    trainer.save_model(str(tmp_path / "saved"))
    assert (tmp_path / "saved" / "modeling_ariel.py").is_file()
    assert (tmp_path / "saved" / "retrieval.py").is_file()


def test_the_network_exports_where_the_fit_is_given_and_each_visit_is_a_planet() -> None:
    model = spectrum_model()
    batch = {name: value[:2] for name, value in prepared().items() if name not in ("planet", "labels")}
    exported = torch.export.export(model, (), kwargs=batch, strict=False)
    torch.testing.assert_close(exported.module()(**batch).mean, predict(model, batch).mean, rtol=1e-6, atol=0)


def test_without_planets_each_visit_is_its_own() -> None:
    batch = features([1, 3])
    expected = predict(spectrum_model(), batch)
    del batch["planet"]
    assert torch.equal(predict(spectrum_model(), batch).mean, expected.mean)


def test_a_failed_visit_beside_a_good_one_of_its_planet_hardly_counts() -> None:
    batch = features([4, 5])
    batch["valid"][1], batch["light_curve"][1] = False, 0.0
    model = spectrum_model(stirred=0.0)
    out, alone = predict(model, batch), predict(model, features([4]))
    assert out.status == ["ok"]
    assert_same_spectra(out, alone, tolerance=0.01)


def test_nan_where_nothing_is_valid_is_harmless() -> None:
    batch = features([1, 3])
    batch["valid"][0, 10:12, 5:9] = batch["valid"][1, :PATCH] = False
    clean = {name: value.clone() for name, value in batch.items()}
    for name in ("light_curve", "flux", "flux_err"):
        batch[name][~batch["valid"]] = torch.nan
        clean[name][~batch["valid"]] = 1.0
    for physics in ("residual", "none"):
        model = spectrum_model(physics=physics)
        assert_same_spectra(predict(model, batch), predict(model, clean), tolerance=1e-6)
    model = pretraining_model(mask_strategy="snr")
    noise = torch.rand(2, CHANNELS)
    one, two = (predict(model, backbone_inputs(b), noise=noise) for b in (batch, clean))
    assert torch.equal(one.loss, two.loss)
    model(**backbone_inputs(batch), noise=noise).loss.backward()
    assert all(bool(torch.isfinite(p.grad).all()) for p in model.parameters() if p.grad is not None)


def test_visits_without_star_table_or_pointing_are_predicted() -> None:
    batch = features([3])
    assert batch["star"].isnan().all()
    model = spectrum_model()
    out = predict(model, {n: v for n, v in batch.items() if n not in ("star", "star_features", "centroid", "planet")})
    assert torch.isfinite(out.mean).all()
    batch["centroid"].zero_()
    batch["star_features"].zero_()
    assert_same_spectra(out, predict(model, batch))
    assert WITHOUT_TABLE == 2


# --- what it refuses -----------------------------------------------------------------------------------------------


def test_visits_that_are_said_to_be_of_one_planet_have_one_star_table() -> None:
    """As when features of two calls of the extractor, both with a planet 0, are put together."""
    model, batch = spectrum_model(), prepared()
    star = torch.full((len(batch["time"]), 8), 2.0)
    star[3] = 1.0
    with pytest.raises(ValueError, match="planet: expected one star table for the visits of a planet"):
        predict(model, batch | {"star": star, "planet": torch.zeros_like(batch["planet"])})


def test_wrong_shapes_are_named() -> None:
    model, batch = spectrum_model(), prepared()
    size = len(batch["time"])
    spoiled = {
        r"light_curve: expected \(B, T, 25\), found \(6, 90, 24\)": {"light_curve": batch["light_curve"][..., 1:]},
        r"valid: expected \(6, 90, 25\), found \(6, 89, 25\)": {"valid": batch["valid"][:, 1:]},
        r"time: expected \(6, 90\), found \(5, 90\)": {"time": batch["time"][1:]},
        r"centroid: expected \(6, 90, 4\), found \(6, 90, 3\)": {"centroid": batch["centroid"][..., 1:]},
        r"star_features: expected \(6, 16\), found \(6, 8\)": {"star_features": batch["star_features"][:, :8]},
        r"residual: expected \(6, 90, 25\), found \(6, 25, 90\)": {"residual": batch["residual"].transpose(1, 2)},
        r"labels: expected \(4, 25\), found \(6, 25\)": {"labels": torch.zeros(size, CHANNELS)},
        r"planet: expected \(6,\), found \(4,\)": {"planet": torch.arange(4)},
        r"planet: expected numbers 0 ... P - 1, each with a visit, found \[0, 2\]": {
            "planet": torch.tensor([0, 0, 0, 2, 2, 2])
        },
    }
    for message, change in spoiled.items():
        with pytest.raises(ValueError, match=message):
            predict(model, batch | change)


def test_an_inconsistent_classical_posterior_is_named() -> None:
    model, batch = spectrum_model(), prepared()
    incomplete = {name: value for name, value in batch.items() if name not in ("classical_share", "classical_sigma")}
    with pytest.raises(ValueError, match="all of it or nothing, missing classical_sigma, classical_share"):
        predict(model, incomplete)
    with pytest.raises(ValueError, match=r"classical_share: expected \(4, 5\), found \(4, 3\)"):
        predict(model, batch | {"classical_share": batch["classical_share"][:, :3]})
    with pytest.raises(ValueError, match=r"classical_sigma: expected \(4, 25\), found \(3, 25\)"):
        predict(model, batch | {"classical_sigma": batch["classical_sigma"][:3]})
    with pytest.raises(ValueError, match="expected a multiple of 4 planets in rows, found 3"):
        predict(model, {n: v[:3] if n.startswith("classical") or n == "labels" else v for n, v in batch.items()})
    bare = {name: value for name, value in batch.items() if not name.startswith("classical")}
    with pytest.raises(ValueError, match="expected flux and flux_err, or a classical posterior, found neither"):
        predict(model, bare)


def test_wrong_light_curves_for_the_fit_are_named() -> None:
    model, batch = spectrum_model(), features([1])
    with pytest.raises(RetrievalError, match="flux: expected shape"):
        predict(model, batch | {"flux": batch["flux"][..., 1:]})
    with pytest.raises(ValueError, match=r"star: expected \(1, 8\), found \(1, 4\)"):
        predict(model, batch | {"star": batch["star"][:, :4]})


def test_wrong_masks_are_named() -> None:
    model, batch = pretraining_model(), backbone_inputs(features())
    with pytest.raises(ValueError, match=r"mask: expected \(6, 6\) or \(6, 6, 25\), found \(6, 5\)"):
        predict(model, batch, mask=torch.zeros(6, 5, dtype=torch.bool))
    with pytest.raises(MaskError, match=r"noise: expected shape \(6, 6\), found \(6, 5\)"):
        predict(model, batch, noise=torch.rand(6, 5))
    with pytest.raises(ValueError, match="valid: expected"):
        predict(model, batch | {"valid": batch["valid"][..., 1:]})


def test_a_forward_pass_changes_neither_its_inputs_nor_the_config() -> None:
    model, batch = spectrum_model(), features([1])
    before, settings = {name: value.clone() for name, value in batch.items()}, model.config.to_dict()
    predict(model, batch)
    assert model.config.to_dict() == settings
    for name, value in batch.items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0, equal_nan=True)


def test_the_default_model_is_small_enough_to_be_given_away() -> None:
    with torch.device("meta"):
        model = ArielForSpectrumPrediction(ArielConfig())
    stored = sum(tensor.numel() for tensor in (*model.parameters(), *model.buffers()))
    assert 4 * stored < 12e6
