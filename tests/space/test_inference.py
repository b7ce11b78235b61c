"""The Space's engine, without gradio."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import warm_python
from space_scenes import engine, planet

from engine import sample
from engine.inference import Engine, EngineError, Spectrum, SpectrumError
from engine.memo import Memo
from modeling_ariel import ArielForSpectrumPrediction
from modeling_ariel.feature_extraction_ariel import ArielFeatureExtractor
from modeling_ariel.molecules import MOLECULES


@pytest.fixture(scope="module")
def spectrum() -> Spectrum:
    return engine().spectrum(engine().visits(planet()))


def test_importing_the_engine_imports_no_gradio_and_no_scripts(repository: Path, tmp_path: Path) -> None:
    code = (
        "import sys, engine.inference, engine.what_if, engine.explain, uploads.reading\n"
        "print([n for n in sys.modules if n.split('.')[0] in ('gradio', 'ariel_scripts', 'scripts', 'plotly')])"
    )
    paths = os.pathsep.join([str(repository / "space"), str(repository)])
    done = warm_python.run(["-c", code], tmp_path, {**os.environ, "PYTHONPATH": paths})
    assert done.stdout == "[]\n", done.stderr


# --- spectra ---------------------------------------------------------------------------------------------------------


def test_the_spectrum_is_the_models_own_answer(spectrum: Spectrum, repository: Path) -> None:
    folder = repository / "modeling_ariel/released"
    model = ArielForSpectrumPrediction.from_pretrained(folder).eval()
    inputs = ArielFeatureExtractor.from_pretrained(folder)(engine().visits(planet()))
    inputs.pop("labels")
    answer = model(**inputs)
    np.testing.assert_allclose(spectrum.mean, answer.mean[0].detach().numpy(), rtol=1e-6)
    np.testing.assert_allclose(spectrum.sigma, answer.sigma[0].detach().numpy(), rtol=1e-6)
    np.testing.assert_allclose(spectrum.classical_mean, answer.classical_mean[0].numpy(), rtol=1e-9)


def test_parts_of_sigma_add_up_and_are_the_covariances_diagonal(spectrum: Spectrum) -> None:
    np.testing.assert_allclose(np.hypot(spectrum.sigma_aleatoric, spectrum.sigma_epistemic), spectrum.sigma, rtol=1e-9)
    np.testing.assert_allclose(spectrum.covariance.diagonal(), spectrum.sigma**2, rtol=1e-9)
    assert (spectrum.sigma_epistemic > 0).all()
    assert np.linalg.eigvalsh(spectrum.covariance).min() > -1e-16


def test_the_same_light_curves_give_the_same_spectrum_bit_by_bit(spectrum: Spectrum) -> None:
    fresh = Engine(engine().network, engine().catalogue, workers=1)
    again = fresh.spectrum([dict(row) for row in engine().visits(planet())])
    assert again is not spectrum
    for name in ("mean", "sigma", "sigma_epistemic", "covariance"):
        np.testing.assert_array_equal(getattr(again, name), getattr(spectrum, name))


def test_a_spectrum_shared_between_users_cannot_be_written_to(spectrum: Spectrum) -> None:
    with pytest.raises(ValueError, match="read-only"):
        spectrum.mean[0] = 0.0


def test_units_convert_values_and_errors(spectrum: Spectrum) -> None:
    np.testing.assert_allclose(spectrum.unit(spectrum.mean, "ppm"), 1e6 * spectrum.mean)
    radius = spectrum.unit(spectrum.mean, "rp_rs")
    np.testing.assert_allclose(radius**2, spectrum.mean)
    step = spectrum.unit(spectrum.mean + 1e-3 * spectrum.sigma, "rp_rs") - radius
    np.testing.assert_allclose(1e-3 * spectrum.unit_error(spectrum.sigma, "rp_rs"), step, rtol=1e-3)
    heights = spectrum.unit(spectrum.mean, "scale_heights")
    assert heights.min() < 0 < heights.max()
    assert np.isfinite(spectrum.unit(np.array([-1e-4]), "scale_heights")).all()
    with pytest.raises(SpectrumError, match="expected one of depth, ppm, rp_rs, scale_heights, found 'percent'"):
        spectrum.unit(spectrum.mean, "percent")


def test_the_scale_height_is_that_of_jupiter_for_jupiter() -> None:
    base = engine().spectrum(engine().visits(planet()))
    sun = {"Rs": 1.0, "Ts": 5772.0, "Mp": 1.0, "sma": 1118.0}
    depth = np.full_like(base.mean, 0.1028**2)
    jupiter = Spectrum(**{**vars(base), "mean": depth, "star": sun})
    assert jupiter.scale_height_km == pytest.approx(17.7, rel=0.05)  # 122 K, 24.8 m/s2, 2.3 m_H
    nobody = Spectrum(**{**vars(base), "star": {**sun, "Mp": float("nan")}})
    assert nobody.units == ("depth", "ppm", "rp_rs")
    with pytest.raises(SpectrumError, match="expected Rs, Ts, Mp and sma in the star table"):
        nobody.unit(depth, "scale_heights")


def test_bins_average_channels_with_their_covariance(spectrum: Spectrum) -> None:
    binned = spectrum.binned(20)
    assert 10 < binned.mean.size < 20
    assert binned.wavelength_um[0] == spectrum.wavelength_um[0]
    assert binned.mean[0] == spectrum.mean[0]
    inside = slice(1, 1 + int(binned.channels[1]))
    assert binned.mean[1] == pytest.approx(spectrum.mean[inside].mean())
    draws = np.random.default_rng(0).multivariate_normal(spectrum.mean, spectrum.covariance, 20_000, method="eigh")
    assert binned.sigma[1] == pytest.approx(draws[:, inside].mean(1).std(), rel=0.03)
    naive = np.sqrt((spectrum.sigma[inside] ** 2).sum()) / binned.channels[1]
    assert binned.sigma[1] > 1.5 * naive  # what channels share does not average out
    assert binned.channels.sum() == spectrum.mean.size
    assert binned.truth is not None
    np.testing.assert_allclose(binned.covariance.diagonal(), binned.sigma**2)
    assert spectrum.binned(None) is spectrum
    assert spectrum.binned(5000).mean.size == spectrum.mean.size
    with pytest.raises(SpectrumError, match="resolution: expected"):
        spectrum.binned(-3)


def test_the_table_has_a_row_a_channel_in_the_unit(spectrum: Spectrum) -> None:
    table = spectrum.table("ppm")
    assert len(table) == 283
    assert list(table)[:3] == ["wavelength_um", "mean_ppm", "sigma_ppm"]
    np.testing.assert_allclose(table["truth_ppm"], 1e6 * spectrum.truth)
    assert "truth" not in Spectrum(**{**vars(spectrum), "truth": None}).table()


def test_scores_are_the_official_ones(spectrum: Spectrum) -> None:
    from modeling_ariel.scoring import score_2024

    assert spectrum.truth is not None
    expected = score_2024(spectrum.truth[None], spectrum.mean[None], spectrum.sigma[None])
    assert spectrum.scores()["score_2024"] == expected
    assert 0 < spectrum.scores("classical")["score_2024"] <= 1
    assert Spectrum(**{**vars(spectrum), "truth": None}).scores() == {}


def test_visits_of_no_planet_in_particular_are_put_together() -> None:
    """As a notebook has them: `planet_id` None, or not there."""
    rows = [{**row, "spectrum": None} for row in engine().visits(planet("two visits"))]
    none, missing = ([{**row, **of} for row in rows] for of in ({"planet_id": None}, {}))
    for row in missing:
        del row["planet_id"]
    found = engine().spectrum(none)
    np.testing.assert_array_equal(found.sigma, engine().spectrum(missing).sigma)
    assert np.median(found.sigma) < np.median(engine().spectrum(none[:1]).sigma)


def test_visits_of_a_planet_narrow_its_spectrum() -> None:
    rows = engine().visits(planet("two visits"))
    one, both = engine().spectrum(rows[:1]), engine().spectrum(rows)
    assert both.n_visits == 2
    assert 0.6 < np.median(both.fit_sigma / one.fit_sigma) < 0.8


def test_a_planet_without_its_photometer_is_still_fitted() -> None:
    found = engine().spectrum(engine().visits(planet("FGS1 missing")))
    assert found.status == "ok"
    assert not found.has_data[0]
    assert found.has_data[1:].all()
    assert found.fit_sigma[0] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: [], "expected at least one visit"),
        (lambda rows: rows * 11, "expected at most 10 visits"),
        (lambda rows: [rows[0], {**rows[0], "planet_id": 1}], "expected the visits of one planet"),
        (lambda rows: [{**rows[0], "flux": rows[0]["flux"][:, :7]}], "flux: expected the extractor.s 283 channels"),
        (lambda rows: [{**rows[0], "valid": np.zeros_like(rows[0]["valid"])}], "expected valid data"),
    ],
)
def test_rows_that_cannot_be_are_refused_with_a_reason(change, message: str) -> None:
    with pytest.raises(EngineError, match=message):
        engine().spectrum(change(engine().visits(planet())))


def test_light_without_a_transit_gets_the_priors_answer_and_says_so() -> None:
    row = engine().visits(planet())[0]
    rng = np.random.default_rng(0)
    flat = np.median(row["flux"], axis=0) + row["flux_err"] * rng.standard_normal(row["flux"].shape)
    rows = [{**row, "flux": flat}]
    found = engine().spectrum(rows)
    assert found.status == "no_transit"
    assert "no transit found" in found.notes[0]
    assert np.median(found.sigma) > 1e-3
    assert "no transit" in engine().why(rows).method
    assert np.isfinite(engine().light_curves(rows).flux).all()


# --- light curves, raw frames ----------------------------------------------------------------------------------------


def test_light_curves_are_the_data_and_the_fit_leaves_noise() -> None:
    rows = engine().visits(planet())
    found = engine().light_curves(rows)
    assert [band.name for band in found.bands[:2]] == ["AIRS-CH0 white light", "FGS1"]
    ratio = rows[0]["flux"] / found.flux  # one number a channel: the star's level
    assert np.ptp(ratio, axis=0).max() < 1e-4 * ratio.max()
    for band in found.bands:
        assert np.std(band.residual) == pytest.approx(np.median(band.error), rel=0.3)
    white = found.bands[0]
    assert white.flux.max() == pytest.approx(1.0, abs=5e-3)
    truth = engine().spectrum(rows).truth
    assert truth is not None
    assert 1 - (white.model / white.drift).min() == pytest.approx(truth[1:].mean(), rel=0.15)
    assert found.parameters["mid_transit_h"] == pytest.approx(sample.cases()[planet()].planet.t0, abs=0.02)


def test_drift_removal_takes_a_strong_drift_out_of_the_image() -> None:
    found = engine().light_curves(engine().visits(planet("strong drift")))
    airs = slice(1, None)
    before, after = (np.nanmean(image[:, airs], axis=1) for image in
                     (found.before_without_transit, found.after_without_transit))  # fmt: skip
    assert np.std(before) > 5 * np.std(after)
    np.testing.assert_allclose(found.after, found.flux / (1 + found.drift))


def test_missing_channels_and_times_are_nan_in_the_image() -> None:
    found = engine().light_curves(engine().visits(planet("2.5")))
    inside = (found.wavelength_um > 2.5) & (found.wavelength_um < 2.9)
    assert np.isnan(found.flux[:, inside]).all()
    gap = engine().light_curves(engine().visits(planet("a gap")))
    assert np.isnan(gap.bands[0].flux).any()
    assert np.isfinite(gap.bands[0].flux).any()


def test_another_visit_is_chosen_by_its_place() -> None:
    rows = engine().visits(planet("two visits"))
    assert engine().light_curves(rows, 1).visit == 1
    with pytest.raises(EngineError, match="visit: expected 0 to 1, found 2"):
        engine().light_curves(rows, 2)


def test_the_raw_planet_has_its_detector_images() -> None:
    some = planet("raw")
    assert engine().info(some).raw
    view = engine().raw_view(some)
    assert view is not None
    titles = [name for name, _, _ in view.pairs]
    assert [title.split()[0] for title in titles] == ["counts", "dead,", "linearised", "dark", "end", "divided", "bad"]
    assert view.images["AIRS-CH0"].image.shape == (32, 356)
    assert view.images["FGS1"].image.shape == (32, 32)
    assert view.trace.shape == view.columns_um.shape == (356,)
    bright = view.images["AIRS-CH0"].image.argmax(0)[60:300]
    assert np.median(np.abs(bright - view.trace[60:300])) < 3
    assert np.isnan(view.steps[2].image).any()
    assert not np.isnan(view.steps[-1].image).any()
    assert engine().raw_view(planet()) is None


# --- many users ------------------------------------------------------------------------------------------------------


def test_what_many_ask_for_at_once_is_made_once() -> None:
    made, memo = [], Memo[int](2)

    def make() -> int:
        made.append(1)
        time.sleep(0.05)
        return 7

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: memo.get("key", make), range(8))) == [7] * 8
    assert len(made) == 1
    for key in range(5):
        memo.get(key, lambda: 1)
    assert len(memo) == 2


def test_an_error_is_not_kept() -> None:
    memo = Memo[int](2)
    with pytest.raises(ZeroDivisionError):
        memo.get("key", lambda: 1 // 0)
    assert memo.get("key", lambda: 3) == 3


def test_users_at_once_get_their_own_answers() -> None:
    ids = [planet(), planet("2.5")]
    alone = {some: engine().spectrum(engine().visits(some)).mean for some in ids}
    fresh = Engine(engine().network, engine().catalogue, workers=2)
    asked = ids * 10
    with ThreadPoolExecutor(20) as pool:
        found = list(pool.map(lambda some: fresh.spectrum(fresh.visits(some)).mean, asked))
    for some, mean in zip(asked, found, strict=True):
        np.testing.assert_array_equal(mean, alone[some])


def test_molecular_bands_lie_where_the_channels_are() -> None:
    assert set(MOLECULES) == {"H2O", "CO2", "CH4", "CO", "NH3"}
    for bands in MOLECULES.values():
        for low, high in bands:
            assert ((engine().wavelength_um >= low) & (engine().wavelength_um <= high)).sum() > 5


def test_what_nobody_asks_for_in_its_time_is_forgotten() -> None:
    memo = Memo[int](5, seconds=0.02)
    assert [memo.get("a", lambda: 1), memo.get("a", lambda: 2)] == [1, 1]
    time.sleep(0.05)
    assert memo.get("b", lambda: 3) == 3
    assert len(memo) == 1  # "a" is gone though there was room
    time.sleep(0.05)
    assert memo.get("b", lambda: 4) == 4


def test_a_long_explanation_lets_other_fits_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = Engine(engine().network, engine().catalogue, workers=1)
    features = fresh._features(engine().visits(planet()))
    done = fresh.fits(features)
    order: list[str] = []
    began = threading.Event()

    def fit(batch: Any) -> Any:
        order.append("own" if len(batch["time"]) == 1 else "explanation")
        began.set()
        time.sleep(0.05)
        return done.select(torch.zeros(len(batch["time"]), dtype=torch.long))

    monkeypatch.setattr(fresh, "_fit", fit)
    fresh._fits = Memo(5)
    many = {name: value.repeat_interleave(60, 0) for name, value in features.items() if len(value) == 1}
    with ThreadPoolExecutor(1) as pool:
        explanation = pool.submit(fresh._occlusion_fits, many)
        assert began.wait(10)
        fresh.fits(features)
        explanation.result()
    assert order.count("explanation") == 10
    assert order.index("own") <= 2
