"""Models of transients opened for training, and saved so that they load anywhere."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, TypeVar

from ariel_scripts.opening.hub import Located
from ariel_scripts.opening.models import changed_config, load_model
from modeling_ariel.transients.architectures import DEFAULT, architecture_of
from modeling_ariel.transients.classifier import TransientClassifier, TransientPreTrainedModel
from modeling_ariel.transients.feature_extraction_transient import TransientFeatureExtractor
from modeling_ariel.transients.pipeline_transient import TransientPipeline, quiet

logger = logging.getLogger(__name__)

Model = TypeVar("Model", bound=TransientPreTrainedModel)


def architecture(name: str | None, base: Located | None) -> str:
    """The network asked for, or that of the checkpoint training starts from; ValueError where they differ."""
    if base is None:
        return name or DEFAULT
    try:
        found = architecture_of(base.location)
    except (OSError, ValueError) as error:
        raise ValueError(f"{base.name}: {error}") from error
    if name not in (None, found):
        raise ValueError(f"{base.name}: expected the architecture {name}, found {found}")
    return found


def open_network(kind: type[Model], base: Located | None, **changes: Any) -> Model:
    """A model of class ``kind``, new or with the weights of ``base``, its config changed.

    ValueError where a change is none of the config, or the weights have other sizes.
    """
    of_kind: Any = kind.config_class
    if base is None:
        return kind(changed_config(of_kind, {}, changes))
    config = changed_config(of_kind, of_kind.from_pretrained(base.location).to_dict(), changes)
    model, found = load_model(kind, base.location, config)
    if found["mismatched_keys"]:
        sizes = sorted(found["mismatched_keys"])[:3]
        raise ValueError(f"{base.name}: expected weights of the same sizes, found {sizes}")
    fresh = sorted({name.split(".")[0] for name in found["missing_keys"]})
    logger.info("%s: weights taken%s", base.name, f"; new: {', '.join(fresh)}" if fresh else "")
    return model


def open_extractor(base: Located | None, **changes: Any) -> TransientFeatureExtractor:
    """The feature extractor of a checkpoint, or a new one, with ``changes``."""
    if base is None:
        return TransientFeatureExtractor(**changes)
    kept = TransientFeatureExtractor.from_pretrained(base.location)
    own = ("survey", "max_measurements", "host_mean", "host_scale", "feature_clip")
    return TransientFeatureExtractor(**{name: getattr(kept, name) for name in own} | changes)


def save_network(model: TransientPreTrainedModel, folder: Path, extractor: TransientFeatureExtractor) -> None:
    """Write weights, config, feature extractor and the source files, with every auto class named."""
    if isinstance(model, TransientClassifier):
        TransientPipeline(model, extractor, device=model.device).save_pretrained(folder)
    else:
        with quiet():
            model.save_pretrained(folder)
        extractor.save_pretrained(folder)
