"""Curves of any telescope: batman's transits under white noise, and the fit's depths against what was put in."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch

from modeling_ariel.retrieval import ClassicalFit, FitSettings, fit
from modeling_ariel.status import DOUBTFUL, FITTED, OK
from modeling_ariel.visit_data import RetrievalError, has_photometer

pytest.importorskip("batman")
from batman_transits import BatmanTransit

SPECTROGRAPH = np.linspace(1.1, 2.9, 10)
ORBIT_H, SEEN_H = 96 / 60, 55 / 60  # of Hubble round the Earth, and how much of it shows the target


@dataclass
class Curves:
    """Visits of one planet: ``time`` (T,) [h], ``k`` Rp/R*, ``noise`` relative per bin."""

    time: np.ndarray = field(default_factory=lambda: np.arange(0.025, 7, 0.05))
    wavelength: np.ndarray = field(default_factory=lambda: SPECTROGRAPH)
    t0: float = 3.4
    b: float = 0.3
    a: float = 10.0
    period: float = 4.0
    k: float = 0.1
    noise: float = 4e-4
    table: bool = True
    seed: int = 0

    @property
    def depth(self) -> np.ndarray:
        return self.k**2 * (1 + 0.03 * np.sin(np.arange(len(self.wavelength))))

    def batch(self, n: int = 1) -> dict[str, torch.Tensor]:
        """``n`` noise realisations as the fit takes them."""
        transit = BatmanTransit(self.time, float(np.median(np.diff(self.time))), self.period)
        limb = np.stack([0.06 + 0.2 / self.wavelength**1.2, 0.3 - 0.03 * self.wavelength], -1)
        curves = [transit(self.t0, self.b, self.a, k, u) for k, u in zip(np.sqrt(self.depth), limb, strict=True)]
        clean = np.stack(curves, 1) * np.linspace(3e3, 1e3, len(self.wavelength))
        noise = np.random.default_rng(self.seed).standard_normal((n, *clean.shape))
        star = (self.period, self.a, np.degrees(np.arccos(self.b / self.a)), 5500.0) if self.table else (np.nan,) * 4
        return {
            "time": torch.as_tensor(self.time).repeat(n, 1),
            "flux": torch.as_tensor(clean * (1 + self.noise * noise)),
            "flux_err": torch.as_tensor(self.noise * clean).repeat(n, 1, 1),
            "valid": torch.ones(noise.shape, dtype=torch.bool),
            **{
                name: torch.full((n,), value, dtype=torch.float64)
                for name, value in zip(("P", "sma", "i", "Ts"), star, strict=True)
            },
        }

    def fit(self, batch: dict[str, torch.Tensor]) -> ClassicalFit:
        with torch.no_grad():
            return fit(batch, torch.as_tensor(self.wavelength), FitSettings())

    def z(self, found: ClassicalFit) -> np.ndarray:
        """(n, C)."""
        return (found.depth.numpy() - self.depth) / found.depth_err.numpy()


def assert_never_ok_and_wrong(curves: Curves, n: int) -> ClassicalFit:
    """No depth further off than 4 sigma under status ok."""
    found = curves.fit(curves.batch(n))
    wrong = [row for row, z in enumerate(curves.z(found)) if found.status[row] == OK and np.abs(z).max() > 4]
    assert not wrong, (curves, np.abs(curves.z(found)).max(1), found.status)
    return found


def assert_right(curves: Curves, n: int = 1) -> ClassicalFit:
    found = assert_never_ok_and_wrong(curves, n)
    assert set(found.status) == {OK}, found.notes
    return found


# --- channels ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", [True, False])
def test_one_channel_that_is_no_photometer_beside_others_has_its_depth(table: bool) -> None:
    curves = Curves(wavelength=np.array([1.4]), table=table)
    found = assert_right(curves, 8)
    assert 0.4 < float(curves.z(found).std()) < 1.7
    assert float(found.depth_err.max()) < 0.05 * float(curves.depth[0])


def test_fgs1_alone_has_its_depth_while_all_of_airs_is_invalid() -> None:
    curves = Curves(wavelength=np.r_[0.7, np.linspace(1.95, 3.9, 12)])
    batch = curves.batch()
    batch["valid"][:, :, 1:] = False
    found = curves.fit(batch)
    assert found.status[0] in FITTED, found.notes
    assert abs(curves.z(found)[0, 0]) < 4
    assert float(found.depth_err[0, 0]) < 0.05 * float(curves.depth[0])
    assert float(found.depth_err[0, 1:].min()) > 10 * float(found.depth_err[0, 0])


@pytest.mark.parametrize("spoil", ["constant", "quantised"])
def test_a_channel_that_holds_no_light_curve_is_invalid_and_named(spoil: str) -> None:
    curves, channel = Curves(), 5
    batch = curves.batch()
    flux = batch["flux"][0, :, channel]
    step = 0.005 * flux.median()  # half the depth: two levels and an ingress
    flux[:] = flux.median() if spoil == "constant" else (flux / step).round() * step
    found = curves.fit(batch)
    others = np.arange(len(curves.wavelength)) != channel
    assert np.abs(curves.z(found)[0, others]).max() < 4
    assert float(found.depth_err[0, channel]) > 20 * float(found.depth_err[0, others].max())
    assert f"channel {channel}" in found.notes[0]


# --- times ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wavelength", [np.array([1.4]), SPECTROGRAPH], ids=["white", "channels"])
def test_hubbles_gaps_over_contacts_never_give_a_wrong_depth_that_is_called_ok(wavelength: np.ndarray) -> None:
    time = np.arange(0.0125, 5 * ORBIT_H, 0.025)
    time = time[time % ORBIT_H < SEEN_H]
    fitted = 0
    for planet in range(5):
        rng = np.random.default_rng(planet)
        curves = Curves(
            time, wavelength, t0=3.4 + 0.4 * planet, b=rng.uniform(0, 0.7), a=rng.uniform(6, 14), noise=2e-4,
            table=planet % 2 == 0, seed=planet,
        )  # fmt: skip
        fitted += assert_never_ok_and_wrong(curves, 2).status.count(OK)
    assert fitted >= 8  # of 10; others are cut by the window


LONG = Curves(time=np.arange(0.1, 160, 0.2), wavelength=SPECTROGRAPH[::3], t0=80.0, period=3.5)


@pytest.mark.parametrize(("end", "transits"), [(160, 1), (172, 2)])
def test_days_round_a_transit_hold_as_many_as_the_period_says_and_none_behind_the_star(end: int, transits: int) -> None:
    curves = replace(LONG, time=np.arange(0.1, end, 0.2))
    found = assert_right(curves)
    assert bool(found.table_known[0])
    dips = (found.model[0, 0] / found.model[0, 0].median() < 0.995).numpy()
    assert int((np.diff(dips.astype(int)) == 1).sum()) == transits


def test_days_round_a_transit_of_unknown_period_never_give_a_wrong_depth_that_is_called_ok() -> None:
    assert assert_never_ok_and_wrong(replace(LONG, table=False), 1).status[0] in FITTED


def test_both_transits_of_a_planet_of_0_81_days_are_fitted_on_a_day_of_data_with_its_table() -> None:
    curves = Curves(np.arange(0.025, 24, 0.05), SPECTROGRAPH[::3], t0=2.3, b=0.65, a=4.9, period=0.81, k=0.16)
    found = assert_right(curves)
    assert bool(found.table_known[0])
    assert "table" not in found.notes[0]
    model = found.model[0, 0] / found.model[0, 0].median()
    assert all(float(model[np.abs(curves.time - t).argmin()]) < 0.99 for t in (2.3, 2.3 + 24 * 0.81))


# --- shapes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", [True, False])
@pytest.mark.parametrize("b", [0.95, 1.0, 1.05, 1.1])
def test_a_grazing_transit_is_never_called_ok(b: float, table: bool) -> None:
    curves = Curves(wavelength=SPECTROGRAPH[::2], noise=2e-4, table=table, b=b, t0=3.3 + b)
    found = curves.fit(curves.batch(2))
    assert OK not in found.status
    assert all(("grazing" in note) or ("no transit found" in note) for note in found.notes)


@pytest.mark.parametrize("table", [True, False])
@pytest.mark.parametrize("k", [0.45, 0.52, 0.6])
def test_a_planet_half_as_large_as_its_star_has_its_depth(k: float, table: bool) -> None:
    assert_right(Curves(wavelength=SPECTROGRAPH[::2], noise=2e-4, table=table, k=k, b=0.2), 2)


# --- errors --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [20.0, 1e-4])
def test_errors_that_are_far_off_give_the_depth_errors_of_right_ones(factor: float) -> None:
    curves = Curves()
    batch = curves.batch(2)
    right = curves.fit(batch)
    found = curves.fit(dict(batch, flux_err=batch["flux_err"] * factor))
    assert set(found.status) <= {OK, DOUBTFUL}, found.notes
    np.testing.assert_allclose(found.depth_err, right.depth_err, rtol=0.3)
    assert np.abs(curves.z(found)).max() < 4


# --- what is beside the curves -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"P": 0.0}, "P is not used: expected days, 0.01 to 1e+06, found 0"),
        ({"P": -4.0}, "P is not used"),
        ({"sma": 0.0}, "sma is not used"),
        ({"i": 1.54}, "i is not used: expected degrees, 45 to 135"),
        ({"Ts": 5.5}, "Ts is not used"),
        ({"P": 96.0}, "the curve contradicts it"),
        ({"P": 0.12, "sma": np.nan, "i": np.nan}, "of the star table P is not used: the curve contradicts it"),
    ],
    ids=lambda case: case if isinstance(case, str) else "",
)
def test_a_star_table_that_cannot_be_is_left_out_and_said(table: dict[str, float], said: str) -> None:
    curves = Curves(wavelength=SPECTROGRAPH[::3])
    batch = curves.batch()
    found = curves.fit(batch | {name: torch.tensor([value], dtype=torch.float64) for name, value in table.items()})
    assert said in found.notes[0]
    assert found.status[0] in (OK, DOUBTFUL)
    assert np.abs(curves.z(found)).max() < 4


@pytest.mark.parametrize(("factor", "unit"), [(1 / 24, "is time in days?"), (3600.0, "is time in hours?")])
@pytest.mark.parametrize("table", [True, False])
def test_time_in_another_unit_is_named(factor: float, unit: str, table: bool) -> None:
    curves = Curves(wavelength=SPECTROGRAPH[::3], table=table)
    batch = curves.batch()
    found = curves.fit(dict(batch, time=batch["time"] * factor))
    assert found.status[0] not in FITTED
    assert unit in found.notes[0]


def test_mid_transit_is_told_from_the_zero_of_the_times_that_were_given() -> None:
    curves = Curves(wavelength=SPECTROGRAPH[::3])
    batch = curves.batch()
    for zero in (0.0, 2_460_000.5 * 24):
        found = curves.fit(dict(batch, time=batch["time"] + zero))
        assert float(found.shape[0, 0]) == pytest.approx(zero + curves.t0, abs=0.01)


def test_the_unit_of_flux_does_not_matter_beside_a_dead_channel_either() -> None:
    curves = Curves(wavelength=np.linspace(1.1, 2.9, 36), noise=2e-4)
    batch = curves.batch()
    batch["valid"][:, :, 20] = False
    one, other = (curves.fit(dict(batch, flux=batch["flux"] * s, flux_err=batch["flux_err"] * s)) for s in (1.0, 1e-16))
    torch.testing.assert_close(one.depth, other.depth, rtol=1e-6, atol=0.0)
    torch.testing.assert_close(one.depth_err, other.depth_err, rtol=1e-6, atol=0.0)


def test_a_depth_that_shared_noise_may_have_made_is_doubtful() -> None:
    curves = Curves(wavelength=SPECTROGRAPH, k=0.0175, table=False)
    batch = curves.batch(6)
    rng = np.random.default_rng(1)
    red = np.exp(-np.abs(curves.time[:, None] - curves.time) / 0.5) * 2e-4**2
    noise = np.linalg.cholesky(red + 1e-14 * np.eye(len(red))) @ rng.standard_normal((len(red), 6))
    found = curves.fit(dict(batch, flux=batch["flux"] * torch.as_tensor(1 + noise.T[..., None])))
    assert OK not in [status for status, snr in zip(found.status, found.snr, strict=True) if snr < 5]
    assert any("noise that channels share included" in note for note in found.notes)


def test_a_batch_without_visits_or_with_one_period_for_all_is_refused() -> None:
    curves = Curves(wavelength=SPECTROGRAPH[::3])
    batch = curves.batch(2)
    for wrong in ({name: values[:0] for name, values in batch.items()}, dict(batch, P=torch.tensor(4.0))):
        with pytest.raises(RetrievalError, match="expected visits, and a value of P"):
            curves.fit(wrong)


@pytest.mark.parametrize("others", [[1.95], [1.95, 3.9], [1.95, 3.06, 3.9], [1.95, 2.6, 3.25, 3.9]])
def test_fgs1_is_a_photometer_beside_any_number_of_airs_channels(others: list[float]) -> None:
    assert has_photometer(torch.tensor([0.7, *others]))
    assert not has_photometer(torch.tensor([1.3, *others]))
