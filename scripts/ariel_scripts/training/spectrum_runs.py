"""One fold of fine-tuning: physics learned from its training planets, training, predictions of the held-out ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from numpy.typing import NDArray

from ariel_scripts.training.augmentation import Augmentation
from ariel_scripts.training.examples import AugmentedPlanets, Collator
from ariel_scripts.training.folds import Fold, Priors
from ariel_scripts.training.planets import Classical, Planets
from modeling_ariel.familiarity import Familiarity, judged_alone, with_distance_notes
from modeling_ariel.populations import Population
from modeling_ariel.posterior import ScaleMixture
from modeling_ariel.predictions import TEXTS, Predictions, write_predictions
from modeling_ariel.scoring import log_likelihood, rmse, score_2024, score_2025
from modeling_ariel.spectrum_model import ArielSpectrumModel
from modeling_ariel.status import OK

Array = NDArray[np.float64]
_BATCH = 32
_SIGMA_FLOOR = 1e-8
_UNSEEN = 10**9  # the first example beyond those of training


@dataclass
class FoldData:
    """Everything of a fold that a run needs; places in ``planets`` of its parts.

    Those ``beside`` are trained on too; priors and populations are not learned from them.
    """

    planets: Planets
    train: list[int]
    beside: list[int]
    validation: list[int]
    test: list[int]
    priors: Priors


def fold_data(planets: Planets, fold: Fold, priors: Priors, beside: Sequence[int] = ()) -> FoldData:
    """The fold's planets and those ``beside`` as places; without a fit to trust none is trained or validated on."""
    usable, where = set(planets.labelled()), {identity: place for place, identity in enumerate(planets.ids)}
    train = [where[planet] for planet in fold.train]
    keep = [n for n, place in enumerate(train) if place in usable]
    kept = Priors([priors.train[n] for n in keep], priors.validation, priors.final, [priors.spectra[n] for n in keep])
    validation = [where[planet] for planet in fold.validation if where[planet] in usable]
    if not validation or not keep:
        raise ValueError("dataset: expected planets with a fit to trust, to train and validate on, found none")
    return FoldData(
        planets,
        [train[n] for n in keep],
        [where[planet] for planet in beside if where[planet] in usable],
        validation,
        [where[planet] for planet in fold.test],
        kept,
    )


def learn_populations(model: ArielSpectrumModel, data: FoldData, width: float = 1.0) -> dict[str, int]:
    """Populations of orbit, limb darkening and drift from the curves of training and validation planets.

    They are taken ``width`` times as wide (:meth:`Population.widened`). No label is used. Where there is no visit, that
    of the checkpoint stays. Returns the visits each was learned from.
    """
    fits = data.planets.fits
    if fits is None:
        return {}
    visits = [v for p in (*data.train, *data.validation) for v in data.planets.visits[p] if fits.status[v] == OK]
    learned = {}
    for with_table in (False, True):
        rows = [visit for visit in visits if bool(fits.table_known[visit]) == with_table]
        if rows:
            population = Population.fit(fits.select(torch.tensor(rows, dtype=torch.long)))
            model.physics.set_population(population.widened(width), with_table)
            learned["with a star table" if with_table else "without a star table"] = len(rows)
    return learned


class SpectrumEvaluator:
    """Predicts spectra of some planets as they were observed, and scores them."""

    def __init__(
        self, planets: Planets, chosen: Sequence[int], classical: Classical | None, clip: float, physics: bool
    ):
        self.planets, self.chosen, self.classical, self.physics = planets, list(chosen), classical, physics
        self.collate = Collator(planets, clip)

    def predict(self, model: ArielSpectrumModel, accelerator: Accelerator | None = None) -> tuple[Array, Array, Array]:
        """Mean and sigma (n, C) of the chosen planets and their distance (n,) from training, shared among processes
        where there is an Accelerator."""
        rank, world = (0, 1) if accelerator is None else (accelerator.process_index, accelerator.num_processes)
        device = next(model.parameters()).device
        found: list[tuple[int, Array, Array, Array]] = []
        starts = list(range(0, len(self.chosen), _BATCH))[rank::world]
        with torch.no_grad():
            for start in starts:
                index = torch.arange(start, min(start + _BATCH, len(self.chosen)))
                batch = self.collate([self.chosen[int(i)] for i in index], None, self.physics)
                if self.physics and self.classical is not None:
                    batch |= self.classical.inputs(index, self.classical.depth[index, None])
                output = model(**{name: value.to(device) for name, value in batch.items()})
                answer = (output.mean, output.sigma, output.distance)
                found.append((start, *(x.double().cpu().numpy() for x in answer)))
        if world > 1:
            found = gather_object(found)
        found.sort(key=lambda part: part[0])
        mean, sigma, distance = (np.concatenate(parts) for parts in list(zip(*found, strict=True))[1:])
        return mean, sigma, distance

    def __call__(self, model: ArielSpectrumModel, accelerator: Accelerator) -> dict[str, float]:
        """Scores of the chosen planets."""
        mean, sigma, _ = self.predict(model, accelerator)
        return scores(self.planets.truths[self.chosen], mean, sigma)

    def of_physics(self) -> dict[str, float]:
        """Scores of the classical posterior alone."""
        if self.classical is None:
            return {}
        index = torch.arange(len(self.chosen))
        found = self.classical.inputs(index, self.classical.depth[:, None])
        mean, sigma = found["classical_mean"].numpy(), found["classical_sigma"].numpy()
        return scores(self.planets.truths[self.chosen], mean, sigma)


def scores(truth: Array, mean: Array, sigma: Array) -> dict[str, float]:
    """Both scores, the mean ln likelihood of a channel (which falls on where scores are cut off at 0) and the error."""
    mean, sigma = np.maximum(mean, 0.0), np.maximum(sigma, _SIGMA_FLOOR)
    return {
        "score_2024": float(score_2024(truth, mean, sigma)),
        "score_2025": float(score_2025(truth, mean, sigma)),
        "log_likelihood": float(log_likelihood(truth, mean, sigma).mean()),
        "rmse_ppm": 1e6 * float(rmse(truth, mean)),
    }


@dataclass
class FoldRun:
    """Training examples of one fold, and who evaluates it."""

    examples: AugmentedPlanets
    validation: SpectrumEvaluator
    test: SpectrumEvaluator | None


def prepare_fold(
    model: ArielSpectrumModel, data: FoldData, augmentation: Augmentation, clip: float, seed: int
) -> FoldRun:
    """What training needs, under the priors of the fold; the model is left with the final one."""
    planets, priors, physics = data.planets, data.priors, model.physics
    with_physics, fitted = model.config.physics == "residual", planets.fits is not None

    def classical(chosen: Sequence[int], own: Sequence[ScaleMixture], with_errors: bool) -> Classical | None:
        return Classical.of(planets, chosen, physics, own, with_errors) if fitted and chosen else None

    train = [*data.train, *data.beside]
    examples = AugmentedPlanets(
        planets,
        train,
        classical(train, priors.train + [priors.validation] * len(data.beside), True),
        priors.spectra + priors.spectra[:1] * len(data.beside),
        augmentation,
        clip,
        seed,
        with_physics,
    )

    def evaluator(chosen: list[int], prior: ScaleMixture) -> SpectrumEvaluator:
        known = classical(chosen, [prior] * len(chosen), False) if with_physics else None
        return SpectrumEvaluator(planets, chosen, known, clip, with_physics)

    validation = evaluator(data.validation, priors.validation)
    test = evaluator(data.test, priors.final) if data.test else None
    physics.set_spectrum_prior(priors.final)
    return FoldRun(examples, validation, test)


@torch.no_grad()
def learn_familiarity(
    model: ArielSpectrumModel, examples: Any, predict_held: Callable[[ArielSpectrumModel], Any], count: int = 768
) -> None:
    """Teach the model how far planets are from training: ``count`` of its ``examples``, and those that validate it."""
    training, device = model.training, next(model.parameters()).device
    model.eval()
    seen: dict[Familiarity, list[torch.Tensor]] = {each: [] for each in model.familiarities}
    hooks = [each.register_forward_pre_hook(lambda module, given: seen[module].append(given[0])) for each in seen]
    try:
        for start in range(_UNSEEN, _UNSEEN + count, _BATCH):
            batch = examples[list(range(start, start + _BATCH))]
            model(**{name: value.to(device) for name, value in batch.items()})
        predict_held(model)
    finally:
        for hook in hooks:
            hook.remove()
        model.train(training)
    for each, features in seen.items():
        of_all = torch.cat(features)
        each.learn(of_all[:count], of_all[count:])


def forget_familiarity(model: ArielSpectrumModel) -> None:
    """All is familiar again."""
    for each in model.familiarities:
        each.reset(torch.Tensor.zero_)


def told_of(
    model: ArielSpectrumModel, planets: Planets, chosen: Sequence[int], distance: Array
) -> tuple[list[str], list[str]]:
    """Statuses and notes of the chosen planets, as `ariel predict` gives them: of fits, or where there is none, of how
    far planets are from training."""
    if model.config.physics == "none":
        return judged_alone(torch.from_numpy(distance), model.is_taught)
    notes = with_distance_notes([planets.note(place) for place in chosen], torch.from_numpy(distance))
    return [planets.status(place) for place in chosen], notes


def write_spectra(
    path: Path,
    planets: Planets,
    chosen: Sequence[int],
    mean: Array,
    sigma: Array,
    told: tuple[Sequence[str], Sequence[str]],
    run: Mapping[str, Any] | None = None,
) -> None:
    """Predictions of the chosen planets as Parquet, with statuses and notes and the record of the ``run``."""
    order = np.argsort([planets.ids[place] for place in chosen])
    places = [chosen[n] for n in order]
    extra = {name: [of_all[n] for n in order] for name, of_all in zip(TEXTS, told, strict=True)}
    identity = np.array([planets.ids[p] for p in places], np.int64)
    mean32, sigma32 = mean[order].clip(0.0).astype(np.float32), sigma[order].astype(np.float32)
    write_predictions(path, Predictions(identity, mean32, sigma32, extra), run)
