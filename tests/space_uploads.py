"""Files that users may bring to the Space, and how they are refused."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from uploads.reading import UploadError, read_upload


def refused(path: Path, message: str) -> None:
    """Not taken, for this reason, said in one line that names the file and no folder."""
    with pytest.raises(UploadError, match=message) as caught:
        read_upload(path)
    said = str(caught.value)
    assert said.startswith(path.name)
    assert "\n" not in said
    assert said.endswith((".", "?"))
    assert str(path.parent) not in said
    assert len(said) < 500


def packed(path: Path, members: dict[str, bytes], kind: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def bad_files(folder: Path) -> dict[str, tuple[Path, str]]:
    """Files that cannot be read, by kind, with what the refusal says."""
    (folder / "columns.csv").write_text("a,b\n1,2\n")
    (folder / "picture.csv").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    np.savez(folder / "pickled.npz", time=np.array([{"a": 1}], dtype=object))
    (folder / "notes.csv").write_text("")
    (folder / "archive.zip").write_bytes(b"PK\3\4 and nothing more")
    return {
        "columns": (folder / "columns.csv", "expected columns time_h"),
        "picture": (folder / "picture.csv", "expected a CSV file"),
        "pickled": (folder / "pickled.npz", "pickle"),
        "empty": (folder / "notes.csv", "empty"),
        "zip": (folder / "archive.zip", "zip"),
    }
