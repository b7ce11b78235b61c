"""Guess the molecule: simulated planets in no list, whose air is told only after a guess.

A series has ten rounds; series and round decide planet and air, so a link opens the same one for a whole class. Each
planet is drawn from the simulator's population with some molecules left out of its air, and drawn again until what is
meant to show does, and nothing else: by white noise alone, before any fit. Now and then nothing is meant to show.

The light curves that are fitted carry no truth, so that no answer before the guess can tell of it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.spectrum import FGS1_BELOW_UM, Array, Spectrum
from engine.verdict import HINTED, STANDS_OUT, Verdict, expected
from hf_dataset.simulation import light_curves
from hf_dataset.simulation.opacities import SPECIES
from hf_dataset.simulation.planets import Planet, sample_planets
from hf_dataset.simulation.telescope import wavelengths_um

if TYPE_CHECKING:
    from engine.inference import Engine

ROUNDS, MOST_SERIES = 10, 9999
SEED = 20290713
COMMON = ("H2O", "CO2", "CH4")  # CO and NH3 are traces in the simulator, and hardly ever show
NONE, ONE = 0.15, 0.65  # share of rounds in which nothing, and at most one molecule, is meant to show
SHOWS, HIDDEN, PLAIN = 6.0, 1.5, 60.0  # [σ] of white noise: what is meant to show, what is not, what is too easy
TRIES = 60
NOISE = 190e-6  # depth: typical error of a channel


@dataclass(frozen=True, eq=False)
class Round:
    """A planet, the molecules in its air, and its spectrum (C,) without each of them."""

    series: int
    number: int
    planet: Planet
    present: tuple[str, ...]
    without: Mapping[str, Array]

    @property
    def name(self) -> str:
        """For titles; it tells nothing of the planet."""
        return f"Round {self.number} of series {self.series}"


@dataclass(frozen=True, eq=False)
class Reveal:
    """The truth of a round and what a guess is worth.

    ``shows``: σ by which each molecule is expected to stand out of the true spectrum; ``picks``, the guess, is right if
    it has all that stand out by STANDS_OUT and none that stands out by less than HINTED. ``by_verdict``: the molecules
    that stand out by the data, judged likewise.
    """

    round: Round
    spectrum: Spectrum  # with the truth
    shows: Mapping[str, float]
    verdict: Verdict
    picks: tuple[str, ...]

    @property
    def right(self) -> bool:
        """Whether the guess is."""
        return self._holds(self.picks)

    @property
    def by_verdict(self) -> tuple[str, ...]:
        """What the verdict says stands out."""
        return tuple(self.verdict.between(STANDS_OUT))

    @property
    def verdict_right(self) -> bool:
        """Whether the verdict is."""
        return self._holds(self.by_verdict)

    def _holds(self, picks: Collection[str]) -> bool:
        missed = [name for name, size in self.shows.items() if size >= STANDS_OUT and name not in picks]
        wrong = [name for name in picks if self.shows[name] < HINTED]
        return not missed and not wrong


def check(series: int, number: int) -> None:
    """ValueError where there is no such round."""
    if not 1 <= series <= MOST_SERIES:
        raise ValueError(f"series: expected 1 to {MOST_SERIES}, found {series}")
    if not 1 <= number <= ROUNDS:
        raise ValueError(f"round: expected 1 to {ROUNDS}, found {number}")


def draw(series: int, number: int) -> Round:
    """The round's planet."""
    check(series, number)
    rng = np.random.default_rng([SEED, series, number])
    kind = rng.random()
    count = 0 if kind < NONE else 1 if kind < ONE else 2
    wanted = set(rng.permutation(COMMON)[:count].tolist())
    tried: list[tuple[float, Round]] = []
    for _ in range(TRIES):
        seed = int(rng.integers(2**31))
        extra = {name for name in SPECIES if name not in COMMON and rng.random() < 0.5}
        if not count:  # something may be in the air, and not show
            extra |= {name for name in COMMON if rng.random() < 0.5}
        present = tuple(name for name in SPECIES if name in wanted | extra)
        found = _drawn(series, number, seed, present)
        tried.append((_lacking(found, wanted), found))
        if not tried[-1][0]:
            break
    return min(tried, key=lambda one: one[0])[1]


def _drawn(series: int, number: int, seed: int, present: tuple[str, ...]) -> Round:
    def with_only(names: Collection[str]) -> Planet:
        return sample_planets(1, seed, "2025", [name for name in SPECIES if name not in names])[0]

    planet = with_only(present)
    without = {name: _below(with_only(set(present) - {name}).spectrum, planet.spectrum) for name in present}
    return Round(series, number, planet, present, without)


def _below(without: Array, spectrum: Array) -> Array:
    """The spectrum without a molecule, at the level at which taking it away only lowers it: its own is arbitrary."""
    airs = wavelengths_um("2025") >= FGS1_BELOW_UM
    return np.asarray(without - (without - spectrum)[airs].max())


def _lacking(found: Round, wanted: Collection[str]) -> float:
    """How far from what is meant to show, in ln σ; 0 where all does, and nothing else."""
    airs = wavelengths_um("2025") >= FGS1_BELOW_UM
    lacking = 0.0
    for name in found.present:
        lost = (found.planet.spectrum - found.without[name])[airs]
        size = float(np.sqrt(((lost - lost.mean()) ** 2).sum())) / NOISE
        low, high = (SHOWS, PLAIN) if name in wanted else (0.0, HIDDEN)
        lacking += max(np.log(max(low, 1e-3) / max(size, 1e-3)), 0.0) if low else 0.0
        lacking += max(np.log(max(size, 1e-3) / high), 0.0)
    return float(lacking)


def observe(found: Round) -> list[dict[str, Any]]:
    """Rows of one transit of the round's planet, without its truth and its id."""
    row = light_curves.simulate_row(found.planet, 0, seed=SEED)
    del row["spectrum"]
    return [{**row, "planet_id": None, "name": found.name}]


def reveal(engine: Engine, found: Round, picks: Collection[str]) -> Reveal:
    """What there is to say after the guess; ValueError where it names something else than SPECIES."""
    if unknown := sorted(set(picks) - set(SPECIES)):
        raise ValueError(f"picks: expected some of {', '.join(SPECIES)}, found {', '.join(unknown)}")
    rows = observe(found)
    seen = engine.spectrum(rows)
    return Reveal(
        round=found,
        spectrum=replace(seen, truth=found.planet.spectrum),
        shows=expected(seen, found.planet.spectrum, seen.fit_covariance),
        verdict=engine.verdict(rows),
        picks=tuple(name for name in SPECIES if name in picks),
    )
