"""Raw folders as zip archives: reduced like any other planet, refused where something is wrong with them."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from space_scenes import engine, planet
from space_uploads import packed, refused

from uploads import limits
from uploads.raw_frames import write_raw_example
from uploads.reading import UploadError, read_upload


@pytest.fixture(scope="module")
def raw_zip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_raw_example(tmp_path_factory.mktemp("raw") / "planet.zip")


def test_a_raw_folder_is_reduced_and_shows_its_detector(raw_zip: Path) -> None:
    rows = read_upload(raw_zip)
    assert rows[0]["time"].shape == (375,)
    assert "750 of the usual 11,250" in rows[0]["notes"][0]
    found = engine().spectrum(rows)
    assert found.status == "ok"
    truth = engine().spectrum(engine().visits(planet())).truth
    assert np.mean(np.abs(found.mean - truth) / found.sigma) < 2.5
    view = engine().raw_view(rows)
    assert view is not None
    assert view.images["AIRS-CH0"].image.shape == (32, 356)


def test_a_raw_folder_needs_no_folder_around_it(raw_zip: Path, tmp_path: Path) -> None:
    members = {name.removeprefix("raw/"): data for name, data in members_of(raw_zip).items()}
    assert len(read_upload(packed(tmp_path / "bare.zip", members))) == 1


def test_a_planet_s_own_folder_is_enough(raw_zip: Path, tmp_path: Path) -> None:
    """Zipped in train/, as a file manager does; what all planets share is added, the star's table is not there."""
    whole = read_upload(raw_zip)
    members = {
        name.removeprefix("raw/train/"): data
        for name, data in members_of(raw_zip).items()
        if name.startswith("raw/train/")
    }
    assert all(name.split("/")[0].isdigit() for name in members)
    (found,) = read_upload(packed(tmp_path / "alone.zip", members))
    for name in ("time", "flux", "flux_err", "valid", "wavelength"):
        np.testing.assert_array_equal(found[name], whole[0][name])  # type: ignore[literal-required]
    assert np.isnan(found["Rs"])


def members_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {one.filename: archive.read(one) for one in archive.infolist()}


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({}, "expected files in the archive, found none|found"),
        ({"../escape.txt": b"x"}, "expected paths inside the archive's folder, found '../escape.txt'"),
        ({"/etc/passwd": b"x"}, "expected paths inside"),
        ({"train\\..\\..\\x": b"x"}, "expected paths inside"),
        ({"C:/windows": b"x"}, "expected paths inside"),
        ({"inner.zip": b"PK"}, "expected no archives in the archive"),
        ({"zeros.bin": bytes(30_000_000)}, "a zip bomb\\?"),
        ({f"{n}.txt": b"x" for n in range(201)}, "expected at most 200 files in the archive, found 201"),
        ({"readme.txt": b"hello"}, "expected a raw folder with train/PLANET or test/PLANET, found readme.txt"),
        ({"train/1/x.txt": b"x", "train/2/x.txt": b"x"}, "expected"),
        ({"train/x.txt": b"x"}, "expected"),
        ({"A.txt": b"x", "a.TXT": b"y"}, "twice"),
    ],
)
def test_a_bad_archive_is_refused(members: dict[str, bytes], message: str, tmp_path: Path) -> None:
    refused(packed(tmp_path / "bad.zip", members), message)
    assert [path.name for path in tmp_path.iterdir()] == ["bad.zip"]


def test_links_and_encrypted_files_in_an_archive_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
        link = zipfile.ZipInfo("train/1/AIRS-CH0_signal_0.parquet")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    refused(tmp_path / "link.zip", "expected plain files in the archive, found a link")
    data = bytearray(packed(tmp_path / "x.zip", {"a.txt": b"x"}).read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "locked.zip").write_bytes(bytes(data))
    refused(tmp_path / "locked.zip", "expected an archive without a password")


def test_an_archive_too_large_unpacked_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_UNPACKED_BYTES", 1000)
    path = packed(tmp_path / "large.zip", {f"{n}.bin": np.random.default_rng(n).bytes(600) for n in range(2)})
    with zipfile.ZipFile(path) as archive, pytest.raises(UploadError, match="expected at most 0 MB unpacked"):
        limits.check_members(archive)


def test_a_member_larger_than_it_states_is_stopped(tmp_path: Path) -> None:
    path = packed(tmp_path / "lies.zip", {"a.bin": bytes(1000)}, zipfile.ZIP_STORED)
    with zipfile.ZipFile(path) as archive:
        member = archive.infolist()[0]
        with pytest.raises(UploadError, match=r"expected a\.bin of the size that the archive states, found more"):
            limits.copy_member(archive, member, tmp_path / "out" / "a.bin", 100)


def test_a_cut_archive_is_refused(raw_zip: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.zip").write_bytes(raw_zip.read_bytes()[:100_000])
    refused(tmp_path / "cut.zip", "expected a whole zip archive")


Members = dict[str, bytes]


def _without(word: str) -> Callable[[Members], Members]:
    return lambda members: {name: data for name, data in members.items() if word not in name}


def _spoiled(word: str) -> Callable[[Members], Members]:
    return lambda members: {name: b"PAR1 no" if word in name else data for name, data in members.items()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without("AIRS-CH0_signal"), "expected"),
        (_without("FGS1_calibration"), "expected"),
        (_without("axis_info"), "axis_info.parquet"),
        (_without("wavelengths"), "wavelengths.csv"),
        (_without("adc_info"), "adc_info"),
        (_without("star_info"), "star_info"),
        (_spoiled("AIRS-CH0_signal"), "AIRS-CH0_signal_0.parquet"),
        (_spoiled("dark"), "dark.parquet"),
        (
            lambda m: m | {name.replace("/train/", "/test/"): data for name, data in m.items()},
            "expected one planet, found 2",
        ),
    ],
)
def test_a_raw_folder_with_something_wrong_names_it(
    change: Callable[[Members], Members], message: str, raw_zip: Path, tmp_path: Path
) -> None:
    refused(packed(tmp_path / "bad.zip", change(members_of(raw_zip)), zipfile.ZIP_STORED), message)


def test_a_small_table_that_unpacks_to_much_is_refused_by_its_footer(raw_zip: Path, tmp_path: Path) -> None:
    members = members_of(raw_zip)
    pq.write_table(pa.table({"a": pa.array(np.zeros(1_000_000, np.int8))}), tmp_path / "bomb.parquet")
    members["raw/axis_info.parquet"] = (tmp_path / "bomb.parquet").read_bytes()
    path = packed(tmp_path / "bomb.zip", members, zipfile.ZIP_STORED)
    refused(path, "expected at most 200,000 rows and 160,000,000 values in axis_info.parquet, found 1,000,000")
    members["raw/wavelengths.csv"] = b"1.0,2.0\n" * 700_000
    refused(packed(tmp_path / "long.zip", members, zipfile.ZIP_STORED), "expected at most 5 MB in wavelengths.csv|axis")


def test_nothing_of_an_archive_is_left_behind(raw_zip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    private = tmp_path / "private"
    private.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(private))
    read_upload(raw_zip)
    with pytest.raises(UploadError):
        read_upload(packed(tmp_path / "bad.zip", _without("dark")(members_of(raw_zip)), zipfile.ZIP_STORED))
    assert list(private.iterdir()) == []
