"""Time by wavelength without the white transit: what was put in stands out in transit, and nothing else does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from space_scenes import engine, planet

from engine.air_map import COARSE, FINE, air_map
from engine.records import LightCurves
from engine.spectrum import Array
from page import curve_figures, words
from page.theme import DARK

WAVELENGTH = np.concatenate([[0.7], np.linspace(1.95, 3.9, 282)])
BAND = (WAVELENGTH > 3.1) & (WAVELENGTH < 3.5)


def curves(extra: Array, noise: float, status: str = "ok") -> tuple[LightCurves, Array]:
    """A boxy transit of 1 % plus ``extra`` (C,) with drift, fitted by its truth; and its depths."""
    time, rng = np.linspace(0.0, 7.5, 375), np.random.default_rng(6)
    box = np.clip(8.0 * (1.3 - np.abs(time - 3.7)), 0.0, 1.0)
    depth = 0.01 + extra
    drift = 1e-3 * np.outer(time - 3.75, np.linspace(1.0, 0.5, 283))
    model = (1.0 - np.outer(box, depth)) * (1.0 + drift)
    flux = model + noise * rng.standard_normal(model.shape)
    some = {"flux": flux, "error": np.full(flux.shape, noise), "model": model, "drift": drift}
    whole = {name: values.astype(np.float32) for name, values in some.items()}
    centroid = np.full((375, 4), np.nan)
    return LightCurves("planet 1", 0, status, "", time, WAVELENGTH, (), **whole, centroid_px=centroid), depth


@pytest.mark.parametrize(("size", "blocks"), [(400e-6, FINE), (0.0, COARSE)], ids=["clear", "none"])
def test_what_is_left_is_the_excess_of_each_wavelength(size: float, blocks: tuple[int, int]) -> None:
    given, depth = curves(np.where(BAND, size, 0.0), 1e-5 if size else 1e-3)
    found = air_map(given, depth)
    assert found is not None
    assert found.excess.shape[0] == pytest.approx(blocks[0], abs=2)
    inside = (found.wavelength_um > 3.2) & (found.wavelength_um < 3.4)
    assert found.contacts_h == pytest.approx((2.4, 5.0), abs=0.05)
    if size:
        mean = 0.01 + size * BAND[1:].mean()
        np.testing.assert_allclose(found.depth[inside], 0.01 + size - mean, atol=5e-6)
        transit = np.abs(found.time_h - 3.7) < 1.0
        np.testing.assert_allclose(found.excess[~transit & (np.abs(found.time_h - 3.7) > 1.6)], 0.0, atol=2e-5)
    else:
        z = found.depth / found.depth_error
        assert np.std(z) == pytest.approx(1.0, abs=0.45)
        assert np.nanstd(found.excess / found.error) == pytest.approx(1.0, abs=0.15)


def test_a_band_of_five_sigma_is_seen_in_a_dozen_of_blocks() -> None:
    """Two of three of its blocks in transit are on its side, elsewhere half: few would say that this is by chance."""
    given, depth = curves(np.where(BAND, 150e-6, 0.0), 1.6e-3)
    found = air_map(given, depth)
    assert found is not None
    inside, transit = (found.wavelength_um > 3.1) & (found.wavelength_um < 3.5), np.abs(found.time_h - 3.7) < 1.1
    band = found.depth[inside] - np.average(found.depth, weights=found.depth_error**-2)
    height = (band * found.depth_error[inside] ** -2).sum() / np.sqrt((found.depth_error[inside] ** -2).sum())
    assert 3.0 < height < 8.0
    blocks = found.excess[np.ix_(transit, inside)]
    assert blocks.size >= 12
    assert np.mean(blocks > 0) > 0.66
    assert 0.35 < np.mean(found.excess[np.ix_(np.abs(found.time_h - 3.7) > 1.6, inside)] > 0) < 0.65


def test_the_sample_s_air_follows_its_truth() -> None:
    rows = engine().visits(planet())
    found, spectrum = engine().air_map(rows), engine().spectrum(rows)
    assert found is not None
    assert spectrum.truth is not None
    truth = np.interp(found.wavelength_um, spectrum.wavelength_um, spectrum.truth)
    assert np.corrcoef(found.depth, truth)[0, 1] > 0.95
    figure = curve_figures.air_figure(found, DARK)
    np.testing.assert_allclose(figure.data[0].z, (1e6 * found.excess).T, rtol=1e-5)
    assert figure.data[0].zmin == -figure.data[0].zmax
    assert f"{1e6 * found.depth.max():+.0f}" in words.of_air(found)


def test_without_a_fit_there_is_no_map() -> None:
    given, depth = curves(np.zeros(283), 1e-3, status="no_transit")
    assert air_map(given, depth) is None
    assert "none can be taken away" in words.of_air(None)


def test_missing_channels_are_blank() -> None:
    given, depth = curves(np.zeros(283), 1e-3)
    hidden = (WAVELENGTH > 2.4) & (WAVELENGTH < 3.0)
    flux = given.flux.copy()
    flux[:, hidden] = np.nan
    found = air_map(replace(given, flux=flux), depth)
    assert found is not None
    blank = np.isnan(found.depth)
    assert 0 < blank.sum() < 6
    assert np.isnan(found.excess[:, blank]).all()
    assert np.isfinite(found.excess[:, ~blank]).all()
