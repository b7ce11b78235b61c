"""Pretraining over light curves, stored or simulated on the fly: masked or contrastive; no label is looked at."""

from __future__ import annotations

import itertools
import logging
from functools import partial
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from ariel_scripts.opening.datasets import count_visits, open_split, read_layouts, wavelengths_of
from ariel_scripts.opening.hub import Located
from ariel_scripts.opening.models import open_extractor, open_model, save_model, settings_of
from ariel_scripts.opening.provenance import ON_THE_FLY, Origin
from ariel_scripts.options.pretrain import PretrainOptions
from ariel_scripts.training.checkpoints import RunFolder
from ariel_scripts.training.examples import (
    INPUTS,
    SimulatedCurves,
    StreamedCurves,
    mask_noise,
)
from ariel_scripts.training.loop import Progress, seed_step, train
from ariel_scripts.training.psf_templates import give_templates, template_sizes, with_templates
from ariel_scripts.training.run_setup import (
    config_of,
    is_main_process,
    locate,
    loop_settings,
    training_record,
)
from ariel_scripts.training.separation import Separation
from ariel_scripts.training.separation_figure import write_separation
from hf_dataset.splits import is_validation
from modeling_ariel.architectures import DEFAULT, model_type, pretraining_class
from modeling_ariel.contrastive import ArielForContrastive
from modeling_ariel.feature_extraction_ariel import ArielFeatureExtractor
from modeling_ariel.masking import noise_shape
from modeling_ariel.modeling_ariel import ArielForPreTraining
from modeling_ariel.spectre import SpectreForPreTraining

logger = logging.getLogger(__name__)

BINS, MOST_EXPOSURES = 375, 5625  # of a simulated visit
Masked = ArielForPreTraining | SpectreForPreTraining
Pretrained = Masked | ArielForContrastive
HELD_OUT = 0.1  # share of a dataset's planets that are not trained on


def pretrain(options: PretrainOptions) -> None:
    """Train on a dataset or on light curves simulated on the fly."""
    loop, config = loop_settings(options.loop, "validation_loss", -1), config_of(options)
    changes: dict[str, Any] = {"mask_strategy": options.mask_strategy, "mask_ratio": options.mask_ratio}
    changes |= {"contrastive_temperature": options.temperature} if options.task == "contrastive" else {}
    dataset, base = locate(options)
    kind = _kind(options, base)
    changes |= template_sizes(options.templates, kind, base is None)
    changes |= settings_of(options.settings or ())
    wavelength = _wavelength(dataset, options.split)
    seed_step(loop.seed, 0)
    model: Pretrained = open_model(kind, base, wavelength, **changes)
    give_templates(model, options.templates)
    extractor = open_extractor(base, wavelength)
    source = options.dataset or ON_THE_FLY
    logger.info(
        "%s; %d steps of %d light curves; %.2f million weights",
        source,
        loop.steps,
        loop.batch_size,
        sum(p.numel() for p in model.parameters()) / 1e6,
    )
    if options.loop.dry_run:
        return
    out = options.out
    if options.loop.restart and is_main_process():
        RunFolder(out).clear()
    with training_record(out, "pretrain", config, loop.seed) as run:
        examples, held_out = _data(options, dataset, model, extractor)
        judged = JUDGES[options.task](held_out, loop.batch_size)
        origin = with_templates(_origin(dataset, options.split, base), options.templates).record(labels_used=False)
        with run.timed("training"):
            progress = train(
                model,
                examples,
                judged,
                loop,
                out,
                {"config": config, "seed": loop.seed, **origin},
                partial(save_model, extractor=extractor),
                options.loop.processes,
            )
        run.metrics.update(best=progress.best[0], steps=progress.step)
        if options.task == "contrastive":
            run.metrics["separation"] = _separation(progress)
            if is_main_process():
                best_model = open_model(kind, str(out / "model"), None).eval()
                write_separation(out / "separation.png", judged.look(best_model, torch.device("cpu"))[1], loop.seed)
    if is_main_process():
        best = progress.best[0]
        logger.info("%s: validation loss %.4f at step %d", out / "model", best["value"], best["step"])


def _kind(options: PretrainOptions, base: Located | None) -> type[Any]:
    """The class of the model: by task, and by the architecture asked for or that of the checkpoint it starts from."""
    name = options.architecture
    if base is not None:
        try:
            found = model_type(base.location)
            if name not in (None, found):
                raise ValueError(f"expected the architecture {name}, found {found}")
        except ValueError as error:
            raise ValueError(f"{base.name}: {error}") from error
        name = found
    if options.task == "contrastive":
        if name not in (None, DEFAULT):
            raise ValueError(f"task contrastive: expected architecture {DEFAULT}, found {name}")
        return ArielForContrastive
    kind: type[Any] = pretraining_class(name or DEFAULT)
    return kind


def _separation(progress: Progress) -> dict[str, Any]:
    """How the sides of transits are told apart on held-out curves, before training and by the best model."""
    rows = {row["step"]: row for row in progress.history if "auc" in row}
    steps = {"before": 0, "best": progress.best[0]["step"]}
    return {name: {key: rows[step][key] for key in ("auc", "silhouette")} for name, step in steps.items()}


def _wavelength(dataset: Located | None, split: str) -> list[float] | None:
    """Channels of the data [um]; None for the model's own."""
    if dataset is None:
        return None
    row = next(iter(open_split(dataset, split, ["layout"])))
    return wavelengths_of(dataset, str(row["layout"])).tolist()


def _origin(dataset: Located | None, split: str, base: Located | None) -> Origin:
    """What the model is made of."""
    if dataset is None:
        return Origin(base=base)
    return Origin.of_dataset(dataset, split, read_layouts(dataset, split), base)


def _data(
    options: PretrainOptions,
    dataset: Located | None,
    model: Pretrained,
    extractor: ArielFeatureExtractor,
) -> tuple[SimulatedCurves | StreamedCurves, dict[str, Any]]:
    """Training examples, and held-out light curves as one batch on which masks are always the same."""
    if dataset is None:
        return _simulated(options, model, extractor)
    seed = options.loop.seed
    count_visits(dataset, options.split, None)  # an error where one is there twice
    rows = open_split(dataset, options.split)
    noise = _mask_numbers(model, rows.features["time"].length)
    held = rows.filter(lambda row: is_validation(row["planet_id"], HELD_OUT, seed))
    first = list(itertools.islice(held.with_format("numpy"), options.validation))
    first = first or list(itertools.islice(rows.with_format("numpy"), 1))
    features = extractor(first)
    batch = {name: features[name] for name in INPUTS}
    batch |= mask_noise(seed, range(len(first)), noise)
    train = rows.filter(lambda row: not is_validation(row["planet_id"], HELD_OUT, seed))
    return StreamedCurves(train, extractor, seed, mask=noise), batch


def _simulated(
    options: PretrainOptions, model: Pretrained, extractor: ArielFeatureExtractor
) -> tuple[SimulatedCurves, dict[str, Any]]:
    """Simulated examples, and others held out."""
    exposures = (options.fewest_exposures, MOST_EXPOSURES)
    noise = _mask_numbers(model, BINS)
    train, held = (
        SimulatedCurves(extractor, seed, options.share_2025, BINS, exposures, noise, size=size)
        for seed, size in (
            (options.loop.seed, options.simulate or None),
            (2**32 + options.loop.seed, None),
        )
    )
    return train, held[list(range(options.validation))]


def _mask_numbers(model: Pretrained, bins: int) -> int:
    """Random numbers that decide what is hidden of one light curve."""
    config = model.config
    if isinstance(model, ArielForContrastive):
        return config.n_channels
    patches = -(-bins // config.patch_bins)
    return noise_shape(config.mask_strategy, 1, patches, config.n_channels)[1]


class Reconstruction:
    """Judges a model by what it rebuilds of held-out light curves, always under the same masks."""

    def __init__(self, held_out: dict[str, Tensor], batch: int):
        self.held_out, self.batch = held_out, batch

    def __call__(self, model: Masked, accelerator: Accelerator) -> dict[str, float]:
        """Mean loss of hidden points, the same in every process."""
        device = accelerator.device
        total = torch.zeros(2, device=device)
        count = len(self.held_out["time"])
        starts = range(0, count, self.batch)
        for start in list(starts)[accelerator.process_index :: accelerator.num_processes]:
            rows = slice(start, start + self.batch)
            part = {name: value[rows].to(device) for name, value in self.held_out.items()}
            size = min(self.batch, count - start)
            total += torch.tensor([float(model(**part).loss) * size, size], device=device)
        total = accelerator.reduce(total, "sum")
        return {"validation_loss": float(total[0] / total[1])}


JUDGES: dict[str, type[Any]] = {"masked": Reconstruction, "contrastive": Separation}
