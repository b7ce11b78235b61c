"""The dataset card, written with all that `datasets` and the Hub find beside the shards: sample and croissant.json too.

All is read off the shards, so that it cannot disagree with them. The words are in `card_text`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import yaml
from huggingface_hub import DatasetCard

from hf_dataset import schema
from hf_dataset.folders import Folder, folder, write_bytes, write_json
from hf_dataset.store import card_text, croissant
from hf_dataset.store.contents import read_contents
from hf_dataset.store.sample import write_sample

BUILD_COMMAND = "ariel build-dataset"  # the command, in the provenance of what it made


def write_card(
    out: str | Folder,
    wavelengths: np.ndarray,
    made: str = card_text.CALIBRATED,
    provenance: Mapping[str, Any] | None = None,
    title: str = "Ariel light curves",
) -> Folder:
    """Write `out/README.md`, `croissant.json` and the sample for the shards in `out`; return the card's path.

    wavelengths: (channel,) [um]. made: Markdown that says how the columns came about. provenance: what made the folder
    (options, versions, hashes), shown as JSON. Simulated rows get Apache-2.0, others the challenge's licence.
    """
    out, wavelengths = folder(out), np.asarray(wavelengths, float)
    if wavelengths.shape != (schema.N_CHANNELS,):
        raise ValueError(f"wavelengths: expected shape ({schema.N_CHANNELS},), found {wavelengths.shape}")
    write_sample(out)
    contents = read_contents(out)
    body = card_text.body(contents, title, wavelengths, made, provenance or {})
    text = str(DatasetCard(f"---\n{card_text.metadata(contents, title).to_yaml()}\n---\n\n{body}"))
    write_json(out / croissant.FILE, croissant.describe(contents, title, wavelengths))
    path = out / "README.md"
    write_bytes(path, text.encode())
    return path


def rewrite_card(out: str | Folder) -> Folder:
    """Write card, description and sample of the dataset again, in this version's words; return the card's path.

    Title, wavelengths, provenance and how the rows were made come from the card that is there, all else from the
    shards; other words of its owner are lost. ValueError, and nothing written, where the card lacks one of the four.
    """
    out = folder(out)
    path = out / "README.md"
    try:
        text = path.read_text(encoding="utf-8")
        data, provenance = DatasetCard(text).data, card_text.provenance_in(text)
        title = data.get("pretty_name")
        if not isinstance(title, str) or not title.strip():
            raise ValueError(f"pretty_name: expected the dataset's title, found {title!r}")
        made = card_text.CALIBRATED if provenance.get("command") == BUILD_COMMAND else card_text.made_in(text)
        return write_card(out, card_text.wavelengths_in(text), made, provenance, title)
    except FileNotFoundError:
        raise ValueError(f"{path}: expected the card of a finished dataset, found none") from None
    except (ValueError, TypeError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: {error}") from None


def read_wavelengths(out: str | Folder) -> np.ndarray:
    """Wavelengths (channel,) [um] from the card of the dataset folder or URL `out`."""
    path = folder(out) / "README.md"
    try:
        return card_text.wavelengths_in(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
