"""Networks of transients: what must not change their answer, what they can learn, their probabilities and exports."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from sklearn.linear_model import LogisticRegression
from transient_scenes import NAMES, SMALL, features, network, row, rows

from modeling_ariel.transients import TransientConfig, TransientForPreTraining, TransientLstmConfig, TransientSwinConfig
from modeling_ariel.transients.architectures import classifier_class, pretraining_class
from modeling_ariel.transients.classifier import CurveBatch, ProbabilityCalibration
from modeling_ariel.transients.modeling_transient import masked_flux_loss
from modeling_ariel.transients.swin import light_curve_images

TENSORS = ("time", "wavelength", "flux", "flux_err", "observed")


def logits(model: Any, batch: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(**batch).logits
    return found


@pytest.mark.parametrize("name", NAMES)
def test_it_answers_in_the_stated_shapes_and_odds_are_those_of_its_classes(name: str) -> None:
    listed, labels = rows(2)
    model = network(name)
    with torch.no_grad():
        found = model(**features(listed), labels=labels)
    assert found.logits.shape == (6, 3)
    assert found.embeddings.shape == (6, model.classify.in_features)
    shares = found.logits.softmax(1)[:, 2]
    torch.testing.assert_close(found.logit, (shares / (1 - shares)).log(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.probability, shares)
    torch.testing.assert_close(found.loss, torch.nn.functional.cross_entropy(found.logits, labels))


@pytest.mark.parametrize("name", NAMES)
def test_padding_its_content_and_the_other_objects_change_nothing(name: str) -> None:
    short, long = row("TDE", 0, 12), row("SN", 1, 40)
    model = network(name)
    together = features([short, long])
    alone = logits(model, features([short]))
    torch.testing.assert_close(logits(model, together)[:1], alone, rtol=1e-4, atol=1e-5)
    for field in TENSORS[:-1]:
        together[field][0, 12:] = 777.0
    torch.testing.assert_close(logits(model, together)[:1], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_neither_the_date_nor_the_order_of_measurements_matters(name: str) -> None:
    one = row("TDE", 5)
    model, expected = network(name), logits(network(name), features([one]))
    curve = one["lightcurve"]
    later = one | {"lightcurve": curve | {"time": curve["time"] + 4096.0}}
    torch.testing.assert_close(logits(model, features([later])), expected, rtol=1e-4, atol=1e-5)
    order = np.random.default_rng(0).permutation(len(curve["time"]))
    mixed = one | {"lightcurve": {field: values[order] for field, values in curve.items()}}
    torch.testing.assert_close(logits(model, features([mixed])), expected, rtol=1e-4, atol=1e-5)
    batch = features([one])
    for field in TENSORS:  # also behind the extractor's back
        batch[field] = batch[field][:, order]
    torch.testing.assert_close(logits(model, batch), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_it_learns_one_batch_by_heart(name: str) -> None:
    listed, labels = rows(3)
    model, batch = network(name).train(), features(listed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(40):
        optimizer.zero_grad()
        loss = model(**batch, labels=labels).loss
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.1


@pytest.mark.parametrize(
    ("name", "steps"), [*((name, 40) for name in NAMES[:3]), pytest.param(NAMES[3], 400, marks=pytest.mark.slow)]
)
def test_it_tells_classes_apart_that_it_never_saw_the_objects_of(name: str, steps: int) -> None:
    model = network(name).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for step in range(steps):
        listed, labels = rows(8, first=1000 * step)
        optimizer.zero_grad()
        model(**features(listed), labels=labels).loss.backward()
        optimizer.step()
    listed, labels = rows(20, first=100_000)
    found = logits(model.eval(), features(listed)).argmax(1)
    assert float((found == labels).float().mean()) > 0.9


def test_a_single_band_model_reads_no_other_band_and_no_host() -> None:
    model = network("transient_astromer", rest_frame=False)
    one = row("SN", 2)
    curve = one["lightcurve"]
    tokens = []
    for factor in (1.0, 5.0):
        batch = features([one])
        others = batch["wavelength"] != 6223.0
        batch["flux"] = torch.where(others, factor * batch["flux"], batch["flux"])
        batch["host"] = factor * batch["host"]
        with torch.no_grad():
            found = model.transient(**batch).last_hidden_state[0, 1:]
        tokens.append(found[~others[0]])
    assert len(tokens[0]) == (curve["band"] == "r").sum() > 1
    torch.testing.assert_close(*tokens)


def test_time_and_colour_are_those_of_the_objects_frame() -> None:
    """The same source farther away: a clock that runs slow by 1 + z, bands redder by it."""
    model = network("transient")
    near = {name: value.clone() for name, value in features([row("TDE", 0)]).items()}
    near["redshift"][:] = 0.0
    far = near | {"time": 1.5 * near["time"], "redshift": near["redshift"] + 0.5}
    embed = model.transient.embeddings
    embed.band.weight.data[:, : embed.band.in_features // 2] = 0.0  # observed wavelengths do differ
    far["wavelength"] = 1.5 * far["wavelength"]
    torch.testing.assert_close(logits(model, far), logits(model, near), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["transient", "transient_lstm"])
def test_features_are_read_and_unknown_ones_told_from_the_usual(name: str) -> None:
    model = network(name, feature_names=["a", "b"])
    batch = features([row("SN", 0)])
    answers = [
        logits(model, batch | {"features": torch.tensor([values])})
        for values in ([0.0, 0.0], [0.0, 1.0], [0.0, float("nan")])
    ]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert not torch.allclose(answers[first], answers[second])
    unknown = logits(model, batch | {"features": torch.full((1, 2), torch.nan)})
    torch.testing.assert_close(logits(model, batch), unknown)
    with pytest.raises(ValueError, match=r"features: expected shape \(1, 2\), found \(1, 1\)"):
        model(**batch, features=torch.zeros(1, 1))


@pytest.mark.parametrize("name", ["transient", "transient_astromer"])
def test_hidden_fluxes_are_not_seen_and_are_learned_to_be_rebuilt(name: str) -> None:
    kind = pretraining_class(name)
    torch.manual_seed(0)
    settings = SMALL[name] | {"hidden_size": 16, "hidden_dropout_prob": 0.0}
    model = kind(kind.config_class(**settings))
    batch = features(rows(4)[0])
    noise = torch.rand(batch["time"].shape, generator=torch.Generator().manual_seed(0))
    first = model(**batch, noise=noise)
    assert torch.equal(first.mask, (noise < model.config.mask_ratio) & batch["observed"])
    spoiled = batch | {"flux": torch.where(first.mask, torch.tensor(55.0), batch["flux"])}
    torch.testing.assert_close(model(**spoiled, mask=first.mask).reconstruction, first.reconstruction)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(30):
        optimizer.zero_grad()
        loss = model(**batch, noise=noise).loss
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.7 * float(first.loss.detach())


def test_the_pretraining_loss_is_that_of_its_definition() -> None:
    flux, error = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[0.3, 0.4, 0.1]])
    mask = torch.tensor([[True, True, False]])
    found = masked_flux_loss(torch.tensor([[1.5, 2.0, 99.0]]), flux, error, mask, 0.4)
    assert float(found) == pytest.approx(np.log(1 + 0.5 * 0.5**2 / (0.3**2 + 0.4**2)) / 2)


def test_focal_loss_and_class_weights_are_those_of_their_definition() -> None:
    listed, labels = rows(2)
    batch = features(listed)
    plain = network("transient")
    p = logits(plain, batch).softmax(1)[torch.arange(6), labels]
    focal = network("transient", loss="focal", focal_gamma=3.0)(**batch, labels=labels).loss
    torch.testing.assert_close(focal, ((1 - p) ** 3 * -p.log()).mean())
    weights = torch.tensor([1.0, 2.0, 7.0])
    weighed = network("transient", class_weights=weights.tolist())(**batch, labels=labels).loss
    torch.testing.assert_close(weighed, torch.nn.functional.cross_entropy(logits(plain, batch), labels, weights))


def test_probabilities_are_calibrated_as_logistic_regression_would() -> None:
    rng = np.random.default_rng(0)
    logit = rng.normal(0, 3, 20_000)
    truth = rng.random(20_000) < 1 / (1 + np.exp(-(0.4 * logit - 1.0)))
    calibration = ProbabilityCalibration()
    calibration.learn(torch.from_numpy(logit), torch.from_numpy(truth))
    expected = LogisticRegression(C=1e6).fit(logit[:, None], truth)
    assert float(calibration.slope) == pytest.approx(expected.coef_[0, 0], rel=1e-2)
    assert float(calibration.offset) == pytest.approx(expected.intercept_[0], rel=1e-2)
    assert float(calibration.slope) == pytest.approx(0.4, abs=0.02)
    before = calibration(torch.tensor([1.0]))
    calibration.learn(torch.zeros(3), torch.zeros(3))  # of one class nothing is learned
    torch.testing.assert_close(calibration(torch.tensor([1.0])), before)


def test_an_image_shows_measurements_where_they_are() -> None:
    one = {"time": [[0.0, 99.0, 310.0, 0.0]], "flux": [[1.0, 0.0, 1.0, 9.0]], "flux_err": [[0.0, 1.0, 0.0, 0.25]]}
    tensors = {name: torch.tensor(values) for name, values in one.items()}
    seen = torch.tensor([[True, True, True, True]])
    empty = torch.zeros(1, 0)
    batch = CurveBatch(tensors["time"], seen.float(), tensors["flux"], tensors["flux_err"], seen,
                       torch.zeros(1), empty, empty)  # fmt: skip
    images = light_curve_images(batch, torch.tensor([[0, 1, 0, 0]]), 2, 8, 400.0)
    expected = torch.zeros(1, 2, 8, 8)
    expected[0, 0, 1, 2] = 1.0  # a quarter of the width; flux 1 of -0.5 to 1.25 is in the second row
    expected[0, 1, 5, 3] = 0.5
    expected[0, 0, 0, 2] = 0.8  # too bright: at the edge; 310 days after the peak is outside
    torch.testing.assert_close(images, expected)


@pytest.mark.parametrize(
    "name", ["transient", *(pytest.param(name, marks=pytest.mark.slow) for name in NAMES if name != "transient")]
)
def test_it_is_exported_and_gives_the_same(name: str) -> None:
    model, batch = network(name), dict(features(rows(1)[0]))
    exported = torch.export.export(model, (), batch).module()
    torch.testing.assert_close(exported(**batch)["logits"], logits(model, batch))


def test_attentions_are_those_of_all_layers_and_need_the_eager_kind() -> None:
    batch = features([row("TDE", 0, 10)])
    with pytest.raises(ValueError, match="expected attn_implementation='eager'"):
        network("transient")(**batch, output_attentions=True)
    model = network("transient")
    model.set_attn_implementation("eager")
    found = model(**batch, output_attentions=True, output_hidden_states=True)
    assert found.attentions[0].shape == (1, 2, 15, 15)  # the object's token, four of the host, ten measurements
    torch.testing.assert_close(found.attentions[0].sum(-1), torch.ones(1, 2, 15))
    assert len(found.hidden_states) == 2
    torch.testing.assert_close(found.logits, logits(network("transient"), batch), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (TransientConfig, {"classes": ["AGN", "SN"]}, "classes: expected two or more with TDE among them"),
        (TransientConfig, {"classes": ["TDE", "TDE"]}, "classes: expected two or more"),
        (TransientConfig, {"class_weights": [1.0, 2.0]}, "class_weights: expected 3 numbers above 0"),
        (TransientConfig, {"loss": "hinge"}, "loss: expected cross_entropy or focal, found 'hinge'"),
        (TransientConfig, {"hidden_size": 30}, "hidden_size: expected a multiple of num_attention_heads = 4"),
        (TransientConfig, {"mask_ratio": 1.0}, "mask_ratio: expected between 0 and 1, found 1.0"),
        (TransientConfig, {"band_wavelength": [5e3, 4e3]}, "band_wavelength: expected Angstrom, ascending"),
        (TransientConfig, {"longest_period": 1.0}, "shortest_period, longest_period: expected days, ascending"),
        (TransientLstmConfig, {"cell": "rnn"}, "cell: expected lstm or gru, found 'rnn'"),
        (TransientSwinConfig, {"image_size": 50}, "image_size: expected a multiple of 64"),
    ],
)
def test_settings_that_cannot_be_meant_are_named(kind: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError, StrictDataclassError)) as caught:
        kind(**settings)
    assert message in f"{caught.value} {caught.value.__cause__}"


def test_shapes_that_do_not_fit_and_names_that_are_none_are_refused() -> None:
    model, batch = network("transient"), dict(features([row("SN", 0)]))
    with pytest.raises(ValueError, match="flux: expected shape"):
        model(**batch | {"flux": batch["flux"][:, :3]})
    with pytest.raises(ValueError, match=r"labels: expected shape \(1,\), found \(2,\)"):
        model(**batch, labels=torch.zeros(2, dtype=torch.long))
    with pytest.raises(ValueError, match="noise: expected shape"):
        TransientForPreTraining(model.config)(**batch, noise=torch.zeros(1, 2))
    with pytest.raises(ValueError, match=r"architecture: expected one of transient, .*, found 'cnn'"):
        classifier_class("cnn")
    with pytest.raises(ValueError, match=r"expected one that can be pretrained \(transient, transient_astromer\)"):
        pretraining_class("transient_swin")
