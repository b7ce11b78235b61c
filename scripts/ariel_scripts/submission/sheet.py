"""The submission's CSV: its columns, how it is written, and all that is wrong with one.

`templates/submission.schema.json` says the same of its values as a JSON Schema; order and planets are beyond it.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ariel_scripts.submission.wording import SHOWN, few, lines_text, repeated
from hf_dataset.folders import write_bytes
from hf_dataset.raw.files import csv_lines, planet_number
from hf_dataset.schema import N_CHANNELS
from hf_dataset.words import number_of

SCHEMA = Path(__file__).parent / "templates" / "submission.schema.json"
COLUMNS = ["planet_id", *(f"{kind}_{i + 1}" for kind in ("wl", "sigma") for i in range(N_CHANNELS))]
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip file can hold

Spectra = NDArray[np.float32]


@dataclass(frozen=True)
class Sheet:
    """A submission as it was found: the header, and the number of every line after it with its fields."""

    path: Path
    header: list[str]
    lines: list[tuple[int, list[str]]]

    @classmethod
    def read(cls, path: Path) -> Sheet:
        """ValueError where it is no CSV table."""
        (_, header), *lines = csv_lines(path)
        return cls(path, header, lines)

    @property
    def planets(self) -> list[int]:
        """Planets whose id is a whole number, in order."""
        found = (planet_number(row[0]) for _, row in self.lines)
        return [planet for planet in found if planet is not None]

    def wrong_columns(self) -> list[str]:
        """What the header has in place of `COLUMNS`."""
        if self.header == COLUMNS:
            return []
        missing = [name for name in COLUMNS if name not in self.header]
        extra = [name for name in self.header if name not in COLUMNS]
        if not missing and not extra and len(self.header) == len(COLUMNS):
            place = next(k for k, name in enumerate(COLUMNS) if self.header[k] != name)
            return [
                f"columns in another order: expected {COLUMNS[place]} as column {place + 1}, found {self.header[place]}"
            ]
        found = []
        if missing:
            found.append(f"expected {len(COLUMNS)} columns, missing {few(missing)}")
        if extra:
            found.append(f"expected planet_id, wl_1 … wl_283, sigma_1 … sigma_283, found {few(map(repr, extra))} too")
        if twice := repeated(self.header):
            found.append(f"expected every column once, found {few(twice)} more than once")
        return found

    def wrong_planets(self) -> Iterator[str]:
        """Rows whose planet is none, or there twice."""
        if not self.lines:
            yield "expected planets, found none"
        unread = [(line, row[0]) for line, row in self.lines if planet_number(row[0]) is None]
        if unread:
            yield f"planet_id: expected whole numbers, found {unread[0][1]!r} {lines_text(line for line, _ in unread)}"
        for planet in repeated(self.planets)[:SHOWN]:
            at = [line for line, row in self.lines if planet_number(row[0]) == planet]
            yield f"planet {planet}: expected once, found {len(at)} times {lines_text(at)}"

    def wrong_values(self) -> Iterator[str]:
        """Lines of another length, and values that are no number from 0 to 1, of sigma > 0."""
        short = [(line, len(row)) for line, row in self.lines if len(row) != len(self.header)]
        if short:
            yield (
                f"expected {len(self.header)} fields a line as in the header, found {short[0][1]} "
                f"{lines_text(line for line, _ in short)}"
            )
        whole = [(line, row) for line, row in self.lines if len(row) == len(self.header)]
        for kind, wanted in (("wl", "a number from 0 to 1"), ("sigma", "a finite number > 0")):
            at = [k for k, name in enumerate(self.header) if name in COLUMNS and name.startswith(kind)]
            wrong = [(line, k, row[k]) for line, row in whole for k in at if not _possible(row[k], kind == "sigma")]
            if wrong:
                _, k, value = wrong[0]
                number = number_of(len(wrong), "value")
                lines = lines_text(dict.fromkeys(line for line, *_ in wrong))
                yield f"{kind}: expected {wanted}, found {number} {lines}; the first is {value!r} in {self.header[k]}"

    def differences(self, sample: Sheet) -> Iterator[str]:
        """Planets that the sample has and this has not, and the other way round."""
        own, wanted = self.planets, sample.planets
        if missing := [planet for planet in wanted if planet not in set(own)]:
            yield f"expected the {len(wanted)} planets of {sample.path}, missing {len(missing)}: {few(missing)}"
        if extra := [planet for planet in own if planet not in set(wanted)]:
            yield f"expected the {len(wanted)} planets of {sample.path}, found {len(extra)} others: {few(extra)}"
        if own != wanted and sorted(own) == sorted(wanted):
            first = next((a, b) for a, b in zip(wanted, own, strict=True) if a != b)
            yield f"planets in another order than in {sample.path}: expected {first[0]}, found {first[1]}"


def problems(path: Path, sample: Path | None = None) -> list[str]:
    """All that is wrong with a submission, in sentences; empty where it is right. ValueError where it is no table.

    sample: the challenge's sample_submission.csv, whose planets it must have.
    """
    sheet = Sheet.read(path)
    found = [*sheet.wrong_columns(), *sheet.wrong_planets(), *sheet.wrong_values()]
    if sample is not None:
        found += sheet.differences(read_sample(sample))
    return found


def read_sample(path: Path) -> Sheet:
    """The challenge's sample_submission.csv; ValueError where columns or planets are not a submission's."""
    sheet = Sheet.read(path)
    if wrong := [*sheet.wrong_columns(), *sheet.wrong_planets()]:
        raise ValueError(f"{path}: {'; '.join(wrong)}")
    return sheet


def write_wide(path: Path, planets: Sequence[int], mu: Spectra, sigma: Spectra) -> None:
    """The submission: a row a planet; mu, sigma (planet, channel). Beside it the same file zipped, always alike."""
    content = _as_csv(
        COLUMNS, ([planet, *_texts(m), *_texts(s)] for planet, m, s in zip(planets, mu, sigma, strict=True))
    )
    write_bytes(path, content)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        entry = zipfile.ZipInfo(path.name, _EPOCH)
        entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
        archive.writestr(entry, content)
    write_bytes(path.with_suffix(".zip"), packed.getvalue())


def write_long(path: Path, planets: Sequence[int], mu: Spectra, sigma: Spectra) -> None:
    """One row a planet and channel: planet_id, bin_id (0 … 282: wl_1 … wl_283), mu, sigma."""
    rows = (
        [planet, channel, value, error]
        for planet, m, s in zip(planets, mu, sigma, strict=True)
        for channel, (value, error) in enumerate(zip(_texts(m), _texts(s), strict=True))
    )
    write_bytes(path, _as_csv(["planet_id", "bin_id", "mu", "sigma"], rows))


def _as_csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()


def _texts(values: Spectra) -> list[str]:
    return [f"{value:.9g}" for value in values]


def _possible(text: str, positive: bool) -> bool:
    if not text.isascii() or "_" in text:  # numbers in Python alone
        return False
    try:
        value = float(text)
    except ValueError:
        return False
    return bool(np.isfinite(value)) and (value > 0 if positive else 0 <= value <= 1)
