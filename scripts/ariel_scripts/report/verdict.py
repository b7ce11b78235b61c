"""What a report says first: whether error bars hold, in which bands not, and which planets to look at."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ariel_scripts.report import honesty, statistics
from ariel_scripts.report.data import Entry, Study
from ariel_scripts.report.honesty import FEWEST, GOOD, NARROW, UNKNOWN, WIDE, Judgement
from ariel_scripts.report.page import Section, Table
from ariel_scripts.report.plots import band_name
from ariel_scripts.report.rules import Broken
from ariel_scripts.report.text import number, with_interval
from hf_dataset.words import number_of
from modeling_ariel.status import TRUSTED


class Piece(NamedTuple):
    """A part of the verdict's sentence, and the section that supports it ("" for none)."""

    text: str
    to: str = ""


class Alarm(NamedTuple):
    """One reason to look at planets: {row: what is said of it}, what is said where they are too many, and the section
    that shows it.
    """

    said: dict[int, str]
    of_all: str = ""
    to: str = ""


def verdict(study: Study, broken: Mapping[str, Broken], shown: Collection[str]) -> Section:
    """The sentence of each entry, planets to look at, and the bands; ``shown``: sections of the page to lead to."""
    said = []
    for place, entry in enumerate(study.entries):
        judged = _judged(study, entry)
        look, of_all = planets_to_look_at(study, entry, broken[entry.name])
        anchor = f"look-{place}"
        count = number_of(len(look), "planet") if look else "no planet"
        last = Piece(f"{count} to look at", anchor if look else "")
        pieces = [*_of_bands(judged, len(study.labelled)), *of_all, last]
        pieces[0] = Piece(pieces[0].text[0].upper() + pieces[0].text[1:], pieces[0].to)
        said.append(
            {
                "name": entry.name if len(study.entries) > 1 else "",
                "anchor": anchor,
                "pieces": [piece if piece.to in {*shown, anchor} else Piece(piece.text) for piece in pieces],
                "look": [(int(study.planets[row]), "; ".join(why)) for row, why in look.items()],
                "bands": _band_table(judged) if judged else None,
            }
        )
    data = {"entries": said, "labelled": len(study.labelled), "listed": study.listed}
    return Section("verdict", data | {"false": honesty.FALSE_CALLS, "factor": honesty.FACTOR})


def _judged(study: Study, entry: Entry) -> list[Judgement]:
    return honesty.judge_bands(*study.judged(entry), study.wavelength) if len(study.labelled) else []


def _of_bands(judged: Sequence[Judgement], planets: int) -> list[Piece]:
    """What is said of error bars, all channels first, then bands by their verdict."""
    if not judged:
        return [Piece("no spectrum is known: whether error bars hold cannot be told")]
    all_, *bands = judged
    held = f"90 % intervals hold {100 * all_.inside.value:.0f} % of the truths"
    ending = {
        NARROW: f": σ is too narrow by {by(all_)}",
        WIDE: f": σ is too wide by {by(all_)}",
        GOOD: ": σ is good",
        UNKNOWN: f", of {number_of(planets, 'planet')}{' only' if planets < FEWEST else ''}: too few to judge σ by",
    }
    pieces = [Piece(held + ending[all_.verdict], "coverage")]
    named = {kind: [one for one in bands if one.verdict == kind] for kind in (GOOD, NARROW, WIDE, UNKNOWN)}
    if named[GOOD]:
        pieces.append(Piece(f"{', '.join(band_name(one.name) for one in named[GOOD])} good", "wavelengths"))
    for kind in (NARROW, WIDE):
        pieces += [Piece(f"{band_name(one.name)} {kind} by {by(one)}", "wavelengths") for one in named[kind]]
    if named[UNKNOWN] and all_.verdict != UNKNOWN:
        several = ", ".join(band_name(one.name) for one in named[UNKNOWN])
        told = f"cannot tell of {several}" if len(named[UNKNOWN]) < len(bands) else "tell of no band by itself"
        pieces.append(Piece(f"{number_of(planets, 'planet')} {told}", "wavelengths"))
    return pieces


def by(one: Judgement) -> str:
    """How many times too narrow or too wide."""
    factor = one.factor.value if one.verdict != WIDE else 1.0 / one.factor.value
    return f"{factor:.2f}" if factor < 1.1 else f"{factor:.1f}"


def _band_table(judged: Sequence[Judgement]) -> Table:
    rows = [
        [
            band_name(one.name) if one.name else "all channels",
            str(one.channels),
            with_interval(one.inside, 1, 100.0),
            with_interval(one.factor, 2),
            one.verdict + (f" by {by(one)}" if one.verdict in (NARROW, WIDE) else ""),
        ]
        for one in judged
    ]
    return Table(["band", "channels", "truths in 90 %, %", "σ lacks a factor of", "verdict"], rows)


# --- planets -------------------------------------------------------------------------------------------------------


def planets_to_look_at(study: Study, entry: Entry, broken: Broken) -> tuple[dict[int, list[str]], list[Piece]]:
    """Reasons by row, the planets with most first; and what so many planets share that it says something of all."""
    size = len(study.planets)
    found: dict[int, list[str]] = {}
    of_all = []
    for alarm in (_far(study, entry), _fit(entry), *_entropy(entry), *_rules(broken)):
        if honesty.common(list(alarm.said), size):
            of_all.append(Piece(f"{alarm.of_all} in {len(alarm.said)} of {size} planets", alarm.to))
        else:
            for row, text in alarm.said.items():
                found.setdefault(row, []).append(text)
    order = sorted(found, key=lambda row: -len(found[row]))
    return {row: found[row] for row in order}, of_all


def _far(study: Study, entry: Entry) -> Alarm:
    """Planets farther from the truth than any honest one of so many goes."""
    known = study.labelled
    if not len(known):
        return Alarm({})
    size = statistics.planet_errors(*study.judged(entry)).z_spread
    limit = honesty.farthest_expected(len(known))
    rows = [place for place in np.argsort(-size, kind="stable") if size[place] > limit]
    return Alarm(
        {int(known[place]): f"off by {number(size[place])} σ (honest ones stay below {limit:.1f})" for place in rows},
        f"errors above {limit:.1f} σ",
        "coverage",
    )


def _fit(entry: Entry) -> Alarm:
    said = {}
    for row, status in enumerate(entry.status or ()):
        if status not in TRUSTED:
            note = entry.notes[row] if entry.notes else ""
            said[row] = f"fit {status.replace('_', ' ')}" + (f": {note}" if note else "")
    return Alarm(said, "doubtful fits", "summary")


def _entropy(entry: Entry) -> list[Alarm]:
    """Planets that the model is far less or far more sure of than of the others."""
    values = honesty.entropy(entry.sigma)
    side, middle = honesty.outlying(values), float(np.median(values))
    alarms = []
    for sign, word in ((1, "high"), (-1, "low")):
        text = f"entropy alarm: {word}, σ %s times the median planet's"
        said = {int(row): text % f"{np.exp(values[row] - middle):.2g}" for row in np.flatnonzero(side == sign)}
        alarms.append(Alarm(said, f"entropy alarm: {word}", "planets"))
    return alarms


def _rules(broken: Broken) -> list[Alarm]:
    """Planets that break a rule of physics."""
    alarms = []
    for name, column in zip(broken.names, broken.broken.T, strict=True):
        said = {int(row): f"breaks {name}" for row in np.flatnonzero(column)}
        alarms.append(Alarm(said, f"{name} broken", "rules" if broken.asked else "shapes"))
    return alarms
