"""Noise with memory: what is found of it in a visit, and what it does to the errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from transit_scenes import Scene

from modeling_ariel.bands import unexpected
from modeling_ariel.joint_fit import FitSettings
from modeling_ariel.noise import _responses
from modeling_ariel.residuals import structure
from modeling_ariel.retrieval import ClassicalFit, fit
from modeling_ariel.visit_data import prepare_visit
from modeling_ariel.white_stage import fit_white

SCENE = Scene(bins=150, noise=5e-4, seed=3)
VISITS = 10


def slow_series(rng: np.random.Generator, hours: float) -> np.ndarray:
    """Unit Gaussian noise (T,) that forgets itself in ``hours``."""
    lag = np.abs(SCENE.time[:, None] - SCENE.time)
    return np.linalg.cholesky(np.exp(-lag / hours) + 1e-9 * np.eye(SCENE.bins)) @ rng.standard_normal(SCENE.bins)


def in_airs(rng: np.random.Generator) -> np.ndarray:
    return np.outer(1.5e-4 * slow_series(rng, 1.0), np.r_[0.0, np.ones(40)])


def in_fgs1(rng: np.random.Generator) -> np.ndarray:
    return np.outer(4e-4 * slow_series(rng, 0.7), np.r_[1.0, np.zeros(40)])


def tilting(rng: np.random.Generator) -> np.ndarray:
    """A drift of AIRS whose time shape changes with wavelength."""
    x = np.linspace(-1, 1, SCENE.bins)
    shape = np.polynomial.legendre.legval(x, [0, *rng.normal(size=3)])
    return np.outer(4e-4 * shape / np.abs(shape).max(), np.r_[0.0, np.linspace(-1, 1, 40)])


MEAN, FGS1 = np.r_[0.0, np.full(40, 1 / 40)], np.r_[1.0, np.zeros(40)]
SLOPE = np.r_[0.0, np.linspace(-1, 1, 40)]


def spoiled(spoil: Callable[[np.random.Generator], np.ndarray]) -> dict[str, Tensor]:
    batch, rng = SCENE.batch(VISITS), np.random.default_rng(11)
    batch["flux"] = batch["flux"] * torch.as_tensor(np.stack([1 + spoil(rng) for _ in range(VISITS)]))
    return batch


def spread(found: ClassicalFit, direction: np.ndarray) -> float:
    """Root mean square of the error along a direction, in its sigmas."""
    away = found.depth.numpy() - SCENE.depth
    variance = np.einsum("c,bcd,d->b", direction, found.covariance.numpy(), direction)
    return float(np.sqrt(np.mean((away @ direction) ** 2 / variance)))


@pytest.mark.parametrize(
    ("spoil", "direction"), [(in_airs, MEAN), (in_fgs1, FGS1), (tilting, SLOPE)], ids=["airs", "fgs1", "tilting"]
)
def test_errors_know_slow_noise_wherever_it_is(
    spoil: Callable[[np.random.Generator], np.ndarray], direction: np.ndarray
) -> None:
    batch = spoiled(spoil)
    unaware = fit(batch, SCENE.wavelength, FitSettings(jitter=False))
    aware = fit(batch, SCENE.wavelength)
    assert spread(unaware, direction) > 2.0
    assert 0.4 < spread(aware, direction) < 1.5


def in_both(rng: np.random.Generator) -> np.ndarray:
    """Of an atmosphere: one series in all channels."""
    return np.outer(5e-4 * slow_series(rng, 0.5), np.r_[0.9, np.ones(40)])


def in_each(rng: np.random.Generator) -> np.ndarray:
    """As large, but of each detector by itself."""
    airs, fgs1 = (5e-4 * slow_series(rng, 0.5) for _ in range(2))
    return np.outer(airs, np.r_[0.0, np.ones(40)]) + np.outer(fgs1, np.r_[0.9, np.zeros(40)])


@pytest.mark.slow
@pytest.mark.parametrize(("spoil", "shared"), [(in_both, True), (in_each, False)], ids=["one series", "two series"])
def test_noise_that_both_detectors_see_makes_their_depths_no_two_witnesses(
    spoil: Callable[[np.random.Generator], np.ndarray], shared: bool
) -> None:
    found = fit(spoiled(spoil), SCENE.wavelength)
    covariance = found.covariance.numpy()
    together = covariance[:, 0] @ MEAN
    apart = np.sqrt(covariance[:, 0, 0] * np.einsum("c,bcd,d->b", MEAN, covariance, MEAN))
    assert np.median(together / apart) > 0.6 if shared else np.median(together / apart) < 0.3
    for direction in (MEAN, FGS1, MEAN + FGS1, MEAN - FGS1):
        assert 0.4 < spread(found, direction) < 1.5


def test_quiet_visits_pay_little_for_the_doubt() -> None:
    batch = SCENE.batch(VISITS)
    unaware, aware = fit(batch, SCENE.wavelength, FitSettings(jitter=False)), fit(batch, SCENE.wavelength)
    assert float((aware.white_depth_err / unaware.white_depth_err).median()) < 1.1
    assert float(aware.beta.median()) < 1.1
    assert aware.notes == [""] * VISITS


def test_a_note_says_by_how_much_noise_with_memory_widens_the_error() -> None:
    batch, rng = SCENE.batch(1), np.random.default_rng(0)
    batch["flux"] = batch["flux"] * torch.as_tensor(1 + 8 * in_airs(rng))
    found = fit(batch, SCENE.wavelength)
    assert float(found.beta) > 2
    assert "noise with memory" in found.notes[0]
    assert f"{float(found.beta):.1f} times larger" in found.notes[0]


def swinging(rng: np.random.Generator) -> np.ndarray:
    """A sinusoid of AIRS at the timescale of the transit."""
    phase = 2 * np.pi * (SCENE.time / rng.uniform(2, 4) + rng.uniform())
    return np.outer(2e-4 * np.sin(phase), np.r_[0.0, np.ones(40)])


def test_errors_know_smooth_swings() -> None:
    assert spread(fit(spoiled(swinging), SCENE.wavelength, FitSettings(jitter=False)), MEAN) > 3.0
    assert spread(fit(spoiled(swinging), SCENE.wavelength), MEAN) < 1.6


def test_channels_that_drift_by_themselves_know_common_noise_too() -> None:
    batch = spoiled(in_airs)
    found = fit(batch, SCENE.wavelength, FitSettings(drift="channel", drift_sigma=(5e-3, 3e-3, 1e-3)))
    assert spread(found, MEAN) < 1.5


BAND = np.r_[np.zeros(15), np.ones(10), np.zeros(16)]


def in_a_band(rng: np.random.Generator) -> np.ndarray:
    return np.outer(1e-3 * slow_series(rng, 0.7), BAND)


@pytest.mark.slow
def test_errors_know_noise_of_a_band_that_no_response_expects(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = spoiled(in_a_band)
    assert spread(fit(batch, SCENE.wavelength), BAND / 10) < 1.8
    monkeypatch.setattr("modeling_ariel.noise.unexpected", lambda residual, *_: ([], residual))
    assert spread(fit(batch, SCENE.wavelength), BAND / 10) > 2.5


def test_a_band_is_found_where_it_is_and_none_in_white_noise() -> None:
    draw = torch.Generator().manual_seed(0)
    weight = torch.full((41, SCENE.bins), 1e6, dtype=torch.float64)
    taken, airs = torch.ones(SCENE.bins, 1, dtype=torch.float64), torch.as_tensor(1.0 - FGS1)
    found = 0
    for _ in range(100):
        white = torch.randn(weight.shape, dtype=torch.float64, generator=draw) * 1e-3
        responses, left = unexpected(white, weight, taken, [airs], 1)
        found += len(responses)
        assert responses or torch.equal(left, white)
    assert found <= 3
    series = torch.as_tensor(1e-3 * np.sin(2 * np.pi * SCENE.time / 3.1))
    ((response, alone),), left = unexpected(white + torch.as_tensor(BAND)[:, None] * series, weight, taken, [airs], 1)
    assert float((response.sign() * response)[BAND == 0].mean()) < 0.15 < 0.7 < float(response.abs()[BAND > 0].mean())
    assert abs(float(alone @ airs)) < 1e-9
    assert float((left - white)[15:25].mean(0).std()) < 0.25 * float(series.std())


def test_responses_are_orthogonal_and_the_photometer_has_its_own() -> None:
    batch = SCENE.batch(1)

    def shapes_of(star: Tensor) -> Tensor:
        curves = [batch[name][0] * star for name in ("flux", "flux_err")]
        data = prepare_visit(batch["time"][0], *curves, batch["valid"][0])
        return torch.stack([one.channels for one in _responses(data, SCENE.wavelength)])

    assert len(shapes_of(torch.ones(41))) == 4  # what is left of a spectrum that was divided out is noise
    shapes = shapes_of(SCENE.wavelength**-4)
    data = prepare_visit(*(batch[name][0] for name in ("time", "flux", "flux_err", "valid")))
    assert len(shapes) == 5
    gram = (shapes * data.channel[0]) @ shapes.T
    assert float((gram - torch.diag(gram.diagonal())).abs().max()) < 1e-9 * float(gram.diagonal().max())
    torch.testing.assert_close(shapes[-1], torch.as_tensor(FGS1))
    assert shapes[:-1, 0].abs().max() == 0


def test_a_photometer_alone_and_a_single_channel_have_one_response() -> None:
    batch = SCENE.batch(1)
    for channel in (0, 20):
        curves = [batch[name][0, :, channel : channel + 1] for name in ("flux", "flux_err", "valid")]
        data = prepare_visit(batch["time"][0], *curves, photometer=False)
        (only,) = _responses(data, SCENE.wavelength[channel : channel + 1])
        assert only.channels.tolist() == [1.0]


@pytest.mark.parametrize("late", [0.02, -0.05])
def test_the_photometers_clock_may_be_off(late: float) -> None:
    scene = replace(SCENE, noise=2e-4)
    batch, shifted = scene.batch(1), replace(scene, t0=scene.t0 + late).batch(1)
    batch["flux"][..., 0] = shifted["flux"][..., 0]
    found = fit(batch, scene.wavelength)
    assert abs(float(found.depth[0, 0]) - scene.depth[0]) < 2.5 * float(found.depth_err[0, 0])
    assert float(found.shape[0, 0]) == pytest.approx(scene.t0, abs=2e-3)


def test_a_star_table_that_is_off_is_trusted_less() -> None:
    scene = replace(SCENE, noise=1e-4, b=0.45)

    def width(b: float) -> float:
        batch = scene.batch(1)
        data = prepare_visit(batch["time"][0], batch["flux"][0], batch["flux_err"][0], batch["valid"][0])
        star = {name: batch[name] for name in ("P", "sma", "i", "Ts")}
        star["i"] = torch.tensor([np.degrees(np.arccos(b / scene.a))])
        _, model = fit_white(data, star, scene.wavelength, FitSettings())
        return float(model.prior.sigma[0, 1]) / (2 * b * 0.03 + 0.03**2)

    assert width(0.45) == pytest.approx(1.0)
    assert 1.2 < width(0.57) < 3.0


# --- checks of the residuals ---------------------------------------------------------------------------------------


def bumpy(height: float, at: float) -> ClassicalFit:
    """A visit with a bump of light, sigma 0.12 h."""
    scene = replace(SCENE, noise=1e-3)
    batch = scene.batch(1)
    light = 1 + height * np.exp(-0.5 * ((scene.time - at) / 0.12) ** 2)
    batch["flux"] = batch["flux"] * torch.as_tensor(light)[:, None]
    return fit(batch, scene.wavelength)


def test_a_bump_in_transit_is_noted_and_a_large_one_is_a_doubt() -> None:
    small, large, outside = bumpy(1e-3, 3.9), bumpy(4e-3, 3.9), bumpy(1e-3, 1.0)
    assert "bump of" in small.notes[0]
    assert "ppm in transit at 3." in small.notes[0]
    assert small.status == ["ok"]
    assert large.status == ["doubtful"]
    assert "in transit" not in outside.notes[0]
    assert "dip of" in bumpy(-2e-3, 3.9).notes[0]


def test_a_hit_is_no_bump() -> None:
    batch = SCENE.batch(1)
    middle = int(np.argmin(np.abs(SCENE.time - SCENE.t0)))
    batch["flux"][0, middle, 0] += 40 * batch["flux_err"][0, middle, 0]
    found = fit(batch, SCENE.wavelength)
    assert (found.status, found.notes) == (["ok"], [""])


def test_structure_over_time_and_wavelength_is_one_for_white_noise_and_grows_with_blocks() -> None:
    draw = torch.Generator().manual_seed(0)
    data = prepare_visit(*(SCENE.batch(1)[name][0] for name in ("time", "flux", "flux_err", "valid")))
    residual = torch.randn(1, 41, 150, dtype=torch.float64, generator=draw) * 1e-3
    weight = torch.full_like(residual, 1e6)
    assert structure(data, residual, weight) == pytest.approx(1.0, abs=0.4)
    blocks = torch.randn(1, 10, 10, dtype=torch.float64, generator=draw) * 1e-3
    residual[:, 1:] += blocks.repeat_interleave(4, 1).repeat_interleave(15, 2)
    assert structure(data, residual, weight) > 10
    assert structure(data, residual[:, :20], weight[:, :20]) == 0.0


def test_a_transit_of_another_shape_keeps_its_depth() -> None:
    """A trapezoid under jitter: slow noise may not swing to make up for ingresses that fit badly."""
    scene = replace(SCENE, noise=2e-4, bins=375, t0=3.75)
    inside = np.clip(5 * (1.5 - np.abs(scene.time - scene.t0)), 0, 1)[:, None]
    batch, rng = scene.batch(1, table=False), np.random.default_rng(0)
    jitter = 6e-5 * rng.standard_normal((scene.bins, 1)) * np.r_[0.0, np.ones(40)]
    noise = scene.noise * rng.standard_normal((scene.bins, 41))
    batch["flux"] = 1e5 * torch.as_tensor((1 - 0.01 * inside) * (1 + jitter) + noise)[None]
    batch["flux_err"] = torch.full_like(batch["flux"], 1e5 * scene.noise)
    found = fit(batch, scene.wavelength)
    assert abs(float(found.white_depth) - 0.01) < 4 * float(found.white_depth_err)
    assert float(found.white_depth_err) < 1e-4
