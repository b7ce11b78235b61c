"""The quickstart's page: a verdict and the planet's spectrum, then what to do next, numbers in words, the road."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ariel_scripts.pages.plots import PPM, detector_figure, spectrum_figure
from ariel_scripts.pages.quickstart import FittedPlanet, fit_figures
from ariel_scripts.report.page import NO_PLANETS, Section, page
from ariel_scripts.report.plots import Array
from modeling_ariel.scoring import BANDS

MODEL, CLASSICAL = "released model", "classical fit"
SEEN = 3.0  # times the error, from which features count as seen


class Measure(NamedTuple):
    """A number of `ariel evaluate` in words: what was measured, in which unit, what is better, and its best value.

    `best`: None where the two answers cannot be ranked by it.
    """

    key: str
    name: str
    better: str
    unit: str = ""
    digits: int = 2
    best: float | None = None
    scale: float = 1.0


MEASURES = (
    Measure(
        "rmse_ppm", "distance from the truth (root mean square)",
        "smaller is better; an atmosphere's features are 50 to some 500 ppm high", "ppm", 0, 0.0,
    ),
    Measure(
        "sigma_median_ppm", "error bar that was claimed (1 σ, typical)",
        "honest if it is about the distance above; larger is too careful, smaller too sure", "ppm", 0,
    ),
    Measure(
        "coverage_90", "truths inside the 90 % band",
        "90 % is honest over many planets; more: bands are too wide, less: too narrow", "%", 0, 90.0, 100.0,
    ),
    Measure(
        "z_spread", "errors over their error bars (spread)",
        "1 is honest over many planets; less: bars are too wide, more: too narrow", "", 2, 1.0,
    ),
    Measure(
        "score_2024", "score of the 2024 challenge",
        "larger is better: 0 is to answer every planet with the mean and spread of that challenge's spectra, "
        "1 is the truth known to 10 ppm", "", 3, 1.0,
    ),
    Measure(
        "score_2025", "score of the 2025 challenge",
        "larger is better: the same channel by channel, most of the weight on FGS1, 1 is the truth known to 10 ppm "
        "(FGS1: 1 ppm)", "", 3, 1.0,
    ),
)  # fmt: skip
ONE_PLANET = ("rmse_ppm", "sigma_median_ppm", "score_2024")  # a planet's channels err together: no coverage of one


class Judged(NamedTuple):
    """A dataset's title and its numbers by the model and by the classical fit."""

    title: str
    model: Mapping[str, Any]
    classical: Mapping[str, Any]
    single: bool


def quickstart_page(
    lead: FittedPlanet,
    frames: str,
    others: Sequence[FittedPlanet],
    judged: Sequence[Judged],
    steps: Sequence[tuple[str, Array]],
    run: Mapping[str, Any],
    folder: str,
) -> str:
    """The HTML; ``lead`` opens it, seen with so many ``frames``; ``folder``: its dataset's name beside the page."""
    caption = (
        "How much of the star's light the planet hides, in millionths (ppm), at each wavelength; molecules hide more "
        "where they absorb (grey stripes). Line: the answer; bands: where the truth should be in 68 % (±1 σ) and 95 % "
        "(±2 σ) of cases; below: how far off the answer is, in its own error bars."
    )
    figure = spectrum_figure(
        f"Planet {lead.planet}, {frames}", lead.wavelengths, lead.alone, lead.answers, lead.truth, caption, 400
    )
    spectra = [
        spectrum_figure(f"Planet {one.planet}", one.wavelengths, one.alone, one.answers, one.truth, _off(one))
        for one in others
    ]
    raw = detector_figure(
        "A raw AIRS-CH0 frame on its way through the calibration",
        steps,
        "The spectrum lies along the columns, its light spreads over the rows. Mean of the first exposures, in "
        "counts, from the second image on in electrons; orange: masked pixels. Each image has a scale of its own, "
        "from dark to bright as its title says.",
    )
    sections = [
        Section("answer", {"figures": [figure]}, template="figures"),
        Section("next", {"dataset": folder, "planet": lead.planet}),
        Section("worth", {"said": worth(judged[0]), "tables": [_table(one) for one in judged]}),
        Section("light", {"figures": fit_figures(lead)}),
        Section("others", {"figures": spectra}),
        Section("detector", {"figures": [raw]}, template="figures"),
    ]
    return page(
        "Ariel quickstart: from raw frames to a spectrum",
        verdict(lead, frames),
        [one for one in sections if one.key != "others" or spectra],
        NO_PLANETS,
        run,
    )


def verdict(lead: FittedPlanet, frames: str) -> str:
    """What the page says first, of the model's spectrum beside the truth and the classical fit."""
    answer, truth = lead.answers[MODEL], lead.truth
    off = answer.depth - truth
    error, other = (_rms(one) for one in (off, lead.answers[CLASSICAL].depth - truth))
    inside, channels = int((np.abs(off) < 2 * answer.error).sum()), truth.size
    airs = PPM * truth[1:]
    height = float(np.ptp(airs))
    molecule = _strongest(lead.wavelengths[1:], airs)
    seen = f"{height / error:.0f} times that error" if height > SEEN * error else "too little to be told at that error"
    whole = "all" if inside == channels else f"{inside} of"
    return (
        f"From {frames} the {MODEL} finds this simulated planet's spectrum to {error:.0f} ppm of the star's light "
        f"(the {CLASSICAL}: {other:.0f} ppm). The truth lies in its ±2 σ band at {whole} {channels} wavelengths. "
        f"The atmosphere's features, highest in the band of {molecule}, span {height:.0f} ppm: {seen}."
    )


def worth(one: Judged) -> str:
    """Which answer is nearer to the truth, and whether its error bars are honest, of many planets."""
    near, far = (float(numbers["rmse_ppm"]) for numbers in (one.model, one.classical))
    nearer = "nearer to" if near < far else "farther from"
    inside = 100 * float(one.model["coverage_90"])
    bars = "too wide" if inside > 95 else "too narrow" if inside < 85 else "about right"
    return (
        f"{one.title}: the {MODEL} is {nearer} the truth than the {CLASSICAL}, {near:.0f} against {far:.0f} ppm; its "
        f"error bars are {bars}: the 90 % band holds {inside:.0f} % of the truths."
    )


def _off(one: FittedPlanet) -> str:
    """How far the answers are off, and what error bars they claimed."""
    said = [
        f"{name}: off by {_rms(answer.depth - one.truth):.0f} ppm, error bars {PPM * np.median(answer.error):.0f} ppm"
        for name, answer in one.answers.items()
    ]
    return f"{'; '.join(said)}. The truth's features span {PPM * np.ptp(one.truth[1:]):.0f} ppm."


def _strongest(wavelengths: Array, depth: Array) -> str:
    """The molecule in whose band the depth (C,) is largest on average."""
    bands = {
        name: depth[(wavelengths >= low) & (wavelengths < high)].mean()
        for name, (low, high) in BANDS.items()
        if low > 1 and "continuum" not in name
    }
    molecule, where = max(bands, key=lambda name: bands[name]).split()
    return f"{molecule.translate(str.maketrans('234', '₂₃₄'))} at {where} µm"


def _rms(off: Array) -> float:
    return PPM * float(np.sqrt(np.mean(off**2)))


def _table(one: Judged) -> dict[str, Any]:
    """Rows of (measure, the model's cell, the classical one's, how to read it); a cell is (text, is better)."""
    rows = []
    for measure in MEASURES:
        if one.single and measure.key not in ONE_PLANET:
            continue
        values = [measure.scale * float(numbers[measure.key]) for numbers in (one.model, one.classical)]
        unit = f" {measure.unit}" if measure.unit else ""
        cells = [(f"{value:.{measure.digits}f}{unit}", False) for value in values]
        if measure.best is not None and cells[0][0] != cells[1][0]:
            best = int(np.argmin([abs(value - measure.best) for value in values]))
            cells[best] = (cells[best][0], True)
        rows.append((measure.name, *cells, measure.better))
    return {"title": one.title, "head": ["what was measured", MODEL, CLASSICAL, "how to read it"], "rows": rows}
