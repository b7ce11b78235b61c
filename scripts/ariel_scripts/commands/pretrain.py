"""`ariel pretrain`: a masked autoencoder over light curves, stored or simulated on the fly; no label is looked at."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Any

import typer

from ariel_scripts.command_line import run_script
from ariel_scripts.opening.datasets import DatasetRevision, ModelRevision
from ariel_scripts.opening.hub import Located
from ariel_scripts.opening.provenance import ON_THE_FLY, Origin
from ariel_scripts.training import options

logger = logging.getLogger(__name__)


def main(
    dataset: Annotated[
        str | None, typer.Argument(help="Dataset folder or Hub id of light curves, read as a stream.")
    ] = None,
    out: options.Out = Path("pretrained"),
    split: Annotated[str, typer.Option(help="Split of the dataset.")] = "train",
    dataset_revision: DatasetRevision = None,
    simulate: Annotated[
        int | None,
        typer.Option(min=0, help="Simulate this many light curves on the fly instead; 0: never the same twice."),
    ] = None,
    share_2025: Annotated[float, typer.Option(help="Share of simulated planets with a star table, like 2025's.")] = 0.5,
    fewest_exposures: Annotated[
        int, typer.Option(min=375, max=5625, help="Simulated visits have 5,625 AIRS exposures, or down to so many.")
    ] = 5625,
    validation: Annotated[
        int, typer.Option(min=1, help="Light curves held out, in whose masked parts it is judged.")
    ] = 64,
    model: Annotated[str | None, typer.Option(help="Checkpoint to go on from: a folder, a Hub id or released.")] = None,
    revision: ModelRevision = None,
    mask_strategy: Annotated[str, typer.Option(help="random or block in time; band or snr over channels.")] = "random",
    mask_ratio: Annotated[float, typer.Option(help="Share hidden.")] = 0.6,
    settings: options.Set = None,
    steps: options.Steps = 2000,
    batch_size: options.BatchSize = 32,
    accumulation: options.Accumulation = 1,
    learning_rate: options.LearningRate = 1e-3,
    weight_decay: options.WeightDecay = 0.05,
    warmup: options.Warmup = 0.05,
    clip: options.Clip = 1.0,
    precision: options.Precision = "no",
    evaluate_every: options.EvaluateEvery = 200,
    patience: options.Patience = 0,
    keep: options.Keep = 1,
    tracker: options.Tracker = "tensorboard",
    workers: options.Workers = 0,
    processes: options.Processes = None,
    seed: options.Seed = 0,
    restart: options.Restart = False,
    dry_run: options.DryRun = False,
) -> None:
    """Hide parts of light curves and learn to rebuild them; labels are not used.

    The loss is the mean squared error of hidden points in their own sigmas: 1 where all but the noise is known. A
    stopped run goes on when the command is run again.

    Example: accelerate launch scripts/pretrain.py --config configs/pretrain.yaml

    Example: ariel pretrain --simulate 0 --out pretrained --steps 200
    """
    values = dict(locals())
    if (dataset is None) == (simulate is None):
        raise typer.BadParameter("expected a dataset or --simulate N, and not both")
    _pretrain(values)


def _pretrain(values: dict[str, Any]) -> None:
    from ariel_scripts.opening.models import open_extractor, open_model, save_model, settings_of
    from ariel_scripts.training.checkpoints import RunFolder
    from ariel_scripts.training.loop import seed_step, train
    from modeling_ariel.modeling_ariel import ArielForPreTraining

    loop, config = options.loop_settings(values, "validation_loss", -1), options.config_of(values)
    changes = {"mask_strategy": values["mask_strategy"], "mask_ratio": values["mask_ratio"]}
    changes |= settings_of(values["settings"] or ())
    dataset, base = options.locate(values)
    wavelength = _wavelength(dataset, values["split"])
    seed_step(loop.seed, 0)
    model = open_model(ArielForPreTraining, base, wavelength, **changes)
    extractor = open_extractor(base, wavelength)
    source = values["dataset"] or ON_THE_FLY
    size = sum(p.numel() for p in model.parameters())
    logger.info(
        "%s; %d steps of %d light curves; %.2f million weights", source, loop.steps, loop.batch_size, size / 1e6
    )
    if values["dry_run"]:
        return
    out = Path(values["out"])
    if values["restart"] and options.is_main_process():
        RunFolder(out).clear()
    with options.training_record(out, "pretrain", config, loop.seed) as run:
        examples, held_out = _data(values, dataset, model.config, extractor)
        origin = _origin(dataset, values["split"], base)
        record = {"config": config, "seed": loop.seed, **origin.record(labels_used=False)}
        with run.timed("training"):
            progress = train(
                model,
                examples,
                Reconstruction(held_out, loop.batch_size),
                loop,
                out,
                record,
                lambda model, folder: save_model(model, folder, extractor),
                values["processes"],
            )
        run.metrics.update(best=progress.best[0], steps=progress.step)
    if options.is_main_process():
        best = progress.best[0]
        logger.info("%s: validation loss %.4f at step %d", out / "model", best["value"], best["step"])


def _wavelength(dataset: Located | None, split: str) -> Any:
    """Channels of the data [um]; None for the model's own."""
    if dataset is None:
        return None
    from ariel_scripts.opening.datasets import open_split, wavelengths_of

    row = next(iter(open_split(dataset, split).select_columns(["layout"])))
    return wavelengths_of(dataset, str(row["layout"]))


def _origin(dataset: Located | None, split: str, base: Located | None) -> Origin:
    """What the model is made of."""
    if dataset is None:
        return Origin(base=base)
    from ariel_scripts.opening.datasets import read_layouts

    return Origin.of_dataset(dataset, split, read_layouts(dataset, split), base)


def _data(values: dict[str, Any], dataset: Located | None, config: Any, extractor: Any) -> tuple[Any, dict[str, Any]]:
    """Training examples, and held-out light curves as one batch on which masks are always the same."""
    import itertools

    from ariel_scripts.training.examples import INPUTS, SimulatedCurves, StreamedCurves, mask_noise
    from modeling_ariel.masking import noise_shape

    def noise(bins: int) -> int:
        return noise_shape(config.mask_strategy, 1, -(-bins // config.patch_bins), config.n_channels)[1]

    seed, count = values["seed"], values["validation"]
    if dataset is None:
        exposures = (values["fewest_exposures"], 5625)
        simulated = [
            SimulatedCurves(extractor, own, values["share_2025"], 375, exposures, noise(375), size=size)
            for own, size in ((seed, values["simulate"] or None), (2**32 + seed, None))
        ]
        return simulated[0], simulated[1][list(range(count))]
    from ariel_scripts.opening.datasets import open_split
    from hf_dataset.splits import is_validation

    rows = open_split(dataset, values["split"])
    bins = rows.features["time"].length
    share = 0.1
    held = rows.filter(lambda row: is_validation(row["planet_id"], share, seed)).with_format("numpy")
    first = list(itertools.islice(held, count)) or list(itertools.islice(rows.with_format("numpy"), 1))
    features = extractor(first)
    batch = {name: features[name] for name in INPUTS} | mask_noise(seed, range(len(first)), noise(bins))
    train = rows.filter(lambda row: not is_validation(row["planet_id"], share, seed))
    return StreamedCurves(train, extractor, seed, mask=noise(bins)), batch


class Reconstruction:
    """Judges a model by what it rebuilds of held-out light curves, always under the same masks."""

    def __init__(self, held_out: dict[str, Any], batch: int):
        self.held_out, self.batch = held_out, batch

    def __call__(self, model: Any, accelerator: Any) -> dict[str, float]:
        """Mean loss of hidden points, the same in every process."""
        import torch

        total = torch.zeros(2, device=accelerator.device)
        count = len(self.held_out["time"])
        starts = range(0, count, self.batch)
        for start in list(starts)[accelerator.process_index :: accelerator.num_processes]:
            rows = slice(start, start + self.batch)
            part = {name: value[rows].to(accelerator.device) for name, value in self.held_out.items()}
            size = min(self.batch, count - start)
            total += torch.tensor([float(model(**part).loss) * size, size], device=accelerator.device)
        total = accelerator.reduce(total, "sum")
        return {"validation_loss": float(total[0] / total[1])}


if __name__ == "__main__":
    run_script(main)
