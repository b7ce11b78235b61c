"""PSF templates from kept frames: made, stored in a file, and given to a new Spectre.

FGS1's mean image and its derivatives by shifts; AIRS-CH0's profile across the dispersion at wavelengths from short to
long. Derivatives are regressions of pixels on the centroids of neighbouring exposures, not differences of a mean image:
its core is as narrow as a pixel, and cannot be moved by interpolation.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ariel_scripts.opening.provenance import Origin
from hf_dataset.digests import file_hash
from hf_dataset.folders import write_bytes
from hf_dataset.raw.layouts import AIRS, FGS1
from hf_dataset.store.frames import Frames, find_frames
from modeling_ariel.spectre import SpectrePreTrainedModel

logger = logging.getLogger(__name__)

Array = NDArray[np.float64]
FORMAT = "ariel-psf-templates-1"
MIN_PAIRS = 40  # of neighbouring exposures, from which two derivatives are told


@dataclass(frozen=True)
class Templates:
    """``psf`` (3, size, size) of FGS1: mean image, its sum 1, and derivatives by shifts along y and x [1/px].

    ``profile`` (row, wavelength), both of the same size: shares of AIRS-CH0's light at each wavelength; ``wavelength``
    [um] of its columns; ``made_of``: layouts, planets, visits and exposures.
    """

    psf: Array
    profile: Array
    wavelength: Array
    made_of: dict[str, Any]


def make_templates(folder: Path, size: int) -> Templates:
    """Templates of all frames in a folder, each visit with the weight of its exposures.

    Raises:
        ValueError: an even size or one beyond the detector, no frames, or none that tell a template.
    """
    if size % 2 == 0 or size < 3:
        raise ValueError(f"size: expected an odd number of pixels, 3 or more, found {size}")
    fgs1, airs = find_frames(folder, FGS1), find_frames(folder, AIRS)
    psf, used = _mean_of([(one, fgs1_templates(one, size)) for one in fgs1], folder, FGS1)
    profile, _ = _mean_of([(one, airs_profile(one, size)) for one in airs], folder, AIRS)
    made_of = {
        "layouts": sorted({str(one.facts["layout"]) for one in (*fgs1, *airs)}),
        "planets": len({one.facts["planet_id"] for one in fgs1}),
        "visits": len(fgs1),
        "exposures of FGS1": used,
    }
    return Templates(psf, profile, np.mean([profile_wavelengths(one, size) for one in airs], axis=0), made_of)


def _mean_of(found: Sequence[tuple[Frames, Array | None]], folder: Path, instrument: str) -> tuple[Array, int]:
    """The mean of visits' images, by their exposures, and how many these are; those that tell none are left out."""
    known = [(image, len(one["time"])) for one, image in found if image is not None]
    for one, image in found:
        if image is None:
            logger.warning("%s: left out: a bad pixel within the template, or too few exposures", one.path)
    if not known:
        raise ValueError(f"{folder}: expected frames of {instrument} without bad pixels in the template, found none")
    images, weights = zip(*known, strict=True)
    return np.average(np.stack(images), axis=0, weights=weights), sum(weights)


def fgs1_templates(frames: Frames, size: int) -> Array | None:
    """(3, size, size) of one visit about the pixel nearest the star; None where a pixel there is bad.

    Of differences between neighbouring exposures, in which there is no transit and no drift, pixels are regressed on
    the centroids; exposures with a sample lost are left out.
    """
    rows, columns = (_window(centre, size, frames) for centre in frames.facts["centre_px"])
    if frames["mask"][rows, columns].any():
        return None
    light = frames.exposures(rows, columns).astype(np.float64) - frames["foreground"][columns]
    when, y, x = frames["lost"].T
    inside = (y >= rows.start) & (y < rows.stop) & (x >= columns.start) & (x < columns.stop)
    good = np.ones(len(light), bool)
    good[when[inside]] = False
    pairs = good[1:] & good[:-1]
    if pairs.sum() < MIN_PAIRS:
        return None
    mean = light[good].mean(axis=0)
    steps = np.diff(frames["centroid"].astype(np.float64), axis=0)[pairs]
    moved = np.diff(light, axis=0)[pairs].reshape(len(steps), -1)
    slopes = np.linalg.lstsq(steps, moved, rcond=None)[0].reshape(2, size, size)
    return np.concatenate([mean[None], slopes]) / mean.sum()


def airs_profile(frames: Frames, size: int) -> Array | None:
    """(row, wavelength), shares of the light in ``size`` rows about the trace, in as many parts of the wavelengths.

    Columns with a bad pixel are left out; None where no other is left at some wavelength.
    """
    rows = _window(float(np.median(frames["trace"])), size, frames)
    light = (frames.mean - frames["foreground"])[rows].astype(np.float64)
    good = ~frames["mask"][rows]
    whole: NDArray[np.bool_] = np.asarray(good.all(axis=0))  # a column's share is of all its light
    profile = np.zeros((size, size))
    for part, columns in enumerate(_parts(frames, size)):
        chosen = columns[whole[columns]]
        if not len(chosen):
            return None
        shares = light[:, chosen].sum(axis=1)
        profile[:, part] = shares / shares.sum()
    return profile


def profile_wavelengths(frames: Frames, size: int) -> Array:
    """(size,) [um] of the columns of :func:`airs_profile`."""
    wavelength = frames["wavelength"].astype(np.float64)
    return np.array([wavelength[columns].mean() for columns in _parts(frames, size)])


def _parts(frames: Frames, size: int) -> list[NDArray[np.intp]]:
    """Detector columns of the channels, in ``size`` parts of ascending wavelength."""
    channel = frames["channel"]
    order = np.flatnonzero(channel >= 0)
    return np.array_split(order[np.argsort(channel[order])], size)


def _window(centre: float, size: int, frames: Frames) -> slice:
    """``size`` pixels about a place; ValueError where they are not all on the detector."""
    first = round(centre) - size // 2
    if first < 0 or first + size > frames.mean.shape[0]:
        raise ValueError(f"{frames.path}: expected {size} rows about {centre:.1f} px, found a detector that ends there")
    return slice(first, first + size)


# --- as a file, and in a model ---------------------------------------------------------------------------------------


def write_templates(path: Path, templates: Templates) -> None:
    """Write a file whole or not at all."""
    arrays = {"psf": templates.psf, "profile": templates.profile, "wavelength": templates.wavelength}
    about = {"format": FORMAT, "made_of": json.dumps(templates.made_of)}
    write_bytes(path, save({name: np.asarray(array, np.float32) for name, array in arrays.items()}, about))


def read_templates(path: Path) -> Templates:
    """The templates in a file; ValueError where it has none."""
    try:
        with safe_open(path, "np") as file:
            about = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  no mapping
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: expected PSF templates (ariel templates), found {error}") from error
    if about.get("format") != FORMAT:
        raise ValueError(f"{path}: expected PSF templates in the format {FORMAT}, found {about.get('format')!r}")
    return Templates(**arrays, made_of=json.loads(about["made_of"]))


def template_sizes(path: Path | None, kind: type[Any], new: bool) -> dict[str, int]:
    """What the config of a ``new`` model says of the templates in a file; nothing of another, or without a file.

    ValueError where models of this ``kind`` take no templates.
    """
    if path is None:
        return {}
    if not issubclass(kind, SpectrePreTrainedModel):
        raise ValueError(f"--templates: expected architecture spectre, found {kind.__name__}")
    count, size, _ = read_templates(path).psf.shape
    return {"psf_templates": count, "psf_size": size} if new else {}


def give_templates(model: Any, path: Path | None) -> None:
    """Give a Spectre the templates in a file, if there is one; ValueError where it has another size."""
    if path is None:
        return
    found = read_templates(path)
    try:
        model.set_psf_templates(torch.from_numpy(found.psf), torch.from_numpy(found.profile))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def with_templates(origin: Origin, path: Path | None) -> Origin:
    """What a model is made of, the frames of its templates among it: their layouts decide its licence too."""
    if path is None:
        return origin
    made_of = read_templates(path).made_of
    layouts = sorted({*origin.data["layouts"], *made_of["layouts"]})
    return replace(
        origin, data=origin.data | {"layouts": layouts, "psf templates": {**made_of, "sha256": file_hash(path)}}
    )
