"""Open datasets of light curves: a folder, a URL or a Hub id at one commit."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from huggingface_hub import DatasetCard, hf_hub_download
from huggingface_hub.errors import RemoteEntryNotFoundError

from ariel_scripts.opening.cache import README
from ariel_scripts.opening.hub import Located, hub_errors, locate_dataset
from hf_dataset.folders import Folder, folder
from hf_dataset.simulation.planets import wavelengths_um
from hf_dataset.store.card import read_wavelengths
from hf_dataset.store.record import FILE
from hf_dataset.store.shards import find_shards

logger = logging.getLogger(__name__)


def open_split(dataset: str | Located, split: str, columns: Sequence[str] | None = None) -> datasets.IterableDataset:
    """The split as a stream of rows, of all or these ``columns``: nothing is copied into a cache.

    ValueError where it cannot be opened or has no such columns.
    """
    where = locate_dataset(dataset)
    with _split_errors(where, split):
        rows = datasets.load_dataset(**load_arguments(where), split=split, streaming=True)
    if columns is None:
        return rows
    found = rows.column_names or list(next(iter(rows), {}))
    if missing := [name for name in columns if name not in found]:
        raise ValueError(
            f"{where.name}: split {split!r}: expected light curves, with the columns {', '.join(missing[:4])}, found "
            f"{', '.join(found[:4]) or 'no rows'}"
        )
    return rows.select_columns(list(columns))


def open_curves(dataset: str | Located, split: str) -> datasets.Dataset:
    """The split, memory-mapped; ValueError where it cannot be opened, or holds a visit of a planet twice."""
    where = locate_dataset(dataset)
    with _split_errors(where, split):
        curves = datasets.load_dataset(**load_arguments(where), split=split)
    _count(where.name, curves.select_columns(["planet_id", "visit"]))
    return curves


@contextlib.contextmanager
def _split_errors(where: Located, split: str) -> Iterator[None]:
    """Say which split of which dataset cannot be opened, as ValueError."""
    try:
        with hub_errors("dataset", where.name, where.commit):
            yield
    except (ValueError, FileNotFoundError, ConnectionError) as error:
        raise ValueError(f"{where.name}: split {split!r} cannot be opened: {error}") from error


def load_arguments(where: Located) -> dict[str, Any]:
    """Arguments of `datasets.load_dataset`; the repository's default configuration, the light curves.

    A folder whose card names no configuration would be read with its sample: its shards are named here.
    """
    if where.revision is not None:
        return {"path": where.location, "revision": where.revision}
    local = folder(where.location)
    shards = find_shards(local) if isinstance(local, Path) and not _has_configurations(local / README) else {}
    if not shards:
        return {"path": where.location}
    return {"path": where.location, "data_files": {split: [str(p) for p in paths] for split, paths in shards.items()}}


def _has_configurations(card: Path) -> bool:
    """Whether a card says which files are which split."""
    text = card.read_text(encoding="utf-8") if card.is_file() else ""
    return text.startswith("---") and bool(DatasetCard(text, ignore_metadata_errors=True).data.get("configs"))


def count_visits(dataset: str | Located, split: str, limit: int | None) -> dict[int, int]:
    """Number of visits of each planet of the split, of at most ``limit`` planets.

    ValueError where it has no rows, or a visit of a planet twice.
    """
    where = locate_dataset(dataset)
    index = _count(where.name, open_split(where, split, ["planet_id", "visit"]))
    if not index:
        raise ValueError(f"{where.name}: split {split!r} has no rows")
    stated, found = _stated_rows(where, split), sum(index.values())
    if stated is not None and stated != found:
        raise ValueError(
            f"{where.name}: split {split!r}: expected the {stated} rows that its card states, found {found}"
        )
    return dict(list(index.items())[:limit])


def _stated_rows(where: Located, split: str) -> int | None:
    """Rows of a split by the dataset's card; None where it does not say."""
    with _split_errors(where, split):
        stated = datasets.load_dataset_builder(**load_arguments(where)).info.splits or {}
    return stated[split].num_examples if split in stated else None


def _count(name: str, rows: Iterable[Any]) -> dict[int, int]:
    """Number of visits of each planet in rows of `planet_id` and `visit`; ValueError where a visit is there twice."""
    seen: dict[int, set[int]] = {}
    for row in rows:
        planet, visit = int(row["planet_id"]), int(row["visit"])
        visits = seen.setdefault(planet, set())
        if visit in visits:
            raise ValueError(
                f"{name}: planet {planet}: expected each visit once, found visit {visit} twice "
                f"(without {README} all files are read, a sample too)"
            )
        visits.add(visit)
    return {planet: len(visits) for planet, visits in seen.items()}


def read_truths(dataset: str | Located, split: str) -> dict[int, np.ndarray]:
    """True spectra (C,) float64 of the labelled planets."""
    truths = {}
    for row in open_split(dataset, split, ["planet_id", "spectrum"]):
        if row["spectrum"] is not None and len(row["spectrum"]):
            truths[int(row["planet_id"])] = np.asarray(row["spectrum"], np.float64)
    return truths


def splits_with_truths(dataset: str | Located) -> list[str]:
    """Names of the splits in which a planet has a true spectrum."""
    where = locate_dataset(dataset)
    with _split_errors(where, "train"):
        names = datasets.get_dataset_split_names(**load_arguments(where))
    return [name for name in names if any(row["spectrum"] for row in open_split(where, name, ["spectrum"]))]


def read_layouts(dataset: str | Located, split: str) -> list[str]:
    """Where the rows come from: `2024`, `2025`, `simulated`, in order."""
    return sorted({str(row["layout"]) for row in open_split(dataset, split, ["layout"])})


def wavelengths_of(dataset: str | Located, layout: str) -> np.ndarray:
    """Wavelengths (C,) [um] of `dataset.json`; without that file those of the layout, with a warning.

    Raises:
        ValueError: the file can't be fetched, or its wavelengths aren't sound.
    """
    where = locate_dataset(dataset)
    path = _record_file(where)
    if path is not None:
        return read_wavelengths(path.parent)
    axis = "2024" if layout in ("2024", "given") else "2025"
    logger.warning(
        "%s: no %s: the wavelengths of the challenge of %s are taken (`ariel verify FOLDER --rewrite-card` writes it)",
        where.name,
        FILE,
        axis,
    )
    return wavelengths_um(axis)


def _record_file(where: Located) -> Folder | None:
    """The dataset's record; None where it has none."""
    if where.revision is None:
        path = folder(where.location) / FILE
        return path if path.exists() else None
    with hub_errors("dataset", where.name, where.commit):
        try:
            return Path(hf_hub_download(where.name, FILE, repo_type="dataset", revision=where.revision))
        except RemoteEntryNotFoundError:
            return None
