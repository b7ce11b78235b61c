"""Every architecture as a small model on the scenes of :mod:`spectrum_scenes`."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from spectrum_scenes import WAVELENGTH, prior

from modeling_ariel.architectures import ARCHITECTURES, DEFAULT, model_class
from modeling_ariel.posterior import ScaleMixture
from modeling_ariel.spectrum_model import ArielSpectrumModel
from modeling_ariel.spectrum_prior import MIXTURE

SMALL: dict[str, dict[str, Any]] = {
    "spectre": {
        "psf_templates": 3,
        "psf_size": 5,
        "jitter_width": 8,
        "jitter_blocks": 2,
        "jitter_series": 2,
        "image_sizes": [6, 8, 12],
        "fourier_modes": [2, 2],
        "image_heads": 2,
        "time_pools": 4,
        "spectrum_width": 12,
        "spectrum_dilations": [1, 2],
        "spectrum_features": 32,
    },
    "gp_autoencoder_nmf": {"bottleneck": 6, "hidden": 32, "components": 5, "updates": 30, "features": 32},
    "spectramind": {
        **{"hidden_size": 16, "num_attention_heads": 2, "fgs1_layers": 1, "state_size": 8, "airs_layers": 1},
        **{"segments": 6, "neighbours": 4, "molecule_neighbours": 2, "decoder_size": 32},
    },
    "transit_cnn": {"conv_sizes": [16, 16], "conv_kernels": [5, 3], "fusion_sizes": [48, 32]},
}
OTHERS = sorted(set(ARCHITECTURES) - {DEFAULT})  # the transformer has tests of its own
FIRST = "transit_cnn"
FIRST_OF_OTHERS = [name if name == FIRST else pytest.param(name, marks=pytest.mark.slow) for name in OTHERS]


def small_model(name: str, stirred: float = 0.0, **changes: Any) -> ArielSpectrumModel:
    """A model in evaluation mode with a learned prior; ``stirred``: 1 sigma of what its last layers start with."""
    torch.manual_seed(0)
    kind: Any = model_class(name)
    config = kind.config_class(wavelength=WAVELENGTH.tolist(), **(SMALL[name] | changes))
    model: ArielSpectrumModel = kind(config)
    model.physics.set_spectrum_prior(ScaleMixture.of(prior(), MIXTURE))
    if stirred:
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim == 2 and not parameter.any():
                    parameter.normal_(std=stirred)
    return model.eval()
