"""Contrastive pretraining: its loss in closed form, where transits are seen, how separation is told, the command."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from labelled_planets import SMALL
from spectrum_scenes import BINS, CHANNELS, PATCH, PATCHES, backbone_inputs, config, extractor, features

from ariel_scripts.commands import pretrain
from ariel_scripts.opening.models import open_model, save_model
from ariel_scripts.options.fields import options_of, parameters_of
from ariel_scripts.options.pretrain import PretrainOptions
from ariel_scripts.training import separation_figure
from ariel_scripts.training.separation import Patches, area_under_curve, direction_auc, silhouette
from modeling_ariel import ArielForSpectrumPrediction
from modeling_ariel.contrastive import IN, NEITHER, OUT, ArielForContrastive, info_nce, transit_sides


def model(**changes: Any) -> ArielForContrastive:
    torch.manual_seed(0)
    return ArielForContrastive(config(hidden_dropout_prob=0.0, **changes)).eval()


# --- the loss --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_the_loss_is_known_where_all_vectors_agree_and_where_sides_are_opposite(temperature: float) -> None:
    side, visit = torch.tensor([1, 1, 0, 0, 0, 1]), torch.tensor([0, 0, 0, 0, 1, 1])
    same = torch.tensor([[1.0, 0.0]]).expand(6, 2)
    assert float(info_nce(same, same, side, visit, temperature)) == pytest.approx(math.log(4.0))
    opposite = same * (2.0 * side[:, None] - 1.0)
    expected = math.log1p(3.0 * math.exp(-2.0 / temperature))
    assert float(info_nce(opposite, opposite, side, visit, temperature)) == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_a_patch_is_compared_with_its_own_visit_and_the_other_side_of_all() -> None:
    side, visit = torch.tensor([1, 0, 1, 0]), torch.tensor([0, 0, 1, 1])
    one, two = torch.nn.functional.normalize(torch.randn(2, 4, 5, generator=torch.Generator().manual_seed(1)), dim=-1)
    like = np.exp((one @ two.T).double().numpy() / 0.5)
    lost = [-math.log(like[k, k] / (like[k, k] + like[k, [j for j in range(4) if side[j] != side[k]]].sum()))
            for k in range(4)]  # fmt: skip
    assert float(info_nce(one, two, side, visit, 0.5)) == pytest.approx(np.mean(lost), rel=1e-6)


def test_nothing_to_compare_costs_nothing_and_can_still_be_differentiated() -> None:
    nothing = torch.zeros(0, 3, requires_grad=True)
    info_nce(nothing, nothing, torch.zeros(0), torch.zeros(0), 0.1).backward()
    one = torch.ones(2, 3, requires_grad=True)
    loss = info_nce(one, one, torch.tensor([1, 1]), torch.tensor([0, 1]), 0.1)  # all on one side
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert not one.grad.any()


# --- where transits are ----------------------------------------------------------------------------------------------


def test_sides_are_those_of_the_white_light() -> None:
    place = torch.arange(BINS) / PATCH
    dip = ((place >= 2) & (place < 4)).float()
    draw = torch.Generator().manual_seed(0)
    light = torch.randn(3, BINS, CHANNELS, generator=draw)
    light[0] -= 4.0 * dip[:, None]
    light[2] -= 4.0 * dip[:, None]
    valid = torch.ones_like(light, dtype=torch.bool)
    valid[2, :PATCH] = False
    side = transit_sides(light, valid, PATCH)
    assert side[0].tolist() == [OUT, OUT, IN, IN, OUT, OUT]
    assert side[1].tolist() == PATCHES * [NEITHER]  # no transit is seen
    assert side[2].tolist() == [NEITHER, OUT, IN, IN, OUT, OUT]
    spoiled = torch.where(valid, light, torch.full_like(light, 1e5))
    assert torch.equal(transit_sides(spoiled, valid, PATCH), side)


def test_the_model_hides_other_channels_in_each_view_and_learns_every_weight() -> None:
    batch = backbone_inputs(features())
    one = model()
    noise = torch.rand(len(batch["time"]), CHANNELS, generator=torch.Generator().manual_seed(2))
    found = one(**batch, noise=noise)
    assert found.side.shape == (len(batch["time"]), PATCHES)
    torch.testing.assert_close(found.embeddings.norm(dim=-1), torch.ones(found.side.shape))
    assert torch.equal(one(**batch, noise=noise).loss, found.loss)
    found.loss.backward()
    missing = {name for name, weight in one.named_parameters() if weight.grad is None or not weight.grad.any()}
    assert missing <= {"ariel.embeddings.residual.weight"}  # there is no fit yet


def test_training_separates_the_sides() -> None:
    batch = backbone_inputs(features())
    one = model().train()
    optimizer = torch.optim.Adam(one.parameters(), lr=3e-3)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = one(**batch).loss
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.3 * losses[0]
    with torch.no_grad():
        vectors, side = one.eval().embed(**batch), one(**batch).side
    known = (side != NEITHER).numpy()
    assert silhouette(vectors.double().numpy()[known], side.numpy()[known]) > 0.5


# --- separation ------------------------------------------------------------------------------------------------------


def test_the_area_under_the_curve_counts_pairs() -> None:
    inside, outside = np.array([3.0, 1.0, 2.0]), np.array([0.0, 2.0])
    assert area_under_curve(inside, outside) == pytest.approx((2 + 1 + 1.5) / 6)


def test_separation_is_whole_where_sides_are_apart_and_none_where_they_are_alike() -> None:
    rng = np.random.default_rng(0)
    side, visit = np.tile([IN, OUT], 200), np.repeat(np.arange(20), 20)
    vectors = rng.standard_normal((400, 4))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    assert direction_auc(vectors, side, visit) == pytest.approx(0.5, abs=0.1)
    assert silhouette(vectors, side) == pytest.approx(0.0, abs=0.02)
    apart = np.where(side[:, None] == IN, [1.0, 0.0], [0.0, 1.0])
    assert direction_auc(apart, side, visit) == 1.0
    assert silhouette(apart, side) == 1.0
    assert math.isnan(direction_auc(apart, side, 0 * visit))
    assert math.isnan(silhouette(apart[:3], side[:3]))


def test_silhouettes_are_those_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(1)
    side = rng.integers(0, 2, 50)
    vectors = rng.standard_normal((50, 3)) + side[:, None]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    assert silhouette(vectors, side) == pytest.approx(metrics.silhouette_score(vectors, side, metric="cosine"))


def patches(count: int) -> Patches:
    """Unit vectors in two heaps, one a side."""
    rng = np.random.default_rng(2)
    side = np.tile([IN, OUT], count // 2)
    vectors = rng.standard_normal((count, 6)) + 4.0 * np.where(side[:, None] == IN, 1.0, -1.0)
    return Patches(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), side, np.arange(count))


def test_patches_are_drawn_in_the_colour_of_their_side() -> None:
    found = patches(40)
    axes = separation_figure.separation_figure(found.vectors[:, :2], found).axes[0]
    drawn = [np.asarray(one.get_offsets()) for one in axes.collections]
    for which, points in zip((OUT, IN), drawn, strict=True):
        np.testing.assert_allclose(points, found.vectors[found.side == which, :2])
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "out of transit (20 patches)",
        "in transit (20 patches)",
    ]
    assert f"silhouette {silhouette(found.vectors, found.side):.2f}" in axes.get_title()


@pytest.mark.slow
def test_umap_keeps_sides_apart_that_are(tmp_path: Path) -> None:
    pytest.importorskip("umap")
    assert separation_figure.write_separation(tmp_path / "separation.png", patches(200), 0)
    assert (tmp_path / "separation.png").read_bytes().startswith(b"\x89PNG")
    assert not separation_figure.write_separation(tmp_path / "few.png", patches(10), 0)


# --- the command -----------------------------------------------------------------------------------------------------


def options(**changes: Any) -> PretrainOptions:
    values = {one.name: one.default for one in parameters_of(PretrainOptions)}
    small = {"simulate": 8, "steps": 4, "batch_size": 4, "evaluate_every": 2, "validation": 6, "tracker": "none"}
    return options_of(PretrainOptions, {**values, **small, "settings": list(SMALL), **changes})


@pytest.fixture
def no_umap(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the extra is not installed."""
    monkeypatch.setattr(separation_figure, "find_spec", lambda name: None)


@pytest.mark.usefixtures("no_umap")
def test_a_run_says_how_far_apart_the_sides_are_and_leaves_a_backbone_to_start_from(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    pretrain.main(options(out=tmp_path, task="contrastive", temperature=0.2))
    record = json.loads((tmp_path / "run.json").read_text())
    for found in record["metrics"]["separation"].values():
        assert 0.0 <= found["auc"] <= 1.0
        assert -1.0 <= found["silhouette"] <= 1.0
    assert set(record["metrics"]["separation"]) == {"before", "best"}
    assert "separation.png is not drawn: expected umap-learn, found none" in caplog.text
    assert not (tmp_path / "separation.png").exists()
    assert json.loads((tmp_path / "model/config.json").read_text())["contrastive_temperature"] == 0.2
    history = json.loads((tmp_path / "history.json").read_text())
    assert {"validation_loss", "auc", "silhouette"} <= set(history[0])
    contrastive = ArielForContrastive.from_pretrained(tmp_path / "model")
    spectra = open_model(ArielForSpectrumPrediction, str(tmp_path / "model"), None)
    for name, weight in contrastive.ariel.state_dict().items():
        assert torch.equal(spectra.ariel.state_dict()[name], weight), name
    pretrain.main(options(out=tmp_path / "masked", model=str(tmp_path / "model"), steps=2))  # and the other way


def test_a_masked_checkpoint_is_a_start_too(tmp_path: Path) -> None:
    save_model(model(), tmp_path, extractor())
    again = open_model(ArielForContrastive, str(tmp_path), None)
    assert torch.equal(again.ariel.embeddings.star.weight, model().ariel.embeddings.star.weight)


def test_what_cannot_be_meant_is_refused() -> None:
    with pytest.raises(typer.BadParameter, match="task: expected masked or contrastive, found 'both'"):
        options(task="both")
    with pytest.raises(ValueError, match="contrastive_temperature: expected above 0, found 0"):
        pretrain.main(options(task="contrastive", temperature=0.0, dry_run=True))
