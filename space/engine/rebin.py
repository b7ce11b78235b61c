"""Fewer time bins: means of neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from engine.rows import VisitRow


def rebinned(row: Mapping[str, Any], bins: int) -> VisitRow:
    """The columns of a row that change when neighbouring bins are averaged to at most ``bins``.

    time (T,), flux, flux_err, valid (T, C) and centroid (T, 4): means weighted by the errors, of equal numbers of bins;
    a remainder at the end is dropped. Empty if the row has few enough bins already.
    """
    time = np.asarray(row["time"], np.float64)
    together = -(-time.size // bins)
    if together == 1:
        return {}
    kept = time.size // together * together
    flux, error = (np.asarray(row[name], np.float64)[:kept] for name in ("flux", "flux_err"))
    valid = np.ones(flux.shape, bool) if row.get("valid") is None else np.asarray(row["valid"], bool)[:kept]
    valid = valid & np.isfinite(flux) & (error > 0)
    weight = np.where(valid, np.where(valid, error, 1.0) ** -2.0, 0.0).reshape(-1, together, flux.shape[1])
    total = weight.sum(1)
    safe = np.where(total > 0, total, 1.0)
    out: VisitRow = {
        "time": time[:kept].reshape(-1, together).mean(1),
        "flux": (weight * np.where(valid, flux, 0.0).reshape(weight.shape)).sum(1) / safe,
        "flux_err": safe**-0.5,
        "valid": total > 0,
    }
    if row.get("centroid") is not None:
        out["centroid"] = np.asarray(row["centroid"], np.float64)[:kept].reshape(-1, together, 4).mean(1)
    return out
