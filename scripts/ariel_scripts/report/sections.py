"""The report's sections on predictions as a whole: scores, errors, honesty, shapes."""

from __future__ import annotations

import numpy as np

from ariel_scripts.prediction.reliability import molecular_bands
from ariel_scripts.report import figures, honesty, honesty_figures, shape_figures, statistics
from ariel_scripts.report.data import Array, Study
from ariel_scripts.report.maps import Shade, planet_map
from ariel_scripts.report.page import Section, Table
from ariel_scripts.report.plots import band_name, label
from ariel_scripts.report.rules import Broken, drawn_over
from ariel_scripts.report.statistics import PPM
from ariel_scripts.report.text import NAMES, PENALTY_NAMES, named_estimate, number, with_interval
from modeling_ariel.status import count_statuses, counts_text
from modeling_ariel.uncertainty import coverage_curve

FEW = 20  # planets: a bootstrap of fewer knows too little of the tails


# --- score ---------------------------------------------------------------------------------------------------------


def summary(study: Study, seed: int) -> Section:
    """How the fits ended; both scores and the errors of each entry, with intervals."""
    fits = {
        entry.name: counts_text(count_statuses(entry.status)) for entry in study.entries if entry.status is not None
    }
    data = {"draws": statistics.N_DRAWS, "labelled": len(study.labelled), "few": FEW, "fits": fits}
    if not len(study.labelled):
        return Section("summary", data)
    found = {entry.name: statistics.summary(*study.judged(entry), seed) for entry in study.entries}
    rows = [[NAMES[key], *(named_estimate(key, one) for one in found.values())] for key in NAMES]
    shown = []
    if len(found) > 1:
        scores = {
            NAMES[key]: {name: (one[key].value, one[key].low, one[key].high) for name, one in found.items()}
            for key in ("score_2024", "score_2025")
        }
        caption = "Points: score; bars: 90 % interval over planets. Intervals of entries that err on the same planets "
        caption += "may overlap and yet differ surely: see the comparison in pairs."
        shown.append(figures.intervals("Scores", caption, scores))
    return Section("summary", data | {"errors": Table(["", *found], rows), "figures": shown})


def comparison(study: Study, seed: int) -> Section:
    """Every other entry against the first, in pairs of planets."""
    first, *others = study.entries
    truth, mu, sigma = study.judged(first)
    base = {year: statistics.score_terms(truth, mu, sigma, year) for year in ("2024", "2025")}
    errors = statistics.planet_errors(truth, mu, sigma)
    rows, shown, which = [], [], study.planets[study.labelled]
    before = statistics.planet_scores(base["2024"])
    for other in others:
        cells = []
        for year in ("2024", "2025"):
            terms = statistics.score_terms(*study.judged(other), year)
            gap, better = statistics.score_difference(base[year], terms, seed)
            cells += [with_interval(gap, 4), f"{100 * better:.0f} %"]
        found = statistics.planet_errors(*study.judged(other))
        ratio = statistics.estimate(np.stack([errors.rmse**2, found.rmse**2], 1), _rmse_ratio, seed)
        after = statistics.planet_scores(statistics.score_terms(*study.judged(other), "2024"))
        cells += [with_interval(ratio, 3), f"{100 * (after > before).mean():.0f} %"]
        rows.append([other.name, *cells])
        x, y = (np.clip(values, -0.5, 1.0) for values in (before, after))
        title = f"{other.name} against {first.name}, planet by planet"
        caption = f"Above the line the other entry is better. Scores of lost planets are drawn at −0.5.{study.click}"
        names = (f"score 2024, {label(first.name)}", f"score 2024, {label(other.name)}")
        shown.append(
            figures.scatter(
                title, caption, (names[0], x), (names[1], y), which, {"": np.full(len(which), np.nan)}, diagonal=True
            )
        )
    head = ["", "score 2024", "better", "score 2025", "better", "RMSE ratio", "planets better"]
    return Section("comparison", {"first": first.name, "differences": Table(head, rows), "figures": shown})


def _rmse_ratio(means: Array) -> Array:
    return np.sqrt(means[..., 1] / means[..., 0])


# --- errors --------------------------------------------------------------------------------------------------------


def wavelengths(study: Study, seed: int) -> Section:
    """Errors and sigma by channel and by molecular band."""
    bands: dict[str, Table] = {}
    if not len(study.labelled):
        middle = {entry.name: PPM * np.median(entry.sigma, 0) for entry in study.entries}
        figure = figures.sigma_by_wavelength(study.wavelength, middle)
        return Section("wavelengths", {"figures": [figure], "bands": bands})
    curves: dict[str, dict[str, dict[str, Array]]] = {"root mean square": {}, "median planet": {}}
    for entry in study.entries:
        truth, mu, sigma = study.judged(entry)
        error, z = PPM * (mu - truth), (mu - truth) / sigma
        curves["root mean square"][entry.name] = {
            "sigma": PPM * np.sqrt((sigma**2).mean(0)),
            "error": statistics.by_channel(error**2, root=True, seed=seed),
            "bias": statistics.by_channel(error, seed=seed),
            "z_spread": statistics.by_channel(z**2, root=True, seed=seed),
        }
        curves["median planet"][entry.name] = {
            "sigma": PPM * np.median(sigma, 0),
            "error": statistics.median(np.abs(error)) / statistics.MEDIAN_OF_ABS,
            "bias": statistics.median(error),
            "z_spread": statistics.median(np.abs(z)) / statistics.MEDIAN_OF_ABS,
        }
    keys = ("rmse_ppm", "sigma_ppm", "bias_ppm", "coverage_90", "z_spread")
    for entry in study.entries:
        rows = []
        truth, mu, sigma = study.judged(entry)
        for name, inside in molecular_bands(study.wavelength).items():
            found = statistics.errors(truth[:, inside], mu[:, inside], sigma[:, inside], seed)
            cells = [str(int(inside.sum())), *(named_estimate(key, found) for key in keys)]
            rows.append([band_name(name), *cells])
        bands[entry.name] = Table(["band", "channels", *(NAMES[key] for key in keys)], rows)
    figure = figures.errors_by_wavelength(study.wavelength, curves)
    return Section("wavelengths", {"figures": [figure], "bands": bands})


def coverage(study: Study) -> Section:
    """Error bars by band, coverage curves and maps, histograms of z."""
    judged = {entry.name: study.judged(entry) for entry in study.entries}
    bands = {name: honesty.judge_bands(*values, study.wavelength) for name, values in judged.items()}
    shown = [
        honesty_figures.factor_figure(bands),
        honesty_figures.coverage_map(judged, study.wavelength),
        figures.coverage({name: coverage_curve(*values) for name, values in judged.items()}),
        honesty_figures.z_by_band(judged, study.wavelength),
    ]
    return Section("coverage", {"figures": shown})


def likelihood(study: Study) -> Section:
    """The heat map of log-likelihoods."""
    losses = {entry.name: statistics.lost(*study.judged(entry)) for entry in study.entries}
    order = np.argsort(-losses[study.entries[0].name].sum(1), kind="stable")
    sorted_ = {name: loss[order] for name, loss in losses.items()}
    caption = (
        "A right depth with σ of 27 ppm loses 1 nat, with 74 ppm 2, an error of 3 σ 4.5 more: a dark row is a lost "
        "planet, a dark column a wavelength that the model gets wrong."
    )
    title, shade = "Log-likelihood lost by planet and wavelength", Shade("nats lost", 6.0, 0.01)
    planets = study.planets[study.labelled][order]
    shown = planet_map(title, caption, study.wavelength, planets, sorted_, shade, "planets, most lost first")
    return Section("likelihood", {"figures": [shown], "click": study.click})


def shapes(study: Study, broken: dict[str, Broken], seed: int = 0) -> Section:
    """Smoothness, power, errors that neighbours share, and physics penalties."""
    known = study.labelled
    same = known if len(known) else np.arange(len(study.planets))  # μ is compared with the truth of the same planets
    curves: list[tuple[str, Array, int | None, str]] = []
    rows, penalties = [], []
    frequency, _ = statistics.power(np.zeros((1, len(study.wavelength) - 1)))
    if len(known):
        truth = PPM * study.truth[known, 1:]
        curves.append(("truth", statistics.power(truth)[1], None, "solid"))
        rows.append(["truth", number(np.median(statistics.roughness(truth)), 2), "–"])
    for place, entry in enumerate(study.entries):
        curves.append((f"{entry.name}: μ", statistics.power(PPM * entry.mu[same, 1:])[1], place, "solid"))
        residual = np.nan
        if len(known):
            errors = PPM * (entry.mu[known, 1:] - study.truth[known, 1:])
            curves.append((f"{entry.name}: μ − truth", statistics.power(errors)[1], place, "dot"))
            residual = float(np.median(statistics.roughness(errors)))
        smooth = np.median(statistics.roughness(PPM * entry.mu[same, 1:]))
        rows.append([entry.name, number(smooth, 2), number(residual, 2)])
        terms = statistics.penalty_terms(entry.mu, entry.sigma)
        cells = []
        for name, limit in statistics.PENALTIES.items():
            each = np.nanmean(terms[name], 1)
            cells += [f"{each.mean():.3g}", str(int((each > limit).sum()))]
        penalties.append([entry.name, *cells])
    head = ["", "roughness of μ (median), ppm", "of μ − truth, ppm"]
    named = [cell for name in statistics.PENALTIES for cell in (PENALTY_NAMES[name], "planets beyond")]
    shown = [shape_figures.power_spectra(frequency, curves, "spectra")]
    if len(known):
        judged = {entry.name: study.judged(entry) for entry in study.entries}
        shown.append(shape_figures.shared_errors(judged))
        if len(known) >= shape_figures.FEWEST:
            truth, mu, _ = judged[study.entries[0].name]
            shown.append(shape_figures.residual_kinds(study.planets[known], PPM * (mu - truth)[:, 1:], seed))
    spectra = {entry.name: (study.truth, entry.mu, entry.sigma) for entry in study.entries}
    shown.append(shape_figures.bend_map(study.wavelength, study.planets, spectra))
    if not any(one.asked for one in broken.values()) and (over := drawn_over(study, broken)) is not None:
        shown.append(over)
    data = {
        "figures": shown,
        "roughness": Table(head, rows),
        "planets": len(study.planets),
        "penalties": Table(["", *named], penalties),
    }
    return Section("shapes", data)
