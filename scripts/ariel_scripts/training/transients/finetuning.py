"""Fine-tuning of a classifier in folds, each object's probability by a model that never saw it."""

from __future__ import annotations

import hashlib
import logging
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from accelerate import Accelerator
from numpy.typing import NDArray

from ariel_scripts.opening.hub import Located
from ariel_scripts.opening.models import settings_of
from ariel_scripts.opening.provenance import Origin
from ariel_scripts.options.fields import taken
from ariel_scripts.options.transients.finetune import FinetuneOptions
from ariel_scripts.run_record import Run, write_json
from ariel_scripts.training.checkpoints import RunFolder
from ariel_scripts.training.loop import LoopSettings, seed_step, train
from ariel_scripts.training.run_setup import config_of, is_main_process, locate, loop_settings, training_record
from ariel_scripts.training.transients.augmentation import TransientAugmentation
from ariel_scripts.training.transients.examples import TransientExamples
from ariel_scripts.training.transients.folds import Places, TransientFold, make_folds
from ariel_scripts.training.transients.models import architecture, open_extractor, open_network, save_network
from ariel_scripts.training.transients.objects import Objects, labels_of, read_features, read_objects
from ariel_scripts.training.transients.process import LightCurveProcess
from ariel_scripts.training.transients.scores import out_of_fold_scores
from modeling_ariel.transients.architectures import classifier_class
from modeling_ariel.transients.classifier import TransientClassifier
from modeling_ariel.transients.curves import Array
from modeling_ariel.transients.detection_scores import average_precision, best_threshold, detection
from modeling_ariel.transients.feature_extraction_transient import TransientFeatureExtractor, feature_statistics
from modeling_ariel.transients.pipeline_transient import Classified, TransientPipeline

logger = logging.getLogger(__name__)

OBJECTIVES = {"average_precision": 1, "f1_optimistic": 1, "log_loss": -1}
PREDICTIONS = "predictions.parquet"
_BATCH = 64


class Finetuning:
    """One run of :func:`finetune`: objects, labels and features of all folds, and what each fold does with them."""

    def __init__(self, options: FinetuneOptions, dataset: Located, base: Located | None):
        if options.objective not in OBJECTIVES:
            raise ValueError(f"objective: expected one of {', '.join(OBJECTIVES)}, found {options.objective!r}")
        if options.predict == options.split:
            raise ValueError(f"predict: expected another split than the one that is trained on, found {options.split}")
        self.options, self.dataset, self.base = options, dataset, base
        self.augmentation = taken(TransientAugmentation, options.augmentation)
        self.objects = read_objects(dataset, options.split)
        self.classes, self.labels = labels_of(self.objects, options.classes)
        self.processes: dict[str, LightCurveProcess] = {}  # of curves, which folds share
        self.feature_names: list[str] = []
        self.features: Array | None = None
        if options.features is not None:
            self.feature_names, self.features = read_features(options.features, self.objects.names)
        self.folds = make_folds(
            self.objects.names,
            [kind or self.classes[label] for kind, label in zip(self.objects.spec_type, self.labels, strict=True)],
            options.folds,
            options.fold,
            options.validation,
            options.fold_seed,
        )
        self._check_folds()

    def _check_folds(self) -> None:
        """Each fold is trained and validated on some of the positive class; without, no step is better than another."""
        for fold in self.folds:
            for what, places in (("trained", fold.train), ("validated", fold.validation)):
                if not self.truth[places].any() and (what == "trained" or self.options.objective != "log_loss"):
                    raise ValueError(
                        f"{fold.name}: expected {self.classes[-1]}s among the {len(places)} objects {what} on, found "
                        "none: fewer --folds, another --validation or --objective log_loss"
                    )

    @property
    def loop(self) -> LoopSettings:
        """Settings of the loop."""
        return loop_settings(self.options.loop, self.options.objective, OBJECTIVES[self.options.objective])

    @property
    def truth(self) -> NDArray[np.bool_]:
        """(object,) whether it is of the positive class, the last."""
        return np.asarray(self.labels == len(self.classes) - 1)

    def model(self, fold: TransientFold) -> TransientClassifier:
        """What a fold starts from."""
        options = self.options
        changes: dict[str, Any] = {"classes": self.classes, "feature_names": self.feature_names, "loss": options.loss}
        if options.class_weights == "balanced":
            counts = np.bincount(self.labels[fold.train], minlength=len(self.classes))
            changes["class_weights"] = (counts.sum() / (len(counts) * np.maximum(counts, 1))).tolist()
        elif options.class_weights != "none":
            raise ValueError(f"class_weights: expected none or balanced, found {options.class_weights!r}")
        changes |= settings_of(options.settings or ())
        seed_step(self.loop.seed, 0)
        model = open_network(classifier_class(architecture(options.architecture, self.base)), self.base, **changes)
        model.calibration.reset()  # another model's
        if options.freeze_backbone:
            model.base_model.requires_grad_(False)
        return model

    def extractor(self, fold: TransientFold) -> TransientFeatureExtractor:
        """The extractor of a fold, which knows features by its training objects alone."""
        changes: dict[str, Any] = {"max_measurements": self.options.max_measurements}
        if self.features is not None:
            changes |= {"feature_names": self.feature_names, **feature_statistics(self.features[fold.train])}
        return open_extractor(self.base, **changes)

    def train_fold(self, fold: TransientFold, out: Path) -> dict[str, Any]:
        """Train one fold; what is in its record."""
        options, loop = self.options, self.loop
        if options.loop.restart and is_main_process():
            RunFolder(out).clear()
        model, extractor = self.model(fold), self.extractor(fold)
        own = self.features
        examples = TransientExamples(
            [self.objects.curves[k] for k in fold.train],
            extractor,
            self.augmentation,
            loop.seed,
            self.labels[fold.train],
            None if own is None else own[fold.train],
            options.sampling,
            processes=self.processes,
        )
        judge = ClassJudge(self, fold.validation, extractor)
        origin = Origin.of_dataset(self.dataset, options.split, sorted(set(self.objects.layouts)), self.base)
        content = {"content": self.objects.digest()}
        if own is not None:
            content["features"] = hashlib.sha256(own.tobytes()).hexdigest()
        sizes = {"train": len(fold.train), "validation": len(fold.validation), "held out": len(fold.test)}
        record = {
            "config": config_of(options) | {"fold_number": fold.number},
            "seed": loop.seed,
            **origin.record(**content),
            "objects": sizes,
        }
        progress = train(
            model, examples, judge, loop, out, record, partial(judge.save, extractor=extractor), options.loop.processes
        )
        weights = sum(p.numel() for p in model.parameters())
        return {"best": progress.best[0], "steps": progress.step, "parameters": weights, "objects": sizes}

    def predict(self, fold: TransientFold, folder: Path) -> Classified:
        """What a fold's best model says of the objects it holds out."""
        return classify(folder / "model", self.objects, fold.test, self.features)


def finetune(options: FinetuneOptions) -> None:
    """A model for each fold, or one of all objects; probabilities of all that were held out."""
    dataset, base = locate(options)
    if dataset is None:
        raise ValueError("dataset: expected a folder or Hub id, found none")
    run_of = Finetuning(options, dataset, base)
    model = run_of.model(run_of.folds[0])  # checks its options
    for fold in run_of.folds:
        counts = [len(fold.train), len(fold.validation), len(fold.test), int(run_of.truth[fold.train].sum())]
        logger.info("%s: %d objects trained on (%d held to validate, %d held out), %d of them positive",
                    fold.name, *counts)  # fmt: skip
    logger.info("%.2f million weights, %d steps", sum(p.numel() for p in model.parameters()) / 1e6, run_of.loop.steps)
    if options.loop.dry_run:
        return
    out, parts = options.out, []
    with training_record(out, "transients finetune", config_of(options), options.loop.seed) as run:
        for fold in run_of.folds:
            folder = out if fold.number is None else out / fold.name
            with run.timed("training"):
                run.metrics[fold.name] = run_of.train_fold(fold, folder)
            if fold.number is not None and is_main_process():
                with run.timed("prediction"):
                    found = run_of.predict(fold, folder)
                parts.append(predictions_table(found, fold.number, options.embeddings))
                pq.write_table(parts[-1], folder / PREDICTIONS)
        if parts:
            run.metrics["held out"] = _merge(run_of, pa.concat_tables(parts), out)
        if options.predict is not None and is_main_process():
            _predict_split(run_of, options.predict, out, run)


def classify(folder: Path, objects: Objects, places: Places, features: Array | None) -> Classified:
    """What the model of a folder says of the objects at ``places``."""
    pipeline = TransientPipeline.from_pretrained(folder)
    names, curves = [objects.names[k] for k in places], [objects.curves[k] for k in places]
    return pipeline.classify(names, curves, None if features is None else features[places], _BATCH)


def predictions_table(found: Classified, fold: int, embeddings: bool) -> pa.Table:
    """A row an object: object_id, fold, probability, logit, each class's share and, if wanted, embedding."""
    columns: dict[str, Any] = found.columns()
    columns["object_id"] = pa.array(found.object_id, pa.string())
    table = pa.table(columns).add_column(1, "fold", pa.array([fold] * len(found.object_id), pa.int64()))
    if embeddings:
        table = table.append_column("embedding", pa.array(list(found.embeddings), pa.list_(pa.float32())))
    return table


def _merge(run_of: Finetuning, table: pa.Table, out: Path) -> dict[str, float]:
    """Out-of-fold probabilities of all folds as one file; their scores."""
    table = table.sort_by("object_id")
    truth_of = dict(zip(run_of.objects.names, run_of.truth.tolist(), strict=True))
    truth = np.array([truth_of[name] for name in table["object_id"].to_pylist()])
    pq.write_table(table.append_column("target", pa.array(truth.astype(np.int8))), out / PREDICTIONS)
    scores = out_of_fold_scores(truth, table["probability"].to_numpy(), table["fold"].to_numpy())
    write_json(out / "scores.json", scores)
    logger.info("%s: each object by a model that never saw it: %s", out / PREDICTIONS, scores)
    return scores


def _predict_split(run_of: Finetuning, split: str, out: Path, run: Run) -> None:
    """Probabilities of another split, the mean over the folds' models."""
    objects, options = read_objects(run_of.dataset, split), run_of.options
    features = None if options.features is None else read_features(options.features, objects.names)[1]
    folders = [out if fold.number is None else out / fold.name for fold in run_of.folds]
    with run.timed("prediction"):
        found = [classify(folder / "model", objects, np.arange(len(objects)), features) for folder in folders]
    mean = np.mean([one.probability for one in found], 0)
    path = out / f"predictions_{split}.parquet"
    pq.write_table(pa.table({"object_id": pa.array(objects.names, pa.string()), "probability": mean}), path)
    logger.info("%s: %d objects, each by %d models", path, len(objects), len(found))


class ClassJudge:
    """Judges a classifier by objects that it was not trained on, and teaches it how sure it may be."""

    def __init__(self, run_of: Finetuning, places: Places, extractor: TransientFeatureExtractor):
        self.truth, self.batches = torch.from_numpy(run_of.truth[places]), []
        for start in range(0, len(places), _BATCH):
            own = places[start : start + _BATCH]
            features = None if run_of.features is None else run_of.features[own]
            self.batches.append(dict(extractor.batch([run_of.objects.curves[k] for k in own], features)))

    @torch.no_grad()
    def logits(self, model: TransientClassifier) -> torch.Tensor:
        """(object,) log odds of the positive class."""
        device = next(model.parameters()).device
        parts = [model(**{name: x.to(device) for name, x in batch.items()}).logit for batch in self.batches]
        return torch.cat(parts).double().cpu()

    def __call__(self, model: TransientClassifier, accelerator: Accelerator) -> dict[str, float]:
        """Scores, computed alike by every process."""
        logit, truth = self.logits(model), self.truth.numpy()
        probability = torch.sigmoid(logit).numpy()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logit, self.truth.double())
        chosen = probability >= best_threshold(truth, probability)
        return {
            "average_precision": average_precision(truth, probability),
            "f1_optimistic": detection(truth, chosen).f1,
            "log_loss": float(loss),
        }

    def save(self, model: TransientClassifier, folder: Path, extractor: TransientFeatureExtractor) -> None:
        """Write the model with probabilities calibrated on these objects; in training itself they are not."""
        model.calibration.learn(self.logits(model), self.truth)
        save_network(model, folder, extractor)
        model.calibration.reset()
