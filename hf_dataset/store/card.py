"""The files beside the shards for `datasets`, the Hub and programs: `dataset.json`, card, croissant.json, sample.

Counts, layouts and licence are read off the shards, so that they cannot disagree with them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from hf_dataset import schema
from hf_dataset.folders import Folder, files, folder, read_json, write_bytes, write_json
from hf_dataset.store import card_text, croissant, record
from hf_dataset.store.contents import read_contents
from hf_dataset.store.lineage import MANIFEST_DIR
from hf_dataset.store.record import Record
from hf_dataset.store.sample import write_sample

BUILD_COMMAND = "ariel build-dataset"  # the command, in the provenance of what it made
TITLE = "Ariel light curves"


def write_card(
    out: str | Folder,
    wavelengths: np.ndarray,
    made: str = card_text.CALIBRATED,
    provenance: Mapping[str, Any] | None = None,
    title: str = TITLE,
) -> Folder:
    """Write README.md, dataset.json, croissant.json and the sample for the shards in `out`; return the card's path.

    wavelengths: (channel,) [um]. made: Markdown on how the columns were made. provenance: what made the folder
    (options, versions, hashes), shown as JSON. Simulated rows get Apache-2.0, others the challenge's licence.
    """
    out, wavelengths = folder(out), np.asarray(wavelengths, float)
    if wavelengths.shape != (schema.N_CHANNELS,):
        raise ValueError(f"wavelengths: expected shape ({schema.N_CHANNELS},), found {wavelengths.shape}")
    write_sample(out)
    contents, about = read_contents(out), Record(title, wavelengths, made, provenance or {})
    write_json(out / record.FILE, record.content_of(about, contents))
    write_json(out / croissant.FILE, croissant.describe(contents, title, wavelengths))
    path = out / "README.md"
    write_bytes(path, card_text.card(contents, about).encode())
    return path


def rewrite_card(out: str | Folder) -> Folder:
    """Write all that `write_card` writes again, in this version's words; return the card's path.

    Title, wavelengths and origin come from dataset.json; of a build without one, from its manifests and
    croissant.json. All else is read off the shards. ValueError, and nothing written, where neither is there.
    """
    out = folder(out)
    about = record.read_record(out) if (out / record.FILE).exists() else _record_of_a_build(out)
    built = about.provenance.get("command") == BUILD_COMMAND
    made = card_text.CALIBRATED if built else about.made
    return write_card(out, about.wavelengths, made, about.provenance, about.title)


def read_wavelengths(out: str | Folder) -> np.ndarray:
    """Wavelengths (channel,) [um] from `dataset.json` of the dataset folder or URL `out`."""
    return record.read_record(folder(out)).wavelengths


def _record_of_a_build(out: Folder) -> Record:
    """The record of a build by a version that wrote none; ValueError where manifests and croissant.json don't say."""
    manifests = [json.loads(path.read_bytes()) for path in files(out / MANIFEST_DIR, ".json")]
    channels = [
        part.get("data", ())
        for part in (read_json(out / croissant.FILE) or {}).get("recordSet", ())
        if part.get("@id") == "channels"
    ]
    if not manifests or not channels:
        raise ValueError(
            f"{out / record.FILE}: expected the record of a dataset, found none, and no manifests and "
            f"{croissant.FILE} to make it from: run the command that made the dataset again"
        )
    first = manifests[0]
    provenance = {
        "command": BUILD_COMMAND,
        "raw folder": {"files in it": first["tables"]},
        "settings": first["settings"],
        "config_hash": first["config_hash"],
        "code": first["code"],
        "left out": [
            {"planet_id": visit["planet_id"], "visit": visit["visit"], "reason": visit["error"]}
            for manifest in manifests
            for visit in manifest["visits"]
            if "error" in visit
        ],
        "lineage": "manifest/*.json: input files, settings and code of every shard",
    }
    wavelengths = [entry["channels/wavelength"] for entry in channels[0]]
    content = {"title": TITLE, "made": card_text.CALIBRATED, "provenance": provenance, "wavelengths": wavelengths}
    return record.record_of(content, out / croissant.FILE)
