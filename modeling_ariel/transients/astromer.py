"""A single-band transformer with masked pretraining, after ASTROMER (Donoso-Oliva et al. 2023, A&A 670, A54).

Each band is a series of its own that sees no other, and no host; what is read of the bands is joined in the classes
alone. Times are observed ones. ASTROMER's published weights belong to another network and another survey's magnitudes.
"""

from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, AutoModelForPreTraining
from transformers import AutoModelForSequenceClassification as AutoClassifier

from .configuration_transient import TransientAstromerConfig
from .feature_extraction_transient import TransientFeatureExtractor
from .modeling_transient import TransientForClassification, TransientForPreTraining

AUTO_MAP = {
    "AutoConfig": "configuration_transient.TransientAstromerConfig",
    "AutoModel": "astromer.TransientAstromer",
    "AutoModelForPreTraining": "astromer.TransientAstromerForPreTraining",
    "AutoModelForSequenceClassification": "astromer.TransientAstromer",
    "AutoFeatureExtractor": "feature_extraction_transient.TransientFeatureExtractor",
}


class TransientAstromerForPreTraining(TransientForPreTraining):
    """Rebuilds hidden fluxes of a band from the others of that band."""

    config: TransientAstromerConfig
    config_class = TransientAstromerConfig
    auto_map = AUTO_MAP


class TransientAstromer(TransientForClassification):
    """Classes from the mean of each band's tokens."""

    config: TransientAstromerConfig
    config_class = TransientAstromerConfig
    auto_map = AUTO_MAP


AutoConfig.register("transient_astromer", TransientAstromerConfig, exist_ok=True)
AutoModel.register(TransientAstromerConfig, TransientAstromer, exist_ok=True)
AutoModelForPreTraining.register(TransientAstromerConfig, TransientAstromerForPreTraining, exist_ok=True)
AutoClassifier.register(TransientAstromerConfig, TransientAstromer, exist_ok=True)
AutoFeatureExtractor.register(TransientAstromerConfig, TransientFeatureExtractor, exist_ok=True)
TransientAstromerConfig.register_for_auto_class()
TransientAstromerForPreTraining.register_for_auto_class("AutoModelForPreTraining")
TransientAstromer.register_for_auto_class("AutoModel")
