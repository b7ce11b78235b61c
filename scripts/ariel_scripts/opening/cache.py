"""Whether a dataset's copy in the Hub's cache is whole: a stopped download leaves some shards and no word about it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from datasets.data_files import sanitize_patterns
from huggingface_hub import DatasetCard

README = "README.md"
SHOWN = 4  # missing files in a message
_SHARD = re.compile(r"(?P<stem>.+)-(?P<index>\d{5})-of-(?P<count>\d{5})(?P<suffix>\..+)")


def check_complete(folder: Path, name: str) -> None:
    """Check a copy of the dataset ``name`` against the names of its shards and the splits in its card.

    Raises:
        ValueError: a file is missing, a split has another number of rows, or nothing states what it must hold.
    """
    shards = [path for path in folder.rglob("*") if _SHARD.fullmatch(path.name)]
    problems = [f"no {path}" for path in _missing_shards(folder, shards)]
    promised = list(_splits_of_card(folder / README)) if (folder / README).is_file() else None
    if promised is None:
        problems.append(f"no {README}")
    for split, patterns, rows in promised or ():
        problems += _split_problems(folder, split, patterns, rows)
    if not problems and not shards and all(rows is None for *_, rows in promised or ()):
        problems = ["neither numbered shards nor a card with the rows of its splits, by which to tell"]
    if problems:
        more = [f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
        found = ", ".join([*problems[:SHOWN], *more])
        raise ValueError(
            f"{name}: expected a complete copy in the Hub's cache, found {found}; fetch it where the Hub answers: "
            f"hf download {name} --repo-type dataset --revision {folder.name}"
        )


def _missing_shards(folder: Path, shards: list[Path]) -> Iterator[str]:
    """Shards that others' names tell of."""
    found = {path.relative_to(folder).as_posix() for path in shards}
    wanted = set()
    for path in found:
        parts = _SHARD.fullmatch(path)
        if parts is not None:
            count = int(parts["count"])
            wanted |= {f"{parts['stem']}-{n:05d}-of-{count:05d}{parts['suffix']}" for n in range(count)}
    yield from sorted(wanted - found)


def _splits_of_card(card: Path) -> Iterator[tuple[str, list[str], int | None]]:
    """Splits of the card's default configuration: name, patterns of its files, number of rows if stated."""
    data = DatasetCard(card.read_text(encoding="utf-8"), ignore_metadata_errors=True).data.to_dict()
    configs = [config for config in data.get("configs") or () if config.get("data_files")]
    if not configs:
        return
    default = next((config for config in configs if config.get("default")), configs[0])
    stated: Any = data.get("dataset_info") or ()
    infos: list[dict[str, Any]] = [stated] if isinstance(stated, dict) else list(stated)
    config_name = default.get("config_name", "default")
    info = next((one for one in infos if one.get("config_name", "default") == config_name), {})
    rows = {split["name"]: split.get("num_examples") for split in info.get("splits") or ()}
    for split, patterns in sanitize_patterns(default["data_files"]).items():
        yield str(split), list(patterns), rows.get(str(split))


def _split_problems(folder: Path, split: str, patterns: list[str], rows: int | None) -> Iterator[str]:
    """What is wrong with the files of a split."""
    paths = {path for pattern in patterns for path in folder.glob(pattern)}
    if not paths:
        yield f"no file of split {split} ({', '.join(patterns)})"
    elif rows is not None and all(path.suffix == ".parquet" for path in paths):
        found = sum(pq.read_metadata(path).num_rows for path in paths)
        if found != rows:
            yield f"{found} of the {rows} rows of split {split}"
