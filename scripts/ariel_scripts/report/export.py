"""Figures and tables of a report as files: each figure as PNG, JSON (Plotly's) and CSV, each table as CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import logging
import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ariel_scripts.report.drawing import draw
from ariel_scripts.report.page import Section, Table, without_nan
from ariel_scripts.report.plots import Figure, unpacked
from hf_dataset import folders

logger = logging.getLogger(__name__)

COLUMNS = ("variant", "trace", "x", "y", "z")


def export(folder: Path, sections: list[Section], stamp: str) -> int:
    """Write all that the sections show into ``folder``, under ``stamp``; how many files."""
    written = 0
    for section in sections:
        names: dict[str, int] = {}
        for kind, title, one in shown(section.data, section.key):
            name = f"{section.key}-{file_name(title)}"
            names[name] = names.get(name, 0) + 1
            stem = name if names[name] == 1 else f"{name}-{names[name]}"
            own = bool(section.template)
            files = _figure_files(one, stamp, own) if kind == "figure" else _table_files(one, stamp)
            for suffix, content in files.items():
                folders.write_bytes(folder / f"{stem}{suffix}", content)
            written += len(files)
    return written


def shown(data: Any, title: str) -> Iterator[tuple[str, str, Any]]:
    """Figures and tables within a section's data, ("figure" or "table", title, it)."""
    if isinstance(data, Figure):
        yield "figure", data.title, data
    elif isinstance(data, Table):
        yield "table", title, data
    elif isinstance(data, Mapping):
        for name, value in data.items():
            yield from shown(value, str(name))
    elif isinstance(data, (list, tuple)):
        for value in data:
            yield from shown(value, title)


def file_name(title: str) -> str:
    """A title as part of a file's name."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "all"


def _figure_files(figure: Figure, stamp: str, own: bool) -> dict[str, bytes]:
    """Content by suffix; a figure of another package's ``own`` section may have no picture and no points."""
    variants = {name: unpacked(variant) for name, variant in figure.variants.items()}
    about = {"title": figure.title, "caption": figure.caption, "made_by": stamp, "variants": without_nan(variants)}
    files = {".json": json.dumps(about, ensure_ascii=False).encode()}
    makers = {".csv": lambda: _csv(COLUMNS, _points(variants))}
    for place, (name, variant) in enumerate(variants.items()):
        suffix = f"-{place}-{file_name(name)}.png" if len(variants) > 1 else ".png"
        title = figure.title + (f" · {name}" if name else "")
        makers[suffix] = partial(draw, variant, title, figure.height, stamp)
    for suffix, make in makers.items():
        try:
            files[suffix] = make()
        except Exception as error:
            if not own:
                raise
            logger.warning("%s: no %s: %s: %s", figure.title, suffix, type(error).__name__, error)
    return files


def _table_files(table: Table, stamp: str) -> dict[str, bytes]:
    head = [name or "name" for name in table.head]
    content = {"made_by": stamp, "head": head, "rows": table.rows}
    return {".json": json.dumps(content, ensure_ascii=False).encode(), ".csv": _csv(head, table.rows)}


def _points(variants: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    """Rows of COLUMNS, a point each."""
    for variant, drawn in variants.items():
        for place, trace in enumerate(drawn["data"]):
            name = trace.get("name", place)
            x, y = trace.get("x", []), trace.get("y", [])
            if trace.get("type") == "heatmap":
                for at, row in zip(y, trace["z"], strict=True):
                    yield from ((variant, name, one, at, z) for one, z in zip(x, row, strict=True))
            elif trace.get("type") == "histogram":
                yield from ((variant, name, one, "", "") for one in x)
            else:
                yield from ((variant, name, one, at, "") for one, at in zip(x, y, strict=True))


def _csv(head: Any, rows: Any) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return text.getvalue().encode()
