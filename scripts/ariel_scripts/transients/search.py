"""A search for TDEs in a table of features: what it may choose, it chooses inside the objects that it is trained on.

Inner folds of those objects decide how many features and which boosters' settings, the calibration of probabilities
and the threshold. The rows of an object are its draws of redshift: all but the last are trained on, the last is judged,
whose error of the redshift no tree has seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ariel_scripts.transients.boosters import SUFFIXES, Booster, BoosterSettings, Values, load_booster, train_booster
from ariel_scripts.transients.feature_table import FeatureTable
from hf_dataset.folders import read_json, write_json
from hf_dataset.transients.folds import stratified_folds
from modeling_ariel.transients.detection_scores import average_precision, best_threshold
from modeling_ariel.transients.logistic import logistic

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

FILE = "search.json"
SMOOTH = 0.3  # of the threshold, in log odds
RANKING = 100  # trees
TRAIN = "train"  # split whose labels are learned from
TUNED: tuple[dict[str, Any], ...] = (  # settings of boosters that tuning tries
    {},
    {"depth": 3},
    {"depth": 6},
    {"trees": 600, "rate": 0.02},
    {"columns": 0.1},
)


@dataclass(frozen=True, eq=False)
class Objects:
    """Labelled objects: names, types, targets (object,), values (object, draw, feature), names of the features.

    The last draw is that which is judged; draw 0 is the redshift as it stands.
    """

    name: NDArray[np.str_]
    spec_type: NDArray[np.str_]
    target: Ints
    values: Values
    features: tuple[str, ...]
    group: NDArray[np.str_]

    def of(self, places: NDArray[Any]) -> Objects:
        """Some of the objects."""
        columns = {name: value[places] for name, value in vars(self).items() if name != "features"}
        return Objects(**columns, features=self.features)

    def only(self, features: Sequence[int]) -> Objects:
        """The objects with some of the features, by place."""
        names = tuple(self.features[place] for place in features)
        return replace(self, values=self.values[:, :, list(features)], features=names)

    @property
    def draws(self) -> int:
        """How many draws of each object are trained on."""
        return max(self.values.shape[1] - 1, 1)

    @property
    def rows(self) -> tuple[Values, Ints]:
        """(row, feature) values and (row,) targets of the draws that are trained on, object by object."""
        values = self.values[:, : self.draws].reshape(-1, len(self.features))
        return values, np.repeat(self.target, self.draws)

    @property
    def judged(self) -> Values:
        """(object, feature) values of the draw that is judged."""
        return self.values[:, -1]


def objects_of(table: FeatureTable, groups: NDArray[np.str_] | None = None) -> Objects:
    """The labelled objects of the split `train`; groups: (object,) in their order, by name, by default each its own.

    Whose redshift is not drawn, as there is none or it has an error, has its one row as often as others have draws.
    ValueError where there are not both classes.
    """
    own = table.of((table.target >= 0) & (table.split == TRAIN))
    own = own.of(np.lexsort([own.draw, own.object_id]))
    names, first, counts = np.unique(own.object_id, return_index=True, return_counts=True)
    target = own.target[first]
    if (classes := sorted(set(target.tolist()))) != [0, 1]:
        raise ValueError(f"features: expected labelled objects of class 0 and 1 in split {TRAIN}, found {classes}")
    draws = np.minimum(np.arange(counts.max()), counts[:, None] - 1)
    return Objects(
        name=names,
        spec_type=own.spec_type[first],
        target=target,
        values=own.values[first[:, None] + draws],
        features=own.names,
        group=names if groups is None else groups,
    )


@dataclass(frozen=True)
class SearchSettings:
    """What a search may choose from.

    boosters: settings of each member; with several their log odds are averaged. alternatives: changes of all of them,
    such as TUNED. counts: how many features, 0 for all. seeds: models of each member in the end.
    """

    boosters: tuple[BoosterSettings, ...] = (BoosterSettings(),)
    alternatives: tuple[dict[str, Any], ...] = ({},)
    counts: tuple[int, ...] = (50, 100)
    folds: int = 4
    seeds: int = 3


@dataclass(frozen=True)
class Calibration:
    """log odds of a probability = offset + slope · log odds of the trees (Platt 1999)."""

    offset: float
    slope: float

    def __call__(self, odds: Array) -> Array:
        """Probabilities."""
        return np.asarray(1 / (1 + np.exp(-np.clip(self.offset + self.slope * odds, -40, 40))))


def calibrate(odds: Array, target: Ints) -> Calibration:
    """Logistic regression of the target on the trees' log odds."""
    design = np.stack([np.ones_like(odds), odds], axis=1)
    offset, slope = logistic(design, target, np.array([1e-4, 1e-2]))
    return Calibration(float(offset), float(slope))


@dataclass(frozen=True, eq=False)
class Search:
    """A trained search: features by name, boosters, calibration, threshold; what the inner folds said.

    layouts: those of the rows that it learned from; none where that is not known. learned_from: names of its objects.
    code: hash of the sources of its features.
    """

    features: tuple[str, ...]
    members: tuple[Booster, ...]
    calibration: Calibration
    threshold: float
    chosen: dict[str, Any]
    layouts: tuple[str, ...] = ()
    learned_from: tuple[str, ...] = ()
    code: str = ""

    def odds(self, values: Values, names: Sequence[str]) -> Array:
        """(row,) log odds of the trees for rows (row, feature) of columns with these names; ValueError if one misses.

        They are no probabilities before `calibration`.
        """
        own = self.of_features(values, names)
        return np.asarray(np.mean([member.odds(own) for member in self.members], axis=0))

    def probability(self, values: Values, names: Sequence[str]) -> Array:
        """(row,) calibrated probabilities of rows as those of `odds`."""
        return self.calibration(self.odds(values, names))

    def contributions(self, values: Values, names: Sequence[str]) -> Array:
        """(row, feature) what each of `features` adds to the calibrated log odds; mean of the members'."""
        own = self.of_features(values, names)
        found = np.mean([member.contributions(own) for member in self.members], axis=0)[:, :-1]
        return np.asarray(self.calibration.slope * found)

    def of_features(self, values: Values, names: Sequence[str]) -> Values:
        """(row, feature) the columns of `features`; ValueError if one misses."""
        if missing := [name for name in self.features if name not in names]:
            raise ValueError(f"features: expected {', '.join(missing[:4])}, found other {len(names)} columns")
        place = {name: index for index, name in enumerate(names)}
        return np.ascontiguousarray(values[:, [place[name] for name in self.features]])

    def save(self, folder: Path) -> None:
        """Write the boosters in their libraries' formats, then `search.json`."""
        folder.mkdir(parents=True, exist_ok=True)
        names = [f"member-{place}{SUFFIXES[one.library]}" for place, one in enumerate(self.members)]
        for name, member in zip(names, self.members, strict=True):
            member.save(folder / name)
        content = {
            "features": list(self.features),
            "members": names,
            "calibration": asdict(self.calibration),
            "threshold": self.threshold,
            "chosen": self.chosen,
            "layouts": list(self.layouts),
            "learned from": list(self.learned_from),
            "code": self.code,
        }
        write_json(folder / FILE, content)


def load_search(folder: Path) -> Search:
    """A saved search; ValueError where there is none."""
    content = read_json(folder / FILE)
    try:
        if content is None:
            raise KeyError(FILE)
        members = tuple(load_booster(folder / Path(name).name) for name in content["members"])
        calibration = Calibration(**content["calibration"])
        features, threshold, chosen = tuple(content["features"]), float(content["threshold"]), dict(content["chosen"])
        layouts, names = (tuple(map(str, content.get(name, ()))) for name in ("layouts", "learned from"))
    except (KeyError, TypeError) as error:
        raise ValueError(f"{folder / FILE}: expected a model of `ariel transients boost`: {error}") from error
    return Search(features, members, calibration, threshold, chosen, layouts, names, str(content.get("code", "")))


@dataclass(frozen=True, eq=False)
class Inner:
    """What inner folds say of one choice: (object,) log odds out of fold, their average precision."""

    count: int
    alternative: int
    odds: Array
    score: float


def train_search(objects: Objects, settings: SearchSettings, seed: int = 0) -> tuple[Search, Array]:
    """Choose by inner folds, calibrate, set the threshold, and train on all objects.

    Also returns the (object,) log odds out of the inner folds, on which calibration and threshold were set.
    """
    best = choose(objects, settings, seed)
    calibration = calibrate(best.odds, objects.target)
    threshold = best_threshold(objects.target, calibration(best.odds), SMOOTH)
    boosters = [replace(one, **settings.alternatives[best.alternative]) for one in settings.boosters]
    own = objects.only(ranking(objects, boosters[0], seed)[: best.count or None])
    members = tuple(
        train_booster(*own.rows, booster, seed + 1000 * place, own.draws)
        for booster in boosters
        for place in range(settings.seeds)
    )
    chosen = {
        "features": len(own.features),
        "alternative": settings.alternatives[best.alternative],
        "inner average precision": best.score,
        "boosters": [asdict(one) for one in boosters],
    }
    names = tuple(objects.name.tolist())
    return Search(own.features, members, calibration, threshold, chosen, learned_from=names), best.odds


def choose(objects: Objects, settings: SearchSettings, seed: int) -> Inner:
    """The number of features and the alternative of greatest average precision out of the inner folds.

    Features are ranked anew in each fold, by the gain of trees that see all of them.
    """
    names, target, group = (one.tolist() for one in (objects.name, objects.target, objects.group))
    fold = stratified_folds(names, target, settings.folds, seed, group)
    choices = [(count, other) for count in settings.counts for other in range(len(settings.alternatives))]
    odds = np.zeros((len(choices), objects.target.size))
    for held in range(settings.folds):
        train, test = objects.of(fold != held), objects.of(fold == held)
        ranked = ranking(train, settings.boosters[0], seed)
        for row, (count, other) in enumerate(choices):
            own, judged = train.only(ranked[: count or None]), test.only(ranked[: count or None]).judged
            boosters = [replace(one, **settings.alternatives[other]) for one in settings.boosters]
            found = [train_booster(*own.rows, booster, seed, own.draws).odds(judged) for booster in boosters]
            odds[row, fold == held] = np.mean(found, axis=0)
    scores = [average_precision(objects.target, one) for one in odds]
    best = int(np.argmax(scores))
    return Inner(*choices[best], odds[best], scores[best])


def ranking(objects: Objects, booster: BoosterSettings, seed: int) -> list[int]:
    """Places of the features by the gain of the splits of 100 trees at most, the greatest first."""
    short = replace(booster, trees=min(booster.trees, RANKING))
    gain = train_booster(*objects.rows, short, seed, objects.draws).importance(len(objects.features))
    return [int(place) for place in np.argsort(-gain, kind="stable")]
