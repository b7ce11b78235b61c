"""A dataset of simulated light curves: shards, truths and card, as `ariel simulate --fast` writes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hf_dataset.simulation.light_curves import LightCurveSettings, NoiseModel, simulate_with_truth, visit_rng
from hf_dataset.simulation.planets import Planet, wavelengths_um
from hf_dataset.simulation.raw_folder import FULL_AIRS_FRAMES, write_truth
from hf_dataset.simulation.unlike import disturb
from hf_dataset.store import shards
from hf_dataset.store.card import write_card
from hf_dataset.store.contents import SPLIT_ORDER

TITLE = "Simulated Ariel light curves"
MADE = """Simulated light curves: no raw frames lie behind them. `hf_dataset.simulation.light_curves` draws
planets, stars and spectra, transits with wavelength-dependent limb darkening, gain drift, pointing jitter, photon and
read noise (docs/simulation.md)."""

UNLIKE = SPLIT_ORDER[-1]  # the split of planets and telescopes unlike the population

Groups = Mapping[str, Sequence[Planet]]  # planets of each split
Drawn = list[dict[str, Any]]  # planet, visit and what was drawn for it besides the row


@dataclass(frozen=True)
class Observation:
    """How every planet is observed; ``fewest_frames``: least number of AIRS frames drawn, evenly in ln."""

    visits: int = 1
    bins: int = 375
    fewest_frames: int | None = None
    seed: int = 0

    def settings(self, planet: Planet) -> LightCurveSettings:
        """Settings of a planet's light curves, with the number of exposures drawn for it."""
        if self.fewest_frames is None:
            return LightCurveSettings()
        rng = visit_rng(self.seed, planet.planet_id, 0, purpose=3)
        exposures = np.exp(rng.uniform(np.log(self.fewest_frames / 2), np.log(FULL_AIRS_FRAMES / 2)))
        return LightCurveSettings(noise=NoiseModel(airs_exposures=max(int(exposures), 1)))

    def record(self) -> dict[str, Any]:
        """The settings of all planets, as plain values."""
        settings = asdict(LightCurveSettings())
        if self.fewest_frames is not None:
            settings["noise"] |= {"airs_exposures": f"{self.fewest_frames // 2} to {FULL_AIRS_FRAMES // 2}"}
        return settings

    def rows(self, planets: Sequence[Planet], drawn: Drawn, disturbed: bool) -> Iterator[dict[str, Any]]:
        """A row for each visit, ``disturbed`` as by another telescope; what was drawn for it is added to ``drawn``."""
        for planet in planets:
            settings, wavelength = self.settings(planet), wavelengths_um(planet.layout)
            for visit in range(self.visits):
                row, truth = simulate_with_truth(planet, visit, self.bins, self.seed, settings)
                rng = visit_rng(self.seed, planet.planet_id, visit, purpose=4)
                unlike = disturb(row, wavelength, rng) if disturbed else []
                known = {"planet_id": planet.planet_id, "visit": visit, "unlike": unlike}
                drawn.append(known | truth.drift_law.as_dict())
                yield row


def write_dataset(
    out: Path,
    groups: Groups,
    layout: str,
    observation: Observation,
    provenance: Mapping[str, Any],
    progress: Callable[[int], Any],
) -> None:
    """Write rows, truths and card to a new folder; `progress(1)` is called after each row.

    Rows of the split `UNLIKE` are disturbed as by another telescope.
    """
    if shards.find_shards(out):
        raise ValueError(f"{out}: expected a new folder, found a dataset: choose another folder or delete it")
    drawn: Drawn = []

    def rows(planets: Sequence[Planet], disturbed: bool) -> Iterator[dict[str, Any]]:
        for row in observation.rows(planets, drawn, disturbed):
            progress(1)
            yield row

    for split, planets in groups.items():
        if planets:
            shards.write_rows(out, split, rows(planets, split == UNLIKE), observation.bins)
    write_truth(out, groups, drawn)
    write_card(out, wavelengths_um("2024" if layout == "2024" else "2025"), MADE, provenance, TITLE)
