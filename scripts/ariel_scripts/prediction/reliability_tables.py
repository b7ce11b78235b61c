"""Coverage before and after calibration as CSV and as a heat map, and what calibration gives each channel as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.figure import Figure

from ariel_scripts.prediction.reliability import Array, Judged
from modeling_ariel.uncertainty import LEVELS, bootstrap_means, bounds, gaussian_half_width, z_scores

STATES = ("before", "after", "conformal")
COLUMNS = ("band", "level", *STATES, "change", "change_low", "change_high")
REACH = 20.0  # % from what is stated, at which the map's colours end


def coverage_rows(judged: Judged) -> list[tuple[str | float, ...]]:
    """Rows of COLUMNS by band and level: truths inside intervals of sigma before and after calibration, and of
    conformal ones; the change, conformal less before, with its 90 % interval over planets, drawn in pairs.
    """
    before, after = (np.abs(z_scores(*values)) for values in (judged.before, judged.after))
    rows: list[tuple[str | float, ...]] = []
    for name, channels in judged.bands().items():
        for place, level in enumerate(LEVELS):
            half, wide = gaussian_half_width(level), judged.half_widths[place][:, channels]
            inside = [size[:, channels] <= width for size, width in ((before, half), (after, half), (after, wide))]
            each = [one.mean(1) for one in inside]
            change = each[2] - each[0]
            numbers = (*(one.mean() for one in each), change.mean(), *bounds(bootstrap_means(change)))
            rows.append((name, level, *(round(float(one), 4) for one in numbers)))
    return rows


def coverage_csv(judged: Judged) -> str:
    """`coverage_rows` as CSV."""
    return _csv(COLUMNS, coverage_rows(judged))


def quantiles_csv(wavelength: Array, factor: Array, quantiles: Array) -> str:
    """By channel (C,): the factor on sigma, and the conformal half-widths (L, C) [calibrated sigma]."""
    head = ("channel", "wavelength_um", "factor", *(f"q_{level:g}" for level in LEVELS))
    rows = (
        (place, f"{at:.6g}", *(f"{one:.6g}" for one in numbers))
        for place, (at, numbers) in enumerate(zip(wavelength, np.stack([factor, *quantiles], 1), strict=True))
    )
    return _csv(head, rows)


def _csv(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return text.getvalue()


def coverage_map(judged: Judged) -> Figure:
    """Coverage by band and level, a panel for each of STATES; coloured by what it has more or less than is stated."""
    rows = coverage_rows(judged)
    names = list(judged.bands())
    figure = Figure(figsize=(11, 1.2 + 0.42 * len(names)), layout="constrained")
    for place, (state, axis) in enumerate(zip(STATES, figure.subplots(1, len(STATES), sharey=True), strict=True)):
        found = 100.0 * np.array([row[2 + place] for row in rows], float).reshape(len(names), len(LEVELS))
        drawn = axis.imshow(found - 100.0 * np.array(LEVELS), cmap="RdBu", vmin=-REACH, vmax=REACH, aspect="auto")
        for row, column in np.ndindex(found.shape):
            axis.text(column, row, f"{found[row, column]:.0f}", ha="center", va="center", fontsize=9)
        axis.set_xticks(range(len(LEVELS)), [f"{100 * level:g} %" for level in LEVELS])
        axis.set_yticks(range(len(names)), [name.replace("overall", "all channels") for name in names])
        axis.set_title(f"{state}: truths inside, %", fontsize=10, loc="left")
        axis.set_xlabel("stated")
    figure.colorbar(drawn, ax=figure.axes, label="more or less than stated, %")
    return figure
