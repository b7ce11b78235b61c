"""Light curves that users bring: every format read as it was meant, everything else refused in a sentence."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from space_scenes import engine, planet
from space_uploads import packed, refused

from hf_dataset.store.shards import to_table
from uploads import limits, reading
from uploads.examples import long_table, write_example
from uploads.reading import EXTENSIONS, UploadError, example, example_csv, read_upload

WAVELENGTH = np.asarray(reading._extractor().wavelength)
BINS = 60


@pytest.fixture(scope="module")
def row() -> dict[str, Any]:
    """A simulated row of the dataset in few bins, without what a table cannot carry."""
    from engine import sample

    (found,) = sample.observe(sample.cases()[planet()], n_bins=BINS)
    return {**found, "centroid": np.zeros((BINS, 4), np.float32)}


@pytest.fixture(scope="module")
def spectrum(row: dict[str, Any]) -> Any:
    return engine().spectrum([row])


def compare(found: Any, expected: Any, sigma: float) -> None:
    """Spectra alike within so many of their σ."""
    assert np.abs((found.mean - expected.mean) / expected.sigma).max() < sigma
    assert np.abs(np.log(found.sigma / expected.sigma)).max() < sigma


# --- good files ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["csv", "parquet", "fits", "npz"])
def test_a_good_file_gives_the_spectrum_of_the_row_it_came_from(
    kind: str, row: dict[str, Any], spectrum: Any, tmp_path: Path
) -> None:
    rows = read_upload(write_example(kind, [row], WAVELENGTH, tmp_path / f"mine.{kind}"))
    assert rows[0]["name"] == "mine"
    assert rows[0]["notes"] == ()
    found = engine().spectrum(rows)
    compare(found, spectrum, 2e-3)  # numbers have nine digits, and hours from files are not rounded to float32
    assert found.truth is None
    assert found.scale_height_km == pytest.approx(spectrum.scale_height_km, rel=1e-5)


@pytest.mark.parametrize(
    "change",
    [
        {"flux": 1e-12, "flux_err": 1e-12},
        {"time_h": 2460000.5 * 24},
        {"order": True},
        {"padding": True},
    ],
    ids=["another unit of flux", "barycentric hours", "rows in any order", "empty points at the end"],
)
def test_what_does_not_matter_to_a_star_does_not_matter_to_an_upload(
    change: dict[str, Any], row: dict[str, Any], spectrum: Any, tmp_path: Path
) -> None:
    table = long_table([row], WAVELENGTH)
    for name in ("flux", "flux_err"):
        table[name] *= change.get(name, 1.0)
    table["time_h"] = table["time_h"].astype(float) + change.get("time_h", 0.0)
    if "order" in change:
        table = table.sample(frac=1.0, random_state=0)
    if "padding" in change:
        later = table.tail(3 * len(WAVELENGTH)).assign(flux=np.nan)
        table = pd.concat([table, later.assign(time_h=later["time_h"] + 1.0)])
    table.to_csv(tmp_path / "mine.csv", index=False, float_format="%.17g")
    compare(engine().spectrum(read_upload(tmp_path / "mine.csv")), spectrum, 0.05)


def test_fits_images_give_it_too(row: dict[str, Any], spectrum: Any, tmp_path: Path) -> None:
    from astropy.io import fits

    arrays = {"TIME": row["time"], "FLUX": row["flux"], "FLUX_ERR": row["flux_err"], "WAVELENGTH": WAVELENGTH}
    hdus = [fits.PrimaryHDU(), *(fits.ImageHDU(values, name=name) for name, values in arrays.items())]
    hdus[2].header["RS"], hdus[2].header["TS"] = float(row["Rs"]), float(row["Ts"])
    for name in ("MS", "MP", "E", "P", "SMA", "I"):
        hdus[2].header[name] = float(row[{"MS": "Ms", "MP": "Mp", "E": "e", "I": "i", "SMA": "sma", "P": "P"}[name]])
    fits.HDUList(hdus).writeto(tmp_path / "images.fits")
    compare(engine().spectrum(read_upload(tmp_path / "images.fits")), spectrum, 2e-3)


def test_a_row_of_the_dataset_gives_it_with_its_truth(row: dict[str, Any], spectrum: Any, tmp_path: Path) -> None:
    pq.write_table(to_table([row], BINS), tmp_path / "row.parquet")
    found = engine().spectrum(read_upload(tmp_path / "row.parquet"))
    compare(found, spectrum, 1e-6)
    assert found.truth is not None


def test_rows_may_come_in_any_order_and_some_may_be_missing(row: dict[str, Any], spectrum: Any, tmp_path: Path) -> None:
    table = long_table([row], WAVELENGTH).sample(frac=1.0, random_state=0)
    kept = table[~((table.time_h < 0.3) & (table.wavelength_um > 3.5))]
    kept.to_csv(tmp_path / "shuffled.csv", index=False)
    (found,) = read_upload(tmp_path / "shuffled.csv")
    assert (np.diff(found["time"]) > 0).all()
    assert found["valid"].sum() == len(kept)
    compare(engine().spectrum([found]), spectrum, 1.0)


def test_spaces_comments_and_nan_are_fine_in_csv(row: dict[str, Any], tmp_path: Path) -> None:
    text = long_table([row], WAVELENGTH).to_csv(index=False).splitlines()
    text[5] = text[5].split(",")[0] + "," + text[5].split(",")[1] + ",nan,1" + ",," * 4
    path = tmp_path / "spaced.csv"
    path.write_text("# made by hand\n" + text[0].replace(",", " , ") + "\n" + "\n".join(text[1:]))
    (found,) = read_upload(path)
    assert (~found["valid"]).sum() == 1


def test_several_visits_are_told_apart_by_a_column(row: dict[str, Any], tmp_path: Path) -> None:
    long_table([row, {**row, "flux": row["flux"] * 1.01}], WAVELENGTH).to_csv(tmp_path / "two.csv", index=False)
    rows = read_upload(tmp_path / "two.csv")
    assert [one["visit"] for one in rows] == [0, 1]
    assert engine().spectrum(rows).n_visits == 2


def test_wavelengths_off_the_models_channels_are_left_out_and_counted(row: dict[str, Any], tmp_path: Path) -> None:
    table = long_table([row], WAVELENGTH)
    extra = table[np.isclose(table.wavelength_um, 3.0, atol=0.01)].assign(wavelength_um=4.5)
    pd.concat([table[table.wavelength_um < 3.6], extra.drop_duplicates("time_h")]).to_csv(
        tmp_path / "part.csv", index=False
    )
    rows = read_upload(tmp_path / "part.csv")
    (note,) = rows[0]["notes"]
    assert re.fullmatch(r"(\d+) of your (\d+) wavelengths lie on the model's 283 channels; \1 have data, .*", note)
    found = engine().spectrum(rows)
    assert found.notes == (note,)
    assert not found.has_data[-10:].any()


def test_every_kind_has_an_example_that_is_taken(tmp_path: Path) -> None:
    for kind in ("csv", "parquet", "fits", "npz"):
        rows = read_upload(example(kind, tmp_path / f"example.{kind}"))
        assert rows[0]["flux"].shape == (125, 283)
    assert (tmp_path / "example.csv").stat().st_size < 2.5e6
    assert example_csv() == example_csv()
    with pytest.raises(UploadError, match="expected one of csv, parquet, fits, npz or zip, found 'pdf'"):
        example("pdf", tmp_path / "a.pdf")
    assert set(EXTENSIONS) >= {".csv", ".parquet", ".fits", ".npz", ".zip"}


# --- bad tables ------------------------------------------------------------------------------------------------------

Change = Callable[[pd.DataFrame], pd.DataFrame]

BAD_TABLES: dict[str, tuple[Change, str]] = {
    "wrong columns": (lambda t: t.rename(columns={"flux": "counts"}), "missing flux, found time_h, wavelength_um"),
    "no rows": (lambda t: t.iloc[:0], "expected rows of data, found none"),
    "only NaN": (lambda t: t.assign(flux=np.nan), "expected flux and positive flux_err, found none in"),
    "errors of zero": (lambda t: t.assign(flux_err=0.0), "expected flux and positive flux_err"),
    "times without value": (lambda t: t.assign(time_h=np.nan), "expected finite time_h"),
    "seconds": (lambda t: t.assign(time_h=t.time_h * 3600), "expected hours.*seconds"),
    "days": (lambda t: t.assign(time_h=t.time_h / 24), "expected hours.*days"),
    "nanometres": (lambda t: t.assign(wavelength_um=t.wavelength_um * 1e3), "expected um.*nm"),
    "few channels": (lambda t: t[t.wavelength_um < 2.4], "expected data in 142 or more of the model's 283 channels"),
    "other channels": (lambda t: t.assign(wavelength_um=t.wavelength_um + 4), "expected channels within"),
    "few times": (lambda t: t[t.time_h < 4], "expected 40 to 7,000 times, found 32"),
    "a deviation from 1": (lambda t: t.assign(flux=t.flux - 1e6), "expected"),
    "errors in ppm": (lambda t: t.assign(flux_err=t.flux * 2), "expected errors in the unit of flux"),
    "everything twice": (lambda t: pd.concat([t, t]), "expected each time and wavelength once"),
    "own times": (lambda t: t.assign(time_h=t.time_h + 1e-5 * t.wavelength_um), "expected"),
    "many visits": (lambda t: t.assign(visit=np.arange(len(t)) % 40), "expected visit to number at most 10"),
    "a star of two radii": (lambda t: t.assign(Rs=np.arange(len(t)) % 2 + 1.0), "expected one Rs for all rows"),
    "a star in kilometres": (lambda t: t.assign(Rs=7e5), "Rs: expected solar radii"),
}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("case", BAD_TABLES)
def test_a_bad_table_is_refused_in_a_sentence(case: str, kind: str, row: dict[str, Any], tmp_path: Path) -> None:
    change, message = BAD_TABLES[case]
    path = tmp_path / f"bad.{kind}"
    table = change(long_table([row], WAVELENGTH)).reset_index(drop=True)
    table.to_csv(path, index=False) if kind == "csv" else table.to_parquet(path)
    refused(path, message)


def test_text_among_numbers_is_named_with_its_row(row: dict[str, Any], tmp_path: Path) -> None:
    table = long_table([row], WAVELENGTH).astype(object)
    table.loc[41, "flux"] = "n/a?"
    table.to_csv(tmp_path / "text.csv", index=False)
    refused(tmp_path / "text.csv", "expected numbers in flux, found 'n/a\\?' in row 42")


def test_text_columns_of_parquet_are_refused(row: dict[str, Any], tmp_path: Path) -> None:
    long_table([row], WAVELENGTH).astype({"flux": str}).assign(flux="bright").to_parquet(tmp_path / "text.parquet")
    refused(tmp_path / "text.parquet", "expected numbers in flux")


@pytest.mark.parametrize(("separator", "decimal"), [(";", ","), (";", "."), ("\t", "."), ("\t", ",")])
def test_a_spreadsheet_s_semicolons_tabs_and_decimal_commas_are_read(
    separator: str, decimal: str, row: dict[str, Any], tmp_path: Path
) -> None:
    table = long_table([row], WAVELENGTH)
    table.to_csv(tmp_path / "commas.csv", index=False)
    table.to_csv(tmp_path / "other.csv", index=False, sep=separator, decimal=decimal)
    (expected,), (found,) = (read_upload(tmp_path / name) for name in ("commas.csv", "other.csv"))
    for name in ("time", "wavelength", "flux", "flux_err", "valid"):
        np.testing.assert_array_equal(found[name], expected[name])  # type: ignore[literal-required]


def test_rows_of_several_planets_are_refused(row: dict[str, Any], tmp_path: Path) -> None:
    pq.write_table(to_table([row, {**row, "planet_id": 5}], BINS), tmp_path / "two.parquet")
    refused(tmp_path / "two.parquet", "expected the visits of one planet, found 2 planets")


def test_a_parquet_file_of_too_many_values_is_refused_by_its_footer(tmp_path: Path) -> None:
    same = pa.array(np.zeros(45_000_000, np.int8)).dictionary_encode()
    pq.write_table(pa.table({"time_h": same}), tmp_path / "bomb.parquet")
    assert (tmp_path / "bomb.parquet").stat().st_size < 1e6
    refused(tmp_path / "bomb.parquet", "expected at most 2,000,000 rows, found 45,000,000")


# --- bad files of every kind -----------------------------------------------------------------------------------------

HTML = b"<!doctype html><html><body>404</body></html>"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(200)


@pytest.mark.parametrize("kind", ["csv", "parquet", "fits", "npz", "zip"])
@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "found an empty file"), (HTML, "found a web page"), (PNG, "found a PNG image"), (bytes(4096), "expected")],
)
def test_a_file_that_is_something_else_is_refused(kind: str, content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / f"other.{kind}"
    path.write_bytes(content)
    refused(path, message)


@pytest.mark.parametrize("name", ["curves.xlsx", "curves.pkl", "curves", "curves.fits.gz", "curves.npy", "curves.h5"])
def test_other_endings_are_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"anything")
    refused(tmp_path / name, "expected one of the endings .csv")


@pytest.mark.parametrize("kind", ["parquet", "fits", "npz"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_cut_file_is_refused(kind: str, share: float, row: dict[str, Any], tmp_path: Path) -> None:
    whole = write_example(kind, [row], WAVELENGTH, tmp_path / f"whole.{kind}").read_bytes()
    path = tmp_path / f"cut.{kind}"
    path.write_bytes(whole[: int(share * len(whole))])
    refused(path, f"expected a whole {'Parquet' if kind == 'parquet' else kind.upper()} file")


def test_many_times_are_averaged_as_the_fit_grows_with_their_number(row: dict[str, Any], tmp_path: Path) -> None:
    many = {name: np.repeat(row[name], 20, axis=0) for name in ("time", "flux", "flux_err")}
    many["time"] = np.linspace(0, 7.5, len(many["time"]))
    (found,) = read_upload(npz(tmp_path / "many.npz", many))
    assert len(found["time"]) == 400
    assert found["notes"] == ("1,200 times were averaged to 400.",)
    np.testing.assert_allclose(found["flux_err"][0], row["flux_err"][0] / np.sqrt(3), rtol=1e-6)


def test_no_average_mixes_what_a_gap_parts(tmp_path: Path) -> None:
    """A box 2 % deep, its edges in gaps: whatever is averaged, each time is 1 or 0.98, and the depth stays 2 %."""
    time = np.linspace(0.0, 7.5, 1300)
    gaps = ((time > 2.0) & (time < 2.7)) | ((time > 4.61) & (time < 5.3))
    time = time[~gaps]
    flux = np.repeat(np.where((time > 2.5) & (time < 5.0), 0.98, 1.0)[:, None], WAVELENGTH.size, axis=1)
    dark = np.zeros(flux.shape, bool)
    dark[400:410] = True  # times with flux that are not valid part it too
    many = {"time": time, "flux": flux, "flux_err": np.full(flux.shape, 1e-4)}
    (found,) = read_upload(npz(tmp_path / "gaps.npz", many, valid=~dark))
    assert 250 < len(found["time"]) <= limits.FITTED_BINS
    assert np.isin(found["flux"].round(12), (1.0, 0.98)).all()
    inside = (found["time"] > 2.5) & (found["time"] < 5.0)
    np.testing.assert_allclose(1.0 - found["flux"][inside].mean(0), 0.02, rtol=1e-12)
    assert found["valid"].all()


def test_more_stretches_than_the_fit_can_take_are_refused(tmp_path: Path) -> None:
    valid = np.tile(np.array([True, False])[:, None], (600, WAVELENGTH.size))
    many = {"time": np.linspace(0, 7.5, 1200), "flux": np.ones(valid.shape), "flux_err": np.full(valid.shape, 1e-4)}
    path = npz(tmp_path / "dashes.npz", many, valid=valid)
    refused(path, "expected at most 500 stretches of time between gaps")


@pytest.mark.parametrize("kind", ["csv", "parquet", "fits", "npz"])
def test_no_garbled_file_gets_past_with_another_error(kind: str, row: dict[str, Any], tmp_path: Path) -> None:
    whole = write_example(kind, [row], WAVELENGTH, tmp_path / f"whole.{kind}").read_bytes()
    rng = np.random.default_rng(0)
    for trial in range(12):
        spoiled = bytearray(whole)
        ends = (64, len(whole)) if trial % 2 else (64, min(8000, len(whole)))
        for place in rng.integers(*ends, 60):
            spoiled[place] = int(rng.integers(256))
        path = tmp_path / f"spoiled.{kind}"
        path.write_bytes(bytes(spoiled))
        try:
            read_upload(path)
        except UploadError as error:
            assert str(error).startswith(path.name)  # noqa: PT017 - what is read instead is a good file


def test_a_file_above_the_limit_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "huge.csv"
    with path.open("wb") as file:
        file.truncate(limits.MAX_UPLOAD_BYTES + 1)
    refused(path, "expected at most 400 MB, found 400 MB")
    with path.open("wb") as file:
        file.write(b"time_h,")
        file.truncate(limits.MAX_TABLE_BYTES + 2_000_000)
    monkeypatch.setattr(reading, "_is_no_text", lambda begin: False)
    refused(path, "expected at most 50 MB of light curves, found 52 MB")


def test_a_link_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "link.csv").symlink_to("/etc/hostname")
    refused(tmp_path / "link.csv", "expected a file, found a link")


# --- NPZ -------------------------------------------------------------------------------------------------------------


def npz(path: Path, row: dict[str, Any], **changes: Any) -> Path:
    arrays = {name: row[name] for name in ("time", "flux", "flux_err")} | {"wavelength": WAVELENGTH} | changes
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"flux": None}, "expected arrays time, flux, flux_err, wavelength, missing flux"),
        (
            {"flux": np.array([{"a": 1}], dtype=object)},
            "found flux with Python objects \\(pickle\\), which is not read",
        ),
        ({"extra": np.array([print], dtype=object)}, "Python objects"),
        ({"flux": np.zeros((3, 3))}, "expected time \\(T,\\), flux and flux_err \\(T, C\\)"),
        ({"flux": np.full((BINS, 283), "x")}, "expected arrays of numbers, found flux of <U1"),
        ({"flux": np.full((BINS, 283), np.nan)}, "expected flux and positive flux_err, found none"),
        ({"valid": np.ones(3)}, "expected valid of shape"),
        ({"valid": np.full((BINS, 283), 2.0)}, "expected valid of true and false, found 2.0"),
        ({"flux": np.ones((BINS, 283), np.float16)}, "expected flux in float32 or float64, found float16"),
        ({"time": np.zeros(BINS)}, "expected increasing"),
    ],
)
def test_bad_arrays_are_refused(changes: dict[str, Any], message: str, row: dict[str, Any], tmp_path: Path) -> None:
    refused(npz(tmp_path / "bad.npz", row, **changes), message)


def test_a_pickle_named_npz_is_never_loaded(tmp_path: Path) -> None:
    import pickle

    class Trap:
        def __reduce__(self) -> Any:
            return (Path.write_text, (tmp_path / "sprung", "caught"))

    (tmp_path / "trap.npz").write_bytes(pickle.dumps(Trap()))
    refused(tmp_path / "trap.npz", "expected a NPZ file")
    array = io.BytesIO()
    np.save(array, np.array([Trap()], dtype=object), allow_pickle=True)
    refused(packed(tmp_path / "inside.npz", {"flux.npy": array.getvalue()}), "Python objects")
    assert not (tmp_path / "sprung").exists()


def test_an_array_that_claims_more_than_it_holds_is_refused(tmp_path: Path) -> None:
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 1000000), }"
    header += b" " * (64 - (10 + len(header) + 1) % 64) + b"\n"
    array = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(64)
    refused(packed(tmp_path / "claims.npz", {"flux.npy": array}), "expected flux as large as its header says")


# --- FITS ------------------------------------------------------------------------------------------------------------


def test_units_and_nulls_of_fits_are_kept(row: dict[str, Any], tmp_path: Path) -> None:
    from astropy import units as u
    from astropy.io import fits
    from astropy.table import Table

    table = long_table([row], WAVELENGTH)
    expected = read_upload(write_example("fits", [row], WAVELENGTH, tmp_path / "plain.fits"))[0]
    days, nanometres = table["time_h"] / 24.0, 1e3 * table["wavelength_um"]
    other = Table.from_pandas(table.assign(time_h=days, wavelength_um=nanometres, P=float(row["P"]) * 24.0))
    other["time_h"].unit, other["wavelength_um"].unit, other["P"].unit = u.day, u.nm, u.h
    other.write(tmp_path / "units.fits")
    found = read_upload(tmp_path / "units.fits")[0]
    for name in ("time", "wavelength", "P", "flux", "valid"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-12)
    other["time_h"].unit = u.m
    other.write(tmp_path / "metres.fits")
    refused(tmp_path / "metres.fits", "time_h: expected a unit of time, found m")
    counts = Table.from_pandas(table)
    counts["flux"] = np.where(np.arange(len(table)) < 5, -1, np.round(table["flux"])).astype(int)
    counts.write(tmp_path / "null.fits")
    with fits.open(tmp_path / "null.fits", mode="update") as hdus:
        place = hdus[1].columns.names.index("flux") + 1
        hdus[1].header[f"TNULL{place}"] = -1
    found = read_upload(tmp_path / "null.fits")[0]
    assert found["valid"].size - found["valid"].sum() == expected["valid"].size - expected["valid"].sum() + 5


def test_a_visit_that_is_given_twice_is_refused(row: dict[str, Any], tmp_path: Path) -> None:
    pq.write_table(to_table([row, row], BINS), tmp_path / "twice.parquet")
    refused(tmp_path / "twice.parquet", "expected each visit once, found visit 0 twice")
    pq.write_table(to_table([row, row], BINS).drop_columns(["visit"]), tmp_path / "unnumbered.parquet")
    refused(tmp_path / "unnumbered.parquet", "expected each visit once, found the same light curves twice")


def test_fits_without_light_curves_is_refused(tmp_path: Path) -> None:
    from astropy.io import fits

    fits.PrimaryHDU().writeto(tmp_path / "empty.fits")
    refused(tmp_path / "empty.fits", "expected a table with columns time_h, .*, or images TIME, FLUX")
    fits.PrimaryHDU(np.zeros((10, 10))).writeto(tmp_path / "image.fits")
    refused(tmp_path / "image.fits", "of shape \\(10, 10\\)")
    table = fits.BinTableHDU.from_columns([fits.Column("FLUX", "D", array=np.ones(3))])
    table.writeto(tmp_path / "table.fits")
    refused(tmp_path / "table.fits", "missing time_h, wavelength_um, flux, flux_err, found FLUX")


def test_fits_with_images_of_other_shapes_is_refused(row: dict[str, Any], tmp_path: Path) -> None:
    from astropy.io import fits

    arrays = {"TIME": row["time"], "FLUX": row["flux"].T, "FLUX_ERR": row["flux_err"].T, "WAVELENGTH": WAVELENGTH}
    hdus = [fits.PrimaryHDU(), *(fits.ImageHDU(values, name=name) for name, values in arrays.items())]
    fits.HDUList(hdus).writeto(tmp_path / "turned.fits")
    refused(tmp_path / "turned.fits", "expected time \\(T,\\), flux and flux_err \\(T, C\\)")


def test_compressed_fits_and_arrays_of_varying_length_are_refused(tmp_path: Path) -> None:
    from astropy.io import fits

    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(np.zeros((64, 64), np.float32))]).writeto(tmp_path / "comp.fits")
    refused(tmp_path / "comp.fits", "expected images and tables that are not compressed")
    ragged = fits.Column("flux", "PD()", array=np.array([[1.0], [1.0, 2.0]], dtype=object))
    fits.BinTableHDU.from_columns([ragged]).writeto(tmp_path / "ragged.fits")
    refused(tmp_path / "ragged.fits", "found columns of arrays of varying length")


def test_fits_that_claims_to_be_huge_is_refused(tmp_path: Path) -> None:
    from astropy.io import fits

    header = fits.PrimaryHDU(np.zeros((2, 2))).header
    header["NAXIS1"], header["NAXIS2"] = 100_000, 100_000
    (tmp_path / "huge.fits").write_bytes(header.tostring().encode() + bytes(2880))
    refused(tmp_path / "huge.fits", "expected")
