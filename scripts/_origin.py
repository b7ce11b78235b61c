"""What a model was made of: recorded when it is trained or calibrated, read when it is published.

A row's `layout` tells whose data it is: `simulated` is this project's own, anything else derives from the challenge's
(also `given`, simulated light curves of given spectra), whose licence goes with whatever was learned from it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ariel_scripts._hub import Located

SIMULATED = "simulated"
ON_THE_FLY = "simulated on the fly"
OWN, CHALLENGE = "apache-2.0", "cc-by-nc-4.0"
TRAINING, CALIBRATION, CARD = "training.json", "calibration.json", "README.md"
# of some machine: two names or more after a slash that does not continue an address
_PATH = re.compile(r"(?<![\w.~/)\]}*$%:-])/[^\s\"'`<>|,;)/]+(?:/[^\s\"'`<>|,;)/]*)+|\b[A-Za-z]:\\[^\s\"'`<>|,;)]+")


@dataclass(frozen=True)
class Origin:
    """Training data, in the words of the record, and the checkpoint that training starts from."""

    data: dict[str, Any] = field(default_factory=lambda: {"source": ON_THE_FLY, "layouts": [SIMULATED]})
    base: Located | None = None

    @classmethod
    def of_dataset(cls, dataset: Located, split: str, layouts: Sequence[str], base: Located | None) -> Origin:
        """``layouts``: those of the rows trained on."""
        where = dataset.record()
        return cls({"source": where.pop("name"), **where, "split": split, "layouts": sorted(layouts)}, base)

    def record(self, **more: Any) -> dict[str, Any]:
        """Entries `data` and `base` of training.json; ``more`` is added to the data."""
        found: dict[str, Any] = {"data": {**self.data, **more}}
        if self.base is not None:
            layouts = layouts_of(Path(self.base.location))
            found["base"] = self.base.record() | {"layouts": None if layouts is None else sorted(layouts)}
        return found


def layouts_of(folder: Path) -> frozenset[str] | None:
    """Layouts of all data that a checkpoint derives from, its base's too; None where its records don't say.

    Older records name no layouts; there, a card under this project's own licence says that all was simulated.
    """
    known, complete = _recorded_layouts(folder)
    if complete:
        return known
    return known | {SIMULATED} if stated_licence(folder) == OWN else None


def licence_of(folder: Path) -> str:
    """The licence under which a checkpoint may be published: the challenge's unless all it learned from is simulated.

    Raises:
        ValueError: its card states one that the data do not allow.
    """
    known, complete = _recorded_layouts(folder)
    foreign, stated = sorted(known - {SIMULATED}), stated_licence(folder)
    if foreign:
        needed, why = CHALLENGE, f"learned from data of layout {', '.join(foreign)}"
    elif complete:
        needed, why = OWN, "learned from simulation alone"
    else:
        return stated or CHALLENGE
    if stated not in (None, needed):
        raise ValueError(f"{folder / CARD}: expected license: {needed}, as the model {why}, found {stated}")
    return needed


def stated_licence(folder: Path) -> str | None:
    """The licence in the YAML of the folder's card, if there is one."""
    from huggingface_hub import ModelCard

    path = folder / CARD
    if not path.is_file():
        return None
    licence = ModelCard(path.read_text(encoding="utf-8"), ignore_metadata_errors=True).data.get("license")
    return None if licence is None else str(licence)


def read_record(path: Path) -> dict[str, Any]:
    """A JSON record of the folder; empty where there is none."""
    if not path.is_file():
        return {}
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: expected JSON: {error}") from error
    if not isinstance(record, dict):
        raise ValueError(f"{path}: expected a record, found {type(record).__name__}")
    return record


def without_paths(value: Any) -> Any:
    """A record in which only the last name of every absolute path is left."""
    if isinstance(value, dict):
        return {name: without_paths(item) for name, item in value.items()}
    if isinstance(value, list):
        return [without_paths(item) for item in value]
    if not isinstance(value, str):
        return value
    return _PATH.sub(lambda found: re.split(r"[/\\]", found[0].rstrip("/\\"))[-1], value)


def _recorded_layouts(folder: Path) -> tuple[frozenset[str], bool]:
    """Layouts that the folder's records name, and whether they name all."""
    training, calibration = read_record(folder / TRAINING), read_record(folder / CALIBRATION)
    data, config = training.get("data") or {}, training.get("config") or {}
    parts: list[Any] = [[SIMULATED] if data.get("source") == ON_THE_FLY else data.get("layouts")]
    if "base" in training or config.get("model") is not None:
        parts.append((training.get("base") or {}).get("layouts"))
    if calibration:
        parts.append(calibration.get("layouts"))
    known = frozenset(str(layout) for part in parts if part is not None for layout in part)
    return known, all(part is not None for part in parts)
