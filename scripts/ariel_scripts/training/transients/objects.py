"""A dataset of transients in memory: curves, classes and features by object."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ariel_scripts.opening.datasets import open_split
from ariel_scripts.opening.hub import Located
from modeling_ariel.transients.curves import Array, Curve, read_curve

logger = logging.getLogger(__name__)

COLUMNS = ("object_id", "layout", "lightcurve", "redshift", "ebv", "spec_type", "target")
POSITIVE = "TDE"
BY_TYPE, BY_TARGET = ("AGN", "SN", POSITIVE), ("other", POSITIVE)
NO_FEATURES = ("target", "fold", "draw", "redshift_err")  # truth, and what is known of test objects alone
SURVEY = "lsst"  # of the dataset's bands


@dataclass(frozen=True)
class Objects:
    """Objects of a split: ``names``, ``curves``, ``spec_type`` and ``target`` (1 for a TDE), None where unknown."""

    names: list[str]
    curves: list[Curve]
    spec_type: list[str | None]
    target: list[int | None]
    layouts: list[str]

    def __len__(self) -> int:
        """Number of objects."""
        return len(self.names)

    def digest(self) -> str:
        """Hash of all that is learned from."""
        digest = hashlib.sha256(repr((self.names, self.spec_type, self.target)).encode())
        for curve in self.curves:
            for values in (curve.time, curve.wavelength, curve.flux, curve.flux_err):
                digest.update(values.tobytes())
            digest.update(repr((curve.redshift, curve.ebv)).encode())
        return digest.hexdigest()


def read_objects(dataset: Located, split: str) -> Objects:
    """The objects of a split; ValueError where it has none, or one twice."""
    found = Objects([], [], [], [], [])
    for row in open_split(dataset, split, COLUMNS):
        found.names.append(str(row["object_id"]))
        found.curves.append(read_curve(row, SURVEY))
        found.spec_type.append(row["spec_type"])
        found.target.append(row["target"])
        found.layouts.append(str(row["layout"]))
    if not len(found) or len(set(found.names)) != len(found):
        raise ValueError(f"{dataset.name}: split {split!r}: expected objects, each once, found {len(found)} rows")
    return found


def labels_of(objects: Objects, by: str) -> tuple[list[str], NDArray[np.int64]]:
    """Names of the classes, and the place of each object's.

    Args:
        objects: all of them labelled.
        by: "type", AGN, SN and TDE by the spectral type; "target", TDE or other.

    Raises:
        ValueError: an object without a target or, by type, of a type that is none of these.
    """
    if by not in ("type", "target"):
        raise ValueError(f"classes: expected type or target, found {by!r}")
    classes = BY_TYPE if by == "type" else BY_TARGET
    labels = []
    for name, kind, target in zip(objects.names, objects.spec_type, objects.target, strict=True):
        if target is None:
            raise ValueError(f"object {name}: target: expected 0 or 1 in a split to train on, found none")
        labels.append(classes.index(_class_of(name, kind, target) if by == "type" else classes[target]))
    return list(classes), np.array(labels, np.int64)


def _class_of(name: str, kind: str | None, target: int) -> str:
    if target:
        return POSITIVE
    if kind == "AGN":
        return "AGN"
    if kind is not None and kind.startswith(("SN", "SLSN")):
        return "SN"
    raise ValueError(f"object {name}: spec_type: expected AGN, SN… or SLSN…, found {kind!r}: take --classes target")


def read_features(path: Path, names: Sequence[str]) -> tuple[list[str], Array]:
    """Names of F features, and (object, F) of them from a Parquet file with a row an object, NaN where unknown.

    Every column of numbers is one, beside `object_id` and what tells the class. Of a table of `ariel transients
    features` the rows count whose redshift is as it stands. ValueError without an `object_id`, with an object twice, or
    without a single object of ``names``.
    """
    try:
        table = pq.read_table(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: expected a Parquet file of features: {error}") from error
    if "object_id" not in table.column_names:
        raise ValueError(f"{path}: expected a column object_id, found {', '.join(table.column_names[:5])}")
    if "draw" in table.column_names:
        table = table.filter(pc.equal(table["draw"], 0))
    place = {str(name): row for row, name in enumerate(table["object_id"].to_pylist())}
    if len(place) < table.num_rows:
        raise ValueError(f"{path}: expected a row an object, found {table.num_rows} rows of {len(place)} objects")
    known = [name for name in names if name in place]
    if not known:
        raise ValueError(f"{path}: expected rows of the dataset's objects, found none of them")
    if len(known) < len(names):
        logger.warning("%s: no features of %d of %d objects", path, len(names) - len(known), len(names))
    values: dict[str, Any] = {}
    for column in table.column_names:
        kind = str(table[column].type)
        if column not in NO_FEATURES and kind.startswith(("float", "double", "int", "uint", "bool")):
            values[column] = np.array([np.nan if x is None else x for x in table[column].to_pylist()], np.float64)
    if not values:
        raise ValueError(f"{path}: expected columns of numbers, found none")
    stacked = np.stack(list(values.values()), 1)
    rows = [stacked[place[name]] if name in place else np.full(len(values), np.nan) for name in names]
    return list(values), np.stack(rows)
