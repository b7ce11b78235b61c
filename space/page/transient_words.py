"""What is said of a transient: its class in a sentence, how sure that is, and what the model cannot know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from engine.transients import TransientView
from page.words import literal

CLASSES = {"AGN": "an active galactic nucleus", "SN": "a supernova", "TDE": "a tidal disruption event"}
TYPES = {"AGN": "AGN", "TDE": "tidal disruption event", "SN Ia": "supernova Ia", "SN II": "supernova II"}
SURE, LIKELY = 0.9, 0.6
CAUTION = (
    "**The model has only ever seen simulated objects**: black bodies without spectral lines, few kinds of "
    "supernova, redshifts known to 2 %, LSST's cadence. For a real object its answer is a "
    "demonstration, no classification."
)


def label(name: str, kind: str) -> str:
    """A simulated object in the menu."""
    return f"{TYPES.get(kind, kind)} ({name})"


def status(found: TransientView) -> str:
    """The line above the figure."""
    whose = f"simulated {TYPES.get(found.truth, found.truth)}" if found.truth else "yours, seen by you alone"
    far = f"z = {found.redshift:.3f}" if np.isfinite(found.redshift) else "redshift not known"
    bands = ", ".join(found.bands)
    parts = (f"**{literal(found.name)}**", whose, far, f"{found.n_measurements} measurements in {bands}")
    return " · ".join((*parts, f"day 0 is MJD {found.peak:.1f}"))


def verdict(found: TransientView) -> str:
    """The most probable class in a sentence."""
    share, what = found.probability[found.first], CLASSES[found.first]
    if share >= SURE:
        return f"As far as the simulation goes, this is **{what}**."
    if share >= LIKELY:
        return f"This is probably **{what}**, but not surely."
    others = sorted(found.probability, key=lambda name: -found.probability[name])
    return f"The model cannot tell: **{what}** or {CLASSES[others[1]]}."


def of_transient(found: TransientView, scores: Mapping[str, Any]) -> str:
    """Verdict, probabilities, how far they can be trusted."""
    names = sorted(found.probability)
    lines = [
        verdict(found),
        "",
        "| | " + " | ".join(names) + " |",
        "|" + "---|" * (len(names) + 1),
        "| probability | " + " | ".join(f"{found.probability[name]:.1%}" for name in names) + " |",
        "",
        f"- {CAUTION}",
        f"- {_trust(found, scores)}",
    ]
    return "\n".join(lines)


def _trust(found: TransientView, scores: Mapping[str, Any]) -> str:
    """What the model scored on other simulated objects, for those of which as little was known."""
    cases = scores["cases"]
    whole = cases["as simulated"]
    text = (
        f"On {scores['objects']:,} other simulated objects ({scores['disruptions']} disruptions) it had an average "
        f"precision of {whole['average_precision']:.2f} for disruptions and named {whole['accuracy']:.0%} of classes "
        "rightly"
    )
    case = "redshift not known" if not np.isfinite(found.redshift) else ""
    if not case and not {"u", "z", "y"} & set(found.bands):
        case = "bands g, r, i alone"
    return text + (f"; with {case} {cases[case]['average_precision']:.2f}." if case else ".")
