"""The Space's figures: what is drawn is what the records say, in every unit, on light and dark pages."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from engine.records import Attribution, BandCurve, LightCurves, RawImage, RawView, Reliability
from engine.spectrum import Spectrum
from engine.verdict import Verdict
from modeling_ariel.molecules import MOLECULES
from page import curve_figures, figures, sigma_figures
from page.answers import plot
from page.theme import DARK, LIGHT, MOLECULE_COLOURS, Theme
from page.verdicts import sentence
from page.words import of_spectrum

WAVELENGTH = np.array([0.7, *np.linspace(1.95, 3.9, 40)])
STAR = {"Rs": 1.0, "Ms": 1.0, "Ts": 5800.0, "Mp": 1.0, "e": 0.0, "P": 3.0, "sma": 9.0, "i": 89.0}
THEMES = pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)


def a_spectrum(truth: bool = True, missing: tuple[float, float] | None = None, factor: float = 1.0) -> Spectrum:
    """41 channels whose every number differs."""
    rng = np.random.default_rng(0)
    mean = 0.01 + 1e-4 * np.sin(3 * WAVELENGTH)
    sigma = factor * (4e-5 + 1e-5 * rng.random(WAVELENGTH.size))
    covariance = np.diag(sigma**2)
    has_data = np.ones(WAVELENGTH.size, bool)
    if missing:
        has_data = (missing[0] > WAVELENGTH) | (missing[1] < WAVELENGTH)
    return Spectrum(
        name="planet 1", wavelength_um=WAVELENGTH, mean=mean, sigma=sigma, sigma_aleatoric=0.8 * sigma,
        sigma_epistemic=0.6 * sigma, classical_mean=mean + 2e-5, classical_sigma=1.2 * sigma,
        truth=mean - 1.5 * sigma if truth else None, status="ok", star=STAR, n_visits=1, fit_depth=mean + 5e-5,
        fit_sigma=3 * sigma, covariance=covariance, classical_covariance=1.44 * covariance,
        fit_covariance=9 * covariance, epistemic_covariance=0.36 * covariance, has_data=has_data,
    )  # fmt: skip


def traces(figure: Any, name: str) -> list[Any]:
    return [trace for trace in figure.data if trace.name == name]


def drawn(figure: Any, name: str) -> tuple[np.ndarray, np.ndarray]:
    (trace,) = [trace for trace in traces(figure, name) if trace.mode == "lines"]
    return np.asarray(trace.x), np.asarray(trace.y)


# --- spectrum ------------------------------------------------------------------------------------------------------


def test_what_a_reader_should_know_of_the_fit_stands_first() -> None:
    good, doubtful = (replace(a_spectrum(), status=status, notes=("two transits",)) for status in ("ok", "doubtful"))
    told = Verdict({}, 30.0, 20.0, 100.0)
    verdict = sentence(good, told)
    assert sentence(doubtful, told) == (
        "**⚠ The curve is not as the fit assumes: do not rely on the error bars.** Two transits. " + verdict
    )
    assert of_spectrum(good, truthful=True).endswith("- two transits")
    assert "two transits" not in of_spectrum(doubtful, truthful=True), "it is said once"


@pytest.mark.parametrize("unit", ["depth", "ppm", "rp_rs", "scale_heights"])
def test_mean_bands_and_truth_are_drawn_in_the_unit(unit: str) -> None:
    found = a_spectrum()
    figure = figures.spectrum_figure(found, unit, LIGHT)
    x, mean = drawn(figure, "model μ")
    np.testing.assert_array_equal(x, WAVELENGTH[1:])
    np.testing.assert_array_equal(mean, found.unit(found.mean, unit)[1:])
    for width in (1, 2):
        _, edge = drawn(figure, f"model ± {width}σ")
        upper, lower = edge[: x.size], edge[x.size :][::-1]
        np.testing.assert_array_equal(upper, found.unit(found.mean + width * found.sigma, unit)[1:])
        np.testing.assert_array_equal(lower, found.unit(found.mean - width * found.sigma, unit)[1:])
    np.testing.assert_array_equal(drawn(figure, "truth")[1], found.unit(found.truth, unit)[1:])
    np.testing.assert_array_equal(drawn(figure, "classical fit ± 1σ")[1], found.unit(found.classical_mean, unit)[1:])


def test_the_photometer_stands_in_a_panel_of_its_own() -> None:
    figure = figures.spectrum_figure(a_spectrum(), "ppm", LIGHT)
    (truth,) = [trace for trace in traces(figure, "truth") if trace.mode == "markers"]
    assert list(truth.x) == [0.7]
    assert truth.xaxis != traces(figure, "truth")[-1].xaxis
    assert figure.layout.xaxis3.range[0] > 1.8


@pytest.mark.parametrize(("truth", "words", "value"), [(True, "(μ − truth)/σ", 1.5), (False, "(μ − fit)/σ", None)])
def test_residuals_are_against_the_truth_or_else_the_classical_fit(truth: bool, words: str, value: float) -> None:
    found = a_spectrum(truth)
    figure = figures.spectrum_figure(found, "ppm", LIGHT)
    assert words in figure.layout.yaxis4.title.text
    residual = np.concatenate([np.asarray(trace.y) for trace in figure.data if trace.yaxis in ("y4", "y5")])
    expected = np.full(41, value) if truth else (found.mean - found.classical_mean) / found.classical_sigma
    np.testing.assert_allclose(np.sort(residual), np.sort(expected))
    assert bool(traces(figure, "truth")) == truth


def test_molecules_are_named_and_shaded_where_they_absorb() -> None:
    figure = figures.spectrum_figure(a_spectrum(), "ppm", LIGHT)
    names = [text.replace("<sub>", "").replace("</sub>", "") for text in figure.layout.yaxis.ticktext]
    assert names == list(MOLECULES)
    assert set(MOLECULE_COLOURS) == set(MOLECULES)
    shaded = {(shape.x0, shape.x1) for shape in figure.layout.shapes if shape.fillcolor in MOLECULE_COLOURS.values()}
    low, high = WAVELENGTH[0], WAVELENGTH[-1]
    assert shaded == {
        (max(start, low), min(end, high)) for bands in MOLECULES.values() for start, end in bands if start < high
    }


def test_what_has_no_data_is_marked() -> None:
    for missing, expected in ((None, 0), ((2.5, 2.9), 1)):
        figure = figures.spectrum_figure(a_spectrum(missing=missing), "ppm", LIGHT)
        assert [note.text for note in figure.layout.annotations].count("no data") == expected


def test_single_channels_of_the_fit_alone_do_not_set_the_scale() -> None:
    figure = figures.spectrum_figure(a_spectrum(), "ppm", LIGHT)
    low, high = figure.layout.yaxis2.range
    assert 9000 < low < 9900
    assert 10100 < high < 10500


def test_what_if_shows_the_band_beside_what_was_and_the_widths_below() -> None:
    observed, before, now = a_spectrum(), a_spectrum(factor=2.0), a_spectrum(factor=4.0)
    figure = figures.comparison_figure(now, before, observed, "ppm", LIGHT)
    for name, found in (("now", now), ("before", before), ("as it was", observed)):
        np.testing.assert_allclose(drawn(figure, f"σ {name}")[1], 1e6 * found.sigma[1:])
    assert not traces(figures.comparison_figure(now, None, observed, "ppm", LIGHT), "σ before")
    assert figure.layout.yaxis4.range[1] > 1e6 * now.sigma.max()


# --- light curves and detector -------------------------------------------------------------------------------------


def some_curves() -> LightCurves:
    rng = np.random.default_rng(1)
    time = np.linspace(0.0, 7.5, 50)
    flux = (1.0 + 1e-3 * rng.standard_normal((50, 41))).astype(np.float32)
    flux[10:20, 5] = np.nan
    drift = np.full_like(flux, 2e-3)
    bands = tuple(
        BandCurve(name, limits, np.nanmean(flux, 1), np.full(50, 1e-3), np.ones(50), np.full(50, 1.002))
        for name, limits in (("AIRS-CH0 white light", (1.0, 10.0)), ("FGS1", (0.0, 1.0)), ("H2O 2.7", (2.5, 2.9)))
    )
    return LightCurves(
        "planet 1", 0, "ok", "", time, WAVELENGTH, bands, flux, np.full_like(flux, 1e-3), np.ones_like(flux), drift,
        np.zeros((50, 4)),
    )  # fmt: skip


@THEMES
def test_bands_are_drawn_with_fit_and_residuals_in_ppm(theme: Theme) -> None:
    curves = some_curves()
    figure = curve_figures.band_figure(curves, ["FGS1", "H2O 2.7"], theme)
    texts = [note.text for note in figure.layout.annotations]
    for name, band in (("FGS1", curves.bands[1]), ("H2O 2.7", curves.bands[2])):
        assert f"<b>{name}</b> ±{1e6 * np.std(band.residual):.0f} ppm" in texts
    assert not any("white" in text for text in texts)
    residual = next(trace for trace in figure.data if trace.yaxis == "y2")
    np.testing.assert_allclose(residual.y, 1e6 * curves.bands[1].residual)


def test_the_image_before_and_after_drift_removal_differs_by_the_drift() -> None:
    figure = curve_figures.image_figure(some_curves(), LIGHT)
    before, after, residual = (np.asarray(trace.z) for trace in figure.data)
    assert before.shape == after.shape == residual.shape == (14, 17)  # AIRS channels by 3, bins by 3
    np.testing.assert_allclose(np.nanmedian(before - after), 1e6 * 2e-3 / 1.002, rtol=0.01)
    assert figure.data[0].zmax == figure.data[1].zmax


def test_averages_leave_out_what_is_not_valid() -> None:
    image = np.array([[1.0, np.nan, 3.0], [3.0, np.nan, 5.0], [np.nan, np.nan, 7.0]])
    np.testing.assert_array_equal(curve_figures.averaged(image, 2, 2), [[2.0, 4.0], [np.nan, 7.0]])


def test_each_calibration_step_is_shown_before_and_after_with_trace_and_aperture() -> None:
    rng = np.random.default_rng(2)
    steps = tuple(RawImage(title, unit, rng.random((32, 30)).astype(np.float32))
                  for title, unit in (("raw", "counts"), ("gain", "e-"), ("flat", "e-")))  # fmt: skip
    view = RawView(
        "planet 1", steps, {"FGS1": RawImage("FGS1", "e-", rng.random((32, 32)).astype(np.float32))}, {},
        np.linspace(3.9, 3.7, 30), 39, np.full(356, 15.5), 5.0, 9.0, (15.0, 16.0), (8.0, 10.0, 15.0),
    )  # fmt: skip
    figure = curve_figures.step_figure(view, 1, LIGHT)
    maps = [trace for trace in figure.data if trace.type == "heatmap"]
    for shown, image in zip(maps, steps[1:], strict=True):
        np.testing.assert_array_equal(shown.customdata, image.image)
        assert list(shown.x[[0, -1]]) == [39, 68]
    rows = {float(trace.y[0]) for trace in figure.data if trace.type == "scatter"}
    assert rows == {15.5, 10.5, 20.5, 6.5, 24.5}
    circles = curve_figures.spot_figure(view, LIGHT).layout.shapes
    assert [(shape.x1 - shape.x0) / 2 for shape in circles] == [8.0, 10.0, 15.0]


# --- sigma ---------------------------------------------------------------------------------------------------------


def test_parts_occlusion_and_reliability_show_their_records() -> None:
    found = a_spectrum()
    parts = sigma_figures.parts_figure(found, LIGHT)
    np.testing.assert_allclose(drawn(parts, "whole σ")[1], 1e6 * found.sigma[1:])
    edges = np.linspace(0.0, 7.5, 4)
    why = Attribution(
        name="planet 1", time_edges_h=edges, time_shift=np.array([0.1, 0.5, 0.2]),
        time_sigma=np.array([0.0, np.log(1.5), 0.1]), white_flux=np.ones(3), band_names=("FGS1", "H2O"),
        band_edges_um=np.array([[0.0, 1.0], [2.5, 2.9]]), band_shift=np.array([0.3, 2.0]),
        band_sigma=np.array([np.log(2.0), 0.0]), band_rest_shift=np.zeros(2), band_rest_sigma=np.log([1.1, 1.2]),
        wavelength_um=WAVELENGTH, aleatoric_share=np.full(41, 0.9), epistemic_share=np.full(41, 0.1), method="Hidden.",
    )  # fmt: skip
    bars = [trace for trace in sigma_figures.occlusion_figure(why, LIGHT).data if trace.type == "bar"]
    assert bars[0].y[1] == pytest.approx(50.0)
    assert bars[1].y[0] == pytest.approx(100.0)
    assert list(bars[2].y) == pytest.approx([10.0, 20.0])
    stated = np.array([0.5, 0.9])
    reliability = Reliability(stated, stated + 0.02, stated - 0.05, stated + 0.05, {"FGS1": stated}, 0.96, "tests", 9)
    np.testing.assert_allclose(
        drawn(sigma_figures.reliability_figure(reliability, DARK), "all channels")[1], stated + 0.02
    )


# --- pages ---------------------------------------------------------------------------------------------------------


def luminance(colour: str) -> float:
    parts = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    linear = np.where(parts <= 0.03928, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@THEMES
def test_words_and_lines_stand_out_from_the_page(theme: Theme) -> None:
    """WCAG 2: 4.5 for text, 3 for graphics."""
    page = luminance(theme.page)
    for colour, least in ((theme.text, 4.5), (theme.ink, 4.5), (theme.classical, 3.0)):
        light, dark = sorted((luminance(colour), page), reverse=True)
        assert (light + 0.05) / (dark + 0.05) > least, colour


@THEMES
def test_figures_are_transparent_without_template_and_valid_json(theme: Theme) -> None:
    sent = plot(figures.spectrum_figure(a_spectrum(), "ppm", theme), "name")

    def refuse(name: str) -> None:
        raise ValueError(f"not JSON: {name}")

    content = json.loads(sent.plot, parse_constant=refuse)
    assert content["layout"]["paper_bgcolor"] == "rgba(0,0,0,0)"
    assert content["layout"]["font"]["color"] == theme.text
    assert "colorway" not in content["layout"]["template"].get("layout", {})
    assert content["config"]["toImageButtonOptions"]["filename"] == "name"
    assert len(sent.plot) < 100_000


def test_lines_of_a_figure_differ_by_more_than_colour() -> None:
    figure = figures.spectrum_figure(a_spectrum(), "ppm", LIGHT)
    styles = [
        (trace.line.color, trace.line.dash)
        for trace in figure.data
        if trace.mode == "lines" and trace.showlegend is not False and trace.name and trace.line.width
    ]
    for one, two in itertools.combinations(styles, 2):
        assert one != two
