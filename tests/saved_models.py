"""Tiny checkpoints as `ariel finetune` leaves them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tiny_models import at_home, tiny

from ariel_scripts.opening import models
from modeling_ariel import ArielForSpectrumPrediction
from modeling_ariel.feature_extraction_ariel import ArielFeatureExtractor

TRAINING = {
    "command": "ariel finetune /home/somebody/curves --out /home/somebody/out",
    "config": {"dataset": "/home/somebody/curves", "model": None},
    "seed": 0,
    "data": {"source": "/home/somebody/curves", "split": "train", "layouts": ["simulated"]},
    "planets": {"train": [1, 2, 3], "validation": [4, 5], "held out": [6]},
    "loop": {"steps": 20, "batch_size": 4, "learning_rate": 1e-3, "weight_decay": 0.02, "precision": "no"},
    "classical on validation": {"score_2024": 0.5, "log_likelihood": 8.0, "rmse_ppm": 60.0},
    "evaluation": {"score_2024": 0.6, "log_likelihood": 8.5, "rmse_ppm": 50.0},
    "held out": {"score_2024": 0.55, "log_likelihood": 8.2, "rmse_ppm": 55.0},
    "step": 10,
    "steps_run": 20,
    "seconds": 120.0,
    "processes": 1,
    "threads": 2,
    "device": "cpu",
}


def saved(folder: Path, kind: Any = ArielForSpectrumPrediction, record: dict[str, Any] | None = None) -> Path:
    """A tiny model as `ariel finetune` leaves it."""
    torch.manual_seed(0)
    config = tiny(physics="none", decoder_hidden_size=16)
    models.save_model(at_home(kind(config)), folder, ArielFeatureExtractor(wavelength=config.wavelength))
    (folder / "training.json").write_text(json.dumps(TRAINING if record is None else record))
    return folder
