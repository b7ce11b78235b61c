"""What an object is that is no disruption: a second search, for supernovae among objects that are no TDEs.

With q its probability and p that of a disruption, shares are p, (1 − p) q and (1 − p) (1 − q) of TDEs, supernovae and
AGN. They add to 1, and the search for TDEs stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ariel_scripts.transients.boosters import BoosterSettings
from ariel_scripts.transients.nested import OuterFold
from ariel_scripts.transients.predicted import SHARE
from ariel_scripts.transients.search import FILE, Array, Objects, Search, SearchSettings, load_search, train_search

FOLDER = "kinds"  # of the second search, in that of the first
FEWEST = 20  # objects of either kind
SUPERNOVAE = ("SN", "SLSN")


def others_of(objects: Objects) -> Objects | None:
    """The objects that are no TDEs, supernovae as class 1.

    None where a type is neither AGN nor a supernova's, or there are too few of either to learn from.
    """
    own = objects.of(objects.target == 0)
    kinds = own.spec_type.tolist()
    supernova = np.array([kind.startswith(SUPERNOVAE) for kind in kinds], np.int64)
    if not all(one or kind == "AGN" for one, kind in zip(supernova.tolist(), kinds, strict=True)):
        return None
    if np.bincount(supernova, minlength=2).min() < FEWEST:
        return None
    return replace(own, target=supernova)


def train_kinds(objects: Objects, library: str, seed: int) -> Search | None:
    """The second search, of boosters of a library; None as `others_of`."""
    others = others_of(objects)
    if others is None:
        return None
    settings = SearchSettings((BoosterSettings(library, imbalance="none"),), counts=(50,), folds=3, seeds=1)
    return train_search(others, settings, seed)[0]


def load_kinds(folder: Path) -> Search | None:
    """The second search beside a saved first one, where there is one."""
    return load_search(folder / FOLDER) if (folder / FOLDER / FILE).is_file() else None


def shares(probability: Array, supernova: Array) -> dict[str, Array]:
    """Columns of each class's share (object,), of probabilities of a TDE and, if it is none, of a supernova."""
    found = {"AGN": (1 - probability) * (1 - supernova), "SN": (1 - probability) * supernova, "TDE": probability}
    return {f"{SHARE}{name}": one for name, one in found.items()}


def held_out(objects: Objects, folds: Sequence[OuterFold], library: str, seed: int) -> Array | None:
    """(object,) probabilities of a supernova by searches that never saw the object; None as `others_of`."""
    found = np.zeros(objects.target.size)
    for place, one in enumerate(folds):
        search = train_kinds(objects.of(one.train), library, seed + place)
        if search is None:
            return None
        found[one.judged] = search.probability(objects.of(one.judged).judged, objects.features)
    return found
