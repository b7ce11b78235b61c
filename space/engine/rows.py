"""A visit as the engine reads it: a row of the dataset, or one made of an upload."""

from __future__ import annotations

from typing import TypedDict

import numpy as np

from engine.records import RawView


class StarTable(TypedDict, total=False):
    """Rs [R☉], Ms [M☉], Ts [K], Mp [M_J], e, P [d], sma [Rs], i [deg]; NaN where unknown."""

    Rs: float
    Ms: float
    Ts: float
    Mp: float
    e: float
    P: float
    sma: float
    i: float


class VisitRow(StarTable, total=False):
    """T time bins, C channels; the engine needs ``time``, ``flux`` and ``flux_err``."""

    planet_id: int | None
    visit: int
    layout: str
    time: np.ndarray  # (T,) [h]
    flux: np.ndarray  # (T, C)
    flux_err: np.ndarray  # (T, C)
    valid: np.ndarray  # (T, C)
    centroid: np.ndarray  # (T, 4) [px]
    wavelength: np.ndarray | None  # (C,) [um]; the model's channels where None or missing
    star: int
    spectrum: np.ndarray | None  # (C,) the true depths, where known
    calibration: str
    name: str  # in titles
    notes: tuple[str, ...]  # for the user
    raw_view: RawView  # of the first visit of a raw folder
