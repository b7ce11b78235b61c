"""Fewer times: means of neighbouring exposures, as the commands make them, never over a gap."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from engine.rows import VisitRow
from modeling_ariel.any_telescope.binning import bin_times
from modeling_ariel.any_telescope.observation import Observation


def rebinned(row: Mapping[str, Any], bins: int) -> VisitRow:
    """The columns of a row that change with fewer times: time (T,), flux, flux_err, valid (T, C), centroid (T, 4).

    At most ``bins`` times, unless there are more stretches between gaps. Empty if the row has few enough already.
    """
    time = np.asarray(row["time"], np.float64)
    if time.size <= bins:
        return {}
    flux, error = (np.asarray(row[name], np.float64) for name in ("flux", "flux_err"))
    valid = np.ones(flux.shape, bool) if row.get("valid") is None else np.asarray(row["valid"], bool)
    centroid = None if row.get("centroid") is None else np.asarray(row["centroid"], np.float64)
    binned = bin_times(
        Observation(
            "light curves",
            time=time,
            flux=flux,
            flux_err=error,
            wavelength=np.arange(flux.shape[1], dtype=np.float64),
            valid=valid & np.isfinite(flux) & (error > 0),
            half_width=np.full(flux.shape[1], np.nan),
            exposure=np.full(time.size, np.median(np.diff(time))),
            regressors={} if centroid is None else {str(place): column for place, column in enumerate(centroid.T)},
        ),
        bins,
    )
    out: VisitRow = {
        "time": binned.time,
        "flux": np.where(binned.valid, binned.flux, 0.0),
        "flux_err": np.where(binned.valid, binned.flux_err, 1.0),
        "valid": binned.valid,
    }
    if centroid is not None:
        out["centroid"] = np.stack(list(binned.regressors.values()), axis=1)
    return out
