"""`ariel finetune DATASET`: a model of spectra from labelled light curves, in folds by planet or from all of them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Any

import typer

from ariel_scripts.command_line import run_script, write_json
from ariel_scripts.opening.datasets import DatasetRevision, ModelRevision
from ariel_scripts.opening.hub import Located
from ariel_scripts.opening.provenance import Origin
from ariel_scripts.training import options

logger = logging.getLogger(__name__)


def main(
    dataset: Annotated[str | None, typer.Argument(help="Dataset folder or Hub id of labelled light curves.")] = None,
    out: options.Out = Path("finetuned"),
    split: Annotated[str, typer.Option(help="Split of the dataset.")] = "train",
    dataset_revision: DatasetRevision = None,
    model: Annotated[
        str | None, typer.Option(help="Checkpoint to start from (folder, Hub id or released); else a new model.")
    ] = None,
    revision: ModelRevision = None,
    physics: Annotated[
        str, typer.Option(help="residual: correct the classical posterior; none: light curves alone.")
    ] = "residual",
    loss: Annotated[str, typer.Option(help="gaussian, score_2024 or score_2025.")] = "gaussian",
    objective: Annotated[
        str, typer.Option(help="Validation's number that picks the best model: log_likelihood, score_2024, score_2025.")
    ] = "log_likelihood",
    freeze_backbone: Annotated[bool, typer.Option("--freeze-backbone", help="Train the head only.")] = False,
    folds: Annotated[int, typer.Option(min=0, help="Folds by planet; 0 holds nothing out.")] = 0,
    fold: Annotated[str, typer.Option(help="all, or the number of one.")] = "all",
    fold_seed: Annotated[int, typer.Option(help="Which planets are together in a fold, and in validation.")] = 0,
    planets: Annotated[int | None, typer.Option(min=3, help="Learn from so many planets of a fold only.")] = None,
    validation: Annotated[
        float, typer.Option(help="Share of them that stops training and picks the best model.")
    ] = 0.15,
    prior: Annotated[str, typer.Option(help="Over spectra: training, simulated, or checkpoint.")] = "training",
    spectra: Annotated[str, typer.Option(help="Spectra swapped in: training or simulated.")] = "training",
    population: Annotated[str, typer.Option(help="Of simulated spectra and planets: 2024, 2025 or both.")] = "2024",
    groups: Annotated[
        int, typer.Option(min=0, help="Groups of training planets; each sees a prior learned from the others.")
    ] = 5,
    real_noise: Annotated[
        float, typer.Option(help="Share of examples with the error that their fit really has.")
    ] = 0.0,
    swap: Annotated[float, typer.Option(help="Share of examples with another planet's spectrum.")] = 1.0,
    swap_width: Annotated[float, typer.Option(help="How far its mean depth may be off, in ln.")] = 0.2,
    mix: Annotated[float, typer.Option(help="Share of spectra that are a mean of two.")] = 0.0,
    feature_scale: Annotated[float, typer.Option(help="1 sigma of ln of a factor on spectral features.")] = 0.0,
    level_shift: Annotated[float, typer.Option(help="1 sigma of ln of a factor on the depth.")] = 0.0,
    draws: Annotated[
        int,
        typer.Option(min=1, help="Spectra and errors drawn for each planet of a batch; more than 1: residual only."),
    ] = 1,
    simulate: Annotated[
        int | None,
        typer.Option(min=0, help="Instead of a dataset, so many simulated light curves; 0: always new ones."),
    ] = None,
    fit_workers: Annotated[int, typer.Option(min=1, help="Processes for classical fits, done once and kept.")] = 1,
    settings: options.Set = None,
    steps: options.Steps = 2000,
    batch_size: options.BatchSize = 32,
    accumulation: options.Accumulation = 1,
    learning_rate: options.LearningRate = 1e-3,
    weight_decay: options.WeightDecay = 0.02,
    warmup: options.Warmup = 0.05,
    clip: options.Clip = 1.0,
    precision: options.Precision = "no",
    evaluate_every: options.EvaluateEvery = 100,
    patience: options.Patience = 0,
    keep: options.Keep = 1,
    tracker: options.Tracker = "tensorboard",
    workers: options.Workers = 0,
    processes: options.Processes = None,
    seed: options.Seed = 0,
    restart: options.Restart = False,
    dry_run: options.DryRun = False,
) -> None:
    """Learn spectra from labelled light curves.

    Classical fits are done first, once (0.8 s a visit), and kept in the cache of `datasets`. With --folds, every planet
    is predicted by a model that never saw it: OUT/predictions.parquet. A stopped run goes on when the command is run
    again.

    Example: accelerate launch scripts/finetune.py light-curves --model pretrained/model --folds 5

    Example: ariel finetune curves --config configs/simulated.yaml --out simulated
    """
    values = dict(locals())
    if population not in ("2024", "2025", "both"):
        raise typer.BadParameter(f"population: expected 2024, 2025 or both, found {population!r}")
    if (dataset is None) == (simulate is None):
        raise typer.BadParameter("expected a dataset or --simulate N, and not both")
    if draws > 1 and physics == "none":
        raise typer.BadParameter(
            "--draws above 1 needs --physics residual: one light curve cannot show several spectra"
        )
    if simulate is not None and (physics != "none" or folds):
        raise typer.BadParameter(
            "--simulate makes light curves without fits and without end: it needs --physics none and --folds 0; for "
            "the rest write them once (ariel simulate OUT --fast)"
        )
    light_curves, base = options.locate(values)
    if light_curves is None:
        _from_simulation(values, base)
    else:
        _from_dataset(values, light_curves, base)


def _model(values: dict[str, Any], base: Located | None, wavelength: Any, truths: Any = None) -> Any:
    """The model that training starts from."""
    from ariel_scripts.opening.models import open_model, settings_of
    from ariel_scripts.training.loop import seed_step
    from modeling_ariel.modeling_ariel import ArielForSpectrumPrediction

    changes = {"physics": values["physics"], "loss": values["loss"]}
    if truths is not None and base is None:
        changes |= {"depth_mean": float(truths.mean()), "depth_scale": float(truths.std())}
    changes |= settings_of(values["settings"] or ())
    seed_step(values["seed"], 0)
    model = open_model(ArielForSpectrumPrediction, base, wavelength, **changes)
    model.calibration.reset(lambda old, new: old.copy_(new))  # it was another model's
    if values["freeze_backbone"]:
        model.ariel.requires_grad_(False)
    return model


def _augmentation(values: dict[str, Any]) -> Any:
    from ariel_scripts.training.augmentation import Augmentation

    return Augmentation(**{name: values[name] for name in Augmentation.__dataclass_fields__})


def _from_dataset(values: dict[str, Any], dataset: Located, base: Located | None) -> None:
    from ariel_scripts.opening.datasets import open_curves, read_truths, wavelengths_of
    from ariel_scripts.training.folds import make_folds

    loop, augmentation = options.loop_settings(values, values["objective"], 1), _augmentation(values)
    curves = open_curves(dataset, values["split"])
    wavelength = wavelengths_of(dataset, str(curves[0]["layout"]))
    truths = read_truths(dataset, values["split"])
    if not truths:
        raise ValueError(f"{values['dataset']}: split {values['split']!r}: expected labelled planets, found none")
    parts = make_folds(
        sorted(truths), values["folds"], values["fold"], values["planets"], values["validation"], values["fold_seed"]
    )
    origin = Origin.of_dataset(dataset, values["split"], curves.unique("layout"), base)
    model = _model(values, base, wavelength)
    for part in parts:
        logger.info(
            "%s: %d planets trained on, %d validated on, %d held out",
            part.name,
            *(len(group) for group in (part.train, part.validation, part.test)),
        )
    logger.info("%.2f million weights, %d steps", sum(p.numel() for p in model.parameters()) / 1e6, loop.steps)
    if values["dry_run"]:
        return
    out = Path(values["out"])
    with options.training_record(out, "finetune", options.config_of(values), loop.seed) as run:
        with run.timed("fits"):
            table, extractor = _planets(values, base, curves, wavelength, augmentation, parts)
        for part in parts:
            folder = out if part.number is None else out / part.name
            with run.timed("training"):
                result = _one_fold(values, part, table, truths, wavelength, extractor, folder, origin)
            run.metrics[part.name] = result
        if values["folds"] and options.is_main_process():
            run.metrics["held out"] = _merge(out, parts, truths)


def _planets(
    values: dict[str, Any], base: Located | None, curves: Any, wavelength: Any, augmentation: Any, parts: Any
) -> tuple[Any, Any]:
    """Planets of all folds in memory, with their fits where something needs them."""
    from accelerate import PartialState

    from ariel_scripts.opening.models import open_extractor
    from ariel_scripts.training.fits import fitted
    from ariel_scripts.training.loop import start_processes
    from ariel_scripts.training.planets import read_planets

    start_processes(values["processes"])
    extractor = open_extractor(base, wavelength)
    if values["physics"] == "residual" or augmentation.changes:
        with PartialState().main_process_first():
            curves = fitted(curves, wavelength, values["fit_workers"])
    wanted = {planet for part in parts for planet in (*part.train, *part.validation, *part.test)}
    return read_planets(curves, extractor, wanted), extractor


def _one_fold(
    values: dict[str, Any],
    fold: Any,
    table: Any,
    truths: Any,
    wavelength: Any,
    extractor: Any,
    out: Path,
    origin: Origin,
) -> dict[str, Any]:
    """Train one fold and predict what it holds out; its scores."""
    import numpy as np

    from ariel_scripts.opening.models import open_model, save_model
    from ariel_scripts.training.checkpoints import RunFolder
    from ariel_scripts.training.folds import make_priors
    from ariel_scripts.training.loop import train
    from ariel_scripts.training.spectrum_runs import fold_data, learn_populations, prepare_fold, scores, write_spectra
    from modeling_ariel.modeling_ariel import ArielForSpectrumPrediction

    loop, config = options.loop_settings(values, values["objective"], 1), options.config_of(values)
    if values["restart"] and options.is_main_process():
        RunFolder(out).clear()
    model = _model(values, origin.base, wavelength, np.stack([truths[planet] for planet in fold.train]))
    own = {planet: truths[planet] for planet in (*fold.train, *fold.validation)}
    kept = model.physics.spectrum_prior()
    priors = make_priors(
        values["prior"], values["spectra"], own, fold, values["groups"], kept, values["population"], loop.seed
    )
    data = fold_data(table, fold, priors)
    learned = learn_populations(model, data)
    prepared = prepare_fold(model, data, _augmentation(values), extractor.clip, loop.seed)
    physics = prepared.validation.of_physics()
    record = {
        "config": config | {"fold_number": fold.number},
        "seed": loop.seed,
        **origin.record(**{"populations learned from visits": learned}),
        "planets": {"train": fold.train, "validation": fold.validation, "held out": fold.test},
        "classical on validation": physics,
    }
    logger.info("%s: classical on validation: %s", fold.name, physics)
    progress = train(
        model,
        prepared.examples,
        prepared.validation,
        loop,
        out,
        record,
        lambda model, folder: save_model(model, folder, extractor),
        values["processes"],
    )
    result: dict[str, Any] = {"best": progress.best[0], "steps": progress.step, "classical on validation": physics}
    if prepared.test is not None and options.is_main_process():
        best = open_model(ArielForSpectrumPrediction, str(out / "model"), None).eval()
        mean, sigma = prepared.test.predict(best)
        write_spectra(out / "predictions.parquet", table, data.test, mean, sigma)
        result["held out"] = scores(table.truths[data.test], mean, sigma)
        result["classical on held out"] = prepared.test.of_physics()
        RunFolder(out).add_to_record({name: result[name] for name in ("held out", "classical on held out")})
        logger.info("%s: held out: %s", fold.name, result["held out"])
    return result


def _merge(out: Path, folds: Any, truths: Any) -> dict[str, float]:
    """Predictions of all folds as one file; their scores."""
    import numpy as np

    from ariel_scripts.training.spectrum_runs import scores
    from modeling_ariel.predictions import Predictions, read_predictions, write_predictions

    parts = [read_predictions(out / fold.name / "predictions.parquet") for fold in folds]
    planet = np.concatenate([part.planet_id for part in parts])
    order = np.argsort(planet)
    mu, sigma = (np.concatenate([getattr(part, name) for part in parts])[order] for name in ("mu", "sigma"))
    status = [state for part in parts for state in part.extra["status"]]
    merged = Predictions(planet[order], mu, sigma, {"status": [status[n] for n in order]})
    write_predictions(out / "predictions.parquet", merged)
    truth = np.stack([truths[int(p)] for p in merged.planet_id])
    found = scores(truth, mu.astype(np.float64), sigma.astype(np.float64))
    write_json(out / "scores.json", found)
    logger.info(
        "%s: %d planets, each by a model that never saw it: %s", out / "predictions.parquet", len(planet), found
    )
    return found


def _from_simulation(values: dict[str, Any], base: Located | None) -> None:
    """physics="none" on light curves that are simulated when they are asked for."""
    import torch

    from ariel_scripts.opening.models import open_extractor, save_model
    from ariel_scripts.training.checkpoints import RunFolder
    from ariel_scripts.training.examples import SimulatedCurves
    from ariel_scripts.training.loop import train
    from ariel_scripts.training.spectrum_runs import scores

    loop, config, out = options.loop_settings(values, values["objective"], 1), options.config_of(values), values["out"]
    _augmentation(values)  # says what is wrong with it
    origin = Origin(base=base)
    model, extractor = _model(values, origin.base, None), open_extractor(origin.base, None)
    share = {"2024": 0.0, "2025": 1.0, "both": 0.5}[values["population"]]
    logger.info("simulated on the fly; %d steps of %d light curves", loop.steps, loop.batch_size)
    if values["dry_run"]:
        return
    if values["restart"] and options.is_main_process():
        RunFolder(out).clear()
    examples, held = (
        SimulatedCurves(extractor, seed, share, labels=True, size=size)
        for seed, size in ((loop.seed, values["simulate"] or None), (2**32 + loop.seed, None))
    )
    batch = held[list(range(64))]
    truth = batch.pop("labels").numpy()

    def evaluate(model: Any, accelerator: Any) -> dict[str, float]:
        with torch.no_grad():
            found = model(**{name: value.to(accelerator.device) for name, value in batch.items()})
        return scores(truth, found.mean.double().cpu().numpy(), found.sigma.double().cpu().numpy())

    record = {"config": config, "seed": loop.seed, **origin.record()}
    with options.training_record(out, "finetune", config, loop.seed) as run, run.timed("training"):
        progress = train(
            model,
            examples,
            evaluate,
            loop,
            out,
            record,
            lambda model, folder: save_model(model, folder, extractor),
            values["processes"],
        )
        run.metrics.update(best=progress.best[0], steps=progress.step)


if __name__ == "__main__":
    run_script(main)
