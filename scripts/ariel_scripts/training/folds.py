"""Which planets are trained on, validated on and held out; and priors over spectra learned from the right ones."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from ariel_scripts.training.augmentation import SpectrumPool
from hf_dataset.simulation import planets as simulator
from hf_dataset.simulation.unlike import unlike_spectra
from hf_dataset.splits import fraction_of, grouped_folds
from modeling_ariel.posterior import ScaleMixture
from modeling_ariel.spectrum_prior import MIXTURE, SpectrumPrior
from modeling_ariel.surprise import Surprise

logger = logging.getLogger(__name__)

FEWEST_FOR_PRIOR = 16
_SOME, _VALIDATION, _INNER, _UNLIKE = range(1, 5)  # purposes of hashes, kept apart


@dataclass(frozen=True)
class Fold:
    """Planets of one fold: trained on, validated on, held out; ``number`` None where nothing is held out."""

    number: int | None
    train: list[int]
    validation: list[int]
    test: list[int] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Of its folder and in reports."""
        return "all" if self.number is None else f"fold-{self.number}"


def make_folds(
    planets: Sequence[int], folds: int, chosen: str, limit: int | None, validation: float, seed: int
) -> list[Fold]:
    """Folds of labelled planets, by hashes of their ids.

    Args:
        planets: ids.
        folds: how many; 0 holds nothing out.
        chosen: "all" or the number of one.
        limit: number of planets outside the fold to train and validate on.
        validation: share of them that is validated on.
        seed: of the hashes.
    """
    if not 0.0 < validation < 1.0:
        raise ValueError(f"validation: expected a share between 0 and 1, found {validation}")
    if folds == 0 and chosen != "all":
        raise ValueError(f"fold: expected --folds too, found fold {chosen!r} of none")
    if folds == 0:
        return [_fold(None, list(planets), [], limit, validation, seed)]
    if folds < 2:
        raise ValueError(f"folds: expected 2 or more, or 0 to hold nothing out, found {folds}")
    wanted = list(range(folds)) if chosen == "all" else [_number(chosen, folds)]
    numbers = grouped_folds(planets, folds, seed)
    return [
        _fold(
            number,
            [planet for planet, own in zip(planets, numbers, strict=True) if own != number],
            [planet for planet, own in zip(planets, numbers, strict=True) if own == number],
            limit,
            validation,
            seed,
        )
        for number in wanted
    ]


def _number(chosen: str, folds: int) -> int:
    if not chosen.isdigit() or int(chosen) >= folds:
        raise ValueError(f"fold: expected all or 0 to {folds - 1}, found {chosen!r}")
    return int(chosen)


def _fold(
    number: int | None, pool: list[int], test: list[int], limit: int | None, validation: float, seed: int
) -> Fold:
    pool = sorted(pool, key=lambda planet: fraction_of(planet, _purpose(seed, _SOME)))[:limit]
    held = max(round(validation * len(pool)), 1)
    if len(pool) - held < 2:
        raise ValueError(f"planets: expected 3 or more that are labelled to train and validate on, found {len(pool)}")
    pool = sorted(pool, key=lambda planet: fraction_of(planet, _purpose(seed, _VALIDATION)))
    return Fold(number, sorted(pool[held:]), sorted(pool[:held]), sorted(test))


def _purpose(seed: int, purpose: int) -> int:
    return 1_000_000 * purpose + seed


@dataclass(frozen=True)
class SimulatedSpectra:
    """What simulated spectra are drawn from.

    Args:
        population: "2024", "2025" or "both".
        without: molecules that none has.
        unlike: share that are of other atmospheres, where they are asked for.
    """

    population: str
    without: Sequence[str] = ()
    unlike: float = 0.0

    def __post_init__(self) -> None:
        """Reject settings that cannot be meant."""
        if self.population not in ("2024", "2025", "both"):
            raise ValueError(f"population: expected 2024, 2025 or both, found {self.population!r}")
        if not 0.0 <= self.unlike <= 1.0:
            raise ValueError(f"unlike: expected a share of 0 to 1, found {self.unlike}")

    def draw(self, count: int, seed: int, with_unlike: bool = False) -> NDArray[np.float64]:
        """Spectra (count, C), and ``with_unlike`` their share of other atmospheres."""
        layout = None if self.population == "both" else self.population
        spectra = simulator.spectra(count, 7_700_000 + seed, layout, self.without)
        others = round(self.unlike * count) if with_unlike else 0
        if others:
            rng = np.random.default_rng([seed, _UNLIKE])
            spectra[:others] = unlike_spectra(spectra[:others], simulator.wavelengths_um(layout or "2025"), rng)
        return spectra


@dataclass
class Priors:
    """Priors over spectra and spectra to swap in, so that no planet meets itself.

    ``train`` of each training planet, learned without those of its group; ``validation`` from training planets;
    ``final`` from training and validation planets, which the model is saved with. ``spectra`` of each training planet.
    """

    train: list[ScaleMixture]
    validation: ScaleMixture
    final: ScaleMixture
    spectra: list[SpectrumPool]


def make_priors(
    prior: str,
    spectra: str,
    truths: dict[int, NDArray[np.float64]],
    fold: Fold,
    groups: int,
    kept: ScaleMixture,
    simulated: SimulatedSpectra,
    seed: int,
) -> Priors:
    """Priors and spectra of a fold.

    Args:
        prior: "training", "simulated" or "checkpoint".
        spectra: to swap in: "training", those of the planet's own group, or "simulated".
        truths: (C,) of at least the training and validation planets.
        fold: see :class:`Fold`.
        groups: in which training planets are dealt; 0 or 1 for one prior that has seen all of them.
        kept: the checkpoint's prior; the others have its surprise.
        simulated: what simulated spectra are drawn from.
        seed: of groups and simulated spectra.
    """
    for name, value, allowed in (
        ("prior", prior, ("training", "simulated", "checkpoint")),
        ("spectra", spectra, ("training", "simulated")),
    ):
        if value not in allowed:
            raise ValueError(f"{name}: expected one of {', '.join(allowed)}, found {value!r}")
    group = _groups(fold.train, groups if prior == "training" else 0, seed)
    by_group = {g: [p for p, own in zip(fold.train, group, strict=True) if own == g] for g in sorted(set(group))}
    if spectra == "simulated":
        one = SpectrumPool(simulated.draw(20_000, seed, with_unlike=True))
        pools = dict.fromkeys(by_group, one)
    else:
        pools = {g: SpectrumPool(np.stack([truths[p] for p in members])) for g, members in by_group.items()}
    swapped = [pools[g] for g in group]
    if prior == "simulated":
        kept = learned_prior(simulated.draw(2000, seed + 1), kept.surprise)
    if prior != "training" or keeps_prior(prior, fold):
        if prior == "training":
            logger.warning(
                "%d planets are too few for a prior over spectra (%d): the checkpoint's is kept",
                len(fold.train),
                FEWEST_FOR_PRIOR,
            )
        return Priors([kept] * len(fold.train), kept, kept, swapped)

    def learn(planets: Sequence[int]) -> ScaleMixture:
        return learned_prior(np.stack([truths[planet] for planet in planets]), kept.surprise)

    without = {g: learn([p for p in fold.train if p not in set(by_group[g])] or fold.train) for g in by_group}
    return Priors([without[g] for g in group], learn(fold.train), learn([*fold.train, *fold.validation]), swapped)


def keeps_prior(prior: str, fold: Fold) -> bool:
    """Whether the checkpoint's prior stays: it is asked for, or there are too few planets to learn one."""
    return prior == "checkpoint" or (prior == "training" and len(fold.train) < FEWEST_FOR_PRIOR)


def _groups(planets: Sequence[int], groups: int, seed: int) -> list[int]:
    """Group of each planet; one group for all where there are too few to leave some out."""
    if groups < 2 or len(planets) * (groups - 1) < groups * FEWEST_FOR_PRIOR:
        return [0] * len(planets)
    return grouped_folds(planets, groups, _purpose(seed, _INNER)).tolist()


def learned_prior(spectra: NDArray[np.float64], surprise: Surprise | None) -> ScaleMixture:
    """Scale mixture learned from spectra (N, C), with ``surprise``."""
    return ScaleMixture.of(SpectrumPrior.fit(torch.as_tensor(spectra), MIXTURE, surprise), MIXTURE)
