"""Finished batches of a prediction, kept as files beside its output until it is whole."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hf_dataset import folders
from modeling_ariel.predictions import TEXTS, Predictions

MANIFEST = "manifest.json"
ARRAYS = ("mu", "sigma", "sigma_aleatoric", "sigma_epistemic")


@dataclass
class Part:
    """Predictions of a batch: ``planet_id``, ``status``, ``notes`` (P,), ``arrays`` of ARRAYS (P, C); why others were
    refused.
    """

    planet_id: list[int] = field(default_factory=list)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    status: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    refused: dict[int, str] = field(default_factory=dict)

    def as_bytes(self) -> bytes:
        """As an npz file."""
        about = {
            **{name: getattr(self, name) for name in ("planet_id", "status", "notes")},
            "refused": list(self.refused.items()),
        }
        file = io.BytesIO()
        np.savez(file, about=np.frombuffer(json.dumps(about).encode(), np.uint8), **self.arrays)  # type: ignore[arg-type]
        return file.getvalue()

    @classmethod
    def read(cls, path: Path) -> Part:
        """From an npz file."""
        with np.load(path, allow_pickle=False) as file:
            about = json.loads(file["about"].tobytes())
            arrays = {name: file[name] for name in file.files if name != "about"}
        refused = {int(planet): why for planet, why in about["refused"]}
        return cls(about["planet_id"], arrays, about["status"], about["notes"], refused)


class Parts:
    """The parts of one run, in its order, and the settings that made them."""

    def __init__(self, folder: Path, settings: dict[str, Any], parts: list[Part]) -> None:
        self.folder, self.settings, self._parts = folder, settings, parts

    @classmethod
    def open(cls, folder: Path, settings: dict[str, Any], restart: bool = False, free: tuple[str, ...] = ()) -> Parts:
        """Those of an interrupted run with the same settings; ValueError where they were others.

        Settings named in ``free`` take the earlier run's value.
        """
        if restart:
            folders.remove_tree(folder)
        before = folders.read_json(folder / MANIFEST)
        if before is None:
            folders.remove_tree(folder)
            folders.write_json(folder / MANIFEST, settings)
            return cls(folder, settings, [])
        settings = {**settings, **{name: before[name] for name in free if name in before}}
        now = json.loads(json.dumps(settings, default=str))
        if changed := [name for name in sorted({*now, *before}) if now.get(name) != before.get(name)]:
            what = "; ".join(f"{name} was {before.get(name)}, is {now.get(name)}" for name in changed)
            raise ValueError(
                f"{folder}: an interrupted run had other settings: {what}. Repeat it with those, or --restart to "
                "forget what it did"
            )
        return cls(folder, settings, cls._read(folder))

    @classmethod
    def kept(cls, folder: Path) -> Parts:
        """Those of a run whatever its settings, to look at."""
        return cls(folder, {}, cls._read(folder))

    @staticmethod
    def _read(folder: Path) -> list[Part]:
        """Parts without a gap from the first; what comes after one is made again."""
        parts: list[Part] = []
        while (path := folder / f"{len(parts):06d}.npz").is_file():
            try:
                parts.append(Part.read(path))
            except (ValueError, KeyError, OSError, zipfile.BadZipFile):
                break
        return parts

    @property
    def count(self) -> int:
        """Parts that are finished."""
        return len(self._parts)

    @property
    def planets(self) -> list[int]:
        """Planets that need no more work."""
        return [planet for part in self._parts for planet in (*part.planet_id, *part.refused)]

    @property
    def refused(self) -> dict[int, str]:
        """Why planets were refused."""
        return {planet: why for part in self._parts for planet, why in part.refused.items()}

    def add(self, part: Part) -> None:
        """Keep one part more."""
        folders.write_bytes(self.folder / f"{self.count:06d}.npz", part.as_bytes())
        self._parts.append(part)

    def finish(self, more: Sequence[Part] = ()) -> tuple[Predictions, dict[int, str]]:
        """All predictions in the order of planet ids, and why planets were refused; ValueError if all were.

        more: parts that are not kept.
        """
        parts = [*self._parts, *more]
        refused = {planet: why for part in parts for planet, why in part.refused.items()}
        full = [part for part in parts if part.planet_id]
        if not full:
            raise ValueError(
                f"no planet could be predicted; the first of {len(refused)}: {next(iter(refused.items()))}"
            )
        planet = np.concatenate([part.planet_id for part in full]).astype(np.int64)
        order = np.argsort(planet)
        arrays = {name: np.concatenate([part.arrays[name] for part in full])[order] for name in ARRAYS}
        extra: dict[str, Any] = {name: arrays[name] for name in ARRAYS[2:]}
        for name in TEXTS:
            texts = [text for part in full for text in getattr(part, name)]
            extra[name] = [texts[i] for i in order]
        return Predictions(planet[order], arrays["mu"], arrays["sigma"], extra), refused

    def remove(self) -> None:
        """Delete them."""
        folders.remove_tree(self.folder)
