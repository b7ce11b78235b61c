"""Networks on light curves, in the outer folds of the boosted searches, each fold and pretraining kept in a folder.

A fold's model is picked and calibrated on a fifth of the objects that it may see; the threshold of its judged objects
is that of the other folds' judged objects. Judged redshifts have the error of photometric ones, as for boosters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from ariel_scripts.opening.hub import Located, locate_dataset, locate_model
from ariel_scripts.options.training_loop import LoopOptions
from ariel_scripts.options.transients.finetune import FinetuneOptions
from ariel_scripts.options.transients.pretrain import PretrainOptions
from ariel_scripts.options.transients.training import AugmentationOptions
from ariel_scripts.training.transients import objects as curves_of
from ariel_scripts.training.transients.augmentation import with_redshift_error
from ariel_scripts.training.transients.finetuning import Finetuning, classify
from ariel_scripts.training.transients.folds import Places, TransientFold
from ariel_scripts.training.transients.models import open_extractor, open_network
from ariel_scripts.training.transients.pretraining import pretrain
from ariel_scripts.training.transients.process import LightCurveProcess
from ariel_scripts.transients.feature_table import PHOTOMETRIC_ERROR
from ariel_scripts.transients.nested import OuterFold, places_of
from ariel_scripts.transients.search import Objects
from modeling_ariel.transients.architectures import classifier_class
from modeling_ariel.transients.detection_scores import log_odds
from modeling_ariel.transients.pipeline_transient import TransientPipeline

FOLDS = 5
PRETRAINING, QUICK = 300, 2  # steps
MINUTES = 4.0  # of training a fold at most, where a machine is slow
PLAIN = AugmentationOptions(redshift=0.0, thinning=1.0, noise=1.0, redshift_error=0.0)


@dataclass(frozen=True)
class Network:
    """One row: the architecture, changes of its config, and how it is trained.

    steps: of training a fold, about a minute and a half of one idle core. folds: how many are trained.
    """

    architecture: str = "transient"
    settings: tuple[str, ...] = ()
    pretrained: bool = False
    features: bool = False
    augmented: bool = True
    steps: int = 100
    folds: int = FOLDS


NETWORKS = {
    "transient": Network(),
    "transient, pretrained": Network(pretrained=True),
    "transient, pretrained, with features": Network(pretrained=True, features=True),
    "LSTM": Network("transient_lstm", steps=400),
    "GRU": Network("transient_lstm", ("cell=gru",), steps=400),
    "transient, no augmentation": Network(augmented=False),
    "astromer, pretrained": Network("transient_astromer", pretrained=True),
    "SwinV2, one fold": Network("transient_swin", folds=1),
}


class Networks:
    """Trains networks on a dataset; `objects` say which folds there are; `quick`: two steps of everything."""

    def __init__(self, data: Path, objects: Objects, folder: Path, quick: bool) -> None:
        self.data, self.objects, self.folder, self.quick = data, objects, folder, quick
        self.processes: dict[str, LightCurveProcess] = {}  # of curves, which all rows share

    @cached_property
    def curves(self) -> curves_of.Objects:
        """The labelled curves, in the order of the dataset, with redshifts as they stand."""
        return curves_of.read_objects(self.dataset, "train")

    @cached_property
    def rows(self) -> Places:
        """(object,) places of the objects in the dataset."""
        place = {name: row for row, name in enumerate(self.curves.names)}
        return np.array([place[name] for name in self.objects.name.tolist()])

    @cached_property
    def dataset(self) -> Located:
        """Where the light curves are."""
        return locate_dataset(str(self.data))

    def judged_curves(self, draw: int = 0) -> curves_of.Objects:
        """The curves with errors of photometric redshifts."""
        moved = [
            with_redshift_error(curve, PHOTOMETRIC_ERROR, np.random.default_rng([draw, place]))
            for place, curve in enumerate(self.curves.curves)
        ]
        return replace(self.curves, curves=moved)

    def folds(self, name: str, network: Network, objects: Objects) -> list[OuterFold]:
        """Outer folds of a row; `objects`: with their groups.

        A single fold has the threshold of the objects that picked its model.
        """
        own = self.folder / f"{name.replace(',', '').replace(' ', '-')}-{network.steps}"
        outer = places_of(objects, FOLDS, 0)[: network.folds]
        judged = self.judged_curves()
        found, run = [], None
        for number, (train, held) in enumerate(tqdm(outer, desc=name, unit="fold")):
            part, path = places_of(objects.of(train), FOLDS, 1_000_000)[0], own / f"fold-{number}.npz"
            train, validation = train[part[0]], train[part[1]]
            fold = TransientFold(number, *(self.rows[places] for places in (train, validation, held)))
            if not path.is_file():
                run = run or self.run_of(network, own)
                run.train_fold(fold, own / fold.name)
                odds = [
                    log_odds(classify(own / fold.name / "model", judged, places, run.features).probability)
                    for places in (fold.validation, fold.test)
                ]
                np.savez(path, validation=odds[0], held=odds[1])
            with np.load(path) as file:
                found.append(OuterFold(0, validation, held, file["validation"], file["held"]))
        return found if len(found) < FOLDS else judged_by_others(found, objects.target.size)

    def run_of(self, network: Network, out: Path) -> Finetuning:
        """What trains a row."""
        options = FinetuneOptions(
            dataset=str(self.data),
            out=out,
            architecture=network.architecture,
            model=str(self.pretrained(network.architecture)) if network.pretrained else None,
            features=self.feature_file() if network.features else None,
            augmentation=AugmentationOptions() if network.augmented else PLAIN,
            settings=list(network.settings),
            loop=self.loop(network.steps, MINUTES),
        )
        base = locate_model(options.model, None) if options.model else None
        run = Finetuning(options, self.dataset, base)
        run.processes = self.processes
        return run

    def loop(self, steps: int, minutes: float = 0.0) -> LoopOptions:
        """Settings of the loop."""
        steps = QUICK if self.quick else steps
        return LoopOptions(steps=steps, evaluate_every=max(steps // 4, 1), tracker="none", minutes=minutes)

    def pretrained(self, architecture: str) -> Path:
        """The folder of a model that saw all curves and no label."""
        out = self.folder / f"pretrained-{architecture}"
        if not (out / "model").is_dir():
            pretrain(PretrainOptions(str(self.data), out, architecture=architecture, loop=self.loop(PRETRAINING)))
        return out / "model"

    def feature_file(self) -> Path:
        """The features that boosters are judged by, as a table for `finetune`."""
        path = self.folder / "features.parquet"
        if not path.is_file():
            self.folder.mkdir(parents=True, exist_ok=True)
            names = pa.array(self.objects.name.tolist(), pa.string())
            columns = dict(zip(self.objects.features, self.objects.judged.T, strict=True))
            pq.write_table(pa.table({"object_id": names, **columns}), path)
        return path

    def with_embeddings(self, objects: Objects, architecture: str = "transient") -> Objects:
        """The objects with a pretrained network's embeddings as more features; it saw no label."""
        base = locate_model(str(self.pretrained(architecture)), None)
        pipeline = TransientPipeline(open_network(classifier_class(architecture), base), open_extractor(base))
        draws = [self.judged_curves(draw) for draw in range(1, objects.values.shape[1] + 1)]
        found = [pipeline.classify(one.names, one.curves).embeddings[self.rows] for one in draws]
        names = tuple(f"embedding.{place}" for place in range(found[0].shape[1]))
        values = np.concatenate([objects.values, np.stack(found, axis=1)], axis=2)
        return replace(objects, values=values, features=objects.features + names)


def judged_by_others(folds: Sequence[OuterFold], count: int) -> list[OuterFold]:
    """The same folds, of which each is calibrated and given its threshold by the judged objects of the others."""
    odds = np.full(count, np.nan)
    for one in folds:
        odds[one.judged] = one.odds
    others: list[Places] = [np.setdiff1d(np.arange(count), one.judged) for one in folds]
    return [replace(one, train=places, inner=odds[places]) for one, places in zip(folds, others, strict=True)]
