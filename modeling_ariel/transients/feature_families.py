"""All features of an object by family: `family.feature` → number."""

from __future__ import annotations

import math
from collections.abc import Callable

from .band_features import Features, baseline, significance, statistics
from .light_features import absolute, blackbody, decline
from .observed import Observed
from .shape_features import colours, peaks, process, relations
from .smooth import Smooth
from .variability_features import random_walk, structure

FAMILIES: dict[str, Callable[[Observed, Smooth], Features]] = {
    "statistics": lambda observed, _: statistics(observed),
    "significance": lambda observed, _: significance(observed),
    "baseline": baseline,
    "process": process,
    "peaks": peaks,
    "colours": colours,
    "relations": relations,
    "blackbody": blackbody,
    "absolute": absolute,
    "decline": decline,
    "structure": lambda observed, _: structure(observed),
    "walk": random_walk,
}


def features(observed: Observed, smooth: Smooth) -> Features:
    """`family.feature` → number of one object; NaN where there is too little to tell, never infinite."""
    found = {
        f"{family}.{name}": value
        for family, function in FAMILIES.items()
        for name, value in function(observed, smooth).items()
    }
    return {name: value if math.isfinite(value) else math.nan for name, value in found.items()}


def family_of(name: str) -> str:
    """The family of a feature."""
    return name.partition(".")[0]
