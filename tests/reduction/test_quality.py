"""Quality figures: each finds what was put in, the others stay, and the report names the planet."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hf_dataset.build import report_text
from hf_dataset.build.summary import BuildSummary
from hf_dataset.raw import layouts
from hf_dataset.raw.layouts import AIRS, FGS1
from hf_dataset.reduction import quality
from hf_dataset.reduction.options import ReductionOptions
from hf_dataset.reduction.visit import reduce_visit
from hf_dataset.simulation import detector, planets, raw_folder

BINS, CHANNELS = 150, 40
TIME = np.linspace(0.05, 7.45, BINS)
FIGURE = {figure.key: figure for figure in quality.FIGURES}


# --- light curves --------------------------------------------------------------------------------------------------


def transit(depth: float = 0.02, mid: float = 3.7, length: float = 2.5, ingress: float = 0.25) -> np.ndarray:
    """(bin,) a trapezoid with a rounded bottom."""
    phase = np.abs(TIME - mid)
    edge = np.clip((length / 2 - phase) / ingress, 0, 1)
    return 1 - depth * edge * (0.9 + 0.1 * np.sqrt(np.clip(1 - (2 * phase / length) ** 2, 0, 1)))


def curves(shape: np.ndarray, scale: float = 1.0, common: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """flux, flux_err, valid (bin, channel) with noise `scale` times the stated error, and some common to all [of 1]."""
    rng = np.random.default_rng(3)
    level = np.linspace(2e4, 1e5, CHANNELS)
    error = np.broadcast_to(np.sqrt(level), (BINS, CHANNELS)).copy()
    shared = 1 + common * rng.standard_normal(BINS)[:, None]
    flux = level * shape[:, None] * shared + scale * error * rng.standard_normal((BINS, CHANNELS))
    return flux, error, np.ones((BINS, CHANNELS), bool)


@pytest.mark.parametrize("scale", [1.0, 1.5, 4.0])
@pytest.mark.parametrize("depth", [0.0, 0.02])
def test_noise_is_measured_in_units_of_the_stated_error_whatever_the_transit(scale: float, depth: float) -> None:
    figures = quality.light_curve_figures(TIME, *curves(transit(depth), scale))
    assert figures["scatter_over_error"] == pytest.approx(scale, rel=0.05)
    assert figures["white_scatter_over_error"] == pytest.approx(scale, rel=0.25)


def test_noise_common_to_all_channels_shows_in_the_white_curve_alone() -> None:
    figures = quality.light_curve_figures(TIME, *curves(transit(), common=1e-3))
    white = math.hypot(1e-3, 1 / math.sqrt(np.linspace(2e4, 1e5, CHANNELS).sum())) * math.sqrt(
        np.linspace(2e4, 1e5, CHANNELS).sum()
    )
    assert figures["scatter_over_error"] == pytest.approx(1.03, abs=0.06)
    assert figures["white_scatter_over_error"] == pytest.approx(white, rel=0.25)


def test_one_noisy_channel_shows_as_the_worst() -> None:
    flux, error, valid = curves(transit())
    flux[:, 7] += 3 * error[:, 7] * np.random.default_rng(0).standard_normal(BINS)
    figures = quality.light_curve_figures(TIME, flux, error, valid)
    assert figures["worst_scatter_over_error"] == pytest.approx(math.sqrt(10), rel=0.25)
    assert figures["scatter_over_error"] == pytest.approx(1.0, abs=0.06)


@pytest.mark.parametrize("depth", [0.0, 0.005, 0.02, 0.05])
@pytest.mark.parametrize("mid", [1.0, 3.7, 6.5])
@pytest.mark.parametrize("length", [1.5, 3.0, 5.0])
def test_drift_is_measured_outside_of_a_transit_of_any_depth(depth: float, mid: float, length: float) -> None:
    x = 2 * TIME / 7.5 - 1
    drift = 1 + 1e-3 * x + 4e-4 * (1.5 * x**2 - 0.5)
    figures = quality.light_curve_figures(TIME, *curves(transit(depth, mid, length) * drift, scale=0.3))
    outside = np.flatnonzero(transit(depth, mid, length) == 1)  # nobody can tell the drift beyond them
    assert figures["drift_percent"] == pytest.approx(100 * np.ptp(drift[outside[0] : outside[-1] + 1]), abs=0.06)
    flat = quality.light_curve_figures(TIME, *curves(transit(depth, mid, length), scale=0.3))
    assert flat["drift_percent"] < 0.06


def test_invalid_bins_are_left_out_and_counted() -> None:
    flux, error, valid = curves(transit())
    flux[:40, 5], valid[:40, 5] = 0.0, False
    valid[:, 9] = False
    figures = quality.light_curve_figures(TIME, flux, error, valid)
    assert figures["valid_fraction"] == pytest.approx(1 - (40 + BINS) / (BINS * CHANNELS))
    assert figures["scatter_over_error"] == pytest.approx(1.0, abs=0.06)
    assert figures["drift_percent"] < 0.1
    ratio = quality.scatter_over_error(flux, error, valid)
    assert np.isnan(ratio[9])
    assert np.isfinite(np.delete(ratio, 9)).all()


def test_too_short_or_empty_curves_have_no_noise_and_raise_nothing() -> None:
    flux, error, valid = curves(transit())
    assert set(quality.light_curve_figures(TIME[:8], flux[:8], error[:8], valid[:8])) == {"valid_fraction"}
    figures = quality.light_curve_figures(TIME, flux, error, np.zeros_like(valid))
    assert (figures["valid_fraction"], figures["drift_percent"]) == (0.0, None)


# --- through the whole reduction, what the simulator was told ------------------------------------------------------

BASE = detector.DetectorSettings()
FRAMES = 300
CASES = {
    "healthy": BASE,
    "jitter": replace(BASE, pointing=replace(BASE.pointing, airs_px=0.10, fgs1_px=0.4)),
    "hits": replace(BASE, hit_rate=200 * BASE.hit_rate),
    "several": replace(BASE, dead_fraction=0.03, foreground=20.0,
                       drift=replace(BASE.drift, airs=(0.02, 1e-5, 1e-5), fgs1=(0.02, 1e-5, 1e-5),
                                     amplitude_scatter=0.0, q_slope=(0.0, 0.0), q_curvature=(0.0, 0.0))),
}  # fmt: skip


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The quality of one planet under each of CASES, with its drift as drawn."""
    planet = next(one for one in planets.sample_planets(24, 11, "2025") if one.k > 0.09)
    found = {}
    for name, settings in CASES.items():
        root = raw_folder.write_folder(tmp_path_factory.mktemp(name) / "raw", [planet], "2025", FRAMES, 5,
                                       settings=settings)  # fmt: skip
        visit = layouts.open_folder(root).visit("train", planet.planet_id, 0)
        found[name] = reduce_visit(visit, ReductionOptions(n_bins=150))[1]["quality"]
        if name == "jitter":
            kept = ReductionOptions(n_bins=150, fgs1_extraction="plain", fgs1_dejitter=False)
            found["jitter kept"] = reduce_visit(visit, kept)[1]["quality"]
        plan = raw_folder.plan_visit(planet, 0, raw_folder.Cadence(FRAMES), 5, settings)
        if name == "healthy":  # its brightest pixels read some 17,000 counts
            low = ReductionOptions(n_bins=150, saturation=15_000.0)
            found["saturated"] = reduce_visit(visit, low)[1]["quality"]
        found[name]["drift"] = {FGS1: plan.drift.fgs1_p, AIRS: plan.drift.airs_p}
    return found


def test_every_figure_is_there_for_a_healthy_visit(measured: dict[str, dict[str, Any]]) -> None:
    for name in (AIRS, FGS1):
        for figure in quality.FIGURES:
            value = quality.value({"quality": measured["healthy"]}, name, figure)
            white_of_one = name == FGS1 and figure.name in ("white_scatter_over_error", "worst_scatter_over_error")
            assert (value is None) == white_of_one, (name, figure.key)


def test_jitter_is_found_with_its_size_in_px(measured: dict[str, dict[str, Any]]) -> None:
    assert measured["jitter"][AIRS]["jitter_rms_px"] == pytest.approx([0.10, 0.10], rel=0.25)
    assert measured["jitter"][FGS1]["jitter_rms_px"] == pytest.approx([0.4, 0.4], rel=0.2)
    assert measured["healthy"][AIRS]["jitter_rms_px"] == pytest.approx([0.013, 0.016], rel=0.35)
    assert measured["jitter kept"][FGS1]["scatter_over_error"] > 4


def test_jitter_is_taken_off_fgs1_but_for_its_third_order(measured: dict[str, dict[str, Any]]) -> None:
    assert measured["jitter"][FGS1]["scatter_over_error"] < 2  # of a jitter three times the telescope's
    assert measured["healthy"][FGS1]["scatter_over_error"] < 1.2


def test_hits_are_counted_at_the_rate_they_came(measured: dict[str, dict[str, Any]]) -> None:
    seconds = detector.INTEGRATION_S[AIRS][1]
    assert measured["hits"][AIRS]["hit_rate"] == pytest.approx(200 * BASE.hit_rate * seconds, rel=0.35)
    assert measured["hits"][AIRS]["hit_rate"] > 30 * measured["healthy"][AIRS]["hit_rate"]


def test_dead_pixels_are_counted_with_the_light_they_lose(measured: dict[str, dict[str, Any]]) -> None:
    for figure in ("bad_pixel_fraction", "filled_light"):
        assert measured["several"][AIRS][figure] == pytest.approx(0.03, abs=0.01)
        assert measured["healthy"][AIRS][figure] < 0.006


def test_drift_is_found_with_its_size(measured: dict[str, dict[str, Any]]) -> None:
    for name in (AIRS, FGS1):
        slope = abs(float(measured["several"]["drift"][name][0]))
        assert slope > 2e-3  # else the case says nothing
        assert measured["several"][name]["drift_percent"] == pytest.approx(200 * slope, rel=0.1, abs=0.1)
        assert measured["healthy"][name]["drift_percent"] < 0.5


def test_a_bright_foreground_shows_as_its_share_of_the_flux(measured: dict[str, dict[str, Any]]) -> None:
    assert measured["several"][AIRS]["foreground_e_per_px"] == pytest.approx(20.0 * 4.5, rel=0.1)
    assert measured["several"][AIRS]["foreground_over_flux"] > 10 * measured["healthy"][AIRS]["foreground_over_flux"]


def test_saturated_pixels_are_counted_with_the_light_they_lose(measured: dict[str, dict[str, Any]]) -> None:
    assert measured["healthy"][AIRS]["saturated_pixel_fraction"] == 0
    assert 0.003 < measured["saturated"][AIRS]["saturated_pixel_fraction"] < 0.02
    assert measured["saturated"][AIRS]["filled_light"] > 0.03
    assert measured["saturated"][AIRS]["valid_fraction"] < 0.95


@pytest.mark.parametrize(
    ("case", "moved"),
    [
        ("jitter", {"scatter_over_error", "worst_scatter_over_error", "white_scatter_over_error", "jitter_rms_px",
                    "hit_rate", "hit_samples"}),
        ("hits", {"hit_rate", "hit_samples", "valid_fraction"}),
        ("several", {"bad_pixel_fraction", "filled_light", "drift_percent", "foreground_over_flux"}),
    ],
)  # fmt: skip
def test_the_other_figures_stay_where_they_were(
    case: str, moved: set[str], measured: dict[str, dict[str, Any]]
) -> None:
    for figure in quality.FIGURES:
        if figure.name in moved:
            continue
        before, after = (quality.value({"quality": measured[name]}, AIRS, figure) for name in ("healthy", case))
        limit = {"scatter_over_error": 0.1, "white_scatter_over_error": 0.6, "snr_per_exposure": 8.0,
                 "drift_percent": 0.15, "hit_rate": 4e-5}.get(figure.name, figure.least)  # fmt: skip
        assert after == pytest.approx(before, abs=limit), figure.key


# --- the run -------------------------------------------------------------------------------------------------------


def run_entries(n: int = 20, **odd: float) -> list[dict[str, Any]]:
    """Healthy visits with some spread; the planet 13 has `odd` AIRS figures."""
    rng = np.random.default_rng(1)
    entries = []
    for planet in range(n):
        noise, drift = rng.standard_normal(2)
        airs = {"scatter_over_error": 1 + 0.01 * noise, "drift_percent": abs(0.1 * drift),
                "hit_samples": int(rng.poisson(12)), "jitter_rms_px": [0.0123, 0.017]}  # fmt: skip
        report = {"planet_id": planet, "visit": 0, "quality": {AIRS: airs | (odd if planet == 13 else {})}}
        entries.append(
            {"planet_id": planet, "visit": 0, "split": "train", "seconds": 1.5, "peak_mb": 700, "report": report}
        )
    return entries


def test_a_healthy_run_flags_nobody_and_an_odd_planet_is_flagged_with_its_reason() -> None:
    assert report_text.run_figures(run_entries())["stand_out"] == []
    [flag] = report_text.run_figures(run_entries(drift_percent=2.5))["stand_out"]
    assert (flag["planet_id"], flag["instrument"], flag["figure"], flag["value"]) == (13, AIRS, "drift_percent", 2.5)
    assert report_text.run_figures(run_entries(7, drift_percent=2.5))["stand_out"] == []  # too few for a spread


@pytest.mark.parametrize(
    ("figure", "value", "flagged"),
    [("scatter_over_error", 1.4, True), ("scatter_over_error", 1.1, False), ("scatter_over_error", 0.5, True),
     ("hit_samples", 400, True), ("hit_samples", 0, False), ("jitter_rms_px", [0.2, 0.017], True)],
)  # fmt: skip
def test_flags_are_for_the_worse_side_and_for_what_matters(figure: str, value: Any, flagged: bool) -> None:
    assert bool(report_text.run_figures(run_entries(**{figure: value}))["stand_out"]) == flagged


def test_the_markdown_begins_with_the_odd_planets_and_has_the_numbers_of_the_json() -> None:
    entries = run_entries(drift_percent=2.5, hit_samples=417)
    failure = {"planet_id": 99, "visit": 1, "split": "train", "error": "a | b", "seconds": 0.1}
    summary = BuildSummary("out", "abc", 3, {"train": 20}, [failure], 30.0)
    text = report_text.markdown(summary, [*entries, failure])
    assert "Planets that stand out: 1." in text
    [line] = [line for line in text.splitlines() if line.startswith("| 13 | 0 | AIRS")]
    assert "drift 2.5 % of flux" in line
    assert "hits 417 pixel samples" in line
    assert "| 99 | 1 | train | a \\| b |" in text
    assert text.index("stand out") < text.index("## Visits")
    header = next(line for line in text.splitlines() if line.startswith("| planet | visit | channel noise"))
    names = [name.strip() for name in header.strip("|").split("|")]
    assert names[2:] == ["channel noise [of predicted]", "drift [% of flux]", "jitter along rows [px RMS]",
                         "jitter along columns [px RMS]", "hits [pixel samples]"]  # fmt: skip
    start = text.index(header)
    rows = [line.strip("|").split("|") for line in text[start:].splitlines()[2:22]]
    for cells, entry in zip(rows, entries, strict=True):
        found = entry["report"]["quality"][AIRS]
        expected = [found["scatter_over_error"], found["drift_percent"], *found["jitter_rms_px"], found["hit_samples"]]
        assert [cell.strip() for cell in cells[2:]] == [f"{value:.4g}" for value in expected]


def test_the_markdown_of_few_visits_says_at_its_head_too_that_nobody_was_looked_for() -> None:
    entries = run_entries(7)
    text = report_text.markdown(BuildSummary("out", "abc", 3, {"train": 7}, [], 30.0), entries)
    assert "Planets that stand out: not looked for." in text
    assert "Not looked for: 8 visits are needed" in text


def test_the_distribution_of_the_json_is_that_of_its_visits() -> None:
    entries = run_entries()
    drift = [entry["report"]["quality"][AIRS]["drift_percent"] for entry in entries]
    spread = report_text.run_figures(entries)["distribution"][AIRS]["drift_percent"]
    assert spread == pytest.approx(dict(zip(("median", "low", "high"), np.percentile(drift, [50, 5, 95]), strict=True)))


def test_the_figures_are_not_in_the_rows_bytes(tmp_path: Path) -> None:
    planet = planets.sample_planets(1, 1, "2025")
    root = raw_folder.write_folder(tmp_path / "raw", planet, "2025", 60, 1)
    row, _ = reduce_visit(layouts.open_folder(root).visit("train", planet[0].planet_id, 0), ReductionOptions(n_bins=20))
    for name in ("scatter_over_error", "drift_percent", "snr_per_exposure", "hit_rate"):
        assert name not in row["calibration"]
