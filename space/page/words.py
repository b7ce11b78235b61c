"""Texts beside the figures: short, in the reader's units, and the figures' text alternative."""

from __future__ import annotations

import re

import numpy as np

from engine.air_map import AirMap
from engine.records import Attribution, LightCurves, RawView, Reliability
from engine.sigma_parts import LEARNED, SigmaParts
from engine.spectrum import Spectrum
from engine.verdict import shape_error

PPM = 1e6
STATUS = {
    "ok": "fit ok",
    "doubtful": "the curve is not as the fit assumes: do not rely on the error bars",
    "partial": "part of the transit lies outside the window",
    "no_transit": "no transit found: this is the prior's answer",
    "failed": "fit failed: this is the prior's answer",
}
_SCORES = (
    ("score_2024", "2024 score", ".2f"),
    ("rmse_ppm", "RMSE, ppm", ".0f"),
    ("shape_ppm", "shape alone", ".0f"),
    ("sigma_median_ppm", "median σ, ppm", ".0f"),
    ("coverage_90", "inside 90 % band", ".0%"),
)


def literal(text: str) -> str:
    """Text of a user or a link, escaped for Markdown: it fetches no image and makes no link."""
    return re.sub(r"([\\`*_{}\[\]()<>#+!|~&:])", r"\\\1", text)


def of_spectrum(found: Spectrum, truthful: bool) -> str:
    """Scores where the truth is known, else the width of the band; then notes, which a bad fit has at the top."""
    scores = {of: found.scores(of) for of in ("model", "classical")} if truthful else {}
    if scores.get("model"):
        for of, mean in (("model", found.mean), ("classical", found.classical_mean)):
            scores[of] |= {"shape_ppm": shape_error(found, mean)}
        lines = ["| | " + " | ".join(title for _, title, _ in _SCORES) + " |", "|" + "---|" * (len(_SCORES) + 1)]
        for of, values in scores.items():
            lines.append(f"| {of} | " + " | ".join(f"{values[name]:{form}}" for name, _, form in _SCORES) + " |")
    else:
        model, classical = (np.median(sigma) * PPM for sigma in (found.sigma, found.classical_sigma))
        lines = [f"The truth is not known. Median σ: model **{model:.0f} ppm**, classical fit **{classical:.0f} ppm**."]
    if found.resolution:
        lines += ["", f"{len(found.mean)} bins of λ/Δλ = {found.resolution:g}; scores are of the bins."]
    if found.status == "ok":
        lines += [f"\n- {text}" for text in found.notes if text]
    return "\n".join(lines)


_PARAMETERS = {  # of a fit, in the order of the text
    "mid_transit_h": ("mid-transit at {:.2f} h", 1.0),
    "impact_parameter": ("impact parameter {:.2f}", 1.0),
    "white_depth": ("white-light depth {:,.0f} ppm", PPM),
    "signal_to_noise": ("{:,.0f} times its error", 1.0),
    "jitter_ppm": ("noise beyond the stated errors {:.0f} ppm", 1.0),
}


def of_curves(found: LightCurves) -> str:
    """How well the fit describes this visit."""
    facts = [
        words.format(found.parameters[name] * factor)
        for name, (words, factor) in _PARAMETERS.items()
        if np.isfinite(found.parameters.get(name, np.nan))
    ]
    text = f"Visit {found.visit + 1}: " + ", ".join([STATUS.get(found.status, found.status), *facts]) + "."
    if found.note:
        text += f" {found.note}."
    return text + " Red: transit with drift; orange dots: drift alone; ±: scatter of the residuals."


def of_air(found: AirMap | None) -> str:
    """What one sees in the map of the air."""
    if found is None:
        return "No transit is fitted, so none can be taken away."
    text = (
        "The white transit is taken away: between the dotted lines, red wavelengths are those at which the planet's "
        "air hides more light than on average, blue ones less; outside, there is noise alone."
    )
    height = np.where(found.depth_error > 0, found.depth / found.depth_error, 0.0)
    place = int(np.nanargmax(height))
    return (
        f"{text} The surest: {found.depth[place] * PPM:+.0f} ± {found.depth_error[place] * PPM:.0f} ppm at "
        f"{found.wavelength_um[place]:.2f} µm."
    )


def of_raw(found: RawView | None) -> str:
    """What the detector's images show, or why there are none."""
    if found is None:
        return (
            "No raw frames here: this planet came as light curves. Choose a planet whose name says *raw frames*, or "
            "upload one planet's raw folder as a zip."
        )
    return (
        "AIRS-CH0 before and after each step (long wavelengths left), the trace (solid), the aperture that is summed "
        "(dashed) and where the foreground is taken (dotted); masked pixels are empty. FGS1 with aperture and annulus."
    )


_PART_WORDS = {"prior": "what the data leave to the prior", "network": "the network's own doubt"}


def of_parts(found: SigmaParts) -> str:
    """How much of σ is photon noise and what adds to it, in one sentence; and what the prior saves."""
    sigma, alone = (float(np.median(values[found.airs])) * PPM for values in (found.sigma, found.alone))
    if not found.fitted:
        return f"No transit is fitted: all of the **{sigma:.0f} ppm** (median σ) is the prior's."
    shares = dict(found.shares)
    photons, learned = shares.pop("photon noise"), shares.pop(LEARNED)
    others = [
        f"{_PART_WORDS.get(name, name)} ({_percent(share)})"
        for name, share in sorted(shares.items(), key=lambda item: -item[1])
    ]
    change = "saves" if learned < 0 else "adds"
    return (
        f"Of the **{sigma:.0f} ppm** (median σ), **{sigma * photons**0.5:.0f} ppm** are photon noise, {photons:.0%} of "
        f"σ²; the rest is {', '.join(others)}; what the network learned {change} {_percent(abs(learned))}.\n\n"
        f"The prior over spectra saves most: the light curves alone leave ±{alone:.0f} ppm in each channel. Parts add "
        "up in σ², not in σ. What two of them cause together is shared evenly; photon noise includes the detector's."
    )


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.005 else "less than 1%"


def of_why(found: Attribution, spectrum: Spectrum) -> str:
    """What the width of the band is due to."""
    share = float(np.median(found.epistemic_share))
    epistemic = f"{share:.0%}" if share >= 0.01 else "less than 1 %"
    text = (
        f"Median σ {np.median(spectrum.sigma) * PPM:.0f} ppm; {epistemic} of the variance is epistemic (spread over "
        "dropout), the rest noise and what the fit and its priors leave open."
    )
    time, rest = np.expm1(found.time_sigma), np.expm1(found.band_rest_sigma)
    if np.max(time, initial=0.0) > 0:
        low, high = found.time_edges_h[(part := int(np.argmax(time))) : part + 2]
        text += f" Of stretches of time, {low:.1f}–{high:.1f} h matters most: without it σ grows by {time[part]:.0%}."
    if np.max(rest, initial=0.0) >= 0.005:
        band = int(np.argmax(rest))
        text += f" Of bands, {found.band_names[band]}: without it σ elsewhere grows by {rest[band]:.0%}."
    return f"{text}\n\n{found.method}"


def of_reliability(found: Reliability) -> str:
    """Whether the error bars of this checkpoint were right."""
    return (
        f"{found.source[:1].upper()}{found.source[1:]}. Spread of (μ − truth)/σ: **{found.z_spread:.2f}**; 1 says that "
        "the error bars are honest, more that they are too small."
    )


def of_conditions(simulated: bool, n_visits: int) -> str:
    """Which conditions are possible: all for a simulated planet, only worse data for other light curves."""
    if simulated:
        return "This planet is simulated again with the same random draws: only what you change differs."
    return (
        "These light curves cannot be simulated again, so data can only get worse: noise from × 1 up, at most "
        f"{n_visits} transit{'s' * (n_visits > 1)}, channels hidden; the drift stays as it is."
    )


def of_what_if(now: Spectrum, observed: Spectrum, verdicts: tuple[str, str]) -> str:
    """How much wider the band became, and the ``verdicts`` before and after."""
    before, after = (float(np.median(found.sigma)) * PPM for found in (observed, now))
    change = after / before - 1.0
    if abs(change) < 0.005:
        verdict = "as it was"
    else:
        verdict = f"{abs(change):.0%} {'wider' if change > 0 else 'narrower'}"
    lines = [f"Median σ: **{before:.0f} → {after:.0f} ppm**, {verdict}."]
    scores = now.scores("model")
    if scores:
        lines.append(
            f"2024 score {observed.scores('model').get('score_2024', float('nan')):.2f} → {scores['score_2024']:.2f}."
        )
    lines += [text for text in now.notes if text]
    rows = [f"| {when} | {one} |" for when, one in zip(("before", "now"), verdicts, strict=True)]
    return "\n".join([" ".join(lines), "", "| | |", "|---|---|", *rows])
