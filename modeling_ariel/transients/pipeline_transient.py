"""From anybody's light curves to probabilities: a checkpoint with all that stands between a table and its answers.

pipeline = TransientPipeline.from_pretrained("model")     # a folder, or a Hub id
pipeline(table, survey="ztf").probability                 # (B,) that each object is a tidal disruption event
"""

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from transformers.dynamic_module_utils import custom_object_save
from transformers.utils import logging as transformers_logging

from .architectures import architecture_of, classifier_class
from .astromer import TransientAstromer as TransientAstromer  # what travels with the pipeline
from .classifier import TransientClassifier
from .curves import Array, Curve, feature_rows, read_curve, rows_of
from .feature_extraction_transient import TransientFeatureExtractor
from .lstm import TransientLstm as TransientLstm
from .modeling_transient import TransientForClassification as TransientForClassification
from .swin import TransientSwin as TransientSwin

logger = logging.getLogger(__name__)

BATCH = 64


@dataclass(frozen=True)
class Classified:
    """Classes of B objects, in order of appearance.

    ``object_id`` of each, its place where none was given; ``probability`` (B,) of the positive class, calibrated;
    ``logit`` (B,) its log odds by the network; ``classes`` names, and ``shares`` (B, classes) the network's own
    probabilities of them; ``embeddings`` (B, E).
    """

    object_id: list[str]
    probability: Array
    logit: Array
    classes: list[str]
    shares: Array
    embeddings: NDArray[np.float32]

    def columns(self) -> dict[str, NDArray[Any]]:
        """The columns of a table with a row an object, without embeddings."""
        own = {"object_id": np.asarray(self.object_id), "probability": self.probability, "logit": self.logit}
        return own | {f"share_{name}": self.shares[:, place] for place, name in enumerate(self.classes)}


class TransientPipeline:
    """A classifier with its feature extractor.

    Args:
        model, extractor: of one checkpoint; see `from_pretrained`.
        source: what errors call it.
        device: where the network is computed.
    """

    def __init__(
        self,
        model: TransientClassifier,
        extractor: TransientFeatureExtractor,
        *,
        source: str = "model",
        device: str | torch.device = "cpu",
    ) -> None:
        self.device = torch.device(device)
        self.model, self.extractor, self.source = model.eval().to(self.device), extractor, source

    @classmethod
    def from_pretrained(cls, id_or_folder: str | Path, revision: str | None = None, **settings: Any) -> Self:
        """The pipeline of a folder or a Hub id. Classes are those beside this one: no code of the Hub runs.

        Args:
            revision: branch, tag or commit of a Hub id.
            settings: device; see the class.

        Raises:
            ValueError: no checkpoint there, or one that lacks weights, as those of pretraining do.
        """
        where: dict[str, Any] = {} if revision is None else {"revision": revision}
        try:
            with quiet():
                kind = classifier_class(architecture_of(id_or_folder, **where))
                loaded: Any = kind.from_pretrained(id_or_folder, output_loading_info=True, **where)
            model, info = loaded
            extractor = TransientFeatureExtractor.from_pretrained(id_or_folder, **where)
        except (OSError, ValueError) as error:
            raise ValueError(f"{id_or_folder}: expected a checkpoint of transients, found: {error}") from error
        if missing := sorted(info["missing_keys"]):
            raise ValueError(
                f"{id_or_folder}: expected a model that classifies, missing {len(missing)} of its weights, "
                f"{missing[0]} …: fine-tune it first (ariel transients finetune)"
            )
        return cls(model, extractor, source=str(id_or_folder), **settings)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write model, extractor and the code of all, for `from_pretrained` or for the auto classes anywhere."""
        with quiet():
            self.model.save_pretrained(folder)
        self.extractor.save_pretrained(folder)
        custom_object_save(type(self), str(folder))

    def __call__(
        self, rows: Any, *, survey: str | None = None, features: Any = None, batch_size: int = BATCH
    ) -> Classified:
        """Classes of the objects in ``rows``: anybody's table or the dataset's rows, see :func:`rows_of`.

        Args:
            survey: whose bands are meant: "lsst" or "ztf"; default the extractor's.
            features: what the model reads beside the curves, (B, F) or a mapping from object_id.
            batch_size: objects at a time, which bounds the memory.

        Raises:
            ValueError: what the light curves lack, by object.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size: expected 1 or more, found {batch_size}")
        listed = rows_of(rows)
        curves = [read_curve(row, survey or self.extractor.survey, place) for place, row in enumerate(listed)]
        names = [str(row.get("object_id", place)) for place, row in enumerate(listed)]
        return self.classify(names, curves, features, batch_size)

    def classify(
        self, names: Sequence[str], curves: Sequence[Curve], features: Any = None, batch_size: int = BATCH
    ) -> Classified:
        """The same of curves that were read before."""
        if not curves:
            raise ValueError("rows: expected objects, found none")
        if features is not None:
            features = feature_rows(self.extractor.feature_names, features, names)
        elif count := len(self.extractor.feature_names):
            logger.warning("%s: learned from %d features beside the curves, found none of them", self.source, count)
        parts: list[Mapping[str, Any]] = []
        for start in range(0, len(curves), batch_size):
            part = slice(start, start + batch_size)
            batch = self.extractor.batch(curves[part], None if features is None else features[part])
            with torch.no_grad():
                found = self.model(**batch.to(self.device))
            parts.append({name: found[name].float().cpu() for name in ("probability", "logit", "logits", "embeddings")})
        joined = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        return Classified(
            object_id=list(names),
            probability=joined["probability"].double().numpy(),
            logit=joined["logit"].double().numpy(),
            classes=list(self.model.config.classes or []),
            shares=joined["logits"].double().softmax(1).numpy(),
            embeddings=joined["embeddings"].numpy(),
        )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without transformers' progress bars and its lists of new weights."""
    level, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()
