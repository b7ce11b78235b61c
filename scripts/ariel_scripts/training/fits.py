"""Classical fits of a dataset's light curves, computed once: columns beside the dataset's own, in `datasets`' cache.

A fit takes about a second on a core and training needs each many times. Fits are kept in pieces, so that work that was
stopped goes on, and a second run only reads.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from datasets import Array2D, Features, List, Value
from torch import Tensor

from ariel_scripts.opening import sources
from modeling_ariel.columns import STAR_IN_FIT
from modeling_ariel.joint_fit import FitSettings, shared_count
from modeling_ariel.retrieval import ClassicalFit, fit
from modeling_ariel.status import TRUSTED
from modeling_ariel.telescope import VisitEvidence

logger = logging.getLogger(__name__)

NEEDED = ("planet_id", "visit", "time", "flux", "flux_err", "valid", *STAR_IN_FIT)
PIECE = 64  # visits fitted between two files of the cache
_BATCH = 4  # visits fitted together
_SMOOTHING = 21  # AIRS channels over which the transit's shape is averaged


def fitted(
    curves: datasets.Dataset,
    wavelength: Sequence[float],
    workers: int = 1,
    settings: FitSettings | None = None,
    piece: int = PIECE,
) -> datasets.Dataset:
    """The dataset with the columns of :func:`fit_features` added; rows of failed fits keep their status.

    Args:
        curves: light curves, as `opening.datasets.open_curves` gives them.
        wavelength: (C,) [um].
        workers: processes.
        settings: of the fit.
        piece: visits between two files of the cache; a stopped run repeats at most one piece.
    """
    settings = settings or FitSettings()
    n_bins, n_channels = curves.features["flux"].shape
    axis = torch.tensor(sorted(wavelength), dtype=torch.float64)
    features = fit_features(n_bins, n_channels, shared_count(axis, settings))
    arguments = {"wavelength": [float(w) for w in wavelength], "settings": settings, "code": code_hash()}
    known = curves.select_columns(list(NEEDED)).with_format("numpy")
    n_pieces = max(-(-len(known) // piece), 1)
    pieces = []
    for number in range(n_pieces):
        part = known.shard(n_pieces, number, contiguous=True)
        pieces.append(
            part.map(
                _fit_rows,
                batched=True,
                batch_size=_BATCH,
                num_proc=workers if workers > 1 and len(part) > _BATCH else None,
                remove_columns=part.column_names,
                features=features,
                fn_kwargs=arguments,
                desc=f"classical fits {number + 1}/{n_pieces}",
            )
        )
    together = datasets.concatenate_datasets([curves, datasets.concatenate_datasets(pieces)], axis=1)
    _warn_of_failures(together)
    return together


def fit_features(n_bins: int, n_channels: int, n_shared: int) -> Features:
    """Features of the added columns.

    ``fit_depth`` (C,), ``fit_covariance`` (C, C), ``fit_shared`` (S,), ``fit_shared_covariance`` (S, S),
    ``fit_cross_covariance`` (C, S), ``fit_free_b2`` (3,), ``fit_prior_mean``, ``fit_prior_sigma`` (S,),
    ``fit_table_known``, ``fit_table_trust`` (2,), ``fit_status``, ``fit_note``, ``fit_jitter_rms`` as in
    :class:`ClassicalFit`; ``fit_residual`` (T, C) [sigma]; ``fit_transit`` (T, C), the light that the transit hides
    over its depth.
    """

    def array(size: int) -> List:
        return List(Value("float64"), size)

    return Features(
        {
            "fit_depth": array(n_channels),
            "fit_covariance": Array2D((n_channels, n_channels), "float32"),
            "fit_shared": array(n_shared),
            "fit_shared_covariance": Array2D((n_shared, n_shared), "float64"),
            "fit_cross_covariance": Array2D((n_channels, n_shared), "float32"),
            "fit_free_b2": array(3),
            "fit_prior_mean": array(n_shared),
            "fit_prior_sigma": array(n_shared),
            "fit_table_known": Value("bool"),
            "fit_table_trust": array(2),
            "fit_status": Value("string"),
            "fit_note": Value("string"),
            "fit_jitter_rms": Value("float64"),
            "fit_residual": Array2D((n_bins, n_channels), "float16"),
            "fit_transit": Array2D((n_bins, n_channels), "float16"),
        }
    )


def code_hash(folder: Path = sources.FOLDER) -> str:
    """Hash of the source that decides a fit and its columns; ``folder`` has the model's sources."""
    here = [inspect.getsource(function).encode() for function in (_fit_rows, transit_shape, fit_features)]
    return sources.digest(sources.FIT, here, folder)


def _fit_rows(
    rows: Mapping[str, Any], wavelength: list[float], settings: FitSettings, code: str
) -> dict[str, np.ndarray | list[str]]:
    """Columns of a batch of rows; ``code`` only names what is computed, for the cache."""
    torch.set_num_threads(1)
    batch = {name: torch.as_tensor(np.asarray(rows[name])) for name in ("time", "flux", "flux_err", "valid")}
    batch |= {name: torch.as_tensor(np.asarray(rows[name], np.float64)) for name in STAR_IN_FIT}
    with torch.no_grad():
        result = fit(batch, torch.tensor(wavelength, dtype=torch.float64), settings)
        residual = (result.residual * result.weight.sqrt()).transpose(1, 2)
        shape = transit_shape(result).transpose(1, 2)
    return {
        "fit_depth": result.depth.numpy(),
        "fit_covariance": result.covariance.numpy().astype(np.float32),
        "fit_shared": result.shared.numpy(),
        "fit_shared_covariance": result.shared_covariance.numpy(),
        "fit_cross_covariance": result.cross_covariance.numpy().astype(np.float32),
        "fit_free_b2": result.free_b2.numpy(),
        "fit_prior_mean": result.prior_mean.numpy(),
        "fit_prior_sigma": result.prior_sigma.numpy(),
        "fit_table_known": result.table_known.numpy(),
        "fit_table_trust": result.table_trust.numpy(),
        "fit_status": result.status,
        "fit_note": result.notes,
        "fit_jitter_rms": result.jitter_rms.numpy(),
        "fit_residual": residual.numpy().clip(-6e4, 6e4).astype(np.float16),
        "fit_transit": shape.numpy().clip(0.0, 10.0).astype(np.float16),
    }


def classical_fit(rows: Mapping[str, Any]) -> ClassicalFit:
    """The fits of rows (numpy columns of :func:`fit_features`), as far as they were kept; the curves are empty."""
    depth = torch.as_tensor(np.asarray(rows["fit_depth"], np.float64))
    covariance = torch.as_tensor(np.asarray(rows["fit_covariance"], np.float64))
    size, channels = depth.shape
    nothing, unknown = depth.new_zeros(size, channels, 0), depth.new_full((size,), torch.nan)
    kept = {
        "shared": "fit_shared",
        "shared_covariance": "fit_shared_covariance",
        "cross_covariance": "fit_cross_covariance",
        "free_b2": "fit_free_b2",
        "prior_mean": "fit_prior_mean",
        "prior_sigma": "fit_prior_sigma",
        "table_trust": "fit_table_trust",
        "jitter_rms": "fit_jitter_rms",
    }
    return ClassicalFit(
        depth=depth,
        depth_err=covariance.diagonal(dim1=1, dim2=2).sqrt(),
        covariance=covariance,
        status=[str(status) for status in rows["fit_status"]],
        notes=[str(note) for note in rows["fit_note"]],
        shape=depth.new_full((size, 3), torch.nan),
        white_depth=unknown,
        white_depth_err=unknown,
        snr=unknown,
        beta=unknown,
        limb_darkening=depth.new_full((size, 2, channels), torch.nan),
        drift=nothing,
        model=nothing,
        jitter=nothing,
        residual=nothing,
        weight=nothing,
        noise_scale=depth.new_ones(size, channels),
        table_known=torch.as_tensor(np.asarray(rows["fit_table_known"], bool)),
        evidence=[VisitEvidence()] * size,
        **{name: torch.as_tensor(np.asarray(rows[column], np.float64)) for name, column in kept.items()},
    )


def transit_shape(result: ClassicalFit) -> Tensor:
    """Light that the transit hides over its depth (B, C, T): 0 outside, about 1 at mid-transit.

    Averaged over neighbouring AIRS channels, between which it hardly differs but the depths' noise does.
    """
    relative = result.model / (1.0 + result.drift)
    level = relative.amax(-1, keepdim=True)  # nothing is hidden outside the transit
    hidden = (1.0 - relative / level).clamp_min(0.0)
    depth = result.depth
    if depth.shape[-1] > 2 * _SMOOTHING:
        hidden = torch.cat([hidden[:, :1], _smooth(hidden[:, 1:].transpose(1, 2)).transpose(1, 2)], 1)
        depth = torch.cat([depth[:, :1], _smooth(depth[:, None, 1:])[:, 0]], 1)
    least = (0.3 * result.white_depth.abs()).clamp_min(1e-8)
    return hidden / torch.maximum(depth, least[:, None])[..., None]


def _smooth(values: Tensor) -> Tensor:
    """Running mean along the last axis (B, n, C), shorter at the ends."""
    return torch.nn.functional.avg_pool1d(
        values, _SMOOTHING, stride=1, padding=_SMOOTHING // 2, count_include_pad=False
    )


def _warn_of_failures(table: datasets.Dataset) -> None:
    """Name the planets whose fits cannot be trained on."""
    columns = table.select_columns(["planet_id", "visit", "fit_status", "fit_note"]).with_format(None)
    failed = [row for row in columns if row["fit_status"] not in TRUSTED]
    if not failed:
        return
    shown = ", ".join(f"{r['planet_id']} visit {r['visit']} ({r['fit_status']})" for r in failed[:8])
    more = f" and {len(failed) - 8} more" if len(failed) > 8 else ""
    logger.warning(
        "%d of %d classical fits failed or are doubtful and are not trained on: planets %s%s",
        len(failed),
        len(table),
        shown,
        more,
    )
    for row in failed:
        logger.debug("planet %d visit %d: %s: %s", *(row[n] for n in ("planet_id", "visit", "fit_status", "fit_note")))
