"""Which networks for transients there are: a name, as configs have it in model_type, and the classes of the model."""

from importlib import import_module
from pathlib import Path
from typing import Any

from transformers import PreTrainedConfig

from .classifier import TransientClassifier

DEFAULT = "transient"
ARCHITECTURES: dict[str, tuple[str, str, str | None]] = {  # module beside this one, classifier, pretraining
    DEFAULT: ("modeling_transient", "TransientForClassification", "TransientForPreTraining"),
    "transient_lstm": ("lstm", "TransientLstm", None),
    "transient_astromer": ("astromer", "TransientAstromer", "TransientAstromerForPreTraining"),
    "transient_swin": ("swin", "TransientSwin", None),
}


def classifier_class(name: str) -> type[TransientClassifier]:
    """The classifier of a name in ARCHITECTURES; ValueError where there is none."""
    found: Any = getattr(_home(name), ARCHITECTURES[name][1])
    return found


def pretraining_class(name: str) -> Any:
    """The class by which a name in ARCHITECTURES is pretrained; ValueError where there is none."""
    home, kind = _home(name), ARCHITECTURES[name][2]
    if kind is None:
        able = ", ".join(one for one, (_, _, own) in ARCHITECTURES.items() if own)
        raise ValueError(f"architecture: expected one that can be pretrained ({able}), found {name!r}")
    return getattr(home, kind)


def architecture_of(folder: str | Path, **where: Any) -> str:
    """The name of a checkpoint's architecture (folder or Hub id), by its config.

    Raises:
        ValueError: no configuration, or one of another model.
        OSError: no checkpoint.
    """
    name = PreTrainedConfig.get_config_dict(folder, **where)[0].get("model_type")
    if name not in ARCHITECTURES:
        raise ValueError(f"expected config.json with a model_type of {', '.join(ARCHITECTURES)}, found {name!r}")
    return str(name)


def _home(name: str) -> Any:
    if name not in ARCHITECTURES:
        raise ValueError(f"architecture: expected one of {', '.join(ARCHITECTURES)}, found {name!r}")
    return import_module(f".{ARCHITECTURES[name][0]}", __package__)
