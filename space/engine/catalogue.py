"""The open dataset, a folder or a Hub id: an index in memory, rows read on request.

The index decodes a few small columns of the Parquet shards, a planet the row groups that hold it. On the Hub these are
range requests: a dataset of a thousand planets opens in seconds and is never downloaded as a whole.
"""

from __future__ import annotations

import json
import logging
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from huggingface_hub import HfApi
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from engine import sample
from engine.raw_view import read_view
from engine.records import PlanetInfo, RawView
from engine.rows import VisitRow
from hf_dataset.folders import Folder, folder, open_binary, read_json, write_bytes
from hf_dataset.store.rows import rows_of
from hf_dataset.store.shards import find_shards

logger = logging.getLogger(__name__)

ROWS_KEPT = 32  # planets whose rows stay decoded, 1 MB a visit
_INDEX = ("planet_id", "visit", "layout", "Ts", "spectrum")


class CatalogueError(ValueError):
    """A dataset that cannot be opened, or a planet that is not in it."""


@dataclass(frozen=True)
class _Place:
    """Location of a row."""

    shard: Folder
    group: int
    row: int
    visit: int


class Catalogue:
    """Planets of one dataset, in its order. Safe to use from several threads."""

    def __init__(self, where: Folder, name: str, revision: str | None = None) -> None:
        self.where, self.name, self.revision = where, name, revision
        self._lock = threading.Lock()
        self._rows: OrderedDict[int, list[VisitRow]] = OrderedDict()
        record = read_json(where / sample.RECORD) or {}
        self._notes: Mapping[str, str] = record.get("notes", {})
        self.is_sample = record.get("seed") == sample.SEED and bool(self._notes)
        self._planets, self._places = self._index()
        if not self._planets:
            raise CatalogueError(f"{name}: expected a dataset of light curves, found no shards with rows")

    @classmethod
    def open(cls, dataset: str | None = None, revision: str | None = None) -> Catalogue:
        """A dataset folder, a Hub id, or (None) the bundled sample; CatalogueError if it cannot be opened."""
        if dataset is None:
            if revision is not None:
                raise CatalogueError(f"dataset revision {revision}: expected a dataset on the Hub, found the sample")
            return cls(sample.ensure(), "simulated sample")
        if Path(dataset).is_dir() or "://" in dataset:
            if revision is not None:
                raise CatalogueError(f"dataset revision {revision}: expected a Hub id, found the folder {dataset}")
            return cls(folder(dataset), Path(dataset).name)
        where, commit = _on_the_hub(dataset, revision)
        return cls(where, dataset, commit)

    def _index(self) -> tuple[dict[int, PlanetInfo], dict[int, list[_Place]]]:
        planets: dict[int, PlanetInfo] = {}
        places: dict[int, list[_Place]] = {}
        raw = {int(path.stem) for path in self._raw_files()}
        for split, shards in find_shards(self.where).items():
            for shard in shards:
                for place, row in self._index_of(shard):
                    planet = int(row["planet_id"])
                    known = planets.get(planet)
                    places.setdefault(planet, []).append(place)
                    planets[planet] = (
                        replace(known, n_visits=known.n_visits + 1)
                        if known
                        else PlanetInfo(
                            planet,
                            split,
                            1,
                            row["labelled"],
                            row["layout"],
                            self._notes.get(str(planet), ""),
                            row["Ts"],
                            raw=planet in raw,
                        )
                    )
        return planets, {planet: sorted(found, key=lambda place: place.visit) for planet, found in places.items()}

    def _raw_files(self) -> list[Path]:
        return sorted((self.where / sample.RAW).glob("*.npz")) if isinstance(self.where, Path) else []

    def _index_of(self, shard: Folder) -> Iterable[tuple[_Place, dict[str, Any]]]:
        """Places and small columns of a shard's rows."""
        try:
            with open_binary(shard) as opened, pq.ParquetFile(opened) as file:
                for group in range(file.num_row_groups):
                    table = file.read_row_group(group, columns=list(_INDEX), use_threads=False)
                    columns = {name: table[name].to_pylist() for name in _INDEX if name != "spectrum"}
                    lengths = [0 if value is None else len(value) for value in table["spectrum"].to_pylist()]
                    for row in range(table.num_rows):
                        small = {name: values[row] for name, values in columns.items()}
                        star = float("nan") if small["Ts"] is None else float(small["Ts"])
                        yield (
                            _Place(shard, group, row, int(small["visit"])),
                            {**small, "Ts": star, "labelled": lengths[row] > 0},
                        )
        except (pa.ArrowException, OSError, KeyError) as error:
            raise CatalogueError(
                f"{self.name}: {shard.name}: expected a shard of light curves, found {error}"
            ) from error

    # --- planets -------------------------------------------------------------------------------------------------

    def planets(self) -> list[PlanetInfo]:
        """All planets."""
        return list(self._planets.values())

    def info(self, planet_id: int) -> PlanetInfo:
        """One planet; CatalogueError if the dataset does not have it."""
        try:
            return self._planets[int(planet_id)]
        except (KeyError, ValueError, TypeError):
            raise CatalogueError(
                f"{self.name}: expected one of its {len(self._planets)} planets, found {planet_id!r}"
            ) from None

    def search(self, text: str, limit: int = 50) -> list[PlanetInfo]:
        """Planets whose id, layout, split or note holds every word; all of them for no words."""
        words = text.lower().split()
        found = []
        for planet in self._planets.values():
            about = f"{planet.label} {planet.layout} {planet.split}".lower()
            if all(word in about for word in words):
                found.append(planet)
            if len(found) == limit:
                break
        return found

    def random(self, seed: int) -> PlanetInfo:
        """A planet; the same for the same seed."""
        ids = sorted(self._planets)
        return self._planets[ids[int(np.random.default_rng(abs(int(seed))).integers(len(ids)))]]

    def visits(self, planet_id: int) -> list[VisitRow]:
        """Rows of a planet's visits in order, with read-only arrays."""
        planet = self.info(planet_id).planet_id
        with self._lock:
            if planet in self._rows:
                self._rows.move_to_end(planet)
                return [row.copy() for row in self._rows[planet]]
        rows = [self._read(place) for place in self._places[planet]]
        with self._lock:
            self._rows[planet] = rows
            while len(self._rows) > ROWS_KEPT:
                self._rows.popitem(last=False)
        return [row.copy() for row in rows]

    def _read(self, place: _Place) -> VisitRow:
        try:
            with open_binary(place.shard) as opened, pq.ParquetFile(opened) as file:
                group = file.read_row_group(place.group, use_threads=False)
                row = next(iter(rows_of(group.slice(place.row, 1))))
        except (pa.ArrowException, OSError, ValueError) as error:
            logger.warning("%s: %s", place.shard, error)  # paths and addresses are not for users
            raise CatalogueError(f"{self.name}: {place.shard.name}: cannot be read at present") from error
        for name, value in row.items():
            if isinstance(value, np.ndarray):
                row[name] = value = np.array(value)  # a copy, not a view of the row group
                value.flags.writeable = False
        return cast(VisitRow, row)

    def raw_view(self, planet_id: int) -> RawView | None:
        """The stored detector images of a planet, or None."""
        if not self.info(planet_id).raw or not isinstance(self.where, Path):
            return None
        return read_view(self.where / sample.RAW / f"{int(planet_id)}.npz")

    def read_scores(self) -> dict[str, Any]:
        """`scores.json` of the dataset, empty where there is none."""
        return read_json(self.where / sample.SCORES) or {}

    def write_scores(self, content: Mapping[str, Any]) -> None:
        """Store scores in the sample's folder, if it is writable; no other dataset is changed."""
        if self.is_sample and isinstance(self.where, Path):
            try:
                write_bytes(self.where / sample.SCORES, (json.dumps(content, indent=1) + "\n").encode())
            except OSError:
                return  # a read-only Space: they are computed again at its next start


def _on_the_hub(dataset: str, revision: str | None) -> tuple[Folder, str]:
    """A Hub dataset at one commit, so that a later push changes nothing under a running Space; and that commit."""
    expected = f"{dataset}: expected a dataset folder or an id on the Hub, found"
    try:
        commit = HfApi().dataset_info(dataset, revision=revision).sha or "main"
    except RevisionNotFoundError as error:
        raise CatalogueError(f"{dataset}: expected a branch, tag or commit, found no {revision!r}") from error
    except RepositoryNotFoundError as error:
        raise CatalogueError(f"{expected} none of that name, or none that the token may read") from error
    except (HfHubHTTPError, HFValidationError, OfflineModeIsEnabled, OSError) as error:
        raise CatalogueError(f"{expected} {(str(error).splitlines() or ['nothing'])[0]}") from error
    return folder(f"hf://datasets/{dataset}@{quote(commit, safe='')}"), commit
