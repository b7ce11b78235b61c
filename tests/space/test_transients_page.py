"""The Space's page of transients: simulated objects or a user's, smooth light curves, colours, words for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pandas as pd
import pytest

from engine.records import PlanetInfo
from engine.transients import OBJECTS, Transients, TransientView, simulate, smoothed, view
from hf_dataset.transients.bands import dust_factors
from modeling_ariel.transients.curves import Curve
from modeling_ariel.transients.surveys import AB_ZERO_POINT, SURVEYS
from page import transient_words
from page.handlers import SIZES, Handlers
from page.theme import LIGHT
from page.transient_figures import transient_figure
from uploads.reading import UploadError, read_transient

WAVELENGTHS = np.array([*SURVEYS["lsst"].values()])
AB = pd.DataFrame(
    {"band": ["g", "r"] * 6, "time": 61_000.0 + np.arange(12), "flux": 10.0, "flux_err": 0.5, "redshift": 0.1}
)


@pytest.fixture(scope="module")
def transients() -> Transients:
    return Transients()


class OnePlanet:
    """As much of an engine as a page needs that shows no planet."""

    def info(self, planet_id: int) -> PlanetInfo:
        return PlanetInfo(planet_id, "train", 1, True, "simulated")


@pytest.fixture
def handlers() -> Handlers:
    return Handlers(OnePlanet())  # type: ignore[arg-type]


def bump(time: np.ndarray) -> np.ndarray:
    return 20.0 * np.exp(-0.5 * ((time - 61_100.0) / 25.0) ** 2)


def injected(ratio: float = 0.5) -> Curve:
    """A known bump in g and, fainter by `ratio`, in r, with noise of 1 %."""
    rng = np.random.default_rng(5)
    time = np.sort(rng.uniform(61_000, 61_200, 120))
    red = np.arange(120) % 2
    flux = bump(time) * np.where(red, ratio, 1.0)
    error = np.full(120, 0.1)
    return Curve("object bump", time, WAVELENGTHS[1 + red], flux + error * rng.standard_normal(120), error, 0.1, 0.0)


def shown(probability: dict[str, float]) -> TransientView:
    return view(injected(), "", probability)


# --- what is computed ------------------------------------------------------------------------------------------------


def test_the_smooth_curve_is_the_injected_one_within_its_error() -> None:
    time = np.linspace(61_020, 61_180, 60)
    mean, sigma = smoothed(injected(), time, WAVELENGTHS[1:3])
    deviation = (mean - np.stack([bump(time), bump(time) / 2], 1)) / sigma
    assert np.abs(deviation).max() < 5
    assert 0.3 < deviation.std() < 1.7
    assert np.median(sigma) < 0.1


def test_colours_are_those_of_the_injected_fluxes_and_unknown_where_nothing_shines() -> None:
    found = shown({"AGN": 0.2, "SN": 0.2, "TDE": 0.6})
    colour = found.colours["g − r"]
    bright = np.abs(found.time) < 25
    np.testing.assert_allclose(colour[bright], -2.5 * np.log10(1 / 0.5), atol=0.05)
    assert np.isnan(colour[np.abs(found.time) > 90]).all()
    assert found.window[0] < -60
    assert found.window[1] > 60


def test_simulated_objects_are_always_the_same_and_probabilities_are_shares(transients: Transients) -> None:
    first, again = simulate("tde-1"), simulate("tde-1")
    np.testing.assert_array_equal(first.flux, again.flux)
    found = transients.simulated("tde-1")
    assert transients.simulated("tde-1") is found
    assert set(found.probability) == {"AGN", "SN", "TDE"}
    assert sum(found.probability.values()) == pytest.approx(1.0)
    assert found.truth == "TDE"
    with pytest.raises(ValueError, match=r"expected one of tde-0, .* found 'nova'"):
        transients.simulated("nova")


def test_most_of_its_objects_are_named_rightly(transients: Transients) -> None:
    right = [transients.simulated(name).first == kind.replace("SLSN", "SN").split("-")[0].split()[0]
             for name, kind in OBJECTS.items()]  # fmt: skip
    assert sum(right) >= len(right) - 2


def test_nothing_of_it_is_opened_before_its_tab_is(handlers: Handlers) -> None:
    assert "_pipeline" not in vars(handlers.transients)
    figure, *_ = handlers.transient_view("sn-ia-2", None, LIGHT)[1:]
    assert "_pipeline" in vars(handlers.transients)
    names = {trace.get("name") for trace in json.loads(figure.plot)["data"]}
    assert {"u", "g", "r", "i", "z", "y", "g smooth", "u − g"} <= names


# --- what is said ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("probability", "said"),
    [
        ({"AGN": 0.01, "SN": 0.04, "TDE": 0.95}, "this is **a tidal disruption event**"),
        ({"AGN": 0.1, "SN": 0.7, "TDE": 0.2}, "probably **a supernova**, but not surely"),
        ({"AGN": 0.45, "SN": 0.15, "TDE": 0.4}, "cannot tell: **an active galactic nucleus** or a tidal disruption"),
    ],
)
def test_the_verdict_is_one_sentence_as_sure_as_the_probability(probability: dict[str, float], said: str) -> None:
    found = shown(probability)
    text = transient_words.of_transient(found, Transients().scores)
    assert said in text
    assert "only ever seen simulated objects" in text
    assert "bands g, r, i alone" in text
    assert f"{max(probability.values()):.1%}" in text
    assert transient_figure(found, LIGHT).data


# --- a user's object -------------------------------------------------------------------------------------------------


def written(folder: Path, table: pd.DataFrame, name: str = "mine.csv") -> Path:
    table.to_csv(folder / name, index=False)
    return folder / name


def test_an_uploaded_object_is_answered_as_the_same_object_simulated(tmp_path: Path, transients: Transients) -> None:
    curve = simulate("tde-1")
    letter = {at: name for name, at in SURVEYS["lsst"].items()}
    bands = [letter[at] for at in curve.wavelength]
    dust = dust_factors(np.array(bands), curve.ebv)
    columns = {"time": curve.time, "flux": curve.flux * dust, "flux_err": curve.flux_err * dust}
    table = pd.DataFrame({"object_id": "a*b", "band": bands, **columns, "redshift": curve.redshift, "ebv": curve.ebv})
    found = read_transient(written(tmp_path, table.sample(frac=1, random_state=3)), "lsst")
    np.testing.assert_allclose(found.flux, curve.flux, rtol=1e-3)  # E(B−V) of two codes
    mine, theirs = transients.uploaded(found), transients.simulated("tde-1")
    assert mine.probability == pytest.approx(theirs.probability, abs=0.01)
    assert r"a\*b" in transient_words.status(mine)
    assert "seen by you alone" in transient_words.status(mine)


def test_ztf_s_magnitudes_become_fluxes_at_ztf_s_wavelengths(tmp_path: Path) -> None:
    table = AB.drop(columns=["flux", "flux_err", "redshift"])
    table["band"] = "z" + table["band"]
    table["magnitude"], table["magnitude_err"] = AB_ZERO_POINT - 2.5, 0.1
    table.loc[3, "magnitude"] = np.nan  # an upper limit
    found = read_transient(written(tmp_path, table), "ztf")
    assert set(found.wavelength) == {SURVEYS["ztf"]["g"], SURVEYS["ztf"]["r"]}
    np.testing.assert_allclose(found.flux, 10.0)
    np.testing.assert_allclose(found.flux_err, 10.0 * 0.1 * np.log(10) / 2.5)
    assert len(found) == 11
    assert np.isnan(found.redshift)


BAD: dict[str, tuple[Any, str]] = {
    "columns": (AB.drop(columns="flux_err"), "expected the columns time, flux, flux_err, missing flux_err"),
    "band": (AB.assign(band="q"), "band: expected one of u, g, r, i, z, y .lsst., found q"),
    "text": (AB.assign(flux=["10"] * 4 + ["bright"] * 8), "expected numbers in flux, found 'bright' in row 5"),
    "date": (AB.assign(time=AB["time"] + 2_400_000.5), r"expected MJD of 30000 to 100000 \(JD - 2400000.5\)"),
    "error": (AB.assign(flux_err=0.0), "flux_err: expected errors above 0"),
    "redshift": (AB.assign(redshift=-1.0), "redshift: expected 0 to 20, found -1"),
    "no detections": (
        AB.drop(columns=["flux", "flux_err"]).assign(magnitude=[99.0, *[20.0] * 11], magnitude_err=0.1),
        "magnitude: expected -30 to 40",
    ),
    "several": (AB.assign(object_id=["a", "b"] * 6), "expected one object, found 2"),
    "few": (AB.head(5), "expected 8 to 5,000 measurements, found 5"),
    "empty": ("", "empty file"),
    "picture": (b"\x89PNG\r\n\x1a\n\0\0", "expected a CSV file"),
    "utf-16": ("band,time\n".encode("utf-16"), "expected a CSV file|UTF-8"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_refused_in_a_sentence(tmp_path: Path, case: str) -> None:
    content, message = BAD[case]
    path = tmp_path / "mine.csv"
    if isinstance(content, pd.DataFrame):
        written(tmp_path, content)
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UploadError, match=message) as caught:
        read_transient(path, "lsst")
    said = str(caught.value)
    assert said.startswith("mine.csv: ")
    assert said.endswith(".")
    assert "\n" not in said
    assert str(tmp_path) not in said


def test_a_refused_object_leaves_what_was_shown(tmp_path: Path, handlers: Handlers) -> None:
    curve, menu, said, asked = handlers.open_transient(str(written(tmp_path, AB.head(5))), "lsst")
    assert curve == menu == asked == gr.skip()
    assert "was not taken" in said
    curve, menu, said, asked = handlers.open_transient(str(written(tmp_path, AB)), "lsst")
    assert (len(curve), menu, said) == (12, None, "")
    assert isinstance(asked, int)
    outputs = handlers.show(handlers.subject(1), "transients", "", None, "ppm", 0, 0, [], 0, 1, 0, 1, 2.5, 0,
                            menu, curve)  # fmt: skip
    before = list(SIZES)[: list(SIZES).index("transients")]
    assert "12 measurements in g, r" in outputs[sum(SIZES[view] for view in before)]
    assert "transient=" not in outputs[-1], "a link cannot hold an upload"
