"""What if: the physics of other conditions, and what cannot be made."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from space_scenes import engine, planet

from engine.inference import Spectrum
from engine.what_if import WhatIfError, observe, simulated_case, what_if


def ask(note: str = "", **conditions: Any) -> Spectrum:
    return what_if(engine(), planet(note), **conditions)


def own(row: dict[str, Any]) -> dict[str, Any]:
    """A row as an upload has it: of no dataset, with its wavelengths."""
    return {**row, "planet_id": None, "wavelength": engine().wavelength_um}


@pytest.fixture(scope="module")
def usual() -> Spectrum:
    return engine().spectrum(engine().visits(planet()))


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    return [own(row) for row in engine().visits(planet())]


def test_the_usual_conditions_give_the_usual_spectrum(usual: Spectrum) -> None:
    assert ask() is usual
    assert ask(noise=1.0, transits=1, drift=1.0) is usual
    assert engine().raw_view(observe(engine(), planet("raw"))) is None  # rows as they are, nothing simulated


def test_twice_the_noise_widens_the_depths_twofold_and_the_band_with_them(usual: Spectrum) -> None:
    noisy = ask(noise=2.0)
    assert np.median(noisy.fit_sigma / usual.fit_sigma) == pytest.approx(2.0, abs=0.1)  # drift stays as it is
    assert 1.3 < np.median(noisy.sigma / usual.sigma) < 2.3  # the prior knows a part of what noise hides
    assert noisy.notes == ("Simulated anew: noise × 2, 1 transit.",)


def test_more_transits_narrow_the_depths_with_the_root_of_their_number(usual: Spectrum) -> None:
    four = ask(transits=4)
    assert four.n_visits == 4
    assert np.median(four.fit_sigma / usual.fit_sigma) == pytest.approx(0.5, abs=0.03)
    assert np.median(four.sigma / usual.sigma) < 0.8


def test_missing_channels_are_left_to_prior_and_neighbours(usual: Spectrum) -> None:
    found = ask(missing_um=[(3.0, 3.6)])
    gone = (found.wavelength_um >= 3.0) & (found.wavelength_um <= 3.6)
    np.testing.assert_array_equal(found.has_data, ~gone)
    np.testing.assert_allclose(found.fit_sigma[gone], 1.0)
    prior = engine().network.pipeline.model.physics.spectrum_prior()
    of_features = np.sqrt((prior.prior().covariances * prior.weights[:, None, None]).sum(0).diagonal().numpy())
    assert (found.sigma[gone] < of_features[gone]).all()
    assert np.median(found.sigma[gone] / usual.sigma[gone]) > 1.2
    assert np.median(found.sigma[~gone] / usual.sigma[~gone]) == pytest.approx(1.0, abs=0.15)


def test_drift_is_fitted_away_at_a_small_price(usual: Spectrum) -> None:
    calm, strong = ask(drift=0.0), ask(drift=8.0)
    assert calm.status == strong.status == "ok"
    assert np.median(strong.fit_sigma / usual.fit_sigma) == pytest.approx(1.0, abs=0.1)
    for found in (calm, strong):
        assert found.truth is not None
        assert np.sqrt(np.mean(((found.mean - found.truth) / found.sigma) ** 2)) < 3


def test_the_same_conditions_are_the_same_answer_and_another_seed_another(rows: list[dict[str, Any]]) -> None:
    first, again = (observe(engine(), planet(), noise=3.0)[0]["flux"] for _ in range(2))
    np.testing.assert_array_equal(first, again)
    drawn = [observe(engine(), rows, noise=2.0, seed=seed)[0]["flux"] for seed in (0, 0, 1)]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert (drawn[0] != drawn[2]).any()


def test_noise_is_added_to_light_curves_that_are_not_simulated(rows: list[dict[str, Any]], usual: Spectrum) -> None:
    (row,) = observe(engine(), rows, noise=3.0)
    added = (row["flux"] - rows[0]["flux"]) / rows[0]["flux_err"]
    assert np.std(added) == pytest.approx(np.sqrt(8.0), rel=0.01)
    np.testing.assert_allclose(row["flux_err"], 3.0 * rows[0]["flux_err"])
    found = engine().spectrum([row])
    assert np.median(found.fit_sigma / usual.fit_sigma) == pytest.approx(3.0, rel=0.1)


def test_visits_bins_and_channels_are_left_out_of_them() -> None:
    given = [own(row) for row in engine().visits(planet("two visits"))]
    given = [{**row, "planet_id": 3} for row in given]
    assert len(observe(engine(), given, transits=1)) == 1
    (binned, _) = observe(engine(), given, bins=100)
    assert binned["flux"].shape == (94, 283)  # of four, and of three
    np.testing.assert_allclose(binned["flux"][-1], given[0]["flux"][-4:].mean(0), rtol=1e-6)
    np.testing.assert_allclose(binned["flux_err"][-1], 0.5 * given[0]["flux_err"][-1], rtol=0.01)
    (hidden, _) = observe(engine(), given, missing_um=[(0.0, 1.0)])
    assert not hidden["valid"][:, 0].any()
    assert hidden["valid"][:, 1:].all()
    assert given[0]["valid"].all()


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ({"noise": 0.5}, "noise: expected 1 or more, as noise cannot be taken out"),
        ({"transits": 3}, "transits: expected at most the 1 observed"),
        ({"drift": 2.0}, "drift: expected a planet that is simulated as light curves"),
        ({"noise": 0.0}, "noise: expected 0.1 to 20, found 0"),
        ({"noise": float("nan")}, "noise: expected 0.1 to 20, found nan"),
        ({"transits": 11}, "transits: expected 1 to 10, found 11"),
        ({"drift": -1.0}, "drift: expected 0 to 20"),
        ({"bins": 7}, "bins: expected 60 to 500, found 7"),
        ({"missing_um": [(3.0, 2.0)]}, "missing channels: expected ranges from a shorter to a longer"),
        ({"missing_um": [(1.0, 2.0)] * 21}, "missing channels: expected at most 20 ranges, found 21"),
    ],
)
def test_what_cannot_be_made_is_said(conditions: dict[str, Any], message: str, rows: list[dict[str, Any]]) -> None:
    with pytest.raises(WhatIfError, match=message):
        observe(engine(), rows, **conditions)


def test_nothing_left_is_refused() -> None:
    with pytest.raises(ValueError, match="expected valid data"):
        ask(missing_um=[(0.0, 5.0)])


def test_a_planet_seen_through_raw_frames_differs_only_by_what_is_asked() -> None:
    raw = planet("raw")
    assert simulated_case(engine(), raw) is None
    assert simulated_case(engine(), planet()) is not None
    assert simulated_case(engine(), engine().visits(planet())) is None
    (given,), (hidden,) = engine().visits(raw), observe(engine(), raw, missing_um=[(3.0, 3.2)])
    np.testing.assert_array_equal(hidden["flux"], given["flux"])  # not another realisation
    with pytest.raises(WhatIfError, match="drift: expected a planet that is simulated as light curves"):
        observe(engine(), raw, drift=1.5)
