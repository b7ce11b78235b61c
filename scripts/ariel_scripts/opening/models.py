"""Models opened for training, and saved so that they load anywhere."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.dynamic_module_utils import custom_object_save
from transformers.utils import CONFIG_NAME, FEATURE_EXTRACTOR_NAME

from ariel_scripts.opening.hub import Located, locate_model
from ariel_scripts.opening.provenance import read_record
from ariel_scripts.options.yaml_values import read_yaml
from modeling_ariel.architectures import ARCHITECTURES, DEFAULT, model_class, model_type
from modeling_ariel.feature_extraction_ariel import ArielFeatureExtractor
from modeling_ariel.modeling_ariel import AUTO_MAP
from modeling_ariel.physics import ArielPhysics
from modeling_ariel.pipeline_ariel import ArielPipeline, quiet

logger = logging.getLogger(__name__)

_SAME_CHANNEL = 0.005  # um: a dataset's axis this near to a checkpoint's is the same channels

Model = TypeVar("Model", bound=PreTrainedModel)
Config = TypeVar("Config", bound=PreTrainedConfig)


def settings_of(pairs: Sequence[str]) -> dict[str, Any]:
    """Values of `--set NAME=VALUE`, read as YAML."""
    values: dict[str, Any] = {}
    for pair in pairs:
        name, found, value = pair.partition("=")
        if not found:
            raise ValueError(f"--set: expected NAME=VALUE, found {pair!r}")
        values[name.strip()] = read_yaml(value)
    return values


def open_model(
    kind: type[Model], checkpoint: str | Located | None, wavelength: Sequence[float] | None, **changes: Any
) -> Model:
    """A model of class ``kind``, new or with the weights of a checkpoint (folder or Hub id), its config changed.

    ``wavelength`` (C,) [um] of the data; a checkpoint's must be near them, and takes them.
    """
    axis = {} if wavelength is None else {"wavelength": [float(w) for w in wavelength]}
    of_kind: Any = kind.config_class
    if checkpoint is None:
        return kind(changed_config(of_kind, axis, changes))
    where = locate_model(checkpoint)
    try:
        model_type(where.location)
    except ValueError as error:
        raise ValueError(f"{where.name}: {error}") from error
    base = of_kind.from_pretrained(where.location)
    known = np.asarray(base.wavelength)
    if axis and (len(known) != len(axis["wavelength"]) or np.abs(known - axis["wavelength"])[1:].max() > _SAME_CHANNEL):
        raise ValueError(f"{where.name}: expected the dataset's channels, found {len(known)} others")
    config = changed_config(of_kind, {**base.to_dict(), **axis}, changes)
    model, found = load_model(kind, where.location, config)
    if found["mismatched_keys"]:
        raise ValueError(
            f"{where.name}: expected weights of the same sizes, found {sorted(found['mismatched_keys'])[:3]}"
        )
    fresh = sorted({name.split(".")[0] for name in found["missing_keys"]})
    logger.info("%s: weights taken%s", where.name, f"; new: {', '.join(fresh)}" if fresh else "")
    physics = getattr(model, "physics", None)
    if isinstance(physics, ArielPhysics):
        physics.wavelength.copy_(physics.wavelength.new_tensor(config.wavelength))
    return model


def load_model(
    kind: type[Model], folder: str | Path, config: PreTrainedConfig | None = None
) -> tuple[Model, Mapping[str, Collection[Any]]]:
    """The model of a folder, and which weights were missing, unexpected or mismatched (`missing_keys`, …)."""
    with quiet():
        loaded: Any = kind.from_pretrained(folder, config=config, output_loading_info=True)
    model, found = loaded
    return model, found


def changed_config(kind: type[Config], values: Mapping[str, Any], changes: Mapping[str, Any]) -> Config:
    """A config of ``values`` with ``changes``, which may only be of names that it has."""
    known = set(kind().to_dict())
    if unknown := sorted(set(changes) - known):
        raise ValueError(f"--set: unknown {', '.join(unknown)}; known: {', '.join(sorted(known))}")
    drop = {"auto_map", "architectures", "model_type", "transformers_version", "_name_or_path"}
    try:
        return kind(**{name: value for name, value in {**values, **changes}.items() if name not in drop})
    except (TypeError, ValueError) as error:
        raise ValueError(f"model: {error}") from error
    except Exception as error:  # huggingface_hub's own classes of validation errors
        raise ValueError(f"model: {error.__cause__ or error}") from error


def open_extractor(checkpoint: str | Located | None, wavelength: Sequence[float] | None) -> ArielFeatureExtractor:
    """The feature extractor of a checkpoint, or a new one, for these channels."""
    axis: dict[str, Any] = {} if wavelength is None else {"wavelength": [float(w) for w in wavelength]}
    if checkpoint is None:
        return ArielFeatureExtractor(**axis)
    where = locate_model(checkpoint)
    if not (Path(where.location) / FEATURE_EXTRACTOR_NAME).exists():
        logger.warning("%s has no feature extractor: one with default statistics is taken", where.name)
        return ArielFeatureExtractor(**axis)
    return ArielFeatureExtractor.from_pretrained(where.location, **axis)


def save_model(model: PreTrainedModel, folder: Path, extractor: ArielFeatureExtractor) -> None:
    """Write weights, config, feature extractor and the source files, with every auto class named."""
    with quiet():
        model.save_pretrained(folder)
    extractor.save_pretrained(folder)
    add_code(folder)


def add_code(folder: Path) -> None:
    """Put the source files beside the weights, and name every auto class in the JSON files.

    Maps are written whole and older sources removed: a checkpoint's own may be stale or point to another repository.
    With the transformer goes the pipeline, and so all that it needs; what an architecture of anybody's own needs is
    left as it was saved.
    """
    name = read_record(folder / CONFIG_NAME).get("model_type")
    if name not in ARCHITECTURES:
        return
    for path in folder.glob("*.py"):
        path.unlink()
    kind: Any = model_class(name)
    custom_object_save(ArielPipeline if name == DEFAULT else kind, folder)
    maps = {CONFIG_NAME: kind.auto_map, FEATURE_EXTRACTOR_NAME: extractor_map()}
    for file, auto_map in maps.items():
        path = folder / file
        if not path.is_file():  # an extractor that was never saved
            continue
        content = json.loads(path.read_text(encoding="utf-8")) | {"auto_map": auto_map}
        path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def extractor_map() -> dict[str, str]:
    """The auto class of the feature extractor."""
    return {"AutoFeatureExtractor": AUTO_MAP["AutoFeatureExtractor"]}
