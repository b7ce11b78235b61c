"""The submission of transients: `object_id,prediction`, 0 or 1; how it is written, what is wrong with one."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ariel_scripts.submission.wording import few, lines_text, repeated
from hf_dataset.folders import write_bytes
from hf_dataset.raw.files import csv_lines

COLUMNS = ("object_id", "prediction")
CHOICES = ("0", "1")


def problems(path: Path, sample: Path | None = None) -> list[str]:
    """All that is wrong with a submission, in sentences; empty where it is right. ValueError where it is no table.

    sample: the challenge's sample_submission.csv, whose objects it must have, in that order.
    """
    (_, header), *lines = csv_lines(path)
    found = list(_wrong_table(header, lines))
    wrong = [(line, row[1]) for line, row in lines if len(row) == len(COLUMNS) and row[1] not in CHOICES]
    if wrong:
        where = lines_text(line for line, _ in wrong)
        found.append(f"prediction: expected 0 or 1, found {wrong[0][1]!r} {where}")
    if sample is not None:
        found += _differences([row[0] for _, row in lines], read_sample(sample), sample)
    return found


def _wrong_table(header: Sequence[str], lines: Sequence[tuple[int, Sequence[str]]]) -> Iterator[str]:
    """What is wrong with columns and objects."""
    if tuple(header) != COLUMNS:
        yield f"expected the columns {','.join(COLUMNS)}, found {few(map(repr, header))}"
    if not lines:
        yield "expected objects, found none"
    if short := [(line, len(row)) for line, row in lines if len(row) != len(COLUMNS)]:
        yield f"expected {len(COLUMNS)} fields a line, found {short[0][1]} {lines_text(line for line, _ in short)}"
    if twice := repeated([row[0] for _, row in lines]):
        yield f"expected each object once, found more than once: {few(twice)}"


def _differences(own: list[str], wanted: list[str], sample: Path) -> Iterator[str]:
    """Objects that the sample has and this has not, the other way round, and another order."""
    have, needed = set(own), set(wanted)
    if missing := [name for name in wanted if name not in have]:
        yield f"expected the {len(wanted)} objects of {sample}, missing {len(missing)}: {few(missing)}"
    if extra := [name for name in own if name not in needed]:
        yield f"expected the {len(wanted)} objects of {sample}, found {len(extra)} others: {few(extra)}"
    if own != wanted and sorted(own) == sorted(wanted):
        first = next((a, b) for a, b in zip(wanted, own, strict=True) if a != b)
        yield f"objects in another order than in {sample}: expected {first[0]}, found {first[1]}"


def read_sample(path: Path) -> list[str]:
    """Objects of the challenge's sample_submission.csv; ValueError where it has another layout."""
    (_, header), *lines = csv_lines(path)
    if wrong := list(_wrong_table(header, lines)):
        raise ValueError(f"{path}: {'; '.join(wrong)}")
    return [row[0] for _, row in lines]


def write_table(path: Path, objects: Sequence[str], columns: Mapping[str, Sequence[object]]) -> None:
    """A CSV table of object_id and columns by name."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((COLUMNS[0], *columns))
    writer.writerows(zip(objects, *columns.values(), strict=True))
    write_bytes(path, text.getvalue().encode())


def write_submission(path: Path, objects: Sequence[str], chosen: Sequence[int], sample: Path | None = None) -> None:
    """Write a row an object, in the order of a sample where one is given, and check what was written.

    ValueError where an object of the sample misses, or anything else is wrong; then there is no file.
    """
    of = dict(zip(objects, chosen, strict=True))
    wanted = list(objects) if sample is None else read_sample(sample)
    if missing := [name for name in wanted if name not in of]:
        raise ValueError(
            f"{path}: expected the {len(wanted)} objects of {sample}, missing {len(missing)}: {few(missing)}"
        )
    write_table(path, wanted, {COLUMNS[1]: [int(of[name]) for name in wanted]})
    if wrong := problems(path, sample):
        path.unlink()
        raise ValueError(f"{path}: {'; '.join(wrong)}")
