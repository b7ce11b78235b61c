"""Fine-tuning: a model of spectra from labelled light curves, in folds by planet or from all of them."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from accelerate import Accelerator, PartialState
from numpy.typing import NDArray
from torch import Tensor

from ariel_scripts.opening.datasets import open_curves, read_truths, wavelengths_of
from ariel_scripts.opening.hub import Located
from ariel_scripts.opening.models import open_extractor, open_model, save_model, settings_of
from ariel_scripts.opening.penalties import read_penalties
from ariel_scripts.opening.provenance import Origin
from ariel_scripts.options.fields import taken
from ariel_scripts.options.finetune import FinetuneOptions
from ariel_scripts.run_record import Run, write_json
from ariel_scripts.training.augmentation import Augmentation
from ariel_scripts.training.checkpoints import RunFolder
from ariel_scripts.training.examples import SimulatedCurves
from ariel_scripts.training.fits import fitted
from ariel_scripts.training.folds import Fold, SimulatedSpectra, keeps_prior, make_folds, make_priors
from ariel_scripts.training.loop import LoopSettings, Progress, in_words, seed_step, start_processes, train
from ariel_scripts.training.planets import Planets, read_planets
from ariel_scripts.training.psf_templates import give_templates, template_sizes, with_templates
from ariel_scripts.training.run_setup import (
    config_of,
    is_main_process,
    locate,
    loop_settings,
    training_record,
)
from ariel_scripts.training.spectrum_runs import (
    FoldData,
    FoldRun,
    fold_data,
    forget_familiarity,
    learn_familiarity,
    learn_populations,
    prepare_fold,
    scores,
    told_of,
    write_spectra,
)
from modeling_ariel.architectures import DEFAULT, checkpoint_class, model_class
from modeling_ariel.feature_extraction_ariel import ArielFeatureExtractor
from modeling_ariel.joint_fit import FitSettings
from modeling_ariel.predictions import TEXTS, Predictions, read_predictions, write_predictions
from modeling_ariel.spectrum_model import ArielSpectrumModel
from modeling_ariel.surprise import SHARE

logger = logging.getLogger(__name__)

Array = NDArray[np.float64]
SHARE_2025 = {"2024": 0.0, "2025": 1.0, "both": 0.5}
JUDGED = 64  # simulated light curves on which a model is judged


@dataclass(frozen=True)
class LabelledPlanets:
    """Planets of all folds in memory, their true spectra (C,), the channels (C,) [um] and where all of it is from.

    ``beside`` are ids of planets that every fold is trained on too, and nothing else is learned from.
    """

    table: Planets
    truths: dict[int, Array]
    wavelength: list[float] | None
    extractor: ArielFeatureExtractor
    origin: Origin
    beside: list[int]


def finetune(options: FinetuneOptions) -> None:
    """Train on a dataset or on light curves simulated on the fly."""
    dataset, base = locate(options)
    if dataset is None:
        train_on_simulation(options, base)
    else:
        train_on_dataset(options, dataset, base)


def train_on_dataset(options: FinetuneOptions, dataset: Located, base: Located | None) -> None:
    """A model for each fold, or one of all planets; predictions of all that were held out."""
    loop, augmentation = _loop_settings(options), _augmentation(options)
    _simulated(options)  # checks its options
    curves = open_curves(dataset, options.split)
    wavelength = wavelengths_of(dataset, str(curves[0]["layout"])).tolist()
    truths = read_truths(dataset, options.split)
    if not truths:
        raise ValueError(f"{options.dataset}: split {options.split!r}: expected labelled planets, found none")
    folds = make_folds(
        sorted(truths),
        options.folds,
        options.fold,
        options.planets,
        options.validation,
        options.fold_seed,
    )
    origin = Origin.of_dataset(dataset, options.split, curves.unique("layout"), base)
    origin = with_templates(origin, options.templates)
    model = _open_model(options, base, wavelength, folds[0])  # checks its options
    _log_plan(folds, model, loop)
    if options.loop.dry_run:
        return
    others: dict[int, Array] = {}
    if options.beside:
        others = _beside(dataset, options.beside, truths)
        curves = datasets.concatenate_datasets([curves, open_curves(dataset, options.beside)])
    out = options.out
    with training_record(out, "finetune", config_of(options), loop.seed) as run:
        with run.timed("fits"):
            start_processes(options.loop.processes)
            extractor = open_extractor(base, wavelength)
            if options.physics == "residual" or augmentation.changes:
                curves = _with_fits(curves, wavelength, options.fit_workers, model.physics.fit_settings)
            planets = read_planets(curves, extractor, _planets_of(folds) | set(others))
        data = LabelledPlanets(planets, truths, wavelength, extractor, origin, list(others))
        for fold in folds:
            folder = out if fold.number is None else out / fold.name
            with run.timed("training"):
                run.metrics[fold.name] = train_fold(options, fold, data, folder, run)
        if options.folds and is_main_process():
            run.metrics["held out"] = _merge_predictions(out, folds, truths, run)


def _log_plan(folds: list[Fold], model: ArielSpectrumModel, loop: LoopSettings) -> None:
    for fold in folds:
        logger.info(
            "%s: %d planets trained on, %d validated on, %d held out",
            fold.name,
            *(len(group) for group in (fold.train, fold.validation, fold.test)),
        )
    weights = sum(p.numel() for p in model.parameters())
    logger.info("%.2f million weights, %d steps", weights / 1e6, loop.steps)


def _beside(dataset: Located, split: str, truths: dict[int, Array]) -> dict[int, Array]:
    """Truths of another split's planets; ValueError where some are in both."""
    found = read_truths(dataset, split)
    if not found:
        raise ValueError(f"beside: split {split!r}: expected labelled planets, found none")
    if both := sorted(set(found) & set(truths)):
        raise ValueError(f"beside: split {split!r}: expected other planets, found planet {both[0]} in both")
    return found


def _planets_of(folds: list[Fold]) -> set[int]:
    """Ids of all planets that some fold trains on, validates on or holds out."""
    groups = (group for fold in folds for group in (fold.train, fold.validation, fold.test))
    return {planet for group in groups for planet in group}


def _with_fits(
    curves: datasets.Dataset, wavelength: list[float], workers: int, settings: FitSettings
) -> datasets.Dataset:
    """The light curves with their classical fits, which one process makes for all."""
    with PartialState().main_process_first():
        return fitted(curves, wavelength, workers, settings)


def train_fold(
    options: FinetuneOptions, fold: Fold, data: LabelledPlanets, out: Path, record: Run | None = None
) -> dict[str, Any]:
    """Train one fold and predict what it holds out, with the ``record`` of the whole run; its scores."""
    loop = _loop_settings(options)
    if options.loop.restart and is_main_process():
        RunFolder(out).clear()
    truths = np.stack([data.truths[planet] for planet in fold.train])
    model = _open_model(options, data.origin.base, data.wavelength, fold, truths)
    own = _fold_data(options, fold, data, model)
    learned = learn_populations(model, own, options.population_width)
    run = prepare_fold(model, own, _augmentation(options), data.extractor.clip, loop.seed)
    physics, started = run.validation.of_physics(), time.process_time()
    if physics:
        logger.info("%s: classical on validation: %s", fold.name, in_words(physics))
    progress = train(
        model,
        run.examples,
        run.validation,
        loop,
        out,
        {
            "config": config_of(options) | {"fold_number": fold.number},
            "seed": loop.seed,
            **data.origin.record(**{"populations learned from visits": learned}),
            "planets": {
                "train": fold.train,
                "validation": fold.validation,
                "held out": fold.test,
            }
            | ({"beside": data.beside} if data.beside else {}),
            "classical on validation": physics,
        },
        partial(_save, run=run, extractor=data.extractor),
        options.loop.processes,
    )
    _log_best(out, loop, progress)
    result: dict[str, Any] = {
        "best": progress.best[0],
        "steps": progress.step,
        "parameters": sum(p.numel() for p in model.parameters()),
        "classical on validation": physics,
    }
    trained = time.process_time()
    if is_main_process():
        result |= _predict_held_out(fold, own, run, type(model), out, record)
    result["cpu_seconds"] = {"training": trained - started, "prediction": time.process_time() - trained}
    return result


def _save(model: ArielSpectrumModel, folder: Path, run: FoldRun, extractor: ArielFeatureExtractor) -> None:
    """Write a model that knows how far planets are from its training; in training itself nothing fades."""
    learn_familiarity(model, run.examples, run.validation.predict)
    save_model(model, folder, extractor=extractor)
    forget_familiarity(model)


def _fold_data(
    options: FinetuneOptions,
    fold: Fold,
    data: LabelledPlanets,
    model: ArielSpectrumModel,
) -> FoldData:
    """The fold's planets in the table, and priors over spectra that none of them meets itself in."""
    priors = make_priors(
        options.prior,
        options.spectra,
        {planet: data.truths[planet] for planet in (*fold.train, *fold.validation)},
        fold,
        options.groups,
        model.physics.spectrum_prior(),
        _simulated(options),
        options.loop.seed,
    )
    return fold_data(data.table, fold, priors, data.beside)


def _predict_held_out(
    fold: Fold, data: FoldData, run: FoldRun, kind: type[ArielSpectrumModel], out: Path, record: Run | None
) -> dict[str, Any]:
    """Predictions of the fold's held-out planets by its best model, written; their scores, if there are any."""
    if run.test is None:
        return {}
    best = open_model(kind, str(out / "model"), None).eval()
    mean, sigma, distance = run.test.predict(best)
    known = None if record is None else record.record()
    told = told_of(best, data.planets, data.test, distance)
    write_spectra(out / "predictions.parquet", data.planets, data.test, mean, sigma, told, known)
    found: dict[str, Any] = {
        "held out": scores(data.planets.truths[data.test], mean, sigma),
        "classical on held out": run.test.of_physics(),
    }
    RunFolder(out).add_to_record(found)
    logger.info("%s: held out: %s", fold.name, in_words(found["held out"]))
    if classical := found["classical on held out"]:
        logger.info("%s: classical on held out: %s", fold.name, in_words(classical))
    return found


def _merge_predictions(out: Path, folds: list[Fold], truths: dict[int, Array], run: Run) -> dict[str, float]:
    """Predictions of all folds as one file; their scores."""
    parts = [read_predictions(out / fold.name / "predictions.parquet") for fold in folds]
    planet = np.concatenate([part.planet_id for part in parts])
    order = np.argsort(planet)
    mu = np.concatenate([part.mu for part in parts])[order]
    sigma = np.concatenate([part.sigma for part in parts])[order]
    known = [name for name in TEXTS if all(name in part.extra for part in parts)]
    texts = {name: [text for part in parts for text in part.extra[name]] for name in known}
    extra = {name: [found[n] for n in order] for name, found in texts.items()}
    merged = Predictions(planet[order], mu, sigma, extra)
    path = out / "predictions.parquet"
    write_predictions(path, merged, run.record())
    truth = np.stack([truths[int(p)] for p in merged.planet_id])
    found = scores(truth, mu.astype(np.float64), sigma.astype(np.float64))
    write_json(out / "scores.json", found)
    logger.info("%s: %d planets, each by a model that never saw it: %s", path, len(planet), in_words(found))
    return found


def train_on_simulation(options: FinetuneOptions, base: Located | None) -> None:
    """Train with physics="none" on light curves simulated on the fly."""
    loop, config, out = _loop_settings(options), config_of(options), options.out
    _augmentation(options)  # checks its options
    origin = with_templates(Origin(base=base), options.templates)
    model, extractor = _open_model(options, base, None), open_extractor(base, None)
    logger.info("simulated on the fly; %d steps of %d light curves", loop.steps, loop.batch_size)
    if options.loop.dry_run:
        return
    if options.loop.restart and is_main_process():
        RunFolder(out).clear()
    share = SHARE_2025[options.population]
    examples, held = (
        SimulatedCurves(extractor, seed, share, labels=True, size=size)
        for seed, size in ((loop.seed, options.simulate or None), (2**32 + loop.seed, None))
    )
    record = {"config": config, "seed": loop.seed, **origin.record()}
    judge = SimulationJudge(held[list(range(JUDGED))])

    def save(model: ArielSpectrumModel, folder: Path) -> None:
        learn_familiarity(model, examples, lambda one: one(**judge.on(one.device)), 4 * JUDGED)
        save_model(model, folder, extractor=extractor)
        forget_familiarity(model)

    with training_record(out, "finetune", config, loop.seed) as run, run.timed("training"):
        progress = train(model, examples, judge, loop, out, record, save, options.loop.processes)
        _log_best(out, loop, progress)
        run.metrics.update(best=progress.best[0], steps=progress.step)


def _log_best(out: Path, loop: LoopSettings, progress: Progress) -> None:
    """Which model was kept; that of step 0 has learned nothing."""
    best = progress.best[0]
    untrained = "" if best["step"] else ", before training: no later one was better"
    logger.info("%s: %s %.4f at step %d%s", out / "model", loop.objective, best["value"], best["step"], untrained)


class SimulationJudge:
    """Judges a model by the spectra that it finds in simulated light curves."""

    def __init__(self, batch: dict[str, Tensor]):
        self.truth = batch.pop("labels").numpy()
        self.batch = batch

    def on(self, device: torch.device) -> dict[str, Tensor]:
        """The light curves on a device."""
        return {name: value.to(device) for name, value in self.batch.items()}

    def __call__(self, model: ArielSpectrumModel, accelerator: Accelerator) -> dict[str, float]:
        """Scores of the spectra."""
        with torch.no_grad():
            found = model(**self.on(accelerator.device))
        mean, sigma = (x.double().cpu().numpy() for x in (found.mean, found.sigma))
        return scores(self.truth, mean, sigma)


def _loop_settings(options: FinetuneOptions) -> LoopSettings:
    loop = options.loop
    if options.freeze_mean:
        loop = replace(loop, weight_decay=0.0)  # which would move a mean that has no gradient
    return loop_settings(loop, options.objective, 1)


def _simulated(options: FinetuneOptions) -> SimulatedSpectra:
    return SimulatedSpectra(options.population, options.without or (), options.unlike_spectra)


def _augmentation(options: FinetuneOptions) -> Augmentation:
    return taken(Augmentation, options)


def _architecture(options: FinetuneOptions, base: Located | None) -> type[ArielSpectrumModel]:
    """The class of the model: as asked for, or that of the checkpoint it starts from."""
    if base is None:
        return model_class(options.architecture or DEFAULT)
    try:
        return checkpoint_class(base.location, options.architecture)
    except ValueError as error:
        raise ValueError(f"{base.name}: {error}") from error


def _open_model(
    options: FinetuneOptions,
    base: Located | None,
    wavelength: list[float] | None,
    fold: Fold | None = None,
    truths: Array | None = None,
) -> ArielSpectrumModel:
    """The model that training starts from; a new one is prepared by ``truths`` (P, C), and has their scale."""
    changes: dict[str, Any] = {"physics": options.physics, "loss": options.loss}
    kept = base is not None and fold is not None and keeps_prior(options.prior, fold)
    if not kept:
        changes["prior_surprise_weights"] = None  # were learned beside another prior
    if options.surprise is not None or not kept:
        changes["prior_surprise"] = SHARE if options.surprise is None else options.surprise
    if truths is not None and base is None:
        changes |= {"depth_mean": float(truths.mean()), "depth_scale": float(truths.std())}
    if options.penalties is not None:
        changes["penalties"] = read_penalties(options.penalties)
    kind = _architecture(options, base)
    changes |= template_sizes(options.templates, kind, base is None)
    changes |= settings_of(options.settings or ())
    seed_step(options.loop.seed, 0)
    model = open_model(kind, base, wavelength, **changes)
    give_templates(model, options.templates)
    if truths is not None and base is None:
        model.prepare(torch.from_numpy(truths))
    model.calibration.reset(lambda old, new: old.copy_(new))  # the calibration was another model's
    forget_familiarity(model)
    if options.freeze_backbone:
        model.ariel.requires_grad_(False)
    if options.freeze_mean:
        model.freeze_mean()
    return model
