"""What a spectrum says: molecules that stand out and no others, σ in its parts, in a sentence and a name."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from space_scenes import engine, planet

from engine.spectrum import FGS1_BELOW_UM, Spectrum
from engine.verdict import HINTED, Verdict, molecules, shape_error, verdict
from hf_dataset.simulation import light_curves
from hf_dataset.simulation.opacities import SPECIES
from hf_dataset.simulation.planets import sample_planets, spectra
from page.verdicts import name, sentence


@pytest.fixture(scope="module")
def base() -> Spectrum:
    return engine().spectrum(engine().visits(planet()))


def measured(base: Spectrum, depth: np.ndarray, sigma: float, offset: float, seed: int) -> Spectrum:
    """The light curves alone say these depths with noise of each channel and of all together."""
    rng = np.random.default_rng(seed)
    noise = sigma * rng.standard_normal(depth.size) + offset * rng.standard_normal()
    covariance = sigma**2 * np.eye(depth.size) + offset**2
    star = dict.fromkeys(base.star, float("nan"))
    return replace(base, fit_depth=depth + noise, fit_covariance=covariance, star=star, has_data=np.ones(283, bool))


@pytest.mark.parametrize("gone", ["CH4", "H2O"])
def test_a_molecule_that_is_not_there_does_not_stand_out(base: Spectrum, gone: str) -> None:
    """2024's hot and cool planets, judged at 1,000 K: the wrong temperature must not invent a molecule either."""
    depths = spectra(24, 5, "2024", without=[gone])
    found = [molecules(measured(base, depth, 30e-6, 100e-6, seed)) for seed, depth in enumerate(depths)]
    assert max(one[gone] for one in found) < 4.0
    assert np.median([one[gone] for one in found]) < 1.5


@pytest.mark.slow
@pytest.mark.parametrize("gone", ["H2O", "CO2", "CH4"])
def test_a_molecule_that_is_not_there_does_not_stand_out_of_light_curves(gone: str) -> None:
    """Simulated and fitted, with jitter and drift: sixteen planets each; the most was 1.5 σ."""
    sizes = []
    for one in sample_planets(16, 22, "2025", [gone]):
        row = light_curves.simulate_row(one, 0, seed=22)
        sizes.append(engine().verdict([{**row, "planet_id": None, "spectrum": None}]).molecules[gone])
    assert max(sizes) < HINTED
    assert np.median(sizes) < 1.0


def test_methane_stands_out_as_far_as_its_features_reach(base: Spectrum) -> None:
    """Twice the noise of the channels, half as far; what all channels share costs nothing."""
    with_it, without = spectra(16, 5, "2024"), spectra(16, 5, "2024", without=["CH4"])
    strong = int(np.argmax(np.std(with_it - without, axis=1)))
    sizes = [molecules(measured(base, with_it[strong], sigma, offset, 1))["CH4"]
             for sigma, offset in ((200e-6, 0.0), (200e-6, 1e-3), (400e-6, 0.0))]  # fmt: skip
    assert sizes[0] > 15.0
    assert sizes[1] == pytest.approx(sizes[0], rel=0.02)
    assert sizes[2] == pytest.approx(sizes[0] / 2, abs=1.5)  # by chance ±1


def test_the_parts_of_sigma_are_those_of_the_covariance(base: Spectrum) -> None:
    own, shared = 30e-6, 40e-6
    covariance = own**2 * np.eye(283) + shared**2
    found = verdict(replace(base, covariance=covariance, sigma=np.sqrt(covariance.diagonal())))
    assert found.sigma == pytest.approx(50.0)
    assert found.offset == pytest.approx(np.sqrt(40.0**2 + 30.0**2 / 282))
    assert found.shape == pytest.approx(30.0, rel=0.01)


def test_an_offset_is_no_error_of_the_shape(base: Spectrum) -> None:
    airs = base.wavelength_um >= FGS1_BELOW_UM
    error = np.where(airs, 50e-6 + 12e-6 * (-1.0) ** np.arange(283), 900e-6)
    assert shape_error(base, base.truth + error) == pytest.approx(12.0)
    assert np.isnan(shape_error(replace(base, truth=None), base.mean))


def test_no_molecule_is_judged_without_data_or_without_a_fit(base: Spectrum) -> None:
    assert molecules(replace(base, has_data=np.zeros(283, bool))) == {}
    assert verdict(replace(base, status="no_transit")).molecules == {}


TOLD = Verdict(dict(zip(SPECIES, (1.0, 0.4, 12.3, 3.1, 0.0), strict=True)), 48.0, 40.0, 900.0, 90.0, 1100.0)


@pytest.mark.parametrize(
    ("status", "sizes", "said"),
    [
        ("ok", (1.0, 0.4, 12.3, 3.1, 0.0), "**CH₄ stands 12 σ out**; CO (3.1 σ) perhaps; H₂O, CO₂ and NH₃ cannot be "
         "told; trust ±48 ppm; offset common to all channels ±40 ppm, shape ±27 ppm."),
        ("ok", (0.0,) * 5, "No molecule can be told; trust ±48 ppm; offset common to all channels ±40 ppm, "
         "shape ±27 ppm."),
        ("ok", (), "Trust ±48 ppm; offset common to all channels ±40 ppm, shape ±27 ppm."),
        ("no_transit", (), "**⚠ No transit found: this is the prior's answer.** One reason. And another."),
        ("failed", (), "**⚠ Fit failed: this is the prior's answer.** One reason. And another."),
        ("partial", (9.0, 9.0, 9.0, 9.0, 9.0), "**⚠ Part of the transit lies outside the window.** One reason. And "
         "another. **H₂O stands 9 σ out**;"),
    ],
)  # fmt: skip
def test_the_sentence_says_what_stands_out_or_why_nothing_can(
    base: Spectrum, status: str, sizes: tuple[float, ...], said: str
) -> None:
    found = replace(base, status=status, notes=() if status == "ok" else ("one reason", "And another."))
    told = replace(TOLD, molecules=dict(zip(SPECIES, sizes, strict=False)))
    assert sentence(found, told).startswith(said)
    if status not in ("ok", "partial"):
        assert sentence(found, told) == said


@pytest.mark.parametrize(
    ("changes", "called"),
    [
        ({}, "warm, methane-rich, clear"),
        ({"features": 200.0, "temperature": 1500.0}, "hot, methane-rich, hazy"),
        ({"molecules": {"CH4": 9.0, "H2O": 5.0}}, "warm, methane and water, clear"),
        ({"molecules": {"CH4": 3.0}, "height": None, "temperature": None}, "perhaps methane"),
        ({"molecules": {"CH4": 1.0}}, "warm, cloudy"),
        ({"molecules": {"CH4": 1.0}, "height": 9.0}, "warm, compact air"),
        ({"molecules": {"CH4": 1.0}, "sigma": 90.0, "offset": 50.0}, "warm, noisy"),
    ],
)  # fmt: skip
def test_a_planet_s_name_says_what_its_data_show(changes: dict[str, object], called: str) -> None:
    assert name(replace(TOLD, **changes)) == called  # type: ignore[arg-type]
    assert name(None) == ""
