"""Observations written as each pipeline writes them, in the layouts that their sources have."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits
from astropy.table import QTable, Table
from astropy.units import Unit

from modeling_ariel.any_telescope.observation import Observation

MJD = 2_400_000.5
DAY0 = 2_459_743.0  # [BJD_TDB], of all that is written; the first time is after it by hours


def bjd(made: Observation) -> np.ndarray:
    """Times (T,) [BJD_TDB]."""
    assert made.bjd0 is not None
    return made.bjd0 + made.time / 24


def observation(channels: int = 4, times: int = 60, seed: int = 5) -> Observation:
    """A visit of noise with everything that an observation may have."""
    rng = np.random.default_rng(seed)
    flux = 1 + 1e-3 * rng.standard_normal((times, channels))
    valid = rng.random(flux.shape) > 0.05
    valid[:2] = True
    return Observation.of(
        "WASP-1 b",
        3.0 + np.arange(times) / 16 * 2,  # whole fractions of a day: hours survive days
        flux,
        rng.uniform(0.5e-3, 2e-3, flux.shape),
        np.linspace(1.0, 2.0, channels),
        valid=valid,
        half_width=np.full(channels, 0.125),
        exposure=0.125,
        instrument="HST WFC3",
        bjd0=DAY0,
        regressors={"x": rng.standard_normal(times), "y": rng.standard_normal(times)},
    )


# --- an observation's own names ---------------------------------------------------------------------------------------


def own_arrays(made: Observation) -> dict[str, np.ndarray]:
    """Named arrays of all fields."""
    names = ("time", "flux", "flux_err", "valid", "wavelength", "half_width", "exposure", "name", "instrument")
    arrays = {name: np.asarray(getattr(made, name)) for name in names}
    arrays["bjd0"] = np.array(np.nan if made.bjd0 is None else made.bjd0)
    return arrays | {f"regressors/{name}": column for name, column in made.regressors.items()}


def npz(path: Path, made: Observation) -> None:
    np.savez(path, **own_arrays(made))


def hdf5(path: Path, made: Observation) -> None:
    with h5py.File(path, "w") as file:
        for name, array in own_arrays(made).items():
            file[name] = str(array) if array.dtype.kind == "U" else array


def parquet(path: Path, made: Observation) -> None:
    row = {name: array.tolist() for name, array in own_arrays(made).items() if "/" not in name}
    row["regressors"] = {name: column.tolist() for name, column in made.regressors.items()}
    pq.write_table(pa.Table.from_pylist([row]), path)


# --- tables -----------------------------------------------------------------------------------------------------------


def long_columns(made: Observation) -> dict[str, np.ndarray]:
    """A row a time and wavelength."""
    times, channels = made.shape
    per_time = {"bjd_tdb": bjd(made), "exposure_h": made.exposure, **made.regressors}
    per_channel = {"wavelength": made.wavelength, "half_width": made.half_width}
    return {
        **{name: np.repeat(one, channels) for name, one in per_time.items()},
        **{name: np.tile(one, times) for name, one in per_channel.items()},
        **{name: getattr(made, name).ravel() for name in ("flux", "flux_err")},
        "valid": made.valid.ravel().astype(int),
    }


def white_columns(made: Observation) -> dict[str, np.ndarray]:
    """A row a time of the only channel."""
    return {
        "bjd_tdb": bjd(made), "flux": made.flux[:, 0], "flux_err": made.flux_err[:, 0],
        "valid": made.valid[:, 0].astype(int), "exposure_h": made.exposure, **made.regressors,
        "wavelength": np.full(len(made.time), made.wavelength[0]),
        "half_width": np.full(len(made.time), made.half_width[0]),
    }  # fmt: skip


def wide_columns(made: Observation) -> dict[str, np.ndarray]:
    """A column a channel, its errors beside."""
    pairs = [(f"flux_{wave:.6f}", made.flux[:, place]) for place, wave in enumerate(made.wavelength)]
    pairs += [(f"flux_err_{wave:.6f}", made.flux_err[:, place]) for place, wave in enumerate(made.wavelength)]
    return {"bjd_tdb": bjd(made), **dict(pairs), **made.regressors}


def text_of(columns: dict[str, np.ndarray], separator: str = ",", head: str = "") -> str:
    """A table with a header line."""
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    lines = [separator.join(columns), *(separator.join(repr(one) for one in row) for row in rows)]
    return head + "\n".join(lines) + "\n"


def _text(
    columns: Callable[[Observation], dict[str, np.ndarray]], separator: str
) -> Callable[[Path, Observation], None]:
    def write(path: Path, made: Observation) -> None:
        head = f"# name: {made.name}\n# instrument: {made.instrument}\n"
        path.write_text(text_of(columns(made), separator, head))

    return write


def ecsv(path: Path, made: Observation) -> None:
    table = Table(long_columns(made), meta={"name": made.name, "instrument": made.instrument})
    table["bjd_tdb"].unit, table["wavelength"].unit, table["half_width"].unit = "d", "um", "um"
    table.write(path, format="ascii.ecsv")


def fits_table(path: Path, made: Observation) -> None:
    Table(long_columns(made)).write(path, format="fits")


def flat_parquet(path: Path, made: Observation) -> None:
    pq.write_table(pa.table(long_columns(made)), path)


# --- pipelines --------------------------------------------------------------------------------------------------------


def eureka_s4(path: Path, made: Observation, unit: str = "BMJD_TDB") -> None:
    """kevin218/Eureka s4_genLC.py, by kevin218/Astraeus xarrayIO.makeLCDA: (wavelength, time), mask true for bad."""
    with h5py.File(path, "w") as file:
        for name, values in (("data", made.flux), ("err", made.flux_err), ("mask", ~made.valid)):
            file[name] = values.T.astype(np.int8) if name == "mask" else values.T
            file[name].attrs.update({"flux_units": "e-", "wave_units": "microns", "time_units": unit})
        file["time"] = bjd(made) - MJD
        file["time"].attrs["time_units"] = unit
        for name, values in (("wavelength", made.wavelength), ("wave_mid", made.wavelength),
                             ("wave_err", made.half_width), ("wave_low", made.wavelength - made.half_width),
                             ("wave_hi", made.wavelength + made.half_width)):  # fmt: skip
            file[name] = values
            file[name].attrs["wave_units"] = "microns"
        for name, column in made.regressors.items():
            file[f"centroid_{name}"] = column
        file["flux_white"], file["err_white"] = made.flux.mean(1), made.flux_err[:, 0]
        file["mask_white"] = np.zeros(len(made.time), np.int8)
        file["exotic-ld_quad"] = np.zeros((made.shape[1], 2))


def eureka_s3(path: Path, made: Observation) -> None:
    """Native pixels: (time, x)."""
    with h5py.File(path, "w") as file:
        file["optspec"], file["opterr"], file["optmask"] = made.flux, made.flux_err, (~made.valid).astype(np.int8)
        file["time"], file["wave_1d"] = bjd(made) - MJD, made.wavelength
        file["time"].attrs["time_units"] = "BMJD_TDB"
        file["wave_1d"].attrs["wave_units"] = "microns"


def eureka_s5(path: Path, made: Observation, channels: slice = slice(None)) -> None:
    """kevin218/Eureka astropytable.savetable_S5: channel after channel, bin_width half of it."""
    flux, error = made.flux[:, channels].T, made.flux_err[:, channels].T
    wave, width = made.wavelength[channels], made.half_width[channels]
    times = len(made.time)
    names = ("time", "wavelength", "bin_width", "lcdata", "lcerr", "astrophysical model", "model", "residuals")
    columns = [np.tile(bjd(made) - MJD, len(wave)), np.repeat(wave, times), np.repeat(width, times), flux.ravel(),
               error.ravel(), flux.ravel(), flux.ravel(), 0 * flux.ravel()]  # fmt: skip
    QTable(columns, names=names).write(path, format="ascii.ecsv")


def exotedrf(path: Path, orders: list[Observation], old: bool = False) -> None:
    """radicamc/exoTEDRF save_extracted_spectra; older versions have edges of every integration and call BMJD a BJD."""
    header = fits.Header(
        {"TARGET": orders[0].name, "INST": "NIRISS/SOSS", "CONTENTS": "Full resolution stellar spectra"}
    )
    hdus = [fits.PrimaryHDU(header=header)]

    def add(name: str, values: np.ndarray, unit: str) -> None:
        hdus.append(fits.ImageHDU(values, header=fits.Header({"EXTNAME": name, "UNITS": unit})))

    for place, made in enumerate(orders, 1):
        tail = f" O{place}" if len(orders) > 1 else ""
        low, high = made.wavelength - made.half_width, made.wavelength + made.half_width
        if old:
            add(f"Wave Low{tail}", np.tile(low, (len(made.time), 1)), "Micron")
            add(f"Wave Up{tail}", np.tile(high, (len(made.time), 1)), "Micron")
        else:
            add(f"Wave{tail}", made.wavelength, "Micron")
            add(f"Wave Err{tail}", made.half_width, "Micron")
        add(f"Flux{tail}", made.flux, "DN/s")
        add(f"Flux Err{tail}", made.flux_err, "DN/s")
    add("Time", bjd(orders[0]) - MJD, "BJD" if old else "MJD_TDB")
    fits.HDUList(hdus).writeto(path)


def rainbow_fits(path: Path, made: Observation) -> None:
    """zkbt/chromatic writers/rainbow_FITS.py."""
    um, day = Unit("um"), Unit("d")
    parts = {
        "fluxlike": {"flux": made.flux.T, "uncertainty": made.flux_err.T, "ok": made.valid.T.astype(float)},
        "wavelike": {"wavelength": made.wavelength * um, "wavelength_lower": (made.wavelength - made.half_width) * um,
                     "wavelength_upper": (made.wavelength + made.half_width) * um},
        "timelike": {"time": bjd(made) * day, **made.regressors},
    }  # fmt: skip
    tables = [fits.BinTableHDU(QTable(part), name=name) for name, part in parts.items()]
    fits.HDUList([fits.PrimaryHDU(header=fits.Header({"NAME": made.name})), *tables]).writeto(path)


def rainbow_text(path: Path, made: Observation) -> None:
    """zkbt/chromatic writers/text.py: wavelength after wavelength, as ECSV."""
    wave, time = np.meshgrid(made.wavelength, bjd(made), indexing="ij")
    table = QTable({"wavelength": wave.ravel() * Unit("um"), "time": time.ravel() * Unit("d"),
                    "flux": made.flux.T.ravel(), "uncertainty": made.flux_err.T.ravel(),
                    "ok": made.valid.T.ravel().astype(float)})  # fmt: skip
    table.write(path, format="ascii.ecsv")


def rainbow_xarray(path: Path, made: Observation) -> None:
    """zkbt/chromatic writers/xarray_raw_light_curves.py."""
    with h5py.File(path, "w") as file:
        file["raw_flux"], file["raw_flux_error"] = made.flux.T, made.flux_err.T
        file["time"], file["wavelength"] = bjd(made), made.wavelength * 1000
        file["start_wavelength"] = (made.wavelength - made.half_width) * 1000
        file["end_wavelength"] = (made.wavelength + made.half_width) * 1000
        file["quality_flag"] = made.valid.T.astype(np.int8)
        file["time"].attrs["units"], file["wavelength"].attrs["units"] = "d", "nm"


def tess(path: Path, made: Observation, reference: int = 2_457_000, mission: str = "TESS") -> None:
    """A light curve of SPOC's (TESS science data products, EXP-TESS-ARC-ICD-0014) or Kepler's."""
    time = bjd(made) - reference
    time[5] = np.nan
    quality = np.zeros(len(time), np.int32)
    quality[[10, 11]], quality[12] = 8, 64  # Earth in view; a cosmic ray, which lightkurve keeps
    name = "SAP_QUALITY" if mission == "KEPLER" else "QUALITY"
    columns = [
        fits.Column("TIME", "D", f"BJD - {reference}, days", array=time),
        fits.Column("TIMECORR", "E", "d", array=0 * time),
        fits.Column("SAP_FLUX", "E", "e-/s", array=1e4 * made.flux[:, 0] + 50),
        fits.Column("SAP_FLUX_ERR", "E", "e-/s", array=1e4 * made.flux_err[:, 0]),
        fits.Column("PDCSAP_FLUX", "E", "e-/s", array=1e4 * made.flux[:, 0]),
        fits.Column("PDCSAP_FLUX_ERR", "E", "e-/s", array=1e4 * made.flux_err[:, 0]),
        fits.Column(name, "J", array=quality),
        fits.Column("POS_CORR1", "E", "pixels", array=made.regressors["x"]),
    ]
    header = fits.Header({"TELESCOP": "Kepler" if mission == "KEPLER" else "TESS", "OBJECT": "TIC 1"})
    if mission == "KEPLER":
        header["MISSION"] = "Kepler"
    table = fits.BinTableHDU.from_columns(columns, name="LIGHTCURVE")
    table.header.update({"TIMEREF": "SOLARSYSTEM", "TIMESYS": "TDB", "BJDREFI": reference, "BJDREFF": 0.0,
                         "TIMEUNIT": "d", "TIMEDEL": 0.125 / 24})  # fmt: skip
    fits.HDUList([fits.PrimaryHDU(header=header), table]).writeto(path)


def published(path: Path, made: Observation) -> None:
    """The sets of other instruments in ../shared/real: hours from a modified day."""
    assert made.bjd0 is not None
    arrays = {name: getattr(made, name) for name in ("flux", "flux_err", "wavelength")}
    np.savez(path, time_h=made.time, bjd0=made.bjd0 - MJD, published=json.dumps({"P": 1}), note="", **arrays)


WRITERS: dict[str, Callable[[Path, Observation], None]] = {
    "own.npz": npz, "own.h5": hdf5, "own.parquet": parquet, "long.csv": _text(long_columns, ","),
    "long.tsv": _text(long_columns, "\t"), "semicolons.txt": _text(long_columns, ";"),
    "spaces.dat": _text(long_columns, " "), "wide.csv": _text(wide_columns, ","), "long.ecsv": ecsv,
    "long.fits": fits_table, "flat.parquet": flat_parquet, "S4_w_LCData.h5": eureka_s4, "S3_w_SpecData.h5": eureka_s3,
    "S5_w_Table_Save_shared.txt": eureka_s5, "order.fits": lambda path, made: exotedrf(path, [made]),
    "old.fits": lambda path, made: exotedrf(path, [made], old=True), "w.rainbow.fits": rainbow_fits,
    "w.rainbow.txt": rainbow_text, "w.xc": rainbow_xarray, "published.npz": published,
}  # fmt: skip
