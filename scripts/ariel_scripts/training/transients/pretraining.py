"""Masked pretraining over light curves of all splits; no label is looked at."""

from __future__ import annotations

import logging
from functools import partial

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from ariel_scripts.opening.models import settings_of
from ariel_scripts.opening.provenance import Origin
from ariel_scripts.options.fields import taken
from ariel_scripts.options.transients.pretrain import PretrainOptions
from ariel_scripts.training.checkpoints import RunFolder
from ariel_scripts.training.loop import seed_step, train
from ariel_scripts.training.run_setup import config_of, is_main_process, locate, loop_settings, training_record
from ariel_scripts.training.transients.augmentation import TransientAugmentation
from ariel_scripts.training.transients.examples import TransientExamples, mask_noise
from ariel_scripts.training.transients.models import architecture, open_extractor, open_network, save_network
from ariel_scripts.training.transients.objects import read_objects
from hf_dataset.splits import fraction_of
from modeling_ariel.transients.architectures import pretraining_class
from modeling_ariel.transients.modeling_transient import TransientForPreTraining

logger = logging.getLogger(__name__)

HELD_OUT = 0.1  # share of objects that are judged, not trained on


def pretrain(options: PretrainOptions) -> None:
    """Train on the curves of all splits asked for, labelled or not."""
    loop, config = loop_settings(options.loop, "validation_loss", -1), config_of(options)
    augmentation = taken(TransientAugmentation, options.augmentation)
    dataset, base = locate(options)
    if dataset is None:
        raise ValueError("dataset: expected a folder or Hub id, found none")
    seed_step(loop.seed, 0)
    kind = pretraining_class(architecture(options.architecture, base))
    model = open_network(kind, base, **settings_of(options.settings or ()))
    extractor = open_extractor(base, max_measurements=options.max_measurements)
    parts = [read_objects(dataset, split) for split in options.splits]
    names = [name for part in parts for name in part.names]
    curves = [curve for part in parts for curve in part.curves]
    held = np.array([fraction_of(name, loop.seed) < HELD_OUT for name in names])
    if not 0 < held.sum() < len(held) - 1:
        raise ValueError(f"{dataset.name}: expected objects to train on and to judge by, found {len(names)}")
    weights = sum(p.numel() for p in model.parameters())
    logger.info("%d curves trained on, %d held out; %.2f million weights", sum(~held), sum(held), weights / 1e6)
    if options.loop.dry_run:
        return
    if options.loop.restart and is_main_process():
        RunFolder(options.out).clear()
    chosen = [curve for curve, other in zip(curves, held, strict=True) if not other]
    examples = TransientExamples(chosen, extractor, augmentation, loop.seed, with_noise=True)
    own = [curve for curve, other in zip(curves, held, strict=True) if other]
    batch = dict(extractor.batch(own))
    batch["noise"] = mask_noise(loop.seed, range(len(own)), batch["time"].shape[1])
    layouts = sorted({layout for part in parts for layout in part.layouts})
    origin = Origin.of_dataset(dataset, "+".join(options.splits), layouts, base)
    content = {"content": [part.digest() for part in parts], "labels_used": False}
    record = {"config": config, "seed": loop.seed, **origin.record(**content)}
    with training_record(options.out, "transients pretrain", config, loop.seed) as run, run.timed("training"):
        save = partial(save_network, extractor=extractor)
        judge = FluxJudge(batch, loop.batch_size)
        progress = train(model, examples, judge, loop, options.out, record, save, options.loop.processes)
        run.metrics.update(best=progress.best[0], steps=progress.step)
    if is_main_process():
        best = progress.best[0]
        logger.info("%s: validation loss %.4f at step %d", options.out / "model", best["value"], best["step"])


class FluxJudge:
    """Judges a model by the fluxes that it rebuilds of held-out curves, always under the same masks."""

    def __init__(self, held_out: dict[str, Tensor], batch: int):
        self.held_out, self.batch = held_out, batch

    def __call__(self, model: TransientForPreTraining, accelerator: Accelerator) -> dict[str, float]:
        """Mean loss of hidden fluxes, the same in every process."""
        total, count = torch.zeros(2, device=accelerator.device), len(self.held_out["time"])
        starts = range(0, count, self.batch)
        for start in list(starts)[accelerator.process_index :: accelerator.num_processes]:
            rows = slice(start, start + self.batch)
            part = {name: value[rows].to(accelerator.device) for name, value in self.held_out.items()}
            size = min(self.batch, count - start)
            total += torch.tensor([float(model(**part).loss) * size, size], device=accelerator.device)
        total = accelerator.reduce(total, "sum")
        return {"validation_loss": float(total[0] / total[1])}
