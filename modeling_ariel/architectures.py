"""Which architectures there are: a name, as configs have it in model_type, and the class of the model."""

from importlib import import_module
from pathlib import Path
from typing import Any

from transformers import PreTrainedConfig

from .spectrum_model import ArielSpectrumModel

DEFAULT = "ariel"
ARCHITECTURES = {  # module beside this one, class
    DEFAULT: ("modeling_ariel", "ArielForSpectrumPrediction"),
    "gp_autoencoder_nmf": ("depth_mix", "DepthMix"),
    "transit_cnn": ("transit_cnn", "TransitCnn"),
    "spectre": ("spectre", "Spectre"),
    "spectramind": ("spectramind", "SpectraMind"),
}
PRETRAINED = {  # those that learn by masking too
    DEFAULT: ("modeling_ariel", "ArielForPreTraining"),
    "spectre": ("spectre", "SpectreForPreTraining"),
}


def model_class(name: str) -> type[ArielSpectrumModel]:
    """The class of a name in ARCHITECTURES, or of anybody's own: "package.module.Class".

    Raises:
        ValueError: no such name, or a class that is not an :class:`ArielSpectrumModel`.
    """
    if name in ARCHITECTURES:
        home, kind = ARCHITECTURES[name]
        found: Any = getattr(import_module(f".{home}", __package__), kind)
        return found
    module, dot, kind = name.rpartition(".")
    if not dot:
        raise ValueError(f"architecture: expected {', '.join(ARCHITECTURES)} or package.Class, found {name!r}")
    try:
        found = getattr(import_module(module), kind)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"architecture: expected a package.Class to import, found {name!r}: {error}") from error
    if not (isinstance(found, type) and issubclass(found, ArielSpectrumModel)):
        raise ValueError(f"architecture: expected a class that inherits ArielSpectrumModel, found {name!r}")
    if getattr(found.config_class, "model_type", "") in ("", DEFAULT):
        raise ValueError(f"architecture: {name}: expected a config_class with a model_type of its own, found none")
    return found


def pretraining_class(name: str) -> Any:
    """The class that learns by masking what a model of ``name`` starts from; ValueError where there is none."""
    if name not in PRETRAINED:
        raise ValueError(f"architecture: expected one that is pretrained, {' or '.join(PRETRAINED)}, found {name!r}")
    home, kind = PRETRAINED[name]
    return getattr(import_module(f".{home}", __package__), kind)


def model_type(folder: str | Path, **where: Any) -> str:
    """What the config of a checkpoint (folder or Hub id) calls its architecture; ValueError where it has no config."""
    kind = PreTrainedConfig.get_config_dict(folder, **where)[0].get("model_type")
    if not kind:  # transformers takes a missing file for one of defaults
        raise ValueError("expected config.json with a model_type, found none")
    return str(kind)


def checkpoint_class(folder: str | Path, name: str | None = None, **where: Any) -> type[ArielSpectrumModel]:
    """The class of a checkpoint (folder or Hub id), by its config; ``name`` says it where that is anybody's own.

    Raises:
        ValueError: no configuration, another architecture than ``name``, or one that is not known here.
        OSError: no checkpoint.
    """
    kind = model_type(folder, **where)
    if name is None and kind not in ARCHITECTURES:
        raise ValueError(
            f"expected an architecture of {', '.join(ARCHITECTURES)}, found {kind!r}: name its class (--architecture)"
        )
    found = model_class(name or kind)
    if found.config_class.model_type != kind:
        raise ValueError(f"expected the architecture {found.config_class.model_type}, found {kind}")
    return found
