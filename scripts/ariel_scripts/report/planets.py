"""The report's sections on single planets: the table with their spectra, and what calibration did to their frames."""

from __future__ import annotations

from typing import Any

import numpy as np

from ariel_scripts.report import figures, plots, statistics
from ariel_scripts.report.data import Array, Entry, Study
from ariel_scripts.report.page import Section, Table
from ariel_scripts.report.statistics import PPM
from ariel_scripts.report.text import number


def planets(study: Study) -> Section:
    """The table of planets; the page's script draws the one that is chosen."""
    columns = _planet_columns(study)
    order = np.arange(len(study.planets))
    if len(study.labelled):
        key = next(name for name in columns if name.startswith("score 2024"))
        values = np.array([float(text.replace("−", "-")) if text != "–" else np.inf for text in columns[key]])
        order = np.argsort(values, kind="stable")
    rows = [[str(study.planets[i]), *(column[i] for column in columns.values())] for i in order]
    listed = Table(["planet", *columns], rows)
    return Section("planets", {"listed": listed, "labelled": len(study.labelled)})


def _planet_columns(study: Study) -> dict[str, list[str]]:
    """Texts (P,) of the table's columns."""
    columns: dict[str, list[str]] = {}
    several = len(study.entries) > 1
    size, labelled = len(study.planets), study.labelled

    def put(name: str, entry: Entry, values: Array, digits: int) -> None:
        placed = np.full(size, np.nan)
        placed[labelled if len(values) != size else slice(None)] = values
        columns[f"{name} · {entry.name}" if several else name] = [number(value, digits) for value in placed]

    for entry in study.entries:
        if len(labelled):
            truth, mu, sigma = study.judged(entry)
            found = statistics.planet_errors(truth, mu, sigma)
            put("score 2024", entry, statistics.planet_scores(statistics.score_terms(truth, mu, sigma, "2024")), 3)
            if not several:
                put("score 2025", entry, statistics.planet_scores(statistics.score_terms(truth, mu, sigma, "2025")), 3)
            put("RMSE, ppm", entry, found.rmse, 1)
            if not several:
                put("bias, ppm", entry, found.bias, 1)
            put("spread of z", entry, found.z_spread, 2)
            if not several:
                put("in 90 %, %", entry, 100 * found.coverage, 0)
        put("σ, ppm", entry, PPM * np.median(entry.sigma, 1), 1)
        if not several and entry.epistemic is not None and entry.epistemic.any():
            put("σ epistemic, ppm", entry, PPM * np.median(entry.epistemic, 1), 1)
    columns["depth, ppm"] = [number(value, 0) for value in PPM * study.entries[0].mu.mean(1)]
    if np.isfinite(study.star_column("Ts")).any():
        columns["star, K"] = [number(value, 0) for value in study.star_column("Ts")]
    columns["visits"] = [str(count) for count in study.visits]
    for entry in study.entries:
        if entry.status is not None and (not several or set(entry.status) != {"ok"}):
            columns[f"fit · {entry.name}" if several else "fit"] = list(entry.status)
    for entry in study.entries:
        if entry.notes is not None and any(entry.notes):
            columns[f"notes · {entry.name}" if several else "notes"] = [note or "–" for note in entry.notes]
    return columns


def planet_data(study: Study) -> dict[str, Any]:
    """What the page's script draws planets from."""
    several = len(study.entries) > 1
    titles = ["transit depth, ppm", "(μ − truth)/σ"] if len(study.labelled) else ["transit depth, ppm"]
    layout = plots.spectral_layout(study.wavelength, titles, (2.4, 1) if len(titles) > 1 else None)
    if len(titles) > 1:
        layout["yaxis2"]["autorangeoptions"] = {"include": [-3, 3]}
        layout["shapes"] += [plots.level(1, -2), plots.level(1, 2)]
    return {
        "ids": study.planets.tolist(),
        "wavelength": plots.packed(study.wavelength),
        "truth": plots.packed(PPM * study.truth) if len(study.labelled) else None,
        "entries": [
            {
                "name": plots.label(entry.name),
                "mu": plots.packed(PPM * entry.mu),
                "sigma": plots.packed(PPM * entry.sigma),
                "wide": not several,
                "dash": plots.DASHES[place % len(plots.DASHES)],
            }
            for place, entry in enumerate(study.entries)
        ],
        "layout": layout,
    }


# --- calibration ---------------------------------------------------------------------------------------------------


def calibration(study: Study) -> Section | None:
    """Statistics of the calibration steps from the dataset's own column; None where it logs none."""
    values = step_values(study)
    if not values:
        return None
    rows = []
    for (instrument, step, name), found in values.items():
        cells = []
        for state in ("before", "after"):
            known = found[state][np.isfinite(found[state])]
            cells.append(f"{np.median(known):.5g}" if len(known) else "–")
        known = found["after"][np.isfinite(found["after"])]
        spread = f"{known.min():.4g} to {known.max():.4g}" if len(known) else "–"
        rows.append([f"{instrument} {step}", name.replace("_", " "), *cells, spread])
    quantities: dict[str, dict[str, Array]] = {}
    for (instrument, step, name), found in values.items():
        last = found["after"] if np.isfinite(found["after"]).any() else found["before"]
        if step in ("hits", "fill", "extraction") and np.isfinite(last).any():
            quantities.setdefault(f"{step}: {name.replace('_', ' ')}", {})[instrument] = last
    caption = f"Mean over a planet's visits.{study.click}"
    figure = figures.strip("Planet by planet", caption, quantities, study.planets)
    head = ["step", "quantity", "before (median)", "after (median)", "after, from … to …"]
    return Section("calibration", {"figures": [figure], "steps": Table(head, rows)})


def step_values(study: Study) -> dict[tuple[str, str, str], dict[str, Array]]:
    """Numbers "before" and "after" (P,) by (instrument, step, quantity), a mean over visits, NaN where not logged."""
    found: dict[tuple[str, str, str], dict[str, list[list[float]]]] = {}
    size = len(study.planets)
    for place, planet in enumerate(study.planets):
        for log in study.calibration[int(planet)]:
            instruments = log.get("instruments", {}) if isinstance(log, dict) else {}
            for instrument, steps in instruments.items():
                for step in steps:
                    for state in ("before", "after"):
                        for name, value in (step.get(state) or {}).items():
                            if isinstance(value, (int, float)) and not isinstance(value, bool):
                                states = found.setdefault(
                                    (str(instrument), str(step["step"]), str(name)),
                                    {"before": [[] for _ in range(size)], "after": [[] for _ in range(size)]},
                                )
                                states[state][place].append(float(value))
    return {
        key: {
            state: np.array([np.mean(values) if values else np.nan for values in lists])
            for state, lists in states.items()
        }
        for key, states in found.items()
    }
