"""Networks without a fit: what tells that their answers can't be believed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from architecture_scenes import FIRST, small_model
from spectrum_scenes import BINS, KEEP, extractor
from torch import Tensor

from ariel_scripts.training.spectrum_runs import forget_familiarity, learn_familiarity, told_of
from hf_dataset.simulation import light_curves, planets
from modeling_ariel.familiarity import judged_alone
from modeling_ariel.pipeline_ariel import ArielPipeline
from modeling_ariel.spectrum_model import ArielSpectrumModel
from modeling_ariel.status import DOUBTFUL, OK
from modeling_ariel.visit_summary import WIDTH, visit_summary

TRAINED, HELD = 128, 32


@cache
def rows(count: int = TRAINED + HELD) -> tuple[dict[str, Any], ...]:
    """A visit of each of many planets."""
    found = []
    for planet in planets.sample_planets(count, 11, "2025"):
        row = light_curves.simulate_row(planet, 0, BINS, seed=2)
        found.append(row | {name: row[name][:, KEEP] for name in ("flux", "flux_err", "valid")})
        found[-1].pop("spectrum")
    return tuple(found)


def inputs(chosen: Sequence[int]) -> dict[str, Tensor]:
    return {name: value for name, value in extractor()([rows()[i] for i in chosen]).items() if name != "planet"}


class Examples:
    """Light curves of training, over and over."""

    def __getitem__(self, numbers: list[int]) -> dict[str, Tensor]:
        return inputs([number % TRAINED for number in numbers])


@cache
def taught() -> ArielSpectrumModel:
    model = small_model(FIRST, physics="none", stirred=0.3)
    learn_familiarity(model, Examples(), lambda one: one(**inputs(range(TRAINED, TRAINED + HELD))), TRAINED)
    return model


def statuses(model: ArielSpectrumModel, visits: Sequence[dict[str, Any]]) -> list[str]:
    return ArielPipeline(model, extractor())(list(visits)).status


def test_at_home_it_is_ok() -> None:
    found = ArielPipeline(taught(), extractor())(list(rows()))
    assert found.status.count(OK) > 0.95 * len(rows())
    assert {note == "" for note, status in zip(found.notes, found.status, strict=True) if status == OK} == {True}


def noisier(row: dict[str, Any]) -> dict[str, Any]:
    draw = np.random.default_rng(0).normal(size=row["flux"].shape)
    return row | {"flux": row["flux"] + 10.0 * row["flux_err"] * draw, "flux_err": 10.0 * row["flux_err"]}


def deeper(row: dict[str, Any]) -> dict[str, Any]:
    level = np.nanmedian(row["flux"], axis=0)
    return row | {"flux": level + 12.0 * (row["flux"] - level)}


def shorter(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"time": row["time"] / 3.0}


@pytest.mark.parametrize("change", [noisier, deeper, shorter])
def test_light_curves_unlike_those_of_training_are_doubtful(change: Any) -> None:
    found = ArielPipeline(taught(), extractor())([change(row) for row in rows()[TRAINED:]])
    assert found.status.count(DOUBTFUL) > 0.9 * HELD
    assert "no fit checks its answer" in found.notes[found.status.index(DOUBTFUL)]


def test_a_network_that_never_learned_its_home_is_doubtful_everywhere() -> None:
    model = small_model(FIRST, physics="none")
    found = ArielPipeline(model, extractor())(list(rows()[:2]))
    assert found.status == [DOUBTFUL] * 2
    assert "never learned" in found.notes[0]


def test_what_was_learned_travels_and_can_be_forgotten(tmp_path: Path) -> None:
    model = small_model(FIRST, physics="none")
    model.load_state_dict(taught().state_dict())
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path)
    assert statuses(again, rows()[:4]) == statuses(taught(), rows()[:4])
    forget_familiarity(again)
    assert not any(each.learned for each in again.familiarities)


def test_statuses_follow_the_distance() -> None:
    status, notes = judged_alone(torch.tensor([0.2, 1.5]), learned=True)
    assert status == [OK, DOUBTFUL]
    assert notes == ["", "unlike the network's training (distance 1.5), and no fit checks its answer"]
    assert judged_alone(torch.tensor([0.2]), learned=False)[0] == [DOUBTFUL]


def test_held_out_predictions_have_the_status_that_their_distance_gives() -> None:
    table: Any = None  # no fit is asked
    assert told_of(taught(), table, [0, 1], np.array([0.2, 1.5]))[0] == [OK, DOUBTFUL]
    assert told_of(small_model(FIRST, physics="none"), table, [0], np.array([0.2]))[0] == [DOUBTFUL]


def box(depth: float, noise: float, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A box of a transit in a third of the window, with white noise."""
    draw = torch.Generator().manual_seed(seed)
    time = torch.linspace(-3.0, 3.0, 240)[None]
    light = torch.where(time.abs() < 1.0, -depth, 0.0)[..., None].expand(-1, -1, 32)
    light = light + noise * torch.randn(1, 240, 32, generator=draw)
    return light, torch.ones_like(light, dtype=torch.bool), time, torch.full((1, 32), noise)


def test_the_summary_has_the_numbers_of_a_box() -> None:
    found = visit_summary(*box(10.0, 1e-3))[0]
    assert found.shape == (WIDTH,)
    noise, relative, shape, (depth, fine, joined, window) = found.split([8, 8, 6, 4])
    assert torch.allclose(noise, torch.tensor(1e-3).log().expand(8))
    assert torch.allclose(relative, torch.ones(8), atol=1e-2)
    assert shape[1].item() == pytest.approx(-1.0, abs=1e-2)  # a third of the time at the bottom
    assert shape[3].item() == pytest.approx(0.0, abs=1e-2)
    assert depth.exp().item() == pytest.approx(10.0, rel=1e-2)
    assert window.exp().item() == pytest.approx(6.0)
    white = 0.674 * 6**0.5  # median size of a second difference of unit noise
    assert fine.exp().item() == pytest.approx(white, rel=0.2)
    assert joined.exp().item() == pytest.approx(white / 8**0.5, rel=0.4)


def test_the_summary_is_finite_without_any_light() -> None:
    light, _, time, noise = box(10.0, 1.0)
    assert torch.isfinite(visit_summary(torch.zeros_like(light), torch.zeros_like(light).bool(), time, noise)).all()


@pytest.mark.parametrize("bins", [2, 7, 20])
def test_visits_of_few_bins_have_an_answer_that_is_doubtful(bins: int) -> None:
    short = [
        row | {name: row[name][:: BINS // bins + 1] for name in ("time", "flux", "flux_err", "valid", "centroid")}
        for row in rows()[:4]
    ]
    found = ArielPipeline(taught(), extractor())(short)
    assert np.isfinite(found.mean).all()
    assert set(found.status) == {DOUBTFUL}
