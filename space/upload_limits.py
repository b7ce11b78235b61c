"""What an upload may hold, the error that refuses it, and the checks of archives that every format shares."""

from __future__ import annotations

import stat
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterable
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
MAX_CHANNELS = 2_000  # given; the model has 283
MAX_VISITS = 10
MAX_FRAMES = 12_000  # AIRS-CH0 frames of a raw visit
MIN_SHARE = 0.5  # of the model's channels that must be there: below it the fit does not try

NESTED = (".zip", ".gz", ".tgz", ".tar", ".bz2", ".xz", ".7z", ".rar", ".zst", ".npz")


# what readers of formats raise where bytes are not what their headers say
DAMAGED = (
    OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError, OverflowError, RuntimeError,
    MemoryError, SyntaxError, tokenize.TokenError, struct.error, zlib.error, zipfile.BadZipFile, pa.ArrowException,
)  # fmt: skip


class UploadError(ValueError):
    """A file that is not taken: one sentence for the user, with what was expected and what was found."""


def brief(error: BaseException) -> str:
    """A reader's own error as part of a sentence: the beginning of its first line."""
    lines = str(error).strip().splitlines()
    return lines[0][:120].strip().rstrip(".") if lines else type(error).__name__


def size_of(path: Path) -> int:
    """Bytes of a file, refused where it is none, empty or too large."""
    if path.is_symlink() or not path.is_file():
        raise UploadError(f"{path.name}: expected a file, found {'a link' if path.is_symlink() else 'none'}.")
    size = path.stat().st_size
    if size == 0:
        raise UploadError(f"{path.name}: expected light curves, found an empty file.")
    if size > MAX_UPLOAD_BYTES:
        raise UploadError(f"{path.name}: expected at most {MAX_UPLOAD_BYTES // MB} MB, found {size / MB:.0f} MB.")
    return size


def check_members(name: str, archive: zipfile.ZipFile, ignored: Iterable[str] = ()) -> list[zipfile.ZipInfo]:
    """The files of an archive, refused where they could leave their folder, fill the disk or hide something.

    Everything is read off the archive's directory, before anything is unpacked; `copy_member` counts again.
    """
    members = [one for one in archive.infolist() if not one.is_dir() and not _is_ignored(one.filename, ignored)]
    if not members:
        raise UploadError(f"{name}: expected files in the archive, found none.")
    if len(members) > MAX_MEMBERS:
        raise UploadError(f"{name}: expected at most {MAX_MEMBERS} files in the archive, found {len(members)}.")
    seen: set[str] = set()
    for one in members:
        shown = one.filename[:80]
        path = PurePosixPath(one.filename)
        if path.is_absolute() or ".." in path.parts or "\\" in one.filename or ":" in one.filename:
            raise UploadError(f"{name}: expected paths inside the archive's folder, found {shown!r}.")
        kind = stat.S_IFMT(one.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            what = "a link" if kind == stat.S_IFLNK else "a special file"
            raise UploadError(f"{name}: expected plain files in the archive, found {what}, {shown!r}.")
        if one.flag_bits & 0x1:
            raise UploadError(f"{name}: expected an archive without a password, found {shown!r} encrypted.")
        if path.suffix.lower() in NESTED:
            raise UploadError(f"{name}: expected no archives in the archive, found {shown!r}.")
        if one.filename.lower() in seen:
            raise UploadError(f"{name}: expected each file once in the archive, found {shown!r} twice.")
        seen.add(one.filename.lower())
        if one.file_size > RATIO_FROM and one.file_size > MAX_RATIO * max(one.compress_size, 1):
            raise UploadError(
                f"{name}: expected files packed to 1/{MAX_RATIO:g} or more, found {shown!r} packed to "
                f"1/{one.file_size / max(one.compress_size, 1):.0f}: a zip bomb?"
            )
    total = sum(one.file_size for one in members)
    if total > MAX_UNPACKED_BYTES:
        raise UploadError(
            f"{name}: expected at most {MAX_UNPACKED_BYTES // MB} MB unpacked, found {total / MB:.0f} MB."
        )
    return members


def _is_ignored(path: str, ignored: Iterable[str]) -> bool:
    """Whether some part of a path is what operating systems add to archives, or is not needed."""
    parts = set(PurePosixPath(path).parts)
    return bool(parts & {"__MACOSX", ".DS_Store", "Thumbs.db"}) or PurePosixPath(path).name in set(ignored)


def copy_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, left: int) -> int:
    """Unpack one file to ``target``, no more than ``left`` bytes whatever its header says; the bytes written."""
    target.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with archive.open(member) as source, target.open("xb") as out:
        while block := source.read(1 << 20):
            written += len(block)
            if written > min(left, member.file_size):
                raise UploadError(f"{target.name}: expected the size that the archive states, found more.")
            out.write(block)
    return written
