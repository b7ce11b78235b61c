"""The page of an inspected visit, its verdict first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ariel_scripts.pages.inspection import Inspection, RawImage, standardised
from ariel_scripts.pages.inspection_figures import noise_figure, pointing_figure, raw_figure
from ariel_scripts.pages.inspection_verdict import verdict
from ariel_scripts.pages.plots import Curve, curve_figure, map_figure
from ariel_scripts.report.page import NO_PLANETS, Section, page
from ariel_scripts.report.plots import Figure

WORDS = {
    "Rs": "star's radius",
    "Ms": "star's mass",
    "Ts": "star's temperature",
    "Mp": "planet's mass",
    "P": "period",
    "sma": "orbit's size",
    "i": "inclination",
    "e": "eccentricity",
    "true depth": "true depth, mean",
    "depth, AIRS": "fitted depth, AIRS",
    "χ² a point": "fit's χ² a point",
    "impact b": "impact parameter",
}


def inspection_page(what: Inspection, run: Mapping[str, Any]) -> str:
    """The HTML; ``run`` is what made it, shown at the end."""
    found = verdict(what)
    raw = {name: image for name, image in what.images.items() if isinstance(image, RawImage)}
    reasons = list(dict.fromkeys(image for image in what.images.values() if isinstance(image, str)))
    sections = [
        Section("visit", {"worries": found.worries, "figures": _curves(what), "reason": _reason(what)}),
        Section("channels", {"figures": [_map(what), noise_figure(what)]}, template="figures"),
        Section("quality", _quality(what)),
        Section("frames", {"figures": [raw_figure(*one) for one in raw.items()], "reasons": reasons}),
        Section("pointing", {"figures": [pointing_figure(what.time, what.centroid)]}, template="figures"),
    ]
    return page(found.title, found.sentence, sections, NO_PLANETS, run)


def _curves(what: Inspection) -> list[Figure]:
    if isinstance(what.bands, str):
        return []
    curves = {
        one.name: Curve(*(values[one.good] for values in (one.time, one.flux, one.model, one.error)))
        for one in reversed(what.bands)
        if one.good.any()
    }
    caption = (
        "1 is the star out of transit. Each point is a bin of the dataset; the line is a limb-darkened transit with a "
        "slow drift. Below: what is left, in millionths (ppm) of the star's light; shaded: 1 σ of a point."
    )
    return [curve_figure("Light curves of all channels together", curves, caption)] if curves else []


def _reason(what: Inspection) -> str:
    return what.bands if isinstance(what.bands, str) else ""


def _map(what: Inspection) -> Figure:
    image, first = standardised(what)
    caption = (
        "AIRS-CH0's channels over their common light curve, in units of their errors (means of neighbouring bins): "
        "what is left should be noise. Patches of one colour are an instrument, or an atmosphere, at these "
        "wavelengths. Empty: not valid."
    )
    return map_figure(
        "Every channel over time", what.time[first], what.wavelengths[1:], {"": image}, "σ", 5.0, caption
    )  # fmt: skip


def _quality(what: Inspection) -> dict[str, Any]:
    head, *rows = what.table
    marked = [[(cell, (row, column) in what.flagged) for column, cell in enumerate(cells)]
              for row, cells in enumerate(rows, start=1)]  # fmt: skip
    return {
        "head": head,
        "rows": marked,
        "facts": [(WORDS.get(name, name), value) for name, value in what.parameters],
        "of_a_run": "run" in head,
    }
