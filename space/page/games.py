"""The games' answers: would more transits find it, and which molecule is it? A session's votes are its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from engine import guess
from engine.forecast import FLOOR, MOST, Forecast
from engine.guess import Reveal, Round
from engine.inference import Engine
from engine.memo import Memo
from engine.verdict import HINTED, STANDS_OUT
from hf_dataset.simulation.opacities import SPECIES
from page import figures
from page.answers import plot
from page.games_figures import forecast_figure, reveal_figure
from page.links import Settings
from page.theme import Theme
from page.verdicts import FORMULAS, NAMES, listed

NOTHING = "none"  # the pick that no molecule stands out
ROUNDS_KEPT = 200
LIKELY, UNLIKELY = 0.84, 0.16  # chances from which the answer is yes, or no
PPM = 1e6
QUESTION = (
    "**{name}.** A planet in no list, seen in one transit. Which molecules stand out of its spectrum? The lanes above "
    "it show where each absorbs. Tick them, or that none does, and guess."
)


@dataclass(frozen=True)
class Vote:
    """A guess and what it was worth."""

    picks: tuple[str, ...]
    right: bool
    verdict_right: bool


Votes = Mapping[tuple[int, int], Vote]


class Games:
    """Answers over one engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._rounds: Memo[Round] = Memo(ROUNDS_KEPT)

    # --- more transits -----------------------------------------------------------------------------------------------

    def forecast_view(self, rows: Sequence[Mapping[str, Any]], settings: Settings, theme: Theme) -> tuple[Any, ...]:
        """Words and figure; words alone where nothing was fitted."""
        try:
            found = self.engine.forecast(rows, settings.molecule)
        except ValueError as error:
            return f"⚠ {error}.", None
        transits = in_all(found, settings.more)
        file = f"transits-{settings.molecule}"
        return of_forecast(found, settings.more), plot(forecast_figure(found, transits, theme), file)

    # --- guess the molecule ------------------------------------------------------------------------------------------

    def round(self, series: int, number: int) -> Round:
        """A round; ValueError where there is none."""
        return self._rounds.get((series, number), lambda: guess.draw(series, number))

    def reveal(self, series: int, number: int, picks: Sequence[str]) -> Reveal:
        """The truth of a round, for a guess."""
        return guess.reveal(self.engine, self.round(series, number), [one for one in picks if one != NOTHING])

    def guess_view(self, settings: Settings, votes: Votes, theme: Theme) -> tuple[Any, ...]:
        """Figure, words, picks, button and score of a round: the truth only where it was voted on."""
        found, vote = self.round(settings.series, settings.round), votes.get((settings.series, settings.round))
        file = f"guess-{settings.series}-{settings.round}"
        if vote is None:
            seen = self.engine.spectrum(guess.observe(found))
            figure = figures.spectrum_figure(seen, "ppm", theme)
            return (
                plot(figure, file),
                QUESTION.format(name=found.name),
                gr.CheckboxGroup(interactive=True),
                gr.Button(interactive=True),
                score(votes),
            )
        told = self.reveal(settings.series, settings.round, vote.picks)
        return (
            plot(reveal_figure(told, theme), file),
            of_reveal(told),
            gr.CheckboxGroup(value=list(vote.picks) or [NOTHING], interactive=False),
            gr.Button(interactive=False),
            score(votes),
        )

    def vote(self, picks: Sequence[str], series: float, number: float, votes: Votes | None) -> Votes:
        """The session's votes with one more; the first of a round counts. ValueError for no pick, or none and some."""
        place = int(series or 1), int(number or 1)
        if not picks:
            raise ValueError("Guess: expected the molecules that stand out, or “none”, found nothing ticked")
        if NOTHING in picks and len(picks) > 1:
            raise ValueError("Guess: expected molecules or “none”, found both")
        if votes and place in votes:
            return votes
        told = self.reveal(*place, picks)
        return {**(votes or {}), place: Vote(told.picks, told.right, told.verdict_right)}


# --- words -----------------------------------------------------------------------------------------------------------


def in_all(found: Forecast, more: int) -> int:
    """Observed and further transits, of which the curve goes to MOST."""
    return min(found.n_observed + more, MOST)


def of_forecast(found: Forecast, more: int) -> str:
    """The answer in one sentence; what is known now; when it would be enough; what the simulator leaves out."""
    transits = in_all(found, more)
    more = transits - found.n_observed
    formula, name, size = FORMULAS[found.molecule], NAMES[found.molecule], found.at(transits)
    likely = found.chance(transits)
    answer = "Very likely" if likely >= LIKELY else "Hardly" if likely < UNLIKELY else "Perhaps"
    needed = found.needed()
    enough = (
        f"{STANDS_OUT:g} σ are expected in {_transits(needed)}"
        if needed
        else f"Not even {MOST} are expected to reach {STANDS_OUT:g} σ"
    )
    floored = found.at(transits, floored=True)
    lines = [
        f"**Would {further(more)} find the {name}? {answer}: {formula} is expected to stand out "
        f"by {size:.1f} ± {found.spread:.1f} σ in {_transits(transits)}, by {STANDS_OUT:g} σ or more with a chance of "
        f"{_chance(likely)}.**",
        f"In the {_transits(found.n_observed)} observed it stands out by {found.observed:.1f} σ. {enough}.",
        f"The simulated noise has no floor, so σ grows with the root of the transits. A real star's spots and a "
        f"detector's memory need not average: with a floor of {FLOOR * PPM:.0f} ppm common to all transits (dashed) it "
        f"would be {floored:.1f} σ, and level off.",
        "Expected is what the planet's true spectrum gives."
        if found.truthful
        else "The truth is not known: expected is what the model's spectrum gives, which the prior may have smoothed.",
    ]
    return "\n\n".join(lines)


def further(more: int) -> str:
    """`one more transit`, `3 more transits`."""
    return f"{more if more > 1 else 'one'} more transit{'s' * (more > 1)}"


def _transits(number: int) -> str:
    return f"{number} transits" if number > 1 else "one transit"


def _chance(value: float) -> str:
    return "over 99%" if value > 0.99 else "under 1%" if value < 0.01 else f"{value:.0%}"


def of_reveal(found: Reveal) -> str:
    """Right or wrong; what is in the air and how far it shows; what the verdict of the data says."""
    guessed = listed([FORMULAS[name] for name in found.picks]) if found.picks else "none"
    said = listed([f"{FORMULAS[name]} ({found.verdict.molecules[name]:.1f} σ)" for name in found.by_verdict])
    rows = ["| | in the air | expected | found |", "|---|---|---|---|"]
    for name in SPECIES:
        size, seen = found.shows[name], found.verdict.molecules.get(name, float("nan"))
        state = "yes" if name in found.round.present else "no"
        rows.append(f"| {FORMULAS[name]} | {state} | {size:.1f} σ | {seen:.1f} σ |")
    return "\n\n".join(
        [
            f"**{'Right' if found.right else 'Not quite'}.** You guessed {guessed}. {_truth(found)}",
            f"The verdict of the light curves: {said or 'none'}; {'right' if found.verdict_right else 'not right'}.",
            "\n".join(rows),
            f"Right is to name all that is expected to stand out by {STANDS_OUT:g} σ, and none below {HINTED:g} σ.",
        ]
    )


def _truth(found: Reveal) -> str:
    shows = [name for name in found.round.present if found.shows[name] >= HINTED]
    hidden = [name for name in found.round.present if name not in shows]
    parts = [f"{listed([NAMES[name] for name in shows])} can be seen" if shows else "no molecule can be seen"]
    parts += [
        f"{listed([NAMES[name] for name in hidden])} {'are' if len(hidden) > 1 else 'is'} there, but hidden"
    ] * bool(hidden)
    return f"In its air {'; '.join(parts)}."


def score(votes: Votes) -> str:
    """The session's score, beside that of the verdict."""
    if not votes:
        return "No guess yet."
    right, by_verdict = (sum(getattr(one, name) for one in votes.values()) for name in ("right", "verdict_right"))
    return f"**Score: {right} of {len(votes)}**; the verdict of the light curves: {by_verdict} of {len(votes)}."
