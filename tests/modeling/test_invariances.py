"""What an answer must not depend on: units, order, padding, company, zero of time, how missing points are told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from hf_dataset.simulation import light_curves
from hf_dataset.simulation.planets import sample_planets
from modeling_ariel import ArielPipeline
from modeling_ariel.columns import STAR_IN_FIT
from modeling_ariel.feature_extraction_ariel import ariel_wavelength
from modeling_ariel.pipeline_ariel import Spectra
from modeling_ariel.retrieval import ClassicalFit, fit
from modeling_ariel.status import NO_TRANSIT

# the same examples every time and no deadline: a slow machine fails nothing; fits are too slow to search for less
steady = settings(derandomize=True, deadline=None, database=None, max_examples=3, phases=[Phase.generate],
                  suppress_health_check=list(HealthCheck))  # fmt: skip
seeds = st.integers(0, 1)
BINS, EVERY = 120, 20  # of the model's 283 channels the fit gets FGS1 and each 20th
Draw = Callable[[st.SearchStrategy[Any]], Any]


@dataclass(frozen=True, eq=False)  # equal where it is the same: what is cached is found by it
class Visit:
    """``time`` (T,) [h]; ``flux``, ``flux_err``, ``valid`` (T, C); ``wavelength`` (C,) [um]; ``star``: table."""

    time: np.ndarray
    flux: np.ndarray
    flux_err: np.ndarray
    valid: np.ndarray
    wavelength: np.ndarray
    star: dict[str, float]

    def batch(self) -> dict[str, torch.Tensor]:
        found = {name: torch.as_tensor(getattr(self, name))[None] for name in ("time", "flux", "flux_err", "valid")}
        return found | {name: torch.tensor([value], dtype=torch.float64) for name, value in self.star.items()}

    def row(self) -> dict[str, Any]:
        names = ("time", "flux", "flux_err", "valid", "wavelength")
        return {name: getattr(self, name) for name in names} | self.star

    def channels(self, chosen: Any) -> Visit:
        cut = {name: getattr(self, name)[:, chosen] for name in ("flux", "flux_err", "valid")}
        return replace(self, wavelength=self.wavelength[chosen], **cut)

    def bins(self, chosen: Any) -> Visit:
        return replace(self, **{name: getattr(self, name)[chosen] for name in ("time", "flux", "flux_err", "valid")})

    def padded(self, count: int) -> Visit:
        """With ``count`` invalid bins at the end, time going on."""
        more = ((0, count), (0, 0))
        step = float(np.median(np.diff(self.time)))
        return replace(
            self,
            time=np.concatenate([self.time, self.time[-1] + step * np.arange(1, count + 1)]),
            flux=np.pad(self.flux, more), flux_err=np.pad(self.flux_err, more, constant_values=1),
            valid=np.pad(self.valid, more),
        )  # fmt: skip


@cache
def visit(seed: int, table: bool = True, transit: bool = True, bins: int = BINS) -> Visit:
    """A simulated visit on all channels, with drift, jitter and outliers."""
    planet = sample_planets(1, seed, "2025")[0]
    row = light_curves.simulate_row(planet, seed=seed, n_bins=bins)
    flux, flux_err = row["flux"].astype(float), row["flux_err"].astype(float)
    if not transit:
        flux = np.median(flux, axis=0) + flux_err * np.random.default_rng(seed).standard_normal(flux.shape)
    star = {name: float(row[name]) if table else np.nan for name in STAR_IN_FIT}
    wavelength = np.array(ariel_wavelength())
    return Visit(row["time"].astype(float), flux, flux_err, row["valid"].astype(bool), wavelength, star)


@cache
def few_channels(one: Visit) -> Visit:
    return one.channels(slice(None, None, EVERY))


# --- pairs of visits that must have one answer ----------------------------------------------------------------------


def units(one: Visit, draw: Draw) -> tuple[Visit, Visit]:
    unit = 10 ** draw(st.floats(-3, 6))
    return one, replace(one, flux=unit * one.flux, flux_err=unit * one.flux_err)


def orders_of_channels(one: Visit, draw: Draw) -> tuple[Visit, Visit]:
    return one, one.channels(np.random.default_rng(draw(st.integers(0, 99))).permutation(len(one.wavelength)))


def paddings(one: Visit, draw: Draw) -> tuple[Visit, Visit]:
    return one, one.padded(draw(st.integers(1, 80)))


def zeros_of_time(one: Visit, draw: Draw) -> tuple[Visit, Visit]:
    return one, replace(one, time=one.time + 10 ** draw(st.floats(3, np.log10(6e7))))


def some_points(one: Visit, draw: Draw) -> np.ndarray:
    return np.random.default_rng(draw(st.integers(0, 99))).random(one.flux.shape) < draw(st.floats(0.0, 0.1))


def nan_and_invalid(one: Visit, draw: Draw) -> tuple[Visit, Visit]:
    missing = some_points(one, draw)
    return replace(one, valid=one.valid & ~missing), replace(one, flux=np.where(missing, np.nan, one.flux))


def whatever_is_invalid(one: Visit, draw: Draw) -> tuple[Visit, Visit]:
    missing = some_points(one, draw)
    told = replace(one, valid=one.valid & ~missing)
    return told, replace(told, flux=np.where(missing, draw(st.sampled_from([0.0, -1e9, 1e30])), one.flux))


def invalid_and_absent(one: Visit, draw: Draw) -> tuple[Visit, Visit]:
    absent = np.isin(np.arange(BINS), draw(st.lists(st.integers(0, BINS - 1), min_size=1, max_size=12)))
    return replace(one, valid=one.valid & ~absent[:, None]), one.bins(~absent)


def late_starts_and_absent(one: Visit, draw: Draw) -> tuple[Visit, Visit]:
    late = np.arange(BINS) >= draw(st.integers(1, 15))
    return replace(one, valid=one.valid & late[:, None]), one.bins(late)


PAIRS = (units, orders_of_channels, paddings, zeros_of_time, nan_and_invalid, whatever_is_invalid, invalid_and_absent,
         late_starts_and_absent)  # fmt: skip


# --- the fit -------------------------------------------------------------------------------------------------------


@cache
@torch.no_grad()
def fitted(one: Visit) -> ClassicalFit:
    return fit(one.batch(), torch.as_tensor(one.wavelength))


def depths(found: ClassicalFit, one: Visit, row: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Depths and errors by wavelength."""
    order = np.argsort(one.wavelength)
    return found.depth[row].numpy()[order], found.depth_err[row].numpy()[order]


def assert_one_answer(first: Visit, second: Visit) -> str:
    one, other = fitted(first), fitted(second)
    assert one.status == other.status, (one.notes, other.notes)
    for expected, found in zip(depths(one, first), depths(other, second), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    return one.status[0]


@pytest.mark.parametrize("pair", PAIRS)
@steady
@given(seeds, st.booleans(), st.data())
def test_the_fit_does_not_depend_on(pair: Any, seed: int, table: bool, data: st.DataObject) -> None:
    assert_one_answer(*pair(few_channels(visit(seed, table)), data.draw))


@pytest.mark.parametrize("pair", PAIRS)
@settings(steady, max_examples=1)
@given(seeds, st.data())
def test_that_there_is_no_transit_does_not_depend_on(pair: Any, seed: int, data: st.DataObject) -> None:
    assert assert_one_answer(*pair(few_channels(visit(seed, transit=False)), data.draw)) == NO_TRANSIT


@steady
@given(seeds, st.booleans(), st.integers(4, 7), st.integers(1, 40))
def test_the_fit_does_not_depend_on_company(seed: int, table: bool, other: int, more: int) -> None:
    visits = [few_channels(visit(seed, table)), few_channels(visit(other, bins=BINS + more))]
    parts = [visits[0].padded(more).batch(), visits[1].batch()]
    batch = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    with torch.no_grad():
        together = fit(batch, torch.as_tensor(visits[0].wavelength))
    for row, one in enumerate(visits):
        alone = fitted(one)
        assert together.status[row] == alone.status[0]
        for expected, found in zip(depths(alone, one), depths(together, one, row), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-6)


# --- the released model --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pipeline(repository: Path) -> ArielPipeline:
    return ArielPipeline.from_pretrained(repository / "modeling_ariel" / "released")


@pytest.fixture(scope="module")
def alone(pipeline: ArielPipeline) -> Callable[[Visit], Spectra]:
    """Answer to one visit, given once."""
    return cache(lambda one: pipeline(one.row()))


def assert_alike(found: Spectra, expected: Spectra, row: int = 0) -> None:
    """Within what float32 and another division into patches leave."""
    assert found.status[row] == expected.status[0], (found.notes, expected.notes)
    moved = np.abs(found.mean[row] - expected.mean[0]) / expected.sigma[0]
    assert moved.max() < 0.05
    np.testing.assert_allclose(found.sigma[row], expected.sigma[0], rtol=0.05)


@pytest.mark.parametrize("pair", PAIRS)
@settings(steady, max_examples=1)
@given(st.data())
def test_the_released_model_does_not_depend_on(
    alone: Callable[[Visit], Spectra], pair: Any, data: st.DataObject
) -> None:
    first, second = pair(visit(0), data.draw)
    assert_alike(alone(second), alone(first))


def test_the_released_model_does_not_depend_on_company(
    pipeline: ArielPipeline, alone: Callable[[Visit], Spectra]
) -> None:
    visits = [visit(0), visit(5, bins=BINS + 30)]
    together = pipeline([one.row() for one in visits])
    for place, one in enumerate(visits):
        assert_alike(together, alone(one), place)
