"""Links to a view: planet, view and settings in the page's query, where they differ from the defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from urllib.parse import urlencode

from engine.forecast import MOST
from engine.guess import MOST_SERIES, ROUNDS
from engine.spectrum import UNITS
from engine.transients import OBJECTS
from hf_dataset.simulation.opacities import SPECIES

YOURS = "yours"
VIEWS = ("spectrum", "light-curves", "why", "what-if", "more-transits", "guess", "transients", "telescopes")
LIMITS = {  # smallest and largest value of each number, as the sliders have them
    "resolution": (0.0, 300.0),
    "visit": (0.0, 99.0),
    "noise": (0.5, 10.0),
    "transits": (0.0, 10.0),
    "drift": (0.0, 10.0),
    "missing_from": (1.95, 3.9),
    "missing_width": (0.0, 2.0),
    "more": (1.0, MOST - 1.0),
    "series": (1.0, float(MOST_SERIES)),
    "round": (1.0, float(ROUNDS)),
}


@dataclass(frozen=True)
class Settings:
    """Everything that a view depends on, except uploads, which no link can hold: `planet` is then YOURS.

    resolution: of the bins, 0 for channels. transits: 0 for as many as were observed. noise, drift: factors.
    missing_from, missing_width: hidden channels [um]. transient: a simulated object, empty for an upload. molecule,
    more: what so many more transits are to find. series, round: of guessing; whose planet is no planet of the page's.
    """

    planet: str = ""
    view: str = VIEWS[0]
    unit: str = "ppm"
    resolution: float = 0.0
    visit: int = 0
    noise: float = 1.0
    transits: int = 0
    drift: float = 1.0
    missing_from: float = 2.5
    missing_width: float = 0.0
    transient: str = next(iter(OBJECTS))
    molecule: str = "CH4"
    more: int = 3
    series: int = 1
    round: int = 1

    @property
    def conditions(self) -> tuple[float, ...]:
        """The conditions of a what-if."""
        return self.noise, self.transits, self.drift, self.missing_from, self.missing_width


def to_query(settings: Settings) -> str:
    """`planet=…&unit=…`, without a question mark."""
    default = Settings()
    shown = {name.name: getattr(settings, name.name) for name in fields(settings)}
    kept = {name: value for name, value in shown.items() if value not in ("", getattr(default, name))}
    return urlencode({name: f"{value:g}" if isinstance(value, float) else value for name, value in kept.items()})


def from_query(query: Mapping[str, str]) -> Settings:
    """The settings of a link. What is missing, misspelt or out of range is the default or the nearest limit."""
    found: dict[str, object] = {"planet": str(query.get("planet", ""))[:64]}
    for name, allowed in (("view", VIEWS), ("unit", UNITS), ("transient", tuple(OBJECTS)), ("molecule", SPECIES)):
        if query.get(name) in allowed:
            found[name] = query[name]
    for name, (low, high) in LIMITS.items():
        kind = type(getattr(Settings(), name))
        try:
            value = float(query[name])
        except (KeyError, ValueError):
            continue
        if value == value:  # not NaN
            found[name] = kind(min(max(value, low), high))
    return Settings(**found)  # type: ignore[arg-type]
