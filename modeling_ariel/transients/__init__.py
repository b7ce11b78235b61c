"""Models, features and scores that tell transients apart by their light curves; it imports nothing above it.

Public names are loaded on first use. Asking for a model also tells transformers' auto classes of it.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .astromer import TransientAstromer as TransientAstromer
    from .astromer import TransientAstromerForPreTraining as TransientAstromerForPreTraining
    from .configuration_transient import TransientAstromerConfig as TransientAstromerConfig
    from .configuration_transient import TransientConfig as TransientConfig
    from .configuration_transient import TransientLstmConfig as TransientLstmConfig
    from .configuration_transient import TransientSwinConfig as TransientSwinConfig
    from .feature_extraction_transient import TransientFeatureExtractor as TransientFeatureExtractor
    from .lstm import TransientLstm as TransientLstm
    from .modeling_transient import TransientForClassification as TransientForClassification
    from .modeling_transient import TransientForPreTraining as TransientForPreTraining
    from .modeling_transient import TransientModel as TransientModel
    from .pipeline_transient import TransientPipeline as TransientPipeline
    from .surveys import flux_of_magnitude as flux_of_magnitude
    from .swin import TransientSwin as TransientSwin
else:
    _HOMES = {
        "astromer": ("TransientAstromer", "TransientAstromerForPreTraining", "TransientAstromerConfig"),
        "modeling_transient": (  # which makes the classes known to transformers, also those that it only imports
            "TransientConfig",
            "TransientFeatureExtractor",
            "TransientForClassification",
            "TransientForPreTraining",
            "TransientModel",
        ),
        "lstm": ("TransientLstm", "TransientLstmConfig"),
        "pipeline_transient": ("TransientPipeline",),
        "surveys": ("flux_of_magnitude",),
        "swin": ("TransientSwin", "TransientSwinConfig"),
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
