"""Small fine-tuning runs on made-up planets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from labelled_planets import SMALL

from ariel_scripts.opening.provenance import Origin
from ariel_scripts.options.fields import options_of, parameters_of
from ariel_scripts.options.finetune import FinetuneOptions
from ariel_scripts.training import finetuning
from ariel_scripts.training.folds import make_folds
from modeling_ariel.feature_extraction_ariel import ArielFeatureExtractor


def options(**changes: Any) -> FinetuneOptions:
    """Options of `ariel finetune`, small."""
    values = {p.name: p.default for p in parameters_of(FinetuneOptions)}
    small = {"dataset": "made up", "settings": list(SMALL), "steps": 4, "batch_size": 4, "evaluate_every": 2}
    others = {"tracker": "none", "validation": 0.2, "groups": 2}
    return options_of(FinetuneOptions, {**values, **small, **others, **changes})


def one_fold(out: Path, table: Any, known: dict[int, np.ndarray], **changes: Any) -> Path:
    """The first of three folds of ``table``, whose true spectra are ``known``."""
    fold = make_folds(sorted(known), 3, "0", None, 0.2, 0)[0]
    extractor = ArielFeatureExtractor()
    data = finetuning.LabelledPlanets(table, known, None, extractor, Origin({"layouts": ["simulated"]}), [])
    finetuning.train_fold(options(**changes), fold, data, out)
    return out
