"""Limits of uploads, the error that refuses one, and checks of archives shared by all formats."""

from __future__ import annotations

import contextlib
import stat
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

import pyarrow as pa

MB = 1_000_000
MAX_UPLOAD_BYTES = 400 * MB  # of any file: a raw folder with all frames has 300 MB
MAX_TABLE_BYTES = 50 * MB  # of a file of light curves
MAX_UNPACKED_BYTES = 500 * MB  # of an archive, or of a Parquet file's columns
MAX_MEMBERS = 200  # files in an archive; one visit of a raw folder has 12, and the folder up to 9 tables
MAX_RATIO = 200.0  # unpacked over packed, of members above RATIO_FROM: calibration maps reach 50
RATIO_FROM = 1 * MB
MAX_POINTS = 2_000_000  # time × channel of all visits
MAX_BINS, MIN_BINS = 7_000, 40  # of a visit
FITTED_BINS = 500  # more are averaged: the fit's time and memory grow with the cube and the square of their number
MAX_CHANNELS = 2_000  # the model has 283
MAX_VISITS = 10
MAX_LINE_BYTES = 65_536  # of the first lines of a CSV file
MAX_COLUMNS = 500  # of a CSV file, unused ones included
MAX_HDUS = 100  # of a FITS file
MAX_DIRECTORY_BYTES = 500_000  # of a zip archive's directory: 200 files take about 20 kB, ignored files come on top
MAX_FRAMES = 12_000  # AIRS-CH0 frames of a raw visit
READ_SECONDS, RAW_SECONDS = 40.0, 240.0  # for reading a file; a raw folder is reduced in it
START_SECONDS = 30.0  # added for the first file of a process
READ_BYTES = 3_000 * MB  # of address space: a full raw planet takes 2 GB, of which 0.6 are resident
MAX_READERS = 2  # files read at a time, of which one raw folder
WAIT_S = 120.0  # for other users' files
CURVE_TIMES = 100_000  # of another telescope's light curve: a sector of TESS at 20 s
FIT_SECONDS = 120.0  # for a fit of those
FIT_BYTES = 4_000 * MB  # of address space beyond torch's own
MIN_SHARE = 0.5  # of the model's channels that must have data: with fewer the fit refuses

CURVES = "light curves"  # the kind of a file of another telescope
TRANSIENT = " CSV"  # ends the kind of a transient's file, after the survey
NESTED = (".zip", ".gz", ".tgz", ".tar", ".bz2", ".xz", ".7z", ".rar", ".zst", ".npz")


# what readers raise on damaged files
DAMAGED = (
    OSError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    EOFError,
    OverflowError,
    RuntimeError,
    SyntaxError,
    tokenize.TokenError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
    pa.ArrowException,
)


class UploadError(ValueError):
    """A refused file; the message is a sentence for the user with what was expected and what was found."""


def brief(error: BaseException) -> str:
    """The beginning of an error's first line, to be part of a sentence."""
    lines = str(error).strip().splitlines()
    return lines[0][:120].strip().rstrip(".") if lines else type(error).__name__


@contextlib.contextmanager
def refuse_damaged(what: str, *more: type[BaseException]) -> Iterator[None]:
    """Turn readers' errors, and those of ``more``, into UploadErrors "expected ``what``"; MemoryError passes."""
    try:
        yield
    except (UploadError, MemoryError):
        raise
    except UnicodeDecodeError:
        raise UploadError("expected text in UTF-8, found other bytes.") from None
    except (*DAMAGED, *more) as error:
        raise UploadError(f"expected {what}, found {brief(error)}.") from None


def size_of(path: Path) -> int:
    """Size of a file [bytes]; UploadError if it is missing, empty or too large."""
    if path.is_symlink() or not path.is_file():
        raise UploadError(f"{path.name}: expected a file, found {'a link' if path.is_symlink() else 'none'}.")
    size = path.stat().st_size
    if size == 0:
        raise UploadError(f"{path.name}: expected light curves, found an empty file.")
    if size > MAX_UPLOAD_BYTES:
        raise UploadError(f"{path.name}: expected at most {MAX_UPLOAD_BYTES // MB} MB, found {size / MB:.0f} MB.")
    return size


def open_archive(path: Path) -> zipfile.ZipFile:
    """Open an archive; UploadError, before its directory is read, if that is too large for MAX_MEMBERS files."""
    size = _directory_bytes(path)
    if size > MAX_DIRECTORY_BYTES:
        raise UploadError(
            f"expected at most {MAX_MEMBERS} files in the archive, found a list of files of {size / 1e6:.1f} MB."
        )
    return zipfile.ZipFile(path)


def _directory_bytes(path: Path) -> int:
    """Size of an archive's directory [bytes], from the record at its end; 0 without such a record.

    The largest of all such records found there: a comment may hold another, and zip64's precedes it.
    """
    with path.open("rb") as file:
        file.seek(0, 2)
        file.seek(max(file.tell() - 65_557 - 76, 0))  # a comment has up to 65,535 bytes
        tail = file.read()
    found = [0]
    for signature, layout, most in ((b"PK\x05\x06", "<12xL", 0xFFFFFFFF), (b"PK\x06\x06", "<40xQ", None)):
        place = tail.rfind(signature)
        while place >= 0:
            if place + struct.calcsize(layout) <= len(tail):
                (size,) = struct.unpack_from(layout, tail, place)
                found += [size] * (size != most)
            place = tail.rfind(signature, 0, place)
    return max(found)


def check_members(archive: zipfile.ZipFile, ignored: Iterable[str] = ()) -> list[zipfile.ZipInfo]:
    """The files of an archive; UploadError where they could leave their folder, fill the disk or hide something.

    Only the archive's directory is read, before anything is unpacked; `copy_member` checks sizes again.
    """
    members = [one for one in archive.infolist() if not one.is_dir() and not _is_ignored(one.filename, ignored)]
    if not members:
        raise UploadError("expected files in the archive, found none.")
    if len(members) > MAX_MEMBERS:
        raise UploadError(f"expected at most {MAX_MEMBERS} files in the archive, found {len(members)}.")
    seen: set[str] = set()
    for one in members:
        shown = one.filename[:80]
        path = PurePosixPath(one.filename)
        if path.is_absolute() or ".." in path.parts or "\\" in one.filename or ":" in one.filename:
            raise UploadError(f"expected paths inside the archive's folder, found {shown!r}.")
        kind = stat.S_IFMT(one.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            what = "a link" if kind == stat.S_IFLNK else "a special file"
            raise UploadError(f"expected plain files in the archive, found {what}, {shown!r}.")
        if one.flag_bits & 0x1:
            raise UploadError(f"expected an archive without a password, found {shown!r} encrypted.")
        if path.suffix.lower() in NESTED:
            raise UploadError(f"expected no archives in the archive, found {shown!r}.")
        if one.filename.lower() in seen:
            raise UploadError(f"expected each file once in the archive, found {shown!r} twice.")
        seen.add(one.filename.lower())
        if one.file_size > RATIO_FROM and one.file_size > MAX_RATIO * max(one.compress_size, 1):
            raise UploadError(
                f"expected files packed to 1/{MAX_RATIO:g} or more, found {shown!r} packed to "
                f"1/{one.file_size / max(one.compress_size, 1):.0f}: a zip bomb?"
            )
    total = sum(one.file_size for one in members)
    if total > MAX_UNPACKED_BYTES:
        raise UploadError(f"expected at most {MAX_UNPACKED_BYTES // MB} MB unpacked, found {total / MB:.0f} MB.")
    return members


def _is_ignored(path: str, ignored: Iterable[str]) -> bool:
    """Whether some part of a path is what operating systems add to archives, or is not needed."""
    parts = set(PurePosixPath(path).parts)
    return bool(parts & {"__MACOSX", ".DS_Store", "Thumbs.db"}) or PurePosixPath(path).name in set(ignored)


def copy_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, left: int) -> int:
    """Unpack one file to ``target`` and return its size; at most ``left`` bytes, whatever its header says."""
    target.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with archive.open(member) as source, target.open("xb") as out:
        while block := source.read(1 << 20):
            written += len(block)
            if written > min(left, member.file_size):
                raise UploadError(f"expected {target.name} of the size that the archive states, found more.")
            out.write(block)
    return written
