"""What a model was made of: recorded when it is trained or calibrated, read when it is published.

A row's `layout` tells whose data it is: `simulated` is this project's own, anything else derives from the challenge's
(also `given`, simulated light curves of given spectra), whose licence goes with whatever was learned from it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard

from ariel_scripts.opening.hub import Located
from hf_dataset import folders
from hf_dataset.digests import file_hash
from hf_dataset.store.shards import find_shards

SIMULATED = "simulated"
ON_THE_FLY = "simulated on the fly"
OWN, CHALLENGE = "apache-2.0", "cc-by-nc-4.0"
TRAINING, CALIBRATION, ADAPTATION, CARD = "training.json", "calibration.json", "adaptation.json", "README.md"
AWAY = "away.json"  # how right error bars were elsewhere, by bench/away.py


@dataclass(frozen=True)
class Origin:
    """Training data, in the words of the record, and the checkpoint that training starts from."""

    data: dict[str, Any] = field(default_factory=lambda: {"source": ON_THE_FLY, "layouts": [SIMULATED]})
    base: Located | None = None

    @classmethod
    def of_dataset(cls, dataset: Located, split: str, layouts: Sequence[str], base: Located | None) -> Origin:
        """``layouts``: those of the rows trained on."""
        where = dataset.record()
        content = {} if dataset.commit else {"fingerprint": fingerprint(dataset.location, split)}
        return cls({"source": where.pop("name"), **where, **content, "split": split, "layouts": sorted(layouts)}, base)

    def record(self, **more: Any) -> dict[str, Any]:
        """Entries `data` and `base` of training.json; ``more`` is added to the data."""
        found: dict[str, Any] = {"data": {**self.data, **more}}
        if self.base is not None:
            layouts = layouts_of(Path(self.base.location))
            found["base"] = self.base.record() | {"layouts": None if layouts is None else sorted(layouts)}
            if self.base.commit is None:
                found["base"]["sha256"] = _weights_sha256(Path(self.base.location))
        return found


def fingerprint(location: str, split: str) -> str | None:
    """Hash of the Parquet footers of a split in a folder or at a URL, independent of their location.

    A footer is some kB of a file: numbers of rows, sizes and offsets of every column, its least and greatest value.
    None where the dataset has no shards of ours.
    """
    out = folders.folder(location)
    digest, paths = hashlib.sha256(), find_shards(out).get(split, ())
    for path in paths:
        with folders.open_binary(path) as file:
            file.seek(-8, os.SEEK_END)
            size = int.from_bytes(file.read(4), "little")
            file.seek(-8 - size, os.SEEK_END)
            digest.update(path.name.encode() + file.read(size))
    return digest.hexdigest() if paths else None


def _weights_sha256(folder: Path) -> str | None:
    """Hash of a checkpoint's weights; None where it has no such file."""
    path = folder / "model.safetensors"
    return file_hash(path) if path.is_file() else None


def layouts_of(folder: Path) -> frozenset[str] | None:
    """Layouts of all data that a checkpoint derives from, its base's too; None where its records don't say."""
    known, complete = _recorded_layouts(folder)
    return known if complete else None


def calibrated_layouts(folder: Path, layouts: Sequence[str]) -> list[str] | None:
    """Layouts that the calibration of a checkpoint derives from once it is calibrated on rows of ``layouts`` too.

    A factor multiplies the one before, so what that was learned from stays; None where that is not known.
    """
    before = read_record(folder / CALIBRATION)
    if not before:
        return sorted(layouts)
    known = before.get("layouts")
    return sorted({*known, *layouts}) if known else None


def adapted_layouts(folder: Path, layouts: Sequence[str]) -> list[str] | None:
    """Layouts that a checkpoint derives from once it is adapted to rows of ``layouts`` too; None where not known."""
    before = layouts_of(folder)
    return None if before is None else sorted({*before, *layouts})


def licence_of(folder: Path) -> str:
    """The licence under which a checkpoint may be published: the challenge's unless all it learned from is simulated.

    Its records decide; without any it is the challenge's, whatever the card says.

    Raises:
        ValueError: its card states another.
    """
    known, complete = _recorded_layouts(folder)
    foreign, stated = sorted(known - {SIMULATED}), stated_licence(folder)
    if foreign:
        needed, why = CHALLENGE, f"the model learned from data of layout {', '.join(foreign)}"
    elif complete:
        needed, why = OWN, "the model learned from simulation alone"
    else:
        needed, why = CHALLENGE, f"{TRAINING} and those beside it don't name the layouts of all that it learned from"
    if stated not in (None, needed):
        raise ValueError(f"{folder / CARD}: expected license: {needed}, as {why}, found {stated}")
    return needed


def stated_licence(folder: Path) -> str | None:
    """The licence in the YAML of the folder's card, if there is one."""
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


def _recorded_layouts(folder: Path) -> tuple[frozenset[str], bool]:
    """Layouts that the folder's records name, and whether they name all."""
    training, *later = (read_record(folder / name) for name in (TRAINING, CALIBRATION, ADAPTATION))
    data, config = training.get("data") or {}, training.get("config") or {}
    parts: list[Any] = [data.get("layouts") or ([SIMULATED] if data.get("source") == ON_THE_FLY else None)]
    if "base" in training or config.get("model") is not None:
        parts.append((training.get("base") or {}).get("layouts"))
    parts += [record.get("layouts") for record in later if record]
    known = frozenset(str(layout) for part in parts for layout in part or ())
    return known, all(parts)
