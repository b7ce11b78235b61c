"""An observation that a pipeline's layout holds is read back the same, and what it leaves out is said."""

from __future__ import annotations

import gzip
import pickle
import sys
from dataclasses import replace
from pathlib import Path

import curve_files as files
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits

from ariel_scripts.light_curves.read import ReadOptions, read_observations
from modeling_ariel.any_telescope.observation import Observation, ObservationError

WHOLE = ("own.npz", "own.h5", "own.parquet")  # with all that an observation is
NO_FLAGS = ("wide.csv", "S5_w_Table_Save_shared.txt", "order.fits", "old.fits", "w.xc", "published.npz")
NO_WIDTHS = ("wide.csv", "S3_w_SpecData.h5", "w.rainbow.txt", "published.npz")


def assert_same(read: Observation, made: Observation, *, flags: bool = True, widths: bool = True) -> None:
    """Equal arrays; times to a thousandth of a second, as days of 2.4 million hold them."""
    assert read.shape == made.shape
    assert read.bjd0 is not None
    assert made.bjd0 is not None
    np.testing.assert_allclose(read.time + 24 * (read.bjd0 - made.bjd0), made.time, rtol=0, atol=3e-7)
    np.testing.assert_allclose(read.wavelength, made.wavelength, rtol=1e-6)
    if flags:
        np.testing.assert_array_equal(read.valid, made.valid)
    both = made.valid & read.valid
    np.testing.assert_array_equal(read.flux[both], made.flux[both])
    np.testing.assert_array_equal(read.flux_err[both], made.flux_err[both])
    if widths:
        np.testing.assert_allclose(read.half_width, made.half_width, rtol=1e-12)
    np.testing.assert_allclose(read.exposure, made.exposure, rtol=1e-6)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", files.WRITERS)
def test_what_is_written_is_read(tmp_path: Path, name: str, seed: int) -> None:
    made = files.observation(seed=seed, channels=3 + seed)
    files.WRITERS[name](tmp_path / name, made)
    (read,) = read_observations(tmp_path / name)
    assert_same(read, made, flags=name not in NO_FLAGS, widths=name not in NO_WIDTHS)
    if name in WHOLE:
        assert (read.name, read.instrument, read.bjd0) == (made.name, made.instrument, made.bjd0)
        np.testing.assert_array_equal(read.time, made.time)
        assert read.regressors.keys() == made.regressors.keys()
        for key, column in made.regressors.items():
            np.testing.assert_array_equal(read.regressors[key], column)
    else:
        assert not read.regressors


@pytest.mark.parametrize("name", WHOLE)
def test_times_without_a_zero_stay_without(tmp_path: Path, name: str) -> None:
    made = replace(files.observation(), bjd0=None)
    files.WRITERS[name](tmp_path / name, made)
    (read,) = read_observations(tmp_path / name)
    assert read.bjd0 is None
    np.testing.assert_array_equal(read.time, made.time)


@pytest.mark.parametrize("name", ["long.csv", "wide.csv", "long.ecsv", "long.fits", "flat.parquet", "w.rainbow.fits"])
def test_columns_are_regressors_when_asked_for(tmp_path: Path, name: str) -> None:
    made = files.observation()
    files.WRITERS[name](tmp_path / name, made)
    (read,) = read_observations(tmp_path / name, ReadOptions(regressors=("y",)))
    assert list(read.regressors) == ["y"]
    np.testing.assert_array_equal(read.regressors["y"], made.regressors["y"])
    with pytest.raises(ObservationError, match=r"--regressor airmass: expected one of .*x, y"):
        read_observations(tmp_path / name, ReadOptions(regressors=("airmass",)))


def test_a_suffix_decides_nothing(tmp_path: Path) -> None:
    made = files.observation()
    for name, writer in (("a.csv", files.eureka_s4), ("b.h5", files.rainbow_fits), ("c.fits", files.npz)):
        writer(tmp_path / "made.npz", made)
        (tmp_path / "made.npz").rename(tmp_path / name)
        assert_same(read_observations(tmp_path / name)[0], made)


def test_packed_fits_is_read(tmp_path: Path) -> None:
    made = files.observation()
    files.rainbow_fits(tmp_path / "w.fits", made)
    (tmp_path / "w.fits.gz").write_bytes(gzip.compress((tmp_path / "w.fits").read_bytes()))
    assert_same(read_observations(tmp_path / "w.fits.gz")[0], made)


# --- Eureka! ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", ["BMJD_TDB", "MJD_TDB", "BJD_TDB", "BMJD", "MJD_BJD"])
def test_eureka_counts_modified_days_whatever_it_calls_them(tmp_path: Path, unit: str) -> None:
    made = files.observation()
    files.eureka_s4(tmp_path / "S4.h5", made, unit)
    (read,) = read_observations(tmp_path / "S4.h5", ReadOptions(regressors=("centroid_x",)))
    assert_same(read, made)
    np.testing.assert_array_equal(read.regressors["centroid_x"], made.regressors["x"])
    assert any("flux_white is not read" in note for note in read.notes)


def test_the_white_curve_of_eureka_is_read_when_asked_for(tmp_path: Path) -> None:
    made = files.observation()
    files.eureka_s4(tmp_path / "S4.h5", made)
    (read,) = read_observations(tmp_path / "S4.h5", ReadOptions(flux="flux_white", wavelength=1.4))
    assert read.wavelength.tolist() == [1.4]
    good = made.valid.all(1)
    np.testing.assert_allclose(read.flux[good, 0], made.flux[good].mean(1))
    with pytest.raises(ObservationError, match="flux_white"):
        read_observations(tmp_path / "S4.h5", ReadOptions(flux="flux_black"))


def test_a_folder_of_eureka_channels_is_one_observation(tmp_path: Path) -> None:
    made = files.observation()
    for place in range(4):
        files.eureka_s5(tmp_path / f"S5_w_ap4_bg8_Table_Save_ch{place}.txt", made, slice(place, place + 1))
    (read,) = read_observations(tmp_path)
    assert_same(read, made, flags=False)
    with pytest.raises(ObservationError, match="S5_"):
        read_observations(tmp_path.parent / tmp_path.name / "..")


def test_arrays_of_another_shape_are_refused_by_name(tmp_path: Path) -> None:
    made = files.observation()
    files.eureka_s4(tmp_path / "S4.h5", made)
    with h5py.File(tmp_path / "S4.h5", "r+") as file:
        del file["err"]
        file["err"] = np.ones((3, 60))
    with pytest.raises(ObservationError, match=r"S4.h5: err: expected \(4, 60\), found \(3, 60\)"):
        read_observations(tmp_path / "S4.h5")


# --- ExoTEDRF ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("old", [False, True])
def test_orders_of_exotedrf_are_instruments(tmp_path: Path, old: bool) -> None:
    orders = [files.observation(channels=5, seed=1), files.observation(channels=3, seed=2)]
    files.exotedrf(tmp_path / "spectra.fits", orders, old)
    read = read_observations(tmp_path / "spectra.fits")
    assert [one.instrument for one in read] == ["NIRISS/SOSS order 1", "NIRISS/SOSS order 2"]
    for one, made in zip(read, orders, strict=True):
        assert_same(one, made, flags=False)


# --- missions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mission", "reference", "flagged"), [("TESS", 2_457_000, 2), ("KEPLER", 2_454_833, 2)])
def test_a_missions_light_curve_is_in_bjd_with_its_flags(
    tmp_path: Path, mission: str, reference: int, flagged: int
) -> None:
    made = replace(files.observation(channels=1), valid=np.ones((60, 1), bool))
    made = replace(made, flux=np.nan_to_num(made.flux, nan=1.0), flux_err=np.nan_to_num(made.flux_err, nan=1e-3))
    files.tess(tmp_path / "lc.fits", made, reference, mission)
    (read,) = read_observations(tmp_path / "lc.fits", ReadOptions(regressors=("pos_corr1",)))
    assert read.shape == (59, 1)
    assert read.bjd0 == files.DAY0
    keep = np.arange(60) != 5
    np.testing.assert_allclose(read.time, made.time[keep], atol=3e-7)
    assert (~read.valid).sum() == flagged
    np.testing.assert_allclose(read.flux[read.valid], 1e4 * made.flux[keep][read.valid], rtol=1e-6)
    np.testing.assert_allclose(read.exposure, 0.125)
    assert 0.6 < read.wavelength[0] < 0.8
    text = "; ".join(read.notes)
    assert "1 row of 60 without a time" in text
    assert "2 points of 59 flagged" in text
    assert "flux is PDCSAP_FLUX, not SAP_FLUX" in text
    (sap,) = read_observations(tmp_path / "lc.fits", ReadOptions(flux="sap_flux", quality="none"))
    assert sap.valid.all()
    np.testing.assert_allclose(sap.flux, 1e4 * made.flux[keep] + 50, rtol=1e-6)


def test_a_missions_times_that_are_not_barycentric_have_no_zero(tmp_path: Path) -> None:
    files.tess(tmp_path / "lc.fits", files.observation(channels=1))
    with fits.open(tmp_path / "lc.fits", mode="update") as hdus:
        hdus[1].header["TIMEREF"] = "LOCAL"
    (read,) = read_observations(tmp_path / "lc.fits")
    assert read.bjd0 is None
    assert any("up to minutes off" in note for note in read.notes)


# --- the project's own rows -------------------------------------------------------------------------------------------


def test_rows_of_a_dataset_are_observations(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [
        {
            "planet_id": 7, "visit": visit, "layout": "2025", "time": ((np.arange(40) + 0.5) / 5).tolist(),
            "flux": (1e4 + rng.standard_normal((40, 283))).tolist(), "flux_err": np.ones((40, 283)).tolist(),
            "valid": (rng.random((40, 283)) > 0.1).tolist(), "centroid": rng.standard_normal((40, 4)).tolist(),
            "P": 3.0,
        }
        for visit in (0, 1)
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "train-0.parquet")
    first, second = read_observations(tmp_path / "train-0.parquet", ReadOptions(regressors=("airs_y",)))
    assert (first.name, second.name) == ("planet 7, visit 0", "planet 7, visit 1")
    assert first.shape == (40, 283)
    assert np.ptp(first.wavelength) > 2
    order = np.argsort(first.wavelength)
    assert (order == np.arange(283)).all()
    assert (~first.valid).sum() == (~np.array(rows[0]["valid"])).sum()
    assert any("challenge of 2025" in note for note in first.notes)
    np.testing.assert_array_equal(first.regressors["airs_y"], np.array(rows[0]["centroid"])[:, 2])


# --- what is refused --------------------------------------------------------------------------------------------------


class Bomb:
    def __reduce__(self) -> tuple:
        return (pytest.fail, ("a pickle was loaded",))


def bombs(folder: Path) -> dict[str, str]:
    """Files that execute when they are unpickled, and what is said of them."""
    (folder / "a.csv").write_bytes(pickle.dumps(Bomb()))
    np.save(folder / "w.rainbow.npy", np.array([Bomb(), "0.4"], object), allow_pickle=True)
    np.savez(folder / "a.npz", flux=np.array([Bomb()], object))
    return {"a.csv": "never loaded", "w.rainbow.npy": "never loaded", "a.npz": "never loaded"}


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    for name, words in bombs(tmp_path).items():
        with pytest.raises(ObservationError, match=words) as caught:
            read_observations(tmp_path / name)
        assert str(caught.value).startswith(name)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<?xml version='1.0'?>", "XML"),
        (b"CDF\x01" + bytes(40), "netCDF3"),
        (bytes(100), "found bytes of none"),
        (b"", "found no rows"),
        (b"SIMPLE  =" + b" " * 5000, "damaged"),
        (b"PAR1" + bytes(50), "damaged"),
        (b"\x89HDF\r\n\x1a\n" + bytes(50), "damaged"),
        (b"PK\x03\x04" + bytes(50), "found another file"),
        (gzip.compress(b"time,flux\n", mtime=0), "unpack it"),
        ("Zeit;Fluß\n".encode("latin-1"), "UTF-8"),
    ],
)
def test_other_files_are_refused_in_a_sentence(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "some.csv").write_bytes(content)
    with pytest.raises(ObservationError, match=words) as caught:
        read_observations(tmp_path / "some.csv")
    assert "some.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ObservationError, match="found none"):
        read_observations(tmp_path / "nothing.csv")


def test_numbers_of_another_file_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(800))
    with h5py.File(tmp_path / "made.h5", "w") as file:
        file["time"] = np.arange(100.0)
        file.create_dataset("flux", (100,), "f8", external=[(str(tmp_path / "secret"), 0, 800)])
    with pytest.raises(ObservationError, match="found a link to another"):
        read_observations(tmp_path / "made.h5")


def test_lightkurves_text_table_is_in_bjd(tmp_path: Path) -> None:
    """As ``LightCurve.write(format="ascii.ecsv")`` of lightkurve 2.6 writes times that astropy has no format for."""
    head = """# %ECSV 1.0
# ---
# datatype:
# - {name: time, datatype: float64}
# - {name: flux, datatype: float64}
# - {name: flux_err, datatype: float64}
# meta: !!omap
# - __serialized_columns__:
#     flux:
#       __class__: astropy.units.quantity.Quantity
#       unit: &id001 !astropy.units.Unit {unit: ''}
#       value: !astropy.table.SerializedColumn {name: flux}
#     flux_err:
#       __class__: astropy.units.quantity.Quantity
#       unit: *id001
#       value: !astropy.table.SerializedColumn {name: flux_err}
#     time:
#       __class__: astropy.time.core.Time
#       format: btjd
#       in_subfmt: '*'
#       out_subfmt: '*'
#       precision: 3
#       scale: tdb
#       value: !astropy.table.SerializedColumn {name: time}
# - {name: null}
# schema: astropy-2.0
time flux flux_err
"""
    rows = "\n".join(f"{2743.25 + hour / 24} {1 + hour / 1000} 0.001" for hour in range(20))
    (tmp_path / "lc.ecsv").write_text(head + rows + "\n")
    (read,) = read_observations(tmp_path / "lc.ecsv")
    assert (read.name, read.bjd0) == ("lc", 2_459_743.0)
    np.testing.assert_allclose(read.time, 6 + np.arange(20), atol=3e-7)
    np.testing.assert_allclose(read.flux[:, 0], 1 + np.arange(20) / 1000)


@pytest.mark.parametrize(
    ("name", "module", "library"),
    [
        ("S4_w_LCData.h5", "h5py", "h5py"),
        ("long.ecsv", "astropy.table", "astropy"),
        ("w.rainbow.fits", "astropy.io", "astropy"),
    ],
)
def test_a_library_that_is_absent_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, module: str, library: str
) -> None:
    files.WRITERS[name](tmp_path / name, files.observation())
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        ObservationError, match=rf"expected {library} to read it, found none: pip install 'ariel-hf\[fit\]'"
    ):
        read_observations(tmp_path / name)


def test_every_group_of_a_file_is_an_observation(tmp_path: Path) -> None:
    both = {f"visit{number}": files.observation(seed=number) for number in (1, 10)}
    with h5py.File(tmp_path / "two.h5", "w") as file:
        for group, made in both.items():
            for name, array in files.own_arrays(made).items():
                if array.dtype.kind != "U":
                    file[f"{group}/{name}"] = array
    for read in read_observations(tmp_path / "two.h5"):
        assert_same(read, both[read.name])
        assert set(read.regressors) == {"x", "y"}


@pytest.mark.parametrize("name", files.WRITERS)
def test_a_damaged_file_is_read_or_refused_in_a_sentence(tmp_path: Path, name: str) -> None:
    files.WRITERS[name](tmp_path / name, files.observation(times=30))
    whole, rng = (tmp_path / name).read_bytes(), np.random.default_rng(len(name))
    for trial in range(12):
        spoiled = bytearray(whole)
        if trial < 4:
            spoiled = spoiled[: rng.integers(len(whole))]
        else:
            for place in rng.integers(min(len(whole), 3000), size=4):
                spoiled[place] = rng.integers(256)
        (tmp_path / name).write_bytes(bytes(spoiled))
        said = ""
        try:
            read_observations(tmp_path / name)
        except ObservationError as error:
            said = str(error)
        assert "\n" not in said


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.99])
@pytest.mark.parametrize("name", ["order.fits", "w.rainbow.fits", "long.fits", "own.npz", "own.h5", "own.parquet"])
def test_half_a_file_is_refused(tmp_path: Path, name: str, share: float) -> None:
    files.WRITERS[name](tmp_path / name, files.observation(times=400))
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ObservationError):
        read_observations(tmp_path / name)
