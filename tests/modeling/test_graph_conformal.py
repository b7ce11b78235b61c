"""Conformal intervals learned over the spectrum's graph, against explicit order statistics and simulated coverage."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from architecture_scenes import small_model
from safetensors.torch import load_file, save_file

from ariel_scripts.prediction.reliability import Judged, by_channel
from ariel_scripts.prediction.widths import compared_widths, widths_as_text
from modeling_ariel.graph_conformal import GraphIntervals
from modeling_ariel.uncertainty import LEVELS, SigmaCalibration, conformal_quantiles, neighbours

CHANNELS = 30


def scene(n: int, power: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth, mean and sigma (n, CHANNELS); errors are sigma to a ``power``, and neighbouring ones are alike."""
    rng = np.random.default_rng(seed)
    sigma = 5e-5 * np.exp(0.5 * rng.standard_normal((n, 1)) + 0.05 * rng.standard_normal((n, CHANNELS)))
    at = np.arange(CHANNELS)
    alike = np.linalg.cholesky(0.5 * np.exp(-0.5 * ((at[:, None] - at) / 3) ** 2) + 0.5 * np.eye(CHANNELS))
    error = 5e-5 * (sigma / 5e-5) ** power * (rng.standard_normal((n, CHANNELS)) @ alike.T)
    mean = np.full_like(sigma, 3e-3)
    return mean + error, mean, sigma


def test_the_photometer_has_no_neighbours_and_others_those_within_reach() -> None:
    near = neighbours(12, 2)
    assert near[0].nonzero().flatten().tolist() == [0]
    assert near[1].nonzero().flatten().tolist() == [1, 2, 3]
    assert near[6].nonzero().flatten().tolist() == [4, 5, 6, 7, 8]
    assert torch.equal(near, near.mT)


def test_without_planets_to_learn_from_half_widths_are_order_statistics_of_neighbourhoods() -> None:
    truth, mean, sigma = scene(12)
    found = GraphIntervals.fit(truth, mean, sigma, (0.5, 0.9))
    assert (found.learned_from, found.calibrated_on) == (0, 12)
    score, near = np.abs((mean - truth) / sigma), neighbours(CHANNELS).numpy() > 0
    for row, level in enumerate((0.5, 0.9)):
        for channel in range(CHANNELS):
            values = np.sort(score[:, near[channel]], axis=None)
            rank = math.ceil(13 * level * near[channel].sum() - 1e-9)
            assert found.quantiles[row, channel] == values[rank - 1]
    plain, _ = conformal_quantiles(truth, mean, sigma, (0.5, 0.9))
    np.testing.assert_array_equal(found.quantiles[:, 0], plain[:, 0])  # a neighbourhood of one is split conformal
    assert not found.slopes.any()


@pytest.mark.parametrize("n", [18, 60])
def test_intervals_cover_new_planets_as_promised_whatever_the_error_is_like(n: int) -> None:
    trials, rng = 300, np.random.default_rng(3)
    inside, levels = np.zeros((trials, 2)), (0.5, 0.9)
    for trial in range(trials):
        size = np.exp(rng.standard_normal((n + 1, 1)) + 0.2 * rng.standard_normal((n + 1, 12)))
        error = size**1.5 * (rng.standard_t(2, (n + 1, 12)) + rng.exponential(1.0, (n + 1, 1)))
        found = GraphIntervals.fit(error[:-1], np.zeros((n, 12)), size[:-1], levels, seed=trial)
        half = found.half_widths(size[-1:]) * size[-1:]
        inside[trial] = (np.abs(error[-1]) <= half[:, 0]).mean(-1)
    noise = inside.std(0) / np.sqrt(trials)
    assert (inside.mean(0) > np.array(levels) - 3 * noise).all()
    assert (inside.mean(0) < np.array(levels) + 3 * noise + 2.0 / (2 * n / 3)).all()


def test_half_widths_learn_how_errors_follow_sigma() -> None:
    followed = GraphIntervals.fit(*scene(240, power=1.8))
    assert followed.slopes[0] == pytest.approx(0.8, abs=0.2)
    assert abs(GraphIntervals.fit(*scene(240)).slopes[0]) < 0.2
    assert (followed.learned_from, followed.calibrated_on) == (80, 160)
    assert not followed.pooled.any()
    assert (np.diff(followed.quantiles, axis=0) >= 0).all()


def test_too_few_planets_for_a_level_are_pooled_as_plain_ones_are() -> None:
    found = GraphIntervals.fit(*scene(7))
    plain, pooled = conformal_quantiles(*scene(7))
    assert found.pooled.tolist() == pooled.tolist() == [0, 0, 1, 1]
    np.testing.assert_allclose(found.quantiles[3], plain[3], rtol=1e-12)


def test_a_models_intervals_are_those_that_were_fitted() -> None:
    truth, mean, sigma = scene(90, power=1.6)
    found, module = GraphIntervals.fit(truth, mean, sigma), SigmaCalibration(CHANNELS)
    for name in ("quantiles", "usual", "slopes"):
        getattr(module, name).copy_(torch.as_tensor(getattr(found, name)))
    low, high = module.interval(torch.as_tensor(mean), torch.as_tensor(sigma), 0.9)
    expected = found.half_widths(sigma)[2] * sigma
    np.testing.assert_allclose((high - low) / 2, expected, rtol=1e-5)
    unusual = module.interval(torch.zeros(1, CHANNELS), torch.full((1, CHANNELS), 1e-30), 0.9)
    assert all(torch.isfinite(end).all() for end in unusual)


def test_a_checkpoint_from_before_there_were_slopes_has_none(tmp_path: Any) -> None:
    model = small_model("transit_cnn")
    model.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    older = {name: value for name, value in weights.items() if name not in ("calibration.usual", "calibration.slopes")}
    assert len(older) == len(weights) - 2
    save_file(older, tmp_path / "model.safetensors", metadata={"format": "pt"})
    loaded, info = type(model).from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"]
    assert not loaded.calibration.slopes.any()
    assert not loaded.calibration.usual.any()


def judged(half_widths: np.ndarray, n: int, power: float) -> Judged:
    truth, mean, sigma = scene(n, power, seed=5)
    return Judged(
        truth, mean, sigma, np.ones_like(sigma), half_widths, np.r_[0.7, np.linspace(1.95, 3.9, CHANNELS - 1)]
    )


def test_widths_are_compared_where_both_hold_as_many_truths() -> None:
    plain = by_channel(*scene(60))(scene(80, seed=5)[2])
    twice = compared_widths(judged(2.0 * plain, 80, 1.0), plain)
    for level in LEVELS:
        for one in twice[f"{level:g}"].values():
            assert one["ratio"] == pytest.approx([1.0] * 3, abs=1e-4)  # too wide or narrow alike does not count
            assert one["graph_ppm"] == pytest.approx(one["conformal_ppm"], abs=0.02)
    assert not twice["narrower"]
    assert "not shown to be narrower" in widths_as_text(twice)
    truth, mean, sigma = scene(80, seed=5)
    noise = np.exp(0.7 * np.random.default_rng(1).standard_normal(plain.shape))
    clean = compared_widths(judged(plain, 80, 1.0), plain * noise)
    assert clean["narrower"]
    overall = clean["0.9"]["overall"]
    half = plain[2] * sigma
    score = np.abs(mean - truth) / half
    assert overall["graph_ppm"] == pytest.approx(2e6 * np.quantile(score, 0.9) * half.mean(), abs=0.01)
    assert overall["score_ratio"][2] < 1.0


def test_the_interval_score_tells_what_follows_the_errors() -> None:
    known = GraphIntervals.fit(*scene(240, power=1.8))
    sigma = scene(200, 1.8, seed=5)[2]
    plain = by_channel(*scene(240, power=1.8))(sigma)
    found = compared_widths(judged(known.half_widths(sigma), 200, 1.8), plain)
    assert found["0.9"]["overall"]["score_ratio"][2] < 1.0
