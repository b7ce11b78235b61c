"""Where a report's page leads to: the record of its run, its options, its dataset and models."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ariel_scripts.opening.hub import Located

HUB = "https://huggingface.co"
FAR = 2  # folders up, beyond which an address would say where on a machine things lie


def links(out: Path, dataset: Located, facts: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """(what, address) of the files beside the page, the dataset, and the models on the Hub that predicted.

    facts: of each set of predictions, as the page shows them; ``sources`` are its models.
    """
    found = [("run record", record_of(out).name), ("config", config_of(out).name)]
    found = [(what, quote(name)) for what, name in found]
    where = _on_hub("datasets/", dataset.record()) or _relative(out, dataset.location)
    if where is not None:
        found.append(("dataset", where))
    return [*found, *dict.fromkeys(_models(facts))]


def record_of(out: Path) -> Path:
    """The record of a report's run."""
    return out.with_name(f"{out.stem}.run.json")


def config_of(out: Path) -> Path:
    """The options of a report, as `--config` reads them back."""
    return out.with_name(f"{out.stem}.config.yaml")


def _models(facts: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    for one in facts:
        for source in one.get("sources") or ():
            if (where := _on_hub("", source)) is not None:
                yield f"model {source['name']}", where


def _on_hub(kind: str, record: Mapping[str, str]) -> str | None:
    """A repository's page at its commit; None of what lies elsewhere."""
    if "commit" not in record:
        return None
    return f"{HUB}/{kind}{quote(record['name'])}/tree/{record['commit']}"


def _relative(out: Path, location: str) -> str | None:
    """A folder as seen from the page, whose own folders it is not to tell; None where that takes more than a few."""
    if "://" in location:
        return None
    way = Path(os.path.relpath(Path(location).resolve(), out.parent.resolve()))
    return None if way.parts.count("..") > FAR else quote(way.as_posix())
