"""Light curves of many transits: cut, named, folded where they are faint; what is given twice; steps; systematics."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from telescope_scenes import DEPTH, ORBIT, visit

from modeling_ariel.any_telescope import fitting
from modeling_ariel.any_telescope.fitting import FitChoices, fit_visit
from modeling_ariel.any_telescope.observation import Observation, ObservationError
from modeling_ariel.any_telescope.orbit import transits
from modeling_ariel.any_telescope.together import fit_observations
from modeling_ariel.status import DOUBTFUL, NO_TRANSIT

LINE = FitChoices("polynomial(1)")
PERIOD = 3.2 * 24
SEEN = replace(ORBIT, t0=20.0, t0_err=0.02)  # h
VISIT = np.linspace(0, 6, 121)


def many(count: int, step: float, sigma: float, depth: float, seed: int = 1) -> Observation:
    """A light curve about ``count`` transits."""
    time = np.concatenate([np.arange(11.0, 29.0, step) + PERIOD * number for number in range(count)])
    return visit(seed, time, (depth,), sigma, t0=20.0, name="star")


@pytest.mark.parametrize("step", [1 / 30, 0.0331])
def test_faint_transits_are_folded_for_only_the_deep_ones_are_found_one_by_one(step: float) -> None:
    seen = many(6, step, 1.6e-3, 1e-3)
    found = fit_observations(seen, SEEN, LINE)
    assert [one.observation.name for one in found.visits] == ["star"]
    assert "6 transits folded" in found.notes
    assert abs(found.spectrum.depth[0] - 1e-3) < 3 * found.spectrum.depth_err[0]
    assert found.spectrum.depth_err[0] < 1.5e-4
    assert found.times[0].number == 3


def test_deep_transits_are_fitted_one_by_one_with_names() -> None:
    found = fit_observations(many(2, 0.05, 4e-4, DEPTH), SEEN, LINE)
    assert [one.observation.name for one in found.visits] == ["star, transit 1", "star, transit 2"]


def test_exposures_of_half_an_hour_are_enough_of_each_transit() -> None:
    seen = many(4, 0.49, 2e-4, DEPTH)
    assert len(transits(seen, SEEN)) == 4
    found = fit_observations(seen, SEEN, LINE)
    assert abs(found.spectrum.depth[0] - DEPTH) < 3 * found.spectrum.depth_err[0]


def test_too_few_times_about_every_transit_are_refused() -> None:
    with pytest.raises(ObservationError, match="expected 20 times about a transit"):
        transits(many(3, 2.0, 2e-4, DEPTH), SEEN)


@pytest.mark.parametrize("unit", [1.0, 5e4])
def test_one_light_curve_given_twice_is_refused(unit: float) -> None:
    one = visit(1, VISIT)
    other = replace(one, name="again", flux=unit * one.flux, flux_err=unit * one.flux_err)
    with pytest.raises(ObservationError, match="visit, again: expected different light curves, found the same twice"):
        fit_observations([one, other], ORBIT, LINE)


@pytest.mark.parametrize("choices", [FitChoices(), LINE])
def test_a_step_in_the_light_curve_is_doubted(choices: FitChoices) -> None:
    found = fit_visit(visit(1, VISIT, sigma=1e-4, trend=-1e-3 * (VISIT > 3.8)), ORBIT, choices).fit
    assert found.status == [DOUBTFUL]
    assert "a step of -" in found.notes[0]


def test_systematics_that_are_hardly_probable_do_not_answer_for_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, said = fitting._fit, [NO_TRANSIT]

    def first_fails(*given):
        found = whole(*given)
        return replace(found, status=[said.pop()], notes=["nothing"]) if said else found

    monkeypatch.setattr(fitting, "_fit", first_fails)
    found = fit_visit(visit(1, VISIT), ORBIT)
    assert found.tried[0].share > 0.5
    assert found.fit.status == [NO_TRANSIT]
