"""`dataset.json`: what a dataset is, for programs: wavelengths, origin, layouts, licence, splits.

The card is written from it and never read back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hf_dataset import schema
from hf_dataset.folders import Folder, read_json
from hf_dataset.store.contents import Contents

FILE = "dataset.json"


@dataclass(frozen=True)
class Record:
    """What shards cannot say of themselves.

    wavelengths: (channel,) [um]. made: Markdown on how the columns were made. provenance:
    command, settings of the reduction or the simulation, versions, hashes.
    """

    title: str
    wavelengths: np.ndarray
    made: str
    provenance: Mapping[str, Any]


def content_of(record: Record, contents: Contents) -> dict[str, Any]:
    """Content of `dataset.json`."""
    return {
        "title": record.title,
        **facts(contents),
        "made": record.made.strip(),
        "provenance": dict(record.provenance),
        "wavelengths": [round(float(value), 7) for value in record.wavelengths],
    }


def facts(contents: Contents) -> dict[str, Any]:
    """The part of `dataset.json` that the shards decide."""
    return {
        "licence": contents.licence,
        "layouts": list(contents.layouts),
        "splits": {
            split: {"rows": part.rows, "planets": part.planets, "truths": part.truths}
            for split, part in contents.splits.items()
        },
    }


def read_content(out: Folder) -> dict[str, Any]:
    """Content of a dataset's `dataset.json`; ValueError where it has none."""
    path = out / FILE
    content = read_json(path)
    if content is None:
        raise ValueError(f"{path}: expected the record of a dataset, found none that can be read{how_to_mend(out)}")
    return content


def read_record(out: Folder) -> Record:
    """The record of the dataset folder or URL `out`; ValueError where it is not sound."""
    return record_of(read_content(out), out / FILE)


def record_of(content: Mapping[str, Any], name: object) -> Record:
    """The record in the content of the file `name`; ValueError where it is not sound."""
    for key, kind in (("title", str), ("made", str), ("provenance", dict), ("wavelengths", list)):
        if not isinstance(found := content.get(key), kind):
            raise ValueError(f"{name}: {key}: expected {kind.__name__}, found {found!r}")
    values = content["wavelengths"]
    sound = all(isinstance(value, int | float) and 0 < value < np.inf for value in values)
    if len(values) != schema.N_CHANNELS or not sound:
        raise ValueError(
            f"{name}: wavelengths: expected {schema.N_CHANNELS} positive numbers, found {str(values)[:60]}…"
        )
    wavelengths = np.array(values, float)
    return Record(content["title"], wavelengths, content["made"], content["provenance"])


def how_to_mend(out: object) -> str:
    """What to do about a record, card, sample or description, at the end of a message on it."""
    return f" (`ariel verify {out} --rewrite-card` writes README.md, {FILE}, croissant.json and the sample again)"
