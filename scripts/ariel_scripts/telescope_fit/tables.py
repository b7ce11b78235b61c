"""A fit as files that astropy and NumPy read without us.

spectrum.ecsv and spectrum_covariance.npy; times.ecsv; systematics.ecsv; white_light_curves.ecsv; light_curves.npz.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ariel_scripts.telescope_fit.curves import VisitCurves
from ariel_scripts.telescope_fit.summary import labels, parts
from modeling_ariel.any_telescope.together import TelescopeFit
from modeling_ariel.status import FITTED

COVARIANCE = "spectrum_covariance.npy"
CURVES = "light_curves.npz"
_NOTHING = np.nan  # the depth of a visit without a transit or a fit


def write_tables(folder: Path, found: TelescopeFit, curves: list[VisitCurves], about: Mapping[str, Any]) -> None:
    """All files of a fit; ``about`` is what the spectrum's header says of where it comes from."""
    folder.mkdir(parents=True, exist_ok=True)
    tables = {
        "spectrum": spectrum_table(found, about),
        "times": times_table(found),
        "systematics": systematics_table(found),
        "white_light_curves": white_table(curves),
    }
    for name, table in tables.items():
        table.write(folder / f"{name}.ecsv", format="ascii.ecsv", overwrite=True)
    fitted = found.status in FITTED
    covariance = found.spectrum.covariance if fitted else np.full_like(found.spectrum.covariance, _NOTHING)
    np.save(folder / COVARIANCE, covariance)
    np.savez_compressed(folder / CURVES, allow_pickle=False, **curve_arrays(curves))


def spectrum_table(found: TelescopeFit, about: Mapping[str, Any]) -> Any:
    """Depths with errors; NaN where there is no transit or no fit, and the header says why."""
    import astropy.units as u
    from astropy.table import QTable

    spectrum, fitted = found.spectrum, found.status in FITTED
    table = QTable()
    sizes = [part.stop - part.start for part in parts(found)]
    table["instrument"] = np.repeat(np.array(labels(found), dtype=str), sizes)
    table["wavelength"] = spectrum.wavelength * u.um
    table["half_width"] = spectrum.half_width * u.um
    table["depth"] = (spectrum.depth if fitted else np.full_like(spectrum.depth, _NOTHING)) * u.one
    table["depth_err"] = (spectrum.depth_err if fitted else np.full_like(spectrum.depth, _NOTHING)) * u.one
    table["visits"] = np.array(spectrum.visits, np.int64)
    table["status"] = np.full(len(spectrum.depth), found.status)
    described = {
        "instrument": "with its visit where visits have depths of their own",
        "wavelength": "effective",
        "half_width": "half the width of the channel, NaN where unknown",
        "depth": "transit depth (Rp/R*)^2, a fraction of the star's light",
        "depth_err": f"1 sigma; channels share errors: all of them are in {COVARIANCE}",
        "visits": "visits in the depth",
        "status": "ok, partial, doubtful, no_transit, failed",
    }
    for name, text in described.items():
        table[name].info.description = text
    table.meta.update(
        {
            "covariance": f"{COVARIANCE}: (C, C) of depth, rows as here; numpy.load reads it",
            "status": found.status,
            "notes": found.notes,
            **about,
        }
    )
    return table


def times_table(found: TelescopeFit) -> Any:
    """Mid-transits, and how late they are."""
    import astropy.units as u
    from astropy.table import QTable

    zeros = {visit.observation.name: visit.observation.bjd0 for visit in found.visits}
    known = [zeros.get(one.visit) is not None for one in found.times]
    hours = [24.0 if one else 1.0 for one in known]  # of the unit of times
    fitted = found.status in FITTED
    table = QTable()
    table["visit"] = np.array([one.visit for one in found.times], dtype=str)
    table["epoch"] = np.array([one.number for one in found.times], np.int64)
    values = {
        "mid_time": ([one.time if own else np.nan for one, own in zip(found.times, known, strict=True)], u.day),
        "mid_time_h": ([np.nan if own else one.time for one, own in zip(found.times, known, strict=True)], u.hour),
        "mid_time_err": ([60 * h * one.error for one, h in zip(found.times, hours, strict=True)], u.minute),
        "o_minus_c": ([60 * h * one.late for one, h in zip(found.times, hours, strict=True)], u.minute),
    }
    for name, (column, unit) in values.items():
        table[name] = (np.array(column, np.float64) if fitted else np.full(len(column), _NOTHING)) * unit
    described = {
        "epoch": "transits since t0",
        "mid_time": "BJD_TDB, NaN where the light curve's times have no zero",
        "mid_time_h": "as the light curve's times count, NaN where they are BJD",
        "mid_time_err": "1 sigma",
        "o_minus_c": "behind the ephemeris, NaN without one; errors of the ephemeris are not in mid_time_err",
    }
    return _described(table, described)


def systematics_table(found: TelescopeFit) -> Any:
    """Models of the systematics that were tried, of each visit the most probable first."""
    from astropy.table import QTable

    rows = [
        (visit.observation.name, one.systematics.name, one.evidence, one.share, prior_text(one.systematics))
        for visit in found.visits
        for one in visit.tried
    ]
    table = QTable(rows=rows, names=("visit", "systematics", "ln_evidence", "share", "prior_ppm"))
    table["ln_evidence"].info.description = "of the white light curve, NaN where nothing was compared"
    table["share"].info.description = "of the evidence of all that were tried"
    table["prior_ppm"].info.description = "standard deviations of the terms' coefficients, by order"
    return table


def prior_text(systematics: Any) -> str:
    """Such as "polynomial(2): 10000, 2000; ramp: 5000"."""
    return "; ".join(
        f"{term.name}: {', '.join(f'{1e6 * size:.0f}' for size in term.sizes)}" for term in systematics.terms
    )


def white_table(curves: list[VisitCurves]) -> Any:
    """White light curves of all visits, one below the other."""
    import astropy.units as u
    from astropy.table import QTable

    whites = [one.white for one in curves]
    table = QTable()
    table["visit"] = np.concatenate([np.full(len(one.time), one.name) for one in curves])
    table["time_bjd"] = np.concatenate([_bjd(one) for one in curves]) * u.day
    table["time_h"] = np.concatenate([one.time for one in curves]) * u.hour
    for name in ("flux", "error", "model", "systematics", "residual"):
        column = np.concatenate([getattr(one, name) for one in whites])
        table["flux_err" if name == "error" else name] = column * u.one
    described = {
        "time_bjd": "mid-exposure, BJD_TDB, NaN where times have no zero",
        "time_h": "mid-exposure, as the observation counts",
        "flux": "of the star out of transit",
        "model": "transit times systematics",
        "systematics": "flux / systematics is the corrected light curve",
        "residual": "flux - model",
    }
    return _described(table, described)


def curve_arrays(curves: list[VisitCurves]) -> dict[str, Any]:
    """Channels of all visits as arrays (T, C), visit1_flux and so on, flux relative to the star out of transit."""
    found: dict[str, Any] = {}
    for number, one in enumerate(curves, 1):
        own = {
            "name": np.array(one.name),
            "time_bjd": _bjd(one),
            "time_h": one.time,
            "wavelength_um": one.wavelength,
            "flux": one.flux.T.astype(np.float32),
            "flux_err": one.error.T.astype(np.float32),
            "model": one.model.T.astype(np.float32),
            "systematics": one.systematics.T.astype(np.float32),
            "residual": (one.flux - one.model).T.astype(np.float32),
        }
        found |= {f"visit{number}_{name}": array for name, array in own.items()}
    return found


def _bjd(one: VisitCurves) -> Any:
    return np.full(len(one.time), np.nan) if one.bjd is None else one.bjd


def _described(table: Any, texts: Mapping[str, str]) -> Any:
    """The table with descriptions of its columns."""
    for name, text in texts.items():
        table[name].info.description = text
    return table
