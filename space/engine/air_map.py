"""The atmosphere in the light curves: what each wavelength hides beyond the white transit, over time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.records import LightCurves
from engine.spectrum import FGS1_BELOW_UM, Array
from modeling_ariel.status import FITTED

FINE, COARSE = (30, 24), (20, 12)  # times and wavelengths: blocks of 15 min and 0.08 um, or of 22 min and 0.16 um
FAINT = (
    12.0  # [σ] of the surest of fine wavelengths, below which blocks are coarse: of a band of 5 σ two of three differ
)
INSIDE, EDGE = 0.6, 0.05  # of the white transit's depth, from which a time counts as in it, and as its first contact


@dataclass(frozen=True, eq=False)
class AirMap:
    """``excess`` (T, L) of light hidden beyond the white transit [relative flux], NaN without data, ``error`` its 1σ.

    ``time_h`` (T,), ``wavelength_um`` (L,) middles of the blocks; ``contacts_h`` first and last contact; ``depth``,
    ``depth_error`` (L,) the mean excess in transit.
    """

    time_h: Array
    wavelength_um: Array
    excess: Array
    error: Array
    contacts_h: tuple[float, float]
    depth: Array
    depth_error: Array


def air_map(curves: LightCurves, fit_depth: Array) -> AirMap | None:
    """The map of one visit, from its curves and the fit's depths (C,); None where there is no fit.

    From each block of wavelengths, drift removed, its own fitted transit is taken away, scaled to the mean depth: so
    neither that depth nor the star's limb darkening is left, but what the planet's air adds or lacks. Blocks are as
    coarse as faint air needs.
    """
    fine = _in_blocks(curves, fit_depth, *FINE)
    if fine is None:
        return None
    return fine if np.nanmax(np.abs(fine.depth / fine.depth_error)) > FAINT else _in_blocks(curves, fit_depth, *COARSE)


def _in_blocks(curves: LightCurves, fit_depth: Array, n_times: int, n_wavelengths: int) -> AirMap | None:
    """The map in about so many times and wavelengths."""
    airs = curves.wavelength_um >= FGS1_BELOW_UM
    if curves.status not in FITTED or not airs.any():
        return None
    flux, error, model, drift = (
        np.asarray(one, np.float64)[:, airs] for one in (curves.flux, curves.error, curves.model, curves.drift)
    )
    weight = np.where(np.isfinite(flux) & (error > 0), error, np.inf) ** -2.0  # (T, C)
    hidden, fitted = 1.0 - flux / (1.0 + drift), 1.0 - model / (1.0 + drift)
    typical = np.median(weight, axis=0)
    white = fitted @ typical / max(float(typical.sum()), 1e-30)  # (T,)
    times = np.arange(0, len(white), -(-len(white) // n_times))
    channels = np.arange(0, int(airs.sum()), -(-int(airs.sum()) // n_wavelengths))

    def blocks(values: Array) -> Array:
        return np.asarray(np.add.reduceat(values, channels, axis=1))

    per_block = blocks(weight)
    some = per_block > 0
    safe = np.where(some, per_block, 1.0)
    shape = blocks(fitted * typical) / np.maximum(blocks(typical[None]), 1e-30)  # (T, L) fitted transit of each block
    depths = blocks((fit_depth[airs] * typical)[None])[0] / np.maximum(blocks(typical[None])[0], 1e-30)
    mean = float(fit_depth[airs] @ typical) / max(float(typical.sum()), 1e-30)
    scale = np.clip(mean / np.where(depths > 0, depths, np.inf), 0.5, 2.0)
    fine = np.where(some, blocks(np.nan_to_num(hidden) * weight) / safe - scale * shape, 0.0)  # (T, L)
    total = np.add.reduceat(per_block, times, axis=0)
    known = total > 0
    excess = np.add.reduceat(fine * per_block, times, axis=0) / np.where(known, total, 1.0)
    inside = white > INSIDE * white.max()
    told = per_block[inside].sum(0)
    seen = told > 0
    depth = (fine * per_block)[inside].sum(0) / np.where(seen, told, 1.0)
    contacts = curves.time_h[white > EDGE * white.max()]
    return AirMap(
        time_h=_means(curves.time_h, times),
        wavelength_um=_means(curves.wavelength_um[airs], channels),
        excess=np.where(known, excess, np.nan),
        error=np.where(known, np.where(known, total, 1.0) ** -0.5, np.nan),
        contacts_h=(float(contacts[0]), float(contacts[-1])),
        depth=np.where(seen, depth, np.nan),
        depth_error=np.where(seen, np.where(seen, told, 1.0) ** -0.5, np.nan),
    )


def _means(values: Array, starts: np.ndarray) -> Array:
    """Means of the blocks that begin at ``starts``."""
    return np.asarray(np.add.reduceat(values, starts) / np.diff(np.append(starts, len(values))))
