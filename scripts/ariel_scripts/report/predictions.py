"""Predictions for the report: made as `ariel predict` does, kept beside it, with the network's state of each planet."""

from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ariel_scripts.commands.predict import Job, Prepared, predict
from ariel_scripts.digests import config_hash
from ariel_scripts.prediction.fit_pool import keep_memory
from hf_dataset import folders

logger = logging.getLogger(__name__)


class Latents:
    """Mean of the backbone's tokens (D,) of each planet that a model has predicted, kept in a file.

    The file says of which predictions: those of other settings are forgotten.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.settings = ""
        self.of: dict[int, np.ndarray] = {}

    def open(self, settings: dict[str, Any]) -> None:
        """Take what an earlier run with the same settings has left."""
        self.settings = config_hash(settings)
        try:
            with np.load(self.path, allow_pickle=False) as file:
                if str(file["settings"]) == self.settings:
                    self.of = dict(zip(file["planet_id"].tolist(), file["latent"], strict=True))
        except (OSError, ValueError, KeyError):
            self.of = {}

    def save(self) -> None:
        """Write them whole or not at all."""
        if not self.of:
            return
        file = io.BytesIO()
        np.savez_compressed(
            file,
            settings=np.array(self.settings),
            planet_id=np.array(list(self.of), np.int64),
            latent=np.stack(list(self.of.values())),
        )
        folders.write_bytes(self.path, file.getvalue())

    def watch(self, member: Any) -> None:
        """Keep what the head of the model reads from now on, under the planets that its extractor was given last."""
        extractor = member.extractor
        batch: list[int] = []

        def extract(rows: Any, **options: Any) -> Any:
            listed = rows if isinstance(rows, list) else [rows]
            batch[:] = dict.fromkeys(int(row["planet_id"]) for row in listed)
            return extractor(rows, **options)

        def keep(_: Any, given: tuple[Tensor, ...]) -> None:
            _, _, tokens, used = given
            share = used.to(tokens.dtype)[..., None]
            pooled = (tokens * share).sum(1) / share.sum(1).clamp_min(1.0)
            if len(pooled) == len(batch):
                self.of |= dict(zip(batch, pooled.detach().float().cpu().numpy(), strict=True))

        member.extractor = extract
        member.model.head.register_forward_pre_hook(keep)


def predicted(job: Job) -> dict[int, np.ndarray]:
    """Write the predictions of ``job``, unless they are there already with the same settings; the planets' latents."""
    latents = Latents(job.out.with_suffix(".latents.npz"))
    stamp = job.out.with_suffix(".settings.json")
    prepared = job.prepare()
    settings = _settings(prepared)
    latents.open(settings)
    if job.out.is_file() and folders.read_json(stamp) == settings:
        logger.info("%s: predictions of an earlier run with the same model and dataset", job.out)
        return latents.of
    for member in prepared.members:
        latents.watch(member)

    class Watched(Job):
        """The job, its models watched."""

        def prepare(self) -> Prepared:
            return prepared

    stamp.unlink(missing_ok=True)
    keep_memory()
    try:
        predict(Watched(**job.__dict__))
    finally:
        latents.save()
    folders.write_json(stamp, settings)
    return latents.of


def _settings(prepared: Prepared) -> dict[str, Any]:
    """What decides the answer. How many planets are taken at a time does not: a planet's is the same in any company."""
    return {name: value for name, value in prepared.settings().items() if name != "batch"}
