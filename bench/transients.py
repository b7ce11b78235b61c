"""Searches for TDEs in the MALLORN challenge, scored in nested folds, with the optimistic number beside each.

Run: make transients (python bench/transients.py ../shared/real/mallorn; without that folder it says so and stops). Rows
are kept, so a stopped run continues. Writes transients.md and .json; nothing made of the challenge's data leaves the
output folder.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow.parquet as pq
import typer
from numpy.typing import NDArray
from tqdm import tqdm
from transient_networks import FOLDS, NETWORKS, Networks
from transient_perceptron import perceptron_folds

from ariel_scripts.cli import call
from ariel_scripts.command_line import run_script
from ariel_scripts.run_record import run_record, write_json
from ariel_scripts.transients.boosters import IMBALANCES, BoosterSettings
from ariel_scripts.transients.feature_table import read_features
from ariel_scripts.transients.nested import (
    COMBINATIONS,
    Judged,
    OuterFold,
    as_text,
    combined,
    judge,
    nested_folds,
    scores,
)
from ariel_scripts.transients.prediction import LIBRARIES
from ariel_scripts.transients.search import TUNED, Objects, SearchSettings, objects_of
from hf_dataset.store.parquet import find_shards
from hf_dataset.transients.contents import DATA_DIR
from modeling_ariel.transients.detection_scores import average_precision, bootstrap
from modeling_ariel.transients.feature_families import FAMILIES, family_of
from modeling_ariel.transients.observed import observe
from modeling_ariel.transients.siblings import distances, groups, rest_curve
from modeling_ariel.transients.smooth import smooth_all

logger = logging.getLogger("ariel")

REPOSITORY = Path(__file__).resolve().parents[1]
MALLORN = REPOSITORY.parent / "shared/real/mallorn"
EVENTS = 64  # observed ones behind the challenge's disruptions (arXiv:2512.04946)
WEIGHED = BoosterSettings().imbalance
COLUMNS = ("f1", "optimistic F1", "average precision", "gain", "precision", "recall")
DRAWS = 500  # of objects, for intervals


def main(
    raw: Annotated[Path, typer.Argument(help="Raw folder of the challenge.")] = MALLORN,
    out: Annotated[Path, typer.Option(help="Folder for everything that is made.")] = REPOSITORY
    / "bench/out/transients",
    repeats: Annotated[int, typer.Option(min=1, help="Of five outer folds, for boosters and ensembles.")] = 3,
    rows: Annotated[list[str] | None, typer.Option(help="Only these rows of the table.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A few trees and folds: does it run?")] = False,
) -> None:
    """Train and score every search.

    Example: python bench/transients.py --repeats 1
    """
    if not raw.is_dir():
        print(f"skipped: the tables of the MALLORN challenge (no licence, not shipped) are not at {raw}")
        return
    data, table, results = out / "data", out / "features", out / "quick" if quick else out
    with run_record(results, "transients", {"raw": str(raw), "repeats": repeats, "quick": quick}, 0) as run:
        if not (data / "README.md").is_file():
            call("transients", "build", raw, data)
        call("transients", "features", data, table)
        bench = Bench(data, objects_of(read_features(table)), results / "folds", 1 if quick else repeats, quick)
        found: dict[str, dict[str, Any]] = {}
        for name, row in bench.rows().items():
            if rows and name not in rows:
                continue
            found[name] = bench.score(row())
            write_json(results / "transients.json", found)
            (results / "transients.md").write_text(as_markdown(found), encoding="utf-8")
        run.metrics.update(found)
    print(as_markdown(found))


class Bench:
    """Rows of the table, whose outer folds are kept in a folder."""

    def __init__(self, data: Path, objects: Objects, folder: Path, repeats: int, quick: bool) -> None:
        self.data, self.objects, self.folder, self.repeats, self.quick = data, objects, folder, repeats, quick
        self.networks = Networks(data, objects, folder / "networks", quick)

    def rows(self) -> dict[str, Callable[[], list[OuterFold]]]:
        """Name → what trains it, in the order in which it is worth the time."""
        boosted = partial(self.of, "lightgbm")
        found: dict[str, Callable[[], list[OuterFold]]] = {"lightgbm": boosted}
        found["lightgbm, siblings in one fold"] = partial(boosted, grouped=True)
        found |= {name: partial(self.of, name) for name in LIBRARIES if name != "lightgbm"}
        found |= {f"{how} of the three": partial(self.ensemble, how) for how in COMBINATIONS}
        found["lightgbm, tuned"] = partial(boosted, alternatives=TUNED)
        found |= {f"lightgbm, imbalance {one}": partial(boosted, imbalance=one) for one in IMBALANCES if one != WEIGHED}
        found["perceptron on features"] = self.perceptron
        found["average of lightgbm and perceptron"] = self.with_perceptron
        found |= {name: partial(self.network, name) for name in NETWORKS}
        found["stacking of lightgbm and transient, pretrained"] = self.with_network
        found["lightgbm, with embeddings of the pretrained transient"] = partial(boosted, embeddings=True)
        found["transient, pretrained, siblings in one fold"] = partial(self.network, "transient, pretrained", True)
        found["lightgbm, all features"] = partial(boosted, counts=(0,))
        found["lightgbm, no errors of redshift in training"] = partial(boosted, draws=(0, -1))
        found |= {f"lightgbm, without {family}": partial(boosted, without=family) for family in FAMILIES}
        return found

    def score(self, folds: list[OuterFold]) -> dict[str, Any]:
        """Scores of outer folds, of the objects that they judge; `gain`: in average precision over the default's."""
        judged, default = (judge(one, self.objects.target) for one in (folds, self.of("lightgbm")))
        seen = np.isfinite(judged.probability).all(0)
        own, other = (
            Judged(one.target[seen], one.probability[:, seen], one.chosen[:, seen]) for one in (judged, default)
        )
        gain = bootstrap(lambda at: mean_precision(own, at) - mean_precision(other, at), own.target, DRAWS)
        return scores(own, DRAWS) | {"gain": vars(gain), "objects": int(seen.sum())}

    def ensemble(self, how: str) -> list[OuterFold]:
        """Outer folds of the three libraries together."""
        return combined([self.of(library) for library in LIBRARIES], self.objects.target, how)

    def perceptron(self) -> list[OuterFold]:
        """Outer folds of a perceptron on the features."""
        epochs = 2 if self.quick else 60
        return self.kept(
            f"perceptron-{self.repeats}",
            self.repeats,
            lambda done: perceptron_folds(self.objects, FOLDS, self.repeats, epochs, done),
        )

    def network(self, name: str, grouped: bool = False) -> list[OuterFold]:
        """Outer folds of a network, once."""
        objects = replace(self.objects, group=self.siblings()) if grouped else self.objects
        return self.networks.folds(f"{name}, grouped" if grouped else name, NETWORKS[name], objects)

    def with_perceptron(self) -> list[OuterFold]:
        """Outer folds of boosting and a perceptron together."""
        return combined([self.of("lightgbm"), self.perceptron()], self.objects.target, "average")

    def with_network(self) -> list[OuterFold]:
        """Outer folds of boosting and a network together, once."""
        own = [one for one in self.of("lightgbm") if one.repeat == 0]
        return combined([own, self.network("transient, pretrained")], self.objects.target, "stacking")

    def of(
        self,
        library: str,
        imbalance: str = WEIGHED,
        counts: tuple[int, ...] = SearchSettings.counts,
        draws: tuple[int, ...] | None = None,
        grouped: bool = False,
        without: str = "",
        alternatives: tuple[dict[str, Any], ...] = SearchSettings.alternatives,
        embeddings: bool = False,
    ) -> list[OuterFold]:
        """Outer folds of a search, from the folder or trained; `draws`: of redshift, the last is judged."""
        repeats = 1 if without else self.repeats
        booster = BoosterSettings(library, imbalance=imbalance, trees=20 if self.quick else 300)
        settings = SearchSettings((booster,), alternatives, counts)
        tags = [f"tuned{len(alternatives)}"] * (len(alternatives) > 1) + ["embeddings"] * embeddings
        name = "-".join(map(str, [library, imbalance, counts, draws, grouped, without, *tags, repeats]))

        def train(done: Callable[[int], object]) -> list[OuterFold]:
            objects = self.networks.with_embeddings(self.objects) if embeddings else self.objects
            if draws:
                objects = replace(objects, values=objects.values[:, list(draws)])
            if grouped:
                objects = replace(objects, group=self.siblings())
            if without:
                objects = objects.only([k for k, one in enumerate(objects.features) if family_of(one) != without])
            return nested_folds(objects, settings, FOLDS, repeats, progress=done)

        return self.kept(name, repeats, train)

    def kept(
        self, name: str, repeats: int, train: Callable[[Callable[[int], object]], list[OuterFold]]
    ) -> list[OuterFold]:
        """Outer folds from the folder, or trained and put there; `train` calls what it is given after each."""
        path = self.folder / f"{name.replace(' ', '')}.npz"
        if not path.is_file():
            with tqdm(total=FOLDS * repeats, desc=name, unit="fold") as bar:
                write_folds(path, train(bar.update))
        return read_folds(path)

    def siblings(self) -> NDArray[np.str_]:
        """(object,) groups: disruptions of one shape together, as many groups as events can be expected."""
        rows = [row for path in find_shards(self.data, DATA_DIR)["train"] for row in pq.read_table(path).to_pylist()]
        seen = {row["object_id"]: observe(row) for row in rows if row["target"] == 1}
        smooth = smooth_all([*seen.values()])
        curves = [rest_curve(one, own.redshift) for one, own in zip(smooth, seen.values(), strict=True)]
        which = groups(distances(curves), round(EVENTS * (1 - (1 - 1 / EVENTS) ** len(seen))))
        names = dict(zip(seen, which.tolist(), strict=True))
        return np.array([f"event {names[name]}" if name in names else name for name in self.objects.name.tolist()])


def mean_precision(judged: Judged, places: NDArray[np.int64]) -> float:
    """Average precision of some of the objects, the mean over repeats."""
    return float(np.mean([average_precision(judged.target[places], one[places]) for one in judged.probability]))


def write_folds(path: Path, folds: Sequence[OuterFold]) -> None:
    """Outer folds as one file of arrays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {f"{k}.{name}": value for k, one in enumerate(folds) for name, value in vars(one).items()}
    np.savez(path, **arrays)


def read_folds(path: Path) -> list[OuterFold]:
    """What `write_folds` wrote."""
    with np.load(path, allow_pickle=False) as file:
        count = 1 + max(int(name.partition(".")[0]) for name in file.files)
        return [
            OuterFold(int(file[f"{k}.repeat"]), *(file[f"{k}.{name}"] for name in ("train", "judged", "inner", "odds")))
            for k in range(count)
        ]


def as_markdown(rows: dict[str, dict[str, Any]]) -> str:
    """A line a search."""
    lines = [f"| search | {' | '.join(COLUMNS)} | calibration error |", "|---" * (len(COLUMNS) + 2) + "|"]
    for name, row in rows.items():
        own = [as_text(row[one]) if isinstance(row[one], dict) else f"{row[one]:.3f}" for one in COLUMNS]
        lines.append(f"| {name} | {' | '.join(own)} | {row['calibration']['error']:.3f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    run_script(main)
