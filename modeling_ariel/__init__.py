"""Transit retrieval and models that turn Ariel light curves into spectra with uncertainties.

Public names are loaded on first use, so that the scores need no torch. Asking for a model, its
configuration or its feature extractor also tells transformers' auto classes of them.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .configuration_ariel import ArielConfig as ArielConfig
    from .depth_mix import DepthMix as DepthMix
    from .depth_mix import DepthMixConfig as DepthMixConfig
    from .feature_extraction_ariel import ArielFeatureExtractor as ArielFeatureExtractor
    from .joint_fit import FitSettings as FitSettings
    from .modeling_ariel import ArielForPreTraining as ArielForPreTraining
    from .modeling_ariel import ArielForSpectrumPrediction as ArielForSpectrumPrediction
    from .modeling_ariel import ArielModel as ArielModel
    from .pipeline_ariel import ArielPipeline as ArielPipeline
    from .populations import Population as Population
    from .predictions import Predictions as Predictions
    from .predictions import read_predictions as read_predictions
    from .predictions import read_run as read_run
    from .predictions import write_predictions as write_predictions
    from .retrieval import ClassicalFit as ClassicalFit
    from .retrieval import fit as fit
    from .scoring import score_2024 as score_2024
    from .scoring import score_2025 as score_2025
    from .spectramind import SpectraMind as SpectraMind
    from .spectramind import SpectraMindConfig as SpectraMindConfig
    from .spectre import Spectre as Spectre
    from .spectre import SpectreConfig as SpectreConfig
    from .spectre import SpectreForPreTraining as SpectreForPreTraining
    from .spectrum_config import ArielSpectrumConfig as ArielSpectrumConfig
    from .spectrum_model import ArielSpectrumModel as ArielSpectrumModel
    from .spectrum_prior import SpectrumPrior as SpectrumPrior
    from .telescope import Telescope as Telescope
    from .transit_cnn import TransitCnn as TransitCnn
    from .transit_cnn import TransitCnnConfig as TransitCnnConfig
else:
    _HOMES = {
        "modeling_ariel": (  # which makes the classes known to transformers, also those that it only imports
            "ArielConfig",
            "ArielFeatureExtractor",
            "ArielForPreTraining",
            "ArielForSpectrumPrediction",
            "ArielModel",
        ),
        "depth_mix": ("DepthMix", "DepthMixConfig"),
        "joint_fit": ("FitSettings",),
        "pipeline_ariel": ("ArielPipeline",),
        "populations": ("Population",),
        "predictions": ("Predictions", "read_predictions", "read_run", "write_predictions"),
        "retrieval": ("ClassicalFit", "fit"),
        "scoring": ("score_2024", "score_2025"),
        "spectre": ("Spectre", "SpectreConfig", "SpectreForPreTraining"),
        "spectramind": ("SpectraMind", "SpectraMindConfig"),
        "spectrum_prior": ("SpectrumPrior",),
        "spectrum_config": ("ArielSpectrumConfig",),
        "spectrum_model": ("ArielSpectrumModel",),
        "telescope": ("Telescope",),
        "transit_cnn": ("TransitCnn", "TransitCnnConfig"),
    }
    _HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

    def __getattr__(name):
        if name not in _HOME_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
        globals()[name] = value  # loaded once
        return value

    def __dir__():
        return sorted({*globals(), *_HOME_OF})
