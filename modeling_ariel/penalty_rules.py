"""The `penalties` of a model's config as typed rules, checked by name.

    edges: [2, 2]                     # AIRS channels at the blue and the red end that no rule looks at
    windows: {H2O: [[2.5, 2.9]]}      # [um], where molecules absorb
    regions: {H2O: 0.5}               # what channels in a window count in every rule; a rule may have its own
    templates: {H2O: [[1.9, 0.7]]}    # points [um, height] of a molecule's absorption, joined by straight lines
    reweight: 1.0                     # a planet that breaks all rules counts 1 + this in the likelihood
    rules:
      smoothness: {weight: 0.1, mode: soft, limit: 0.2, in_bands: 0.5}

A rule measures a number and is broken above its ``limit``. Soft, all of it is charged, times its weight; hard, nothing
up to the limit, and STEEP times the weight beyond.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

STEEP = 10.0
MODES = ("soft", "hard")
RULES = ("smoothness", "total_variation", "fft_power", "non_negativity", "coherence", "seam", "area_ratios",
         "quantile_order", "sigma_bounds", "transit_asymmetry", "fgs1_shape")  # fmt: skip
_OPTIONS: dict[str, dict[str, Any]] = {  # of rules that have some, with what is taken where nothing is given
    "smoothness": {"in_bands": 1.0},
    "fft_power": {"frequency": 0.1},
    "seam": {"index": 1, "width": 5},
    "area_ratios": {"ratios": None},
    "sigma_bounds": {"low_ppm": 1.0, "high_ppm": 1000.0},
}

Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Ratio:
    """Bounds of one molecule's absorption over AIRS in units of another's."""

    of: str
    to: str
    low: float
    high: float


@dataclass(frozen=True)
class Rule:
    """How one of RULES is held: ``regions`` are windows with what their channels count, ``options`` those of its kind
    (``in_bands``, ``frequency`` …, ``ratios`` as :class:`Ratio`).
    """

    weight: float
    mode: str
    limit: float
    regions: dict[str, float]
    options: dict[str, Any]

    def charge(self, value: Tensor) -> Tensor:
        """What a measured value costs."""
        if self.mode == "soft":
            return self.weight * value
        return STEEP * self.weight * (value - self.limit).clamp_min(0.0)


@dataclass(frozen=True)
class Rules:
    """All that `penalties` say; see the module."""

    edges: tuple[int, int]
    windows: dict[str, Points]
    regions: dict[str, float]
    templates: dict[str, Points]
    reweight: float
    rules: dict[str, Rule]

    @classmethod
    def of(cls, penalties: Any) -> "Rules":
        """Checked; ValueError that names the entry, what was expected and what was found."""
        given = _mapping("penalties", penalties, ("edges", "windows", "regions", "templates", "reweight", "rules"))
        edges = given.get("edges", (0, 0))
        if not (isinstance(edges, list | tuple) and len(edges) == 2 and all(_is_count(one) for one in edges)):
            raise ValueError(f"penalties: edges: expected two whole numbers of 0 or more, found {edges!r}")
        windows = _curves("penalties: windows", given.get("windows", {}))
        for name, pairs in windows.items():
            if not all(low < high for low, high in pairs):
                raise ValueError(f"penalties: windows: {name}: expected [low, high] in um, found {pairs}")
        templates = _curves("penalties: templates", given.get("templates", {}))
        listed = _mapping("penalties: rules", given.get("rules", {}), RULES)
        if not listed:
            raise ValueError(f"penalties: rules: expected some of {', '.join(RULES)}, found none")
        return cls(
            (edges[0], edges[1]),
            windows,
            _numbers("penalties: regions", given.get("regions", {}), windows),
            {name: sorted(points) for name, points in templates.items()},
            _number("penalties: reweight", given.get("reweight", 0.0)),
            {name: _rule(name, values, windows, templates) for name, values in listed.items()},
        )


def _rule(name: str, given: Any, windows: Mapping[str, Points], templates: Mapping[str, Points]) -> Rule:
    where, defaults = f"penalties: rules: {name}", _OPTIONS.get(name, {})
    values = {"weight": 1.0, "mode": "soft", "limit": 0.0, "regions": {}, **defaults}
    values |= _mapping(where, given, tuple(values))
    if values["mode"] not in MODES:
        raise ValueError(f"{where}: mode: expected {' or '.join(MODES)}, found {values['mode']!r}")
    options = {key: values[key] for key in defaults}
    if name == "seam":
        for key, value in options.items():
            if not _is_count(value) or value < 1:
                raise ValueError(f"{where}: {key}: expected a whole number of 1 or more, found {value!r}")
    elif name == "area_ratios":
        options["ratios"] = _ratios(f"{where}: ratios", options["ratios"], templates)
    else:
        options = {key: _number(f"{where}: {key}", value) for key, value in options.items()}
    if name == "coherence" and not (templates and windows):
        raise ValueError(f"{where}: expected templates and windows, found none")
    if name == "fft_power" and options["frequency"] >= 0.5:
        raise ValueError(f"{where}: frequency: expected below 0.5 cycles a channel, found {options['frequency']}")
    if name == "sigma_bounds" and not 0.0 < options["low_ppm"] < options["high_ppm"]:
        raise ValueError(f"{where}: expected 0 < low_ppm < high_ppm, found {options}")
    weight, limit = (_number(f"{where}: {key}", values[key]) for key in ("weight", "limit"))
    return Rule(weight, values["mode"], limit, _numbers(f"{where}: regions", values["regions"], windows), options)


def _ratios(where: str, given: Any, templates: Mapping[str, Points]) -> list[Ratio]:
    if not isinstance(given, list) or not given:
        raise ValueError(f"{where}: expected a list of {{of, to, low, high}}, found {given!r}")
    found = []
    for one in given:
        values = _mapping(where, one, ("of", "to", "low", "high"))
        for key in ("of", "to"):
            if values.get(key) not in templates:
                expected = ", ".join(templates) or "a molecule under templates"
                raise ValueError(f"{where}: {key}: expected {expected}, found {values.get(key)!r}")
        low, high = (_number(f"{where}: {key}", values.get(key)) for key in ("low", "high"))
        if low > high:
            raise ValueError(f"{where}: expected low up to high, found {low} and {high}")
        found.append(Ratio(values["of"], values["to"], low, high))
    return found


def _mapping(where: str, given: Any, known: Sequence[str] | None = None) -> Mapping[str, Any]:
    """A mapping whose keys are ``known``."""
    if not isinstance(given, Mapping):
        raise ValueError(f"{where}: expected a mapping, found {given!r}")
    if known is not None and (unknown := [str(name) for name in given if name not in known]):
        raise ValueError(f"{where}: expected {', '.join(known) or 'nothing'}, found {', '.join(unknown)}")
    return given


def _numbers(where: str, given: Any, windows: Mapping[str, Points]) -> dict[str, float]:
    """Weights of windows."""
    return {name: _number(f"{where}: {name}", value) for name, value in _mapping(where, given, tuple(windows)).items()}


def _curves(where: str, given: Any) -> dict[str, Points]:
    """Lists of pairs of numbers by name."""
    found = {}
    for name, pairs in _mapping(where, given).items():
        if not isinstance(pairs, list | tuple) or not pairs:
            raise ValueError(f"{where}: {name}: expected a list of pairs, found {pairs!r}")
        if any(not isinstance(pair, list | tuple) or len(pair) != 2 for pair in pairs):
            raise ValueError(f"{where}: {name}: expected pairs of numbers, found {pairs!r}")
        found[str(name)] = [(_number(f"{where}: {name}", a), _number(f"{where}: {name}", b)) for a, b in pairs]
    return found


def _number(where: str, value: Any) -> float:
    """A finite number of 0 or more."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0.0:
        raise ValueError(f"{where}: expected a number of 0 or more, found {value!r}")
    return float(value)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
