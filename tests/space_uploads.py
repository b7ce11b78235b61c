"""Files that users may bring to the Space, and how they are refused."""

from __future__ import annotations

import zipfile
from pathlib import Path

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
