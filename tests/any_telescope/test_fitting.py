"""One visit of any telescope: injected depths are found, whatever systematics, orbit and limb darkening one chooses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from telescope_scenes import DEPTH, ORBIT, hst_times, visit

from modeling_ariel.any_telescope.fitting import FREE_LIMB, FitChoices, VisitFit, fit_visit
from modeling_ariel.any_telescope.limb_darkening import LimbDarkening
from modeling_ariel.any_telescope.observation import ObservationError
from modeling_ariel.any_telescope.orbit import Orbit, transits
from modeling_ariel.any_telescope.scan import scan_direction
from modeling_ariel.any_telescope.systematics import Systematics, candidates, has_orbits, orbits

TIME = np.linspace(0, 6, 121)
LINE = FitChoices("polynomial(1)")


def away(found: VisitFit, depth: float = DEPTH) -> float:
    """The first channel's depth from the truth, in its sigmas."""
    return float((found.fit.depth[0, 0] - depth) / found.fit.depth_err[0, 0])


def hook(size: float) -> np.ndarray:
    """HST's: the light of an orbit rises, of the first one more."""
    time = hst_times()
    number = np.repeat(np.arange(5), len(time) // 5)
    return -size * np.where(number == 0, 2.0, 1.0) * np.exp(-(time - 1.6 * number) / 0.1)


# --- systematics ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("time", "trend", "chosen"),
    [
        (TIME, 1e-3 * (TIME / 3 - 1), "polynomial"),
        (TIME, 3e-3 * np.exp(-TIME / 0.5), "ramp"),
        (hst_times(), hook(2e-3), "hook"),
    ],
)
def test_the_evidence_finds_the_systematics_and_the_depth(time: np.ndarray, trend: np.ndarray, chosen: str) -> None:
    found = fit_visit(visit(1, time, sigma=1e-4, trend=trend, t0=3.6), ORBIT)
    assert found.fit.status == ["ok"]
    assert sum(one.share for one in found.tried if chosen in one.systematics.name) > 0.9
    assert chosen in found.fit.notes[0]
    assert abs(away(found)) < 3
    assert float(found.fit.depth_err[0, 0]) < 4e-4


def test_without_its_systematics_a_ramp_shifts_the_depth_or_widens_it() -> None:
    seen = visit(1, TIME, sigma=5e-5, trend=4e-3 * np.exp(-TIME / 1.0))
    alone, modelled = fit_visit(seen, ORBIT, LINE), fit_visit(seen, ORBIT)
    assert float(modelled.fit.depth_err[0, 0]) < float(alone.fit.depth_err[0, 0])
    assert abs(away(modelled)) < 3


def test_a_regressor_is_taken_where_the_light_follows_it() -> None:
    x, y = np.random.default_rng(3).standard_normal((2, len(TIME))).cumsum(1)
    seen = visit(2, TIME, trend=4e-4 * (x - x.mean()) / x.std(), regressors={"x": x, "y": y}, sigma=1e-4)
    found = fit_visit(seen, ORBIT)
    assert "x" in found.tried[0].systematics.name.split(" + ")
    assert abs(away(found)) < 3


def test_scans_up_and_down_are_told_apart() -> None:
    time = hst_times()
    turns = np.where(np.arange(len(time)) % 2, 1.5e-3, -1.5e-3)
    seen = visit(5, time, sigma=1e-4, trend=turns + hook(1e-3), t0=3.6)
    assert scan_direction(visit(5, time, sigma=1e-4, trend=hook(1e-3), t0=3.6)) is None
    found = fit_visit(seen, ORBIT)
    assert "exposures alternate by 29" in found.fit.notes[0]
    assert abs(away(found)) < 3
    assert float(found.fit.depth_err[0, 0]) < 4e-4


def test_a_model_is_written_and_read() -> None:
    model = Systematics.parse("polynomial(2) + ramp + x", {"ramp": 1e-3, "x": 2e-3})
    assert model.name == "polynomial(2) + ramp + x"
    columns, sizes, names = model.design(visit(1, TIME, regressors={"x": np.sin(TIME)}))
    assert columns.shape == (6, len(TIME))
    assert sizes.tolist() == pytest.approx([1e-2, 2e-3, 1e-3, 1e-3, 1e-3, 2e-3])
    assert names[:3] == ("polynomial(2)", "polynomial(2)", "ramp")


@pytest.mark.parametrize("text", ["", "polynomial(", "ramp + ramp", "polynomial(2) ramp"])
def test_what_is_no_model_is_refused(text: str) -> None:
    with pytest.raises(ObservationError, match="systematics: expected"):
        Systematics.parse(text)


def test_unknown_columns_are_named() -> None:
    with pytest.raises(ObservationError, match="expected one of polynomial, ramp, hook, orbit, x, found 'airmass'"):
        fit_visit(visit(1, TIME, regressors={"x": TIME}), ORBIT, FitChoices("polynomial(1) + airmass"))


def test_orbits_are_seen_in_gaps() -> None:
    seen = visit(1, hst_times())
    number, since = orbits(seen)
    assert has_orbits(seen)
    assert not has_orbits(visit(1, TIME))
    assert number.max() == 4
    assert since.max() == pytest.approx(0.7)
    assert any("hook" in one.name for one in candidates(seen))


# --- orbits --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("omega", [0.0, 90.0, 230.0])
def test_an_eccentric_orbit_is_told(omega: float) -> None:
    orbit = replace(ORBIT, e=0.5, omega=omega)
    found = fit_visit(visit(1, TIME, sigma=5e-5, orbit=orbit), orbit, LINE)
    assert found.fit.status == ["ok"]
    assert abs(away(found)) < 3
    assert float(found.fit.shape[0, 1]) == pytest.approx(0.09, abs=0.03)


def test_an_ephemeris_says_when() -> None:
    seen = visit(1, TIME, sigma=1e-4, bjd0=2_460_000.0)
    orbit = replace(ORBIT, t0=2_460_000.0 + 3.0 / 24 - 5 * 3.2, t0_err=1e-4)
    assert orbit.due(seen) == (pytest.approx(3.0), pytest.approx(2.4e-3), 5)
    found = fit_visit(seen, orbit, LINE)
    assert float(found.fit.shape[0, 0]) == pytest.approx(3.0, abs=2e-3)


@pytest.mark.parametrize(
    ("t0", "said"), [(3.0 + 1.6 * 24, "an eclipse: only transits"), (3.0 + 0.8 * 24, "a part of its phase curve")]
)
def test_windows_without_a_transit_are_refused(t0: float, said: str) -> None:
    with pytest.raises(ObservationError, match=said):
        transits(visit(1, TIME), replace(ORBIT, t0=t0, t0_err=0.1))


@pytest.mark.parametrize(
    ("t0", "bjd0", "said"),
    [
        pytest.param(2_460_000.125, None, "t0 in hours as its times count.*found 2460000.125.*--time-unit", id="bjd"),
        pytest.param(59_999.625, 2_460_000.0, "t0 in BJD_TDB, about 2460000, found 59999.625", id="mjd"),
        pytest.param(3.0, 2_460_000.0, "t0 in BJD_TDB", id="hours"),
    ],
)
def test_a_mid_time_of_another_zero_is_refused(t0: float, bjd0: float | None, said: str) -> None:
    with pytest.raises(ObservationError, match=said):
        transits(visit(1, TIME, bjd0=bjd0), replace(ORBIT, t0=t0, t0_err=0.1))


def test_a_long_light_curve_is_cut_into_its_transits() -> None:
    time = np.arange(0, 8 * 24, 0.1)
    seen = visit(1, time, t0=20.0)
    parts = transits(seen, replace(ORBIT, t0=20.0, t0_err=0.1))
    assert [round(float(part.time.mean()) - 20.0) for part in parts] == [0, 77, 154]
    with pytest.raises(ObservationError, match="phase curves are not modelled; give t0"):
        transits(seen, ORBIT)
    both = visit(1, time, depth=(0.01, 0.01), wavelength=np.array([1.0, 1.1]), t0=20.0)
    with pytest.raises(ObservationError, match="orbits in 2 channels: phase curves"):
        transits(both, replace(ORBIT, t0=20.0, t0_err=0.1))


@pytest.mark.parametrize("values", [{"e": 1.0}, {"period": -1.0}, {"b": 0.3}, {"a": 2.0, "b": 3.0}])
def test_orbits_that_cannot_be_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ObservationError, match="orbit: expected"):
        Orbit(**values).star  # noqa: B018


# --- limb darkening ------------------------------------------------------------------------------------------------

STAR = (0.45, 0.3)
TABLE = LimbDarkening.one(*STAR)


@pytest.mark.parametrize("limb", [TABLE, LimbDarkening.one(0.4, 0.25, 0.1), FREE_LIMB])
def test_limb_darkening_of_ones_own_gives_the_depth(limb: LimbDarkening | str) -> None:
    seen = visit(4, TIME, depth=(DEPTH, 0.9 * DEPTH), wavelength=np.array([1.0, 1.1]), u=STAR, sigma=1e-4)
    found = fit_visit(seen, ORBIT, replace(LINE, limb=limb))
    assert found.fit.status == ["ok"]
    assert abs(away(found)) < 3
    fixed = found.fit.limb_darkening[0, :, 0].tolist()
    assert fixed == pytest.approx(STAR, abs=1e-9 if limb is TABLE else 0.15)


def test_what_is_known_better_has_smaller_errors() -> None:
    seen = visit(4, TIME, u=STAR, sigma=1e-4)
    errors = [
        float(fit_visit(seen, ORBIT, replace(LINE, limb=limb)).fit.depth_err[0, 0])
        for limb in (TABLE, LimbDarkening.one(*STAR, 0.05), FREE_LIMB)
    ]
    assert errors == sorted(errors)


@pytest.mark.parametrize(
    ("last", "sigma", "limb", "said"),
    [
        pytest.param(5.0, 5e-5, None, True, id="wide"),
        pytest.param(2.0, 5e-5, None, False, id="narrow"),
        pytest.param(5.0, 5e-4, None, False, id="noisy"),
        pytest.param(5.0, 5e-5, FREE_LIMB, False, id="free"),
    ],
)
def test_precise_depths_over_a_wide_range_note_that_limb_darkening_is_smooth(
    last: float, sigma: float, limb: str | None, said: bool
) -> None:
    seen = visit(4, TIME, depth=(DEPTH,) * 6, wavelength=np.linspace(1.0, last, 6), sigma=sigma)
    found = fit_visit(seen, ORBIT, replace(LINE, limb=limb))
    assert ("limb darkening is smooth from 1.00 to 5.00 um" in found.fit.notes[0]) is said


def test_a_table_is_read_between_its_wavelengths_and_not_beyond() -> None:
    table = LimbDarkening(np.array([1.0, 2.0]), np.array([[0.2, 0.1], [0.4, 0.3]]), np.full((2, 2), 0.1))
    assert table.of(visit(1, TIME, wavelength=1.5))[0].ravel().tolist() == pytest.approx([0.3, 0.2])
    with pytest.raises(ObservationError, match=r"expected a table that reaches 5\.000 um, found 1\.000 to 2\.000"):
        table.of(visit(1, TIME, wavelength=5.0))


# --- exposures -----------------------------------------------------------------------------------------------------


def test_long_exposures_are_averaged_over() -> None:
    time = np.arange(0.25, 8, 0.25)
    found = fit_visit(visit(1, time, sigma=3e-5, t0=4.1), ORBIT, replace(LINE, limb=LimbDarkening.one(0.15, 0.2)))
    assert abs(away(found)) < 3
    assert float(found.fit.depth_err[0, 0]) < 1e-4
