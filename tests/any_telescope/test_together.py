"""Visits and instruments together: the exact product of their likelihoods, one orbit, one star."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from telescope_scenes import DEPTH, ORBIT, visit

from modeling_ariel.any_telescope.fitting import FREE_LIMB, FitChoices
from modeling_ariel.any_telescope.limb_darkening import LimbDarkening
from modeling_ariel.any_telescope.observation import Observation, ObservationError
from modeling_ariel.any_telescope.orbit import Orbit
from modeling_ariel.any_telescope.together import TelescopeFit, fit_observations

TIME = np.linspace(0, 6, 101)
LINE = FitChoices("polynomial(1)")
CHANNELS = np.array([1.1, 1.3, 1.5])
DEPTHS = (DEPTH, 1.02 * DEPTH, 0.99 * DEPTH)
FREE = Orbit(period=3.2, teff=5500.0)


def spectra(count: int, seed: int = 0, sigma: float = 4e-4) -> list[Observation]:
    """Visits of one spectrograph, at times of their own."""
    return [
        visit(seed + k, TIME, DEPTHS, sigma, wavelength=CHANNELS, t0=2.8 + 0.2 * k, name=f"visit {k + 1}")
        for k in range(count)
    ]


def white_error(found: TelescopeFit) -> float:
    return float(found.spectrum.depth_err.mean())


def test_one_visit_is_its_own_fit() -> None:
    found = fit_observations(spectra(1), ORBIT, LINE)
    own = found.visits[0].fit
    np.testing.assert_allclose(found.spectrum.depth, own.depth[0].numpy(), rtol=1e-9)
    np.testing.assert_allclose(found.spectrum.covariance, own.covariance[0].numpy(), rtol=1e-6)
    assert found.shape.tolist() == pytest.approx(own.shape[0, 1:].tolist(), abs=1e-3)


@pytest.mark.parametrize("orbit", [ORBIT, FREE])
def test_more_visits_tell_more_and_the_truth(orbit: Orbit) -> None:
    found = fit_observations(spectra(3), orbit, LINE)
    assert found.status == "ok"
    assert found.spectrum.visits == (3, 3, 3)
    away = found.spectrum.depth - DEPTHS
    assert away @ np.linalg.solve(found.spectrum.covariance, away) < 16.3  # 99.9 % of chi2 with 3
    assert white_error(found) < 0.8 * white_error(fit_observations(spectra(1), orbit, LINE))


def test_a_sharp_instrument_tells_the_orbit_of_a_noisy_one() -> None:
    noisy = visit(1, TIME, sigma=1e-3, name="noisy", instrument="HST")
    sharp = visit(2, TIME, (0.0144,), 5e-5, wavelength=0.7, u=(0.38, 0.25), name="sharp", instrument="TESS")
    alone, both = fit_observations(noisy, FREE, LINE), fit_observations([noisy, sharp], FREE, LINE)
    assert both.spectrum.instrument == ("HST", "TESS")
    assert both.spectrum.depth_err[0] < 0.9 * alone.spectrum.depth_err[0]
    away = both.spectrum.depth - [DEPTH, 0.0144]
    assert (np.abs(away) < 3 * both.spectrum.depth_err).all()


def test_each_visit_may_have_its_own_depths() -> None:
    found = fit_observations(spectra(2), ORBIT, LINE, each=True)
    assert found.spectrum.visits == (1,) * 6
    assert found.spectrum.covariance.shape == (6, 6)
    assert found.spectrum.covariance[0, 3] > 0  # one orbit


def test_visits_that_disagree_are_doubted() -> None:
    other = visit(7, TIME, tuple(1.3 * np.array(DEPTHS)), 4e-4, wavelength=CHANNELS, name="odd one")
    found = fit_observations([*spectra(2), other], ORBIT, LINE)
    assert found.status == "doubtful"
    assert "odd one is" in found.notes
    assert fit_observations(spectra(3), ORBIT, LINE).status == "ok"


def test_limb_darkening_that_is_wrong_is_so_in_every_visit() -> None:
    limb = LimbDarkening.one(0.15, 0.2, 0.1)
    choices = replace(LINE, limb=limb)
    one, four = (fit_observations(spectra(count, sigma=5e-5), ORBIT, choices) for count in (1, 4))
    fixed = fit_observations(spectra(4, sigma=5e-5), ORBIT, replace(LINE, limb=LimbDarkening.one(0.15, 0.2)))
    assert white_error(four) > 1.2 * white_error(fixed)
    assert white_error(four) < white_error(one)
    assert fit_observations(spectra(2), ORBIT, replace(LINE, limb=FREE_LIMB)).status == "ok"


def test_mid_times_are_behind_the_ephemeris_or_before_it() -> None:
    orbit = replace(ORBIT, t0=2_460_000.0 + 3.0 / 24, t0_err=0.01)
    late = 0.1
    first = visit(1, TIME, sigma=1e-4, bjd0=2_460_000.0, name="first")
    second = visit(2, TIME, sigma=1e-4, bjd0=2_460_000.0 + 2 * 3.2, t0=3.0 + late, name="second")
    times = fit_observations([first, second], orbit, LINE).times
    assert [one.number for one in times] == [0, 2]
    assert times[1].late * 24 == pytest.approx(late, abs=5 * times[1].error * 24)
    assert times[1].time == pytest.approx(2_460_006.4 + 3.1 / 24, abs=5 * times[1].error)


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(ObservationError, match="expected at least one observation"):
        fit_observations([])
    with pytest.raises(ObservationError, match="one for each of 1 observations, found 2"):
        fit_observations(spectra(1), ORBIT, [LINE, LINE])
