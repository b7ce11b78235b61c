"""The `penalties` of a model's config as typed rules, checked by name.

    edges: [2, 2]                     # AIRS channels at the blue and the red end that no rule looks at
    windows: {H2O: [[2.5, 2.9]]}      # [um], where molecules absorb
    regions: {H2O: 0.5}               # what channels in a window count in every rule; a rule may have its own
    templates: {H2O: [[1.9, 0.7]]}    # points [um, height] of a molecule's absorption, joined by straight lines
    reweight: 1.0                     # a planet that breaks all rules counts 1 + this in the likelihood
    learned: false                    # weights follow what rules charge (rule_scales.py)
    rules:
      smoothness: {weight: 0.1, mode: soft, limit: 0.2, in_bands: 0.5}
    profiles:                         # kinds of planets, by numbers that lie in [from, to); null is no bound
      hot: {when: {temperature: [1500, null]}, rules: {smoothness: {weight: 0.5, limit: 2.0}}}  # factors

A rule measures a number and is broken above its ``limit``. Soft, all of it is charged, times its weight; hard, nothing
up to the limit, and STEEP times the weight beyond. A planet is of every kind whose numbers (planet_kinds.py) are all
known and in range, and factors of several kinds multiply.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .planet_kinds import FACTS

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

_ENTRIES = ("edges", "windows", "regions", "templates", "reweight", "learned", "rules", "profiles")

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

    def charge(self, value: Tensor, limit: Tensor) -> Tensor:
        """What a measured value (P,) costs by weight, under a ``limit`` (P,)."""
        return value if self.mode == "soft" else STEEP * (value - limit).clamp_min(0.0)


@dataclass(frozen=True)
class Profile:
    """Rules for a kind of planet: ``when`` each fact is in range, ``factors`` of a rule's weight and limit."""

    when: dict[str, tuple[float, float]]
    factors: dict[str, tuple[float, float]]

    def holds(self, facts: Mapping[str, Tensor]) -> Tensor:
        """Which planets (P,) are of this kind; of unknown facts, none."""
        found = [(facts[name] >= low) & (facts[name] < high) for name, (low, high) in self.when.items()]
        return torch.stack(found).all(0)


@dataclass(frozen=True)
class Rules:
    """All that `penalties` say; see the module."""

    edges: tuple[int, int]
    windows: dict[str, Points]
    regions: dict[str, float]
    templates: dict[str, Points]
    reweight: float
    learned: bool
    rules: dict[str, Rule]
    profiles: dict[str, Profile]

    @classmethod
    def of(cls, penalties: Any) -> "Rules":
        """Checked; ValueError that names the entry, what was expected and what was found."""
        given = _mapping("penalties", penalties, _ENTRIES)
        edges = given.get("edges", (0, 0))
        if not (isinstance(edges, list | tuple) and len(edges) == 2 and all(_is_count(one) for one in edges)):
            raise ValueError(f"penalties: edges: expected two whole numbers of 0 or more, found {edges!r}")
        windows = _curves("penalties: windows", given.get("windows", {}))
        for name, pairs in windows.items():
            if not all(low < high for low, high in pairs):
                raise ValueError(f"penalties: windows: {name}: expected [low, high] in um, found {pairs}")
        templates = _curves("penalties: templates", given.get("templates", {}))
        if not isinstance(learned := given.get("learned", False), bool):
            raise ValueError(f"penalties: learned: expected true or false, found {learned!r}")
        listed = _mapping("penalties: rules", given.get("rules", {}), RULES)
        if not listed:
            raise ValueError(f"penalties: rules: expected some of {', '.join(RULES)}, found none")
        return cls(
            (edges[0], edges[1]),
            windows,
            _numbers("penalties: regions", given.get("regions", {}), windows),
            {name: sorted(points) for name, points in templates.items()},
            _number("penalties: reweight", given.get("reweight", 0.0)),
            learned,
            {name: _rule(name, values, windows, templates) for name, values in listed.items()},
            _profiles("penalties: profiles", given.get("profiles", {}), listed),
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


def _profiles(where: str, given: Any, rules: Mapping[str, Any]) -> dict[str, Profile]:
    found = {}
    for name, one in _mapping(where, given).items():
        values = _mapping(f"{where}: {name}", one, ("when", "rules"))
        when = _mapping(f"{where}: {name}: when", values.get("when", {}), FACTS)
        if not when:
            raise ValueError(f"{where}: {name}: when: expected some of {', '.join(FACTS)}, found none")
        factors = {}
        for rule, changes in _mapping(f"{where}: {name}: rules", values.get("rules", {}), tuple(rules)).items():
            at = f"{where}: {name}: rules: {rule}"
            change = _mapping(at, changes, ("weight", "limit"))
            factors[rule] = (
                _number(f"{at}: weight", change.get("weight", 1.0)),
                _number(f"{at}: limit", change.get("limit", 1.0)),
            )
        found[str(name)] = Profile(
            {fact: _range(f"{where}: {name}: when: {fact}", ends) for fact, ends in when.items()}, factors
        )
    return found


def _range(where: str, given: Any) -> tuple[float, float]:
    """Ends of a range, of which null is none."""
    if not isinstance(given, list | tuple) or len(given) != 2:
        raise ValueError(f"{where}: expected [from, to), found {given!r}")
    low, high = (end if one is None else _number(where, one) for one, end in zip(given, (0.0, math.inf), strict=True))
    if not low < high:
        raise ValueError(f"{where}: expected [from, to), found {given!r}")
    return low, high


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
