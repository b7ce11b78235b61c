"""Rows of light curves to a batch of predicted planets, by one pipeline or an ensemble of them."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ariel_scripts.opening import sources
from ariel_scripts.opening.hub import Located, locate_model
from ariel_scripts.prediction.fit_pool import FitPool, free_bytes
from ariel_scripts.prediction.resuming import Part
from modeling_ariel.joint_fit import FitSettings
from modeling_ariel.physics import fit_inputs
from modeling_ariel.pipeline_ariel import BATCH, ArielPipeline, classical_inputs, torch_threads
from modeling_ariel.retrieval import ClassicalFit
from modeling_ariel.status import DOUBTFUL, FITTED, doubt
from modeling_ariel.uncertainty import Moments, mixture_moments

logger = logging.getLogger(__name__)

# Measured on CPU with 2 to 24 visits of 375 bins: 0.45 GB and 12 MB a visit for the fits; with features and network
# 30 MB a visit is ample.
FIXED_BYTES, BYTES_PER_BIN = 0.6e9, 30e6 / 375

PlanetRows = list[tuple[int, list[dict[str, Any]]]]  # a planet's id and the rows of its visits


class Member(ArielPipeline):
    """A pipeline with its source."""

    located: Located


def load_members(
    sources: Sequence[str], revision: str | None, device: torch.device, samples: int, architecture: str | None = None
) -> list[Member]:
    """The models of an ensemble; ValueError where they don't fit together or can't be sampled."""
    members = [load_member(source, revision, device, samples, architecture) for source in sources]
    for member in members:
        if member.model.config.wavelength != members[0].model.config.wavelength:
            raise ValueError(f"{member.source}: expected the channels of {members[0].source}, found others")
        check_sampling(member.located, samples)
    return members


def load_member(
    source: str, revision: str | None, device: torch.device, samples: int = 0, architecture: str | None = None
) -> Member:
    """The pipeline of a folder or Hub id; ``architecture``: the class of a model that is not this package's."""
    located = locate_model(source, revision)
    member = Member.from_pretrained(
        located.location, source=located.name, architecture=architecture, device=device, samples=samples
    )
    member.located = located
    return member


def code_digest(folder: Path = sources.FOLDER) -> str:
    """Hash of the sources that decide a prediction: this room's, and the model's, which ``folder`` has."""
    room = sorted(Path(__file__).parent.glob("*.py"))
    return sources.digest(sources.NETWORKS, [path.read_bytes() for path in room], folder)


def check_sampling(source: Located, samples: int) -> None:
    """Warn where a model's sigma was calibrated with another number of dropout samples."""
    try:
        known = json.loads((Path(source.location) / "calibration.json").read_text())["samples"]
    except (OSError, ValueError, KeyError):
        return
    if known != samples:
        logger.warning("%s: its sigma was calibrated with --samples %d, not %d", source.name, known, samples)


# --- the machine ---------------------------------------------------------------------------------------------------


def choose_device(name: str) -> torch.device:
    """The device of that name; auto is CUDA where there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"--device: expected auto, cpu or cuda, found {name!r}") from error
    if device.type not in ("cpu", "cuda") or (device.type == "cuda" and not torch.cuda.is_available()):
        raise ValueError(f"--device {name}: expected one of this machine's, cpu or cuda (float64 is needed)")
    return device


def batch_size(wanted: str, device: torch.device, bins: int) -> int:
    """Planets at a time, each of ``bins`` in all of its visits together: half of what is free, or the number wanted."""
    if wanted != "auto":
        if not wanted.isdigit() or int(wanted) < 1:
            raise ValueError(f"--batch: expected auto or a number above 0, found {wanted!r}")
        return int(wanted)
    room = 0.5 * free_bytes(device) - FIXED_BYTES
    return int(min(max(room / (BYTES_PER_BIN * bins), 1), BATCH))


# --- predicting ----------------------------------------------------------------------------------------------------


@torch.no_grad()
@torch_threads(1)
def predict_planets(
    members: list[Member], planets: PlanetRows, samples: int, seed: tuple[int, int], pool: FitPool
) -> Part:
    """Predictions of planets, each given as (id, rows of its visits); one that can't be read is refused."""
    accepted = planets
    refused: dict[int, str] = {}
    left_out: dict[int, str] = {}
    try:
        features = [member.features(_visits(planets)) for member in members]
    except ValueError:
        accepted, refused, left_out = readable(members, planets)
        if not accepted:
            return Part(refused=refused)
        features = [member.features(_visits(accepted)) for member in members]
    try:
        moments, status, notes = _moments(members, features, samples, seed, pool)
    except torch.cuda.OutOfMemoryError:
        if len(accepted) == 1:
            raise
        torch.cuda.empty_cache()
        half = len(accepted) // 2
        logger.warning("memory of %s is full: %d planets at a time for now", members[0].device, half)
        parts = [predict_planets(members, part, samples, seed, pool) for part in (accepted[:half], accepted[half:])]
        return _merged(parts, refused)
    notes = [
        "; ".join(filter(None, [note, left_out.get(planet)])) for (planet, _), note in zip(accepted, notes, strict=True)
    ]
    for (planet, _), state, note in zip(accepted, status, notes, strict=True):
        if state not in FITTED:
            logger.warning("planet %d: %s: %s; it gets the prior's answer", planet, state, note)
        elif state == DOUBTFUL:
            logger.warning("planet %d: %s: %s", planet, state, note)
    return _part([planet for planet, _ in accepted], moments, status, notes, refused)


def _visits(planets: PlanetRows) -> list[dict[str, Any]]:
    """The rows of all planets, in their order."""
    return [row for _, rows in planets for row in rows]


def readable(members: list[Member], planets: PlanetRows) -> tuple[PlanetRows, dict[int, str], dict[int, str]]:
    """Planets with the visits that every extractor takes; why others have none, and why visits are left out."""
    accepted: PlanetRows = []
    refused: dict[int, str] = {}
    left_out: dict[int, str] = {}
    for planet, rows in planets:
        good, reasons = [], []
        for row in rows:
            try:
                for member in members:
                    member.extractor(row)
                good.append(row)
            except ValueError as error:
                reasons.append(str(error))
        if good:
            accepted.append((planet, good))
            for reason in reasons:
                logger.warning("planet %d: one of %d visits left out: %s", planet, len(rows), reason)
            if reasons:
                left_out[planet] = f"{len(reasons)} of {len(rows)} visits left out: {'; '.join(reasons)}"
        else:
            refused[planet] = "; ".join(reasons)
    return accepted, refused, left_out


def _moments(
    members: list[Member],
    features: list[dict[str, Tensor]],
    samples: int,
    seed: tuple[int, int],
    pool: FitPool,
) -> tuple[Moments, list[str], list[str]]:
    """Mean, sigma and parts (P, C) over members and samples; the status of each planet's fit and its notes."""
    planet = features[0]["planet"]
    found, told, fits = [], [], dict[FitSettings, ClassicalFit]()
    for place, (member, inputs) in enumerate(zip(members, features, strict=True)):
        arguments, classical = inputs, None
        if member.has_fit:
            settings = member.model.physics.fit_settings
            if settings not in fits:
                fits[settings] = pool.fit(fit_inputs(inputs), member.fit_wavelength, settings)
            classical = member.posterior(fits[settings], planet)
            arguments = inputs | classical_inputs(classical)
        moments, distance = member.moments(arguments, samples, str((*seed, place)))
        found.append(moments)
        told.append((member.model.told(distance, classical), distance.tolist()))
    status, notes = _most_doubtful(told)
    return _ensemble(found), status, notes


def _most_doubtful(told: list[tuple[dict[str, list[str]], list[float]]]) -> tuple[list[str], list[str]]:
    """Status and notes of each planet by the member that doubts it most; of several, that which it is farthest from."""
    status, notes = [], []
    for planet in range(len(told[0][1])):
        said, _ = max(told, key=lambda one: (doubt(one[0]["status"][planet]), one[1][planet]))
        status.append(said["status"][planet])
        notes.append(said["notes"][planet])
    return status, notes


def _ensemble(found: list[Moments]) -> Moments:
    """Moments of an ensemble of members, each with parts of its own."""
    if len(found) == 1:
        return found[0]
    between = mixture_moments(np.stack([m.mean for m in found]), np.stack([m.aleatoric for m in found]))
    epistemic = np.sqrt(between.epistemic**2 + np.mean([m.epistemic**2 for m in found], 0))
    return Moments(between.mean, np.hypot(between.aleatoric, epistemic), between.aleatoric, epistemic)


def _part(planets: list[int], moments: Moments, status: list[str], notes: list[str], refused: dict[int, str]) -> Part:
    """A part, without planets whose answer isn't finite; a depth can't be negative, so such means become 0."""
    finite: NDArray[np.bool_] = np.atleast_1d(np.isfinite(moments.mean + moments.sigma).all(1))
    kept = [bool(ok) for ok in finite]
    refused |= {planet: "the model's answer is not finite" for planet, ok in zip(planets, kept, strict=True) if not ok}
    arrays = {
        "mu": moments.mean.clip(0.0),
        "sigma": moments.sigma,
        "sigma_aleatoric": moments.aleatoric,
        "sigma_epistemic": moments.epistemic,
    }
    return Part(
        list(compress(planets, kept)),
        {name: values[finite].astype(np.float32) for name, values in arrays.items()},
        list(compress(status, kept)),
        list(compress(notes, kept)),
        refused,
    )


def _merged(parts: list[Part], refused: dict[int, str]) -> Part:
    full = [part for part in parts if part.planet_id]
    return Part(
        [planet for part in full for planet in part.planet_id],
        {name: np.concatenate([part.arrays[name] for part in full]) for name in (full[0].arrays if full else ())},
        [state for part in full for state in part.status],
        [note for part in full for note in part.notes],
        {**refused, **{planet: why for part in parts for planet, why in part.refused.items()}},
    )
