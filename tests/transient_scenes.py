"""Small transients and small models of them, of which the truth is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import BatchFeature

from hf_dataset.store.parquet import write_split
from hf_dataset.transients.contents import DATA_DIR
from hf_dataset.transients.schema import row_format
from modeling_ariel.transients import TransientFeatureExtractor
from modeling_ariel.transients.architectures import ARCHITECTURES, classifier_class
from modeling_ariel.transients.curves import Curve
from modeling_ariel.transients.surveys import SURVEYS

NAMES = tuple(ARCHITECTURES)
SMALL: dict[str, dict[str, Any]] = {
    "transient": {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32, "num_harmonics": 6},
    "transient_lstm": {"num_hidden_layers": 1},
    "transient_astromer": {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32},
    "transient_swin": {"image_size": 32, "patch_size": 4, "window_size": 4, "embed_dim": 8, "depths": [1, 1],
                       "num_heads": [1, 2]},
}  # fmt: skip
TYPES = {"AGN": "AGN", "SN": "SN Ia", "TDE": "TDE"}


def network(name: str, seed: int = 0, **changes: Any) -> Any:
    """A small classifier, in evaluation."""
    kind = classifier_class(name)
    settings = {"hidden_size": 16, "hidden_dropout_prob": 0.0} | SMALL[name] | changes
    torch.manual_seed(seed)
    return kind(kind.config_class(**settings)).eval()


def row(kind: str, number: int, size: int = 24) -> dict[str, Any]:
    """An object of the dataset: AGN flicker, supernovae are red and fast, tidal disruption events blue and slow."""
    rng = np.random.default_rng([number, *kind.encode()])
    time = np.sort(60_000.0 + rng.uniform(0, 300, size) + rng.uniform(0, 1000))
    band = rng.choice(list("ugrizy"), size)
    since = time - time[0] - 60.0
    blue = (6000.0 / np.array([SURVEYS["lsst"][one] for one in band])) ** 2
    if kind == "AGN":
        flux = 3.0 + rng.normal(0, 1.5, size)
    else:
        slow, colour = (80.0, blue) if kind == "TDE" else (15.0, 1 / blue)
        flux = 10.0 * colour * np.exp(-0.5 * (since / np.where(since < 0, 10.0, slow)) ** 2)
    flux = flux + rng.normal(0, 0.3, size)
    curve = {"band": band, "time": time, "flux": flux.astype(np.float32), "flux_err": np.full(size, 0.3, np.float32)}
    known = {"redshift": 0.1 + 0.01 * (number % 10), "redshift_err": None, "ebv": 0.02}
    of_type = {"spec_type": TYPES[kind], "target": int(kind == "TDE"), "layout": "simulated"}
    return {"object_id": f"{kind} {number}", "lightcurve": curve} | known | of_type


def rows(count: int, first: int = 0) -> tuple[list[dict[str, Any]], torch.Tensor]:
    """As many objects of each class, and their labels."""
    kinds = [kind for _ in range(count) for kind in TYPES]
    found = [row(kind, first + place, 18 + place % 9) for place, kind in enumerate(kinds)]
    return found, torch.tensor([list(TYPES).index(kind) for kind in kinds])


def features(listed: list[dict[str, Any]], **settings: Any) -> BatchFeature:
    """The extractor's tensors."""
    return TransientFeatureExtractor(**settings)(listed)


def dataset(out: Path, train: int, test: int = 0) -> Path:
    """A dataset folder of so many objects of each class."""
    write_split(out, DATA_DIR, "train", rows(train)[0], row_format(), 4096)
    if test:
        unlabelled = [one | {"target": None, "spec_type": None} for one in rows(test, first=10_000)[0]]
        write_split(out, DATA_DIR, "test", unlabelled, row_format(), 4096)
    return out


def curve(flux: Any, time: Any, wavelength: Any, flux_err: float = 0.01, **known: float) -> Curve:
    """A curve of these numbers."""
    flux = np.asarray(flux, np.float64)
    return Curve("object x", np.asarray(time), np.asarray(wavelength), flux, np.full(len(flux), flux_err), **known)
