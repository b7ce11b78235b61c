"""Examples by their number: batches of labelled planets with other spectra and errors, and simulated or stored curves.

Example number k depends on the seed and k alone: it is the same in every process and batch.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import datasets
import numpy as np
import torch
from datasets.distributed import split_dataset_by_node
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from ariel_scripts.training.augmentation import (
    Augmentation,
    SpectrumPool,
    draw_spectrum,
    fresh_error,
    move_depth,
    standardise,
)
from ariel_scripts.training.loop import MicroBatches
from ariel_scripts.training.planets import Array, Classical, Planets
from hf_dataset.simulation import light_curves, telescope
from hf_dataset.simulation.planets import Planet, sample_planets
from modeling_ariel.columns import STAR_COLUMNS
from modeling_ariel.feature_extraction_ariel import ArielFeatureExtractor
from modeling_ariel.visit_batch import relative_noise

_ORDER, _EXAMPLE, _PLANETS, _LIGHT, _MASK = range(5)  # purposes of random numbers, kept apart
_BLOCK = 64  # simulated planets drawn together
_KEPT = 8000  # simulated light curves that are kept to be shown again, 0.3 MB each
INPUTS = ("light_curve", "valid", "time", "centroid", "star_features")


def place_of(number: int, size: int, seed: int) -> int:
    """Which of ``size`` planets example ``number`` shows: each once an epoch, in another order every time."""
    epoch, place = divmod(number, size)
    return int(_order(size, seed, epoch)[place])


_orders: dict[tuple[int, int, int], NDArray[np.int64]] = {}


def _order(size: int, seed: int, epoch: int) -> NDArray[np.int64]:
    key = (size, seed, epoch)
    if key not in _orders:
        for old in list(_orders)[:-3]:
            _orders.pop(old, None)
        _orders[key] = np.random.default_rng([seed, _ORDER, epoch]).permutation(size)
    return _orders[key]


class AugmentedPlanets(Dataset):
    """Training examples of labelled planets.

    Args:
        planets: all that there are; ``chosen`` those trained on.
        classical: of the chosen, in their order; None where nothing was fitted, and then nothing is changed.
        spectra: to swap in, one set for each chosen planet (the same object where they share it).
        settings: of the augmentation.
        clip: of light curves [sigma].
        seed: of orders and draws.
        with_physics: give the model the classical posterior and the residuals.
    """

    def __init__(
        self,
        planets: Planets,
        chosen: Sequence[int],
        classical: Classical | None,
        spectra: Sequence[SpectrumPool],
        settings: Augmentation,
        clip: float,
        seed: int,
        with_physics: bool = True,
    ):
        self.planets, self.chosen, self.classical, self.spectra = planets, list(chosen), classical, list(spectra)
        self.settings, self.seed, self.with_physics = settings, seed, with_physics
        self.collate = Collator(planets, clip)
        if classical is None and (settings.changes or with_physics):
            raise ValueError("augmentation: expected a dataset with classical fits, found one without")

    def __getitem__(self, numbers: list[int]) -> dict[str, Tensor]:
        """Batch of these examples."""
        places = [place_of(number, len(self.chosen), self.seed) for number in numbers]
        chosen = [self.chosen[place] for place in places]
        own = self.planets.truths[chosen]
        if self.classical is None:
            return {**self.collate(chosen, None), "labels": torch.from_numpy(own)}
        draws = self.settings.draws if self.with_physics else 1
        rngs = [np.random.default_rng([self.seed, _EXAMPLE, number]) for number in numbers]
        drawn = list(zip(own, places, rngs, strict=True))
        labels = np.stack(
            [
                [draw_spectrum(truth, self.spectra[place], rng, self.settings) for _ in range(draws)]
                for truth, place, rng in drawn
            ]
        )  # (n, D, C)
        index = torch.tensor(places)
        measured = self.classical.depth[index]
        depth = torch.from_numpy(labels) + self._errors(index, rngs, measured - torch.from_numpy(own), draws)
        shift = (depth[:, 0] - measured).numpy() if draws == 1 else None  # one light curve cannot show several spectra
        batch = self.collate(chosen, shift, self.with_physics)
        if self.with_physics:
            batch |= self.classical.inputs(index, depth)
        return {**batch, "labels": torch.from_numpy(labels).flatten(0, 1)}

    def _errors(self, index: Tensor, rngs: Sequence[np.random.Generator], real: Tensor, draws: int) -> Tensor:
        """Errors of depth (n, D, C): new draws, or the ``real`` ones (n, C)."""
        if self.classical is None or self.classical.factor is None:
            raise ValueError("augmentation: expected the errors' factors, found none")
        keep = torch.from_numpy(np.stack([rng.random(draws) for rng in rngs]) < self.settings.real_noise)
        normal = np.stack([rng.standard_normal((draws, real.shape[-1])) for rng in rngs])
        fresh = fresh_error(self.classical.factor[index], torch.from_numpy(normal))
        return torch.where(keep[..., None], real[:, None], fresh)


@dataclass
class Collator:
    """Light curves of planets as the model's inputs, optionally with other depths."""

    planets: Planets
    clip: float

    def __call__(self, chosen: Sequence[int], shift: Array | None, with_residual: bool = False) -> dict[str, Tensor]:
        """Inputs of the ``chosen`` planets, their measured depths moved by ``shift`` (n, C)."""
        curves, planets = self.planets.curves, self.planets
        numbers = [place for place, planet in enumerate(chosen) for _ in planets.visits[planet]]
        visits = [visit for planet in chosen for visit in planets.visits[planet]]
        moves = [None if shift is None or not shift[place].any() else shift[place] for place in numbers]
        batch: dict[str, Any] = {
            "light_curve": np.stack([self.light(visit, move) for visit, move in zip(visits, moves, strict=True)]),
            "valid": curves.valid[visits],
            "time": curves.time[visits],
            "centroid": curves.centroid[visits],
            "star_features": curves.star_features[visits],
            "noise": curves.noise[visits],
            "planet": np.asarray(numbers, np.int64),
        }
        if curves.star is not None:
            batch["star"] = curves.star[visits]
        if with_residual and curves.residual is not None:
            batch["residual"] = curves.residual[visits].astype(np.float32)
        return {name: torch.from_numpy(value) for name, value in batch.items()}

    def light(self, visit: int, shift: Array | None) -> Array:
        """A light curve (T, C) float32 [sigma]: as it is, or with its fitted depths (C,) moved."""
        curves, fits = self.planets.curves, self.planets.fits
        if shift is None or fits is None or curves.transit is None:
            return curves.light[visit].astype(np.float32).clip(-self.clip, self.clip)
        relative, inverse = curves.relative(visit)
        old = fits.depth[visit].numpy()
        moved = move_depth(relative, curves.transit[visit].astype(np.float32), old, old + shift)
        return standardise(moved, inverse, curves.valid[visit], self.clip)


class SimulatedCurves(Dataset):
    """Light curves simulated on the fly; none is seen twice.

    Args:
        extractor: makes tensors of rows.
        seed: of the population and the noise.
        share_2025: of planets from the 2025 population, with a star table; the others are like 2024's.
        bins: in time.
        exposures: AIRS exposures of a visit, drawn log-uniformly between two numbers.
        mask: noise of each example's mask, of this length; 0 for none.
        labels: give the true spectra.
        size: examples before they come again; None for never.
    """

    def __init__(
        self,
        extractor: ArielFeatureExtractor,
        seed: int,
        share_2025: float = 0.5,
        bins: int = 375,
        exposures: tuple[int, int] | None = None,
        mask: int = 0,
        labels: bool = False,
        size: int | None = None,
    ):
        if not 0.0 <= share_2025 <= 1.0:
            raise ValueError(f"share_2025: expected 0 to 1, found {share_2025}")
        self.extractor, self.seed, self.share_2025, self.bins = extractor, seed, share_2025, bins
        self.exposures, self.mask, self.labels, self.size = exposures, mask, labels, size
        self._blocks: dict[tuple[int, str], list[Planet]] = {}
        self._kept: dict[int, dict[str, Tensor]] = {}

    def planet(self, number: int) -> Planet:
        """The planet of example ``number``."""
        block, place = divmod(number, _BLOCK)
        share = np.random.default_rng([self.seed, _PLANETS, block]).random(_BLOCK)
        layout = "2025" if share[place] < self.share_2025 else "2024"
        key = (block, layout)
        if key not in self._blocks:
            for old in list(self._blocks)[:-3]:
                self._blocks.pop(old)
            seed = int(np.random.default_rng([self.seed, _PLANETS, block, 1]).integers(2**31))
            self._blocks[key] = sample_planets(_BLOCK, seed, layout)
        return self._blocks[key][place]

    def row(self, number: int) -> dict[str, Any]:
        """Dataset row of example ``number``."""
        rng = np.random.default_rng([self.seed, _LIGHT, number])
        low, high = self.exposures or (telescope.AIRS_EXPOSURES, telescope.AIRS_EXPOSURES)
        exposures = round(math.exp(rng.uniform(math.log(low), math.log(high))))
        settings = light_curves.LightCurveSettings(noise=light_curves.NoiseModel(airs_exposures=exposures))
        seed = int(rng.integers(2**31))
        return light_curves.simulate_row(self.planet(number), n_bins=self.bins, seed=seed, settings=settings)

    def __getitem__(self, numbers: list[int]) -> dict[str, Tensor]:
        """Batch of these examples."""
        if self.size is None:
            features = self._features(numbers)
        else:
            kept = [self._kept_features(place_of(number, self.size, self.seed)) for number in numbers]
            features = {name: torch.cat([one[name] for one in kept]) for name in kept[0]}
            features["light_curve"] = features["light_curve"].float()
        return features | mask_noise(self.seed, numbers, self.mask)

    def _features(self, numbers: Sequence[int]) -> dict[str, Tensor]:
        features = self.extractor([self.row(number) for number in numbers])
        batch = {name: features[name] for name in INPUTS}
        if not self.labels:
            return batch
        noise = relative_noise(features["flux"], features["flux_err"], features["valid"])
        return {**batch, "noise": noise, "star": features["star"], "labels": features["labels"].double()}

    def _kept_features(self, number: int) -> dict[str, Tensor]:
        """Of one light curve that comes again: made once, kept in half precision where there are not too many."""
        if number in self._kept:
            return self._kept[number]
        features = self._features([number])
        features["light_curve"] = features["light_curve"].half()  # rounds to 0.06 sigma where a transit is deepest
        if len(self._kept) < _KEPT:
            self._kept[number] = features
        return features


def mask_noise(seed: int, numbers: Sequence[int], size: int) -> dict[str, Tensor]:
    """Uniform noise (n, size) that decides what is hidden in each example; nothing where size is 0."""
    if not size:
        return {}
    noise = [np.random.default_rng([seed, _MASK, number]).random(size, np.float32) for number in numbers]
    return {"noise": torch.from_numpy(np.stack(noise))}


class StreamedCurves:
    """Stored light curves read as a stream, labels unused: any dataset that `datasets` can stream, of any size.

    Every process reads its own share, so which examples meet in a batch depends on how many processes there are. A run
    that goes on reads again what it had read.

    Args:
        rows: of light curves.
        extractor: makes tensors of rows.
        seed: of shuffling and masks.
        buffer: rows between which shuffling picks.
        mask: noise of each example's mask, of this length.
    """

    def __init__(
        self,
        rows: datasets.IterableDataset,
        extractor: ArielFeatureExtractor,
        seed: int,
        buffer: int = 256,
        mask: int = 0,
    ):
        names = ["planet_id", "visit", "layout", "time", "flux", "flux_err", "valid", "centroid", *STAR_COLUMNS]
        self.rows = rows.select_columns(names).with_format("numpy").shuffle(seed=seed, buffer_size=buffer)
        self.extractor, self.seed, self.mask = extractor, seed, mask

    def stream(self, batches: MicroBatches) -> Iterator[dict[str, Tensor]]:
        """Batches of one process, one for each of `MicroBatches`."""
        own = split_dataset_by_node(self.rows, rank=batches.rank, world_size=batches.processes)
        before = batches.start * batches.settings.accumulation * batches.size
        reading = itertools.islice(self._epochs(own), before, None)
        for numbers in batches:
            features = self.extractor(list(itertools.islice(reading, len(numbers))))
            yield {name: features[name] for name in INPUTS} | mask_noise(self.seed, numbers, self.mask)

    @staticmethod
    def _epochs(rows: datasets.IterableDataset) -> Iterator[dict[str, Any]]:
        for epoch in itertools.count():
            rows.set_epoch(epoch)
            empty = True
            for row in rows:
                empty = False
                # a batch may hold the end of an epoch and the beginning of the next
                yield row | {"planet_id": f"{row['planet_id']} of epoch {epoch}"}
            if empty:
                raise ValueError("dataset: expected rows for every process, found none")
