"""Files made to fill the memory or to take for ever: refused soon, and no other user's file is the worse for it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from space_uploads import refused

from uploads import limits, process
from uploads.arrays import read_npz
from uploads.fits import read_fits
from uploads.reading import UploadError, example_csv, read_upload
from uploads.tables import read_csv


@pytest.fixture
def fresh() -> None:
    """No process waits from before."""
    process.close_idle()


def held(reader: object) -> int:
    """Most memory that a reader's process has held [bytes]."""
    pid = reader._process.pid  # type: ignore[attr-defined]
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


# --- what is refused before it is read -------------------------------------------------------------------------------


def test_a_header_of_thousands_of_columns_is_refused(tmp_path: Path) -> None:
    (tmp_path / "wide.csv").write_text(",".join(["a"] * 2_000) + "\n")
    refused(tmp_path / "wide.csv", "expected at most 500 columns, found 2,000")
    (tmp_path / "line.csv").write_bytes(b"a," * 2_500_000)
    start = time.monotonic()
    refused(tmp_path / "line.csv", "expected lines of at most 65,536 bytes, found a longer one")
    assert time.monotonic() - start < 10  # it took pandas minutes


def test_columns_of_other_names_take_no_memory(tmp_path: Path, fresh: None) -> None:
    header = ",".join(["time_h", "wavelength_um", "flux", "flux_err", *(f"c{n}" for n in range(450))])
    (tmp_path / "padded.csv").write_text(header + "\n1,1,1,1" + ",1" * 450 + "\n" + "1,1,1,1\n" * 60_000)
    refused(tmp_path / "padded.csv", "expected each time and wavelength once")
    (reader,) = process._idle
    assert held(reader) < 250e6  # 360 MB with the whole table filled up at once


def test_rows_longer_than_the_header_are_not_read_one_column_off(tmp_path: Path) -> None:
    (tmp_path / "longer.csv").write_text("time_h,wavelength_um,flux,flux_err\n" + "0,0,0.7,1,0.1\n" * 9)
    refused(tmp_path / "longer.csv", "expected 4 values a row, as the header says, found 5")
    (tmp_path / "shorter.csv").write_text("time_h,wavelength_um,flux,flux_err,Rs\n" + "0,0.7,1,0.1\n" * 9)
    refused(tmp_path / "shorter.csv", "expected 5 values a row, as the header says, found 4")
    (tmp_path / "twice.csv").write_text("time_h,wavelength_um,flux,flux,flux_err\n1,1,1,1,1\n")
    refused(tmp_path / "twice.csv", "expected each column once, found flux 2 times")


def test_an_array_of_too_many_points_is_refused_by_its_header(tmp_path: Path, fresh: None) -> None:
    rng = np.random.default_rng(0)
    flux = np.tile(rng.integers(0, 255, 20_000, np.uint8), 6_000).reshape(100_000, 1_200)
    np.savez_compressed(tmp_path / "bomb.npz", time=np.arange(9.0), flux=flux, flux_err=flux[:1], wavelength=flux[0])
    refused(tmp_path / "bomb.npz", r"expected at most 2,000,000 points, found flux of shape \(100000, 1200\)")
    (reader,) = process._idle
    assert held(reader) < 250e6


def test_images_of_too_many_points_and_endless_hdus_are_refused_by_their_headers(tmp_path: Path) -> None:
    from astropy.io import fits

    names = ("TIME", "FLUX", "FLUX_ERR", "WAVELENGTH")
    images = [fits.ImageHDU(np.zeros((5_000, 600), np.uint8), name=name) for name in names]
    fits.HDUList([fits.PrimaryHDU(), *images]).writeto(tmp_path / "bytes.fits")
    refused(tmp_path / "bytes.fits", r"expected at most 2,000,000 points, found TIME of shape \(5000, 600\)")
    fits.HDUList([fits.PrimaryHDU(), *(fits.ImageHDU() for _ in range(100))]).writeto(tmp_path / "many.fits")
    refused(tmp_path / "many.fits", "expected at most 100 HDUs, found more")


@pytest.mark.parametrize("comment", [b"", b"a comment" * 7_000])
def test_an_archive_of_very_many_files_is_refused_before_they_are_listed(comment: bytes, tmp_path: Path) -> None:
    path = tmp_path / "many.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(12_000):
            archive.writestr(zipfile.ZipInfo(f"{number}"), b"")
        archive.comment = comment
    listed: list[int] = []

    class Watched(zipfile.ZipFile):
        def _RealGetContents(self) -> None:
            listed.append(1)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(zipfile, "ZipFile", Watched)
        with pytest.raises(UploadError, match=r"found a list of files of 0\.6 MB"):
            limits.open_archive(path)
    assert not listed
    refused(path, "expected at most 200 files in the archive, found a list of files")


def test_zip64_hides_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "large.zip"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 10)
        patched.setattr(zipfile, "ZIP64_LIMIT", 1_000)
        with zipfile.ZipFile(path, "w") as archive:
            for number in range(100):
                archive.writestr(zipfile.ZipInfo(f"{number}"), b"")
    monkeypatch.setattr(limits, "MAX_DIRECTORY_BYTES", 4_000)
    with pytest.raises(UploadError, match="found a list of files"):
        limits.open_archive(path)


# --- what is stopped while it is read --------------------------------------------------------------------------------


def test_a_file_that_takes_too_long_is_stopped_and_the_next_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: None
) -> None:
    os.mkfifo(tmp_path / "never.csv")  # a reader waits for its first byte for ever
    monkeypatch.setattr(process, "READ_SECONDS", 1.0)
    monkeypatch.setattr(process, "START_SECONDS", 0.0)
    with pytest.raises(UploadError, match="expected a file that is read within 1 s, found one that takes longer"):
        process.read_in_process("CSV", tmp_path / "never.csv")
    assert process._idle == []
    monkeypatch.undo()
    assert len(read_upload(example_csv())) == 1


def test_a_file_that_needs_too_much_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: None
) -> None:
    monkeypatch.setattr(process, "READ_BYTES", 600_000_000)
    path = tmp_path / "text.csv"
    path.write_text("time_h,wavelength_um,flux,flux_err\n" + ("x" * 9 + ",") * 3 + "x\n" + "1,1,1,1\n" * 3_000_000)
    refused(path, "expected a file that is read within 0.6 GB of memory, found another")
    process.close_idle()


def test_a_process_that_died_while_it_waited_is_replaced(fresh: None) -> None:
    example = example_csv()
    read_upload(example)
    process._idle[0]._process.kill()
    process._idle[0]._process.wait()
    assert len(read_upload(example)) == 1


def test_a_process_reads_many_files_and_few_read_at_a_time(fresh: None) -> None:
    example = example_csv()
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: read_upload(example)[0]["flux"].sum(), range(12)))
    assert len(set(found)) == 1
    assert 1 <= len(process._idle) <= limits.MAX_READERS


def test_who_waits_too_long_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "WAIT_S", 0.01)
    with process._slot(process._RAW):
        refused_text = "the Space is busy with other users' files"
        with pytest.raises(UploadError, match=refused_text):
            process.read_in_process("zip", Path("some.zip"))


def test_a_reader_knows_no_token_and_no_torch(monkeypatch: pytest.MonkeyPatch, repository: Path) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    environment = process._environment()
    assert "HF_TOKEN" not in environment
    code = (
        "import sys, uploads.worker, uploads.arrays, uploads.parquet, uploads.tables\n"
        "print([name for name in ('torch', 'transformers', 'gradio') if name in sys.modules])"
    )
    command, space = [sys.executable, "-c", code], repository / "space"
    done = subprocess.run(command, cwd=space, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_readers_in_this_process_refuse_alike(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"PK nothing")
    for reader in (read_csv, read_npz, read_fits):
        with pytest.raises(UploadError, match="expected"):
            reader(tmp_path / "a")
