"""Models opened for training, and saved so that they load anywhere."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ariel_scripts.opening.hub import Located, locate_model

logger = logging.getLogger(__name__)

RELEASED = "released"
_SAME_CHANNEL = 0.005  # um: a dataset's axis this near to a checkpoint's is the same channels


def checkpoint_path(source: str) -> str:
    """The folder of "released", the checkpoint that comes with the package; any other folder or Hub id as it is."""
    import modeling_ariel

    if source != RELEASED:
        return source
    if Path(RELEASED).is_dir():
        logger.warning("%s: the checkpoint of the package is taken; for the folder here say ./%s", RELEASED, RELEASED)
    return str(Path(str(modeling_ariel.__file__)).parent / RELEASED)


def settings_of(pairs: Sequence[str]) -> dict[str, Any]:
    """Values of `--set NAME=VALUE`, read as YAML."""
    from ariel_scripts.options.yaml_values import read_yaml

    values: dict[str, Any] = {}
    for pair in pairs:
        name, found, value = pair.partition("=")
        if not found:
            raise ValueError(f"--set: expected NAME=VALUE, found {pair!r}")
        values[name.strip()] = read_yaml(value)
    return values


def open_model(kind: Any, checkpoint: str | Located | None, wavelength: Sequence[float] | None, **changes: Any) -> Any:
    """A model of class ``kind``, new or with the weights of a checkpoint (folder or Hub id), its config changed.

    ``wavelength`` (C,) [um] of the data; a checkpoint's must be near them, and takes them.
    """
    from modeling_ariel.configuration_ariel import ArielConfig

    axis = {} if wavelength is None else {"wavelength": [float(w) for w in wavelength]}
    if checkpoint is None:
        return kind(_checked(ArielConfig, axis, changes))
    where = locate_model(checkpoint)
    base = ArielConfig.from_pretrained(where.location)
    known = np.asarray(base.wavelength)
    if axis and (len(known) != len(axis["wavelength"]) or np.abs(known - axis["wavelength"])[1:].max() > _SAME_CHANNEL):
        raise ValueError(f"{where.name}: expected the dataset's channels, found {len(known)} others")
    config = _checked(ArielConfig, {**base.to_dict(), **axis}, changes)
    with quiet():
        model, found = kind.from_pretrained(where.location, config=config, output_loading_info=True)
    if found["mismatched_keys"]:
        raise ValueError(f"{where.name}: expected weights of the same sizes, found {found['mismatched_keys'][:3]}")
    fresh = sorted({name.split(".")[0] for name in found["missing_keys"]})
    logger.info("%s: weights taken%s", where.name, f"; new: {', '.join(fresh)}" if fresh else "")
    if hasattr(model, "physics"):
        model.physics.wavelength.copy_(model.physics.wavelength.new_tensor(config.wavelength))
    return model


def _checked(kind: Any, values: dict[str, Any], changes: dict[str, Any]) -> Any:
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


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the library's progress bar and its list of new weights, which `open_model` says in a line."""
    from transformers.utils import logging as library

    level = library.get_verbosity()
    library.set_verbosity_error()
    library.disable_progress_bar()
    try:
        yield
    finally:
        library.set_verbosity(level)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread: sums have one order in every process, and a small network is no slower."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def open_extractor(checkpoint: str | Located | None, wavelength: Sequence[float] | None) -> Any:
    """The feature extractor of a checkpoint, or a new one, for these channels."""
    from transformers.utils import FEATURE_EXTRACTOR_NAME

    from modeling_ariel.feature_extraction_ariel import ArielFeatureExtractor

    axis: dict[str, Any] = {} if wavelength is None else {"wavelength": [float(w) for w in wavelength]}
    if checkpoint is None:
        return ArielFeatureExtractor(**axis)
    where = locate_model(checkpoint)
    if not (Path(where.location) / FEATURE_EXTRACTOR_NAME).exists():
        logger.warning("%s has no feature extractor: one with default statistics is taken", where.name)
        return ArielFeatureExtractor(**axis)
    return ArielFeatureExtractor.from_pretrained(where.location, **axis)


def save_model(model: Any, folder: Path, extractor: Any) -> None:
    """Write weights, config, feature extractor and the source files, with every auto class named."""
    from modeling_ariel.modeling_ariel import AUTO_MAP

    model.config.auto_map = dict(AUTO_MAP)
    with quiet():
        model.save_pretrained(folder)
    extractor.save_pretrained(folder)
    add_code(folder)


def add_code(folder: Path) -> None:
    """Put the source files beside the weights, and name every auto class in the JSON files.

    Maps are written whole and older sources removed: a checkpoint's own may be stale or point to another repository.
    """
    from transformers.dynamic_module_utils import custom_object_save
    from transformers.utils import CONFIG_NAME, FEATURE_EXTRACTOR_NAME

    from modeling_ariel import modeling_ariel as models

    for path in folder.glob("*.py"):
        path.unlink()
    custom_object_save(models.ArielForSpectrumPrediction, folder)  # and all that it imports
    maps = {CONFIG_NAME: models.AUTO_MAP, FEATURE_EXTRACTOR_NAME: extractor_map()}
    for name, auto_map in maps.items():
        path = folder / name
        if not path.is_file():  # an extractor that was never saved
            continue
        content = json.loads(path.read_text(encoding="utf-8")) | {"auto_map": auto_map}
        path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def extractor_map() -> dict[str, str]:
    """The auto class of the feature extractor."""
    from modeling_ariel.modeling_ariel import AUTO_MAP

    return {"AutoFeatureExtractor": AUTO_MAP["AutoFeatureExtractor"]}
