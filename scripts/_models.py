"""Models opened for training, and saved so that they load anywhere."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

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
    from ariel_scripts._common import read_yaml

    values: dict[str, Any] = {}
    for pair in pairs:
        name, found, value = pair.partition("=")
        if not found:
            raise ValueError(f"--set: expected NAME=VALUE, found {pair!r}")
        values[name.strip()] = read_yaml(value)
    return values


def open_model(kind: Any, checkpoint: str | None, wavelength: Sequence[float] | None, **changes: Any) -> Any:
    """A model of class ``kind``, new or with the weights of a checkpoint (folder or Hub id), its config changed.

    ``wavelength`` (C,) [um] of the data; a checkpoint's must be near them, and takes them.
    """
    from modeling_ariel.configuration_ariel import ArielConfig

    axis = {} if wavelength is None else {"wavelength": [float(w) for w in wavelength]}
    if checkpoint is None:
        return kind(_checked(ArielConfig, {**axis, **changes}))
    checkpoint = checkpoint_path(checkpoint)
    base = ArielConfig.from_pretrained(checkpoint)
    known = np.asarray(base.wavelength)
    if axis and (len(known) != len(axis["wavelength"]) or np.abs(known - axis["wavelength"])[1:].max() > _SAME_CHANNEL):
        raise ValueError(f"{checkpoint}: expected the dataset's channels, found {len(known)} others")
    config = _checked(ArielConfig, {**base.to_dict(), **axis, **changes})
    with quiet():
        model, found = kind.from_pretrained(checkpoint, config=config, output_loading_info=True)
    if found["mismatched_keys"]:
        raise ValueError(f"{checkpoint}: expected weights of the same sizes, found {found['mismatched_keys'][:3]}")
    fresh = sorted({name.split(".")[0] for name in found["missing_keys"]})
    logger.info("%s: weights taken%s", checkpoint, f"; new: {', '.join(fresh)}" if fresh else "")
    if hasattr(model, "physics"):
        model.physics.wavelength.copy_(model.physics.wavelength.new_tensor(config.wavelength))
    return model


def _checked(kind: Any, values: dict[str, Any]) -> Any:
    """A config, refusing names that it does not have."""
    known = set(kind().to_dict())
    if unknown := sorted(set(values) - known - {"auto_map", "architectures", "model_type", "transformers_version"}):
        raise ValueError(f"--set: unknown {', '.join(unknown)}; known: {', '.join(sorted(known))}")
    drop = {"auto_map", "architectures", "model_type", "transformers_version", "_name_or_path"}
    try:
        return kind(**{name: value for name, value in values.items() if name not in drop})
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


def open_extractor(checkpoint: str | None, wavelength: Sequence[float] | None) -> Any:
    """The feature extractor of a checkpoint, or a new one, for these channels."""
    from transformers.utils import FEATURE_EXTRACTOR_NAME

    from modeling_ariel.feature_extraction_ariel import ArielFeatureExtractor

    axis: dict[str, Any] = {} if wavelength is None else {"wavelength": [float(w) for w in wavelength]}
    if checkpoint is None:
        return ArielFeatureExtractor(**axis)
    folder = Path(checkpoint_path(checkpoint))
    if folder.is_dir() and not (folder / FEATURE_EXTRACTOR_NAME).exists():
        logger.warning("%s has no feature extractor: one with default statistics is taken", folder)
        return ArielFeatureExtractor(**axis)
    return ArielFeatureExtractor.from_pretrained(str(folder) if folder.is_dir() else checkpoint, **axis)


def save_model(model: Any, folder: Path, extractor: Any) -> None:
    """Write weights, config, feature extractor and the source files, with every auto class named."""
    from modeling_ariel import modeling_ariel as models
    from modeling_ariel.configuration_ariel import ArielConfig

    for kind, auto in (
        (ArielConfig, "AutoConfig"),
        (models.ArielForSpectrumPrediction, "AutoModel"),
        (models.ArielForPreTraining, "AutoModelForPreTraining"),
    ):
        kind.register_for_auto_class(auto)
    model.config.auto_map = dict(models.AUTO_MAP)  # whole: a checkpoint's own may be stale
    with quiet():
        model.save_pretrained(folder)
    extractor.save_pretrained(folder)
