"""Checks a finished dataset against its manifests: shards, rows, lineage, card, and the raw files.

Nothing is written. One row group is in memory at a time, and the ids of the rows seen so far.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from datasets import Features
from huggingface_hub import DatasetCard

from hf_dataset import schema
from hf_dataset.digests import config_hash
from hf_dataset.folders import Folder, files, folder, open_binary, sha256
from hf_dataset.raw.fingerprints import Fingerprint, fingerprint, in_words, table_fingerprints
from hf_dataset.store import croissant, record
from hf_dataset.store.contents import CONFIG, read_contents
from hf_dataset.store.lineage import MANIFEST_DIR, MANIFEST_KEYS, flaws
from hf_dataset.store.rows import rows_of
from hf_dataset.store.sample import sample_of
from hf_dataset.store.shards import DATA_DIR, SAMPLE_DIR, ShardName, find_shards

UNREADABLE = (OSError, ValueError, KeyError, TypeError, yaml.YAMLError)  # what a card that is none raises


class Difference(NamedTuple):
    """A file or planet that differs from its record."""

    what: str
    expected: str
    found: str

    @property
    def of_the_card(self) -> bool:
        """Whether it is of what `card.write_card` writes: card, record, description, sample."""
        return self.what.startswith(("README.md", record.FILE, croissant.FILE, SAMPLE_DIR))

    def __str__(self) -> str:
        return f"{self.what}: expected {self.expected}, found {self.found}"


@dataclass
class Verdict:
    """What was checked, and every difference; sound if there is none.

    `older`: it has no dataset.json, which earlier versions did not write.
    """

    out: str
    shards: int = 0
    rows: Counter[str] = field(default_factory=Counter)  # by split
    inputs: int = 0  # raw files compared
    root: str | None = None  # raw folder that they were compared in
    differences: list[Difference] = field(default_factory=list)
    older: bool = False
    places: dict[int, str] = field(default_factory=dict, repr=False)  # planet → shard
    seen: set[tuple[int, int]] = field(default_factory=set, repr=False)  # (planet, visit)

    def expect(self, what: object, expected: object, found: object) -> bool:
        """Note a difference unless `found` is as expected; whether it is."""
        if found != expected:
            self.differences.append(Difference(str(what), str(expected), str(found)))
        return bool(found == expected)

    def note(self, what: object, expected: object, found: object) -> None:
        """Note a difference, once."""
        if (difference := Difference(str(what), str(expected), str(found))) not in self.differences:
            self.differences.append(difference)


def verify(
    out: str | Folder,
    root: Path | None = None,
    *,
    quick: bool = False,
    inputs: bool = True,
    progress: Callable[[int, int], object] | None = None,
) -> Verdict:
    """Check the dataset folder or URL `out`; ValueError where there is no dataset with manifests.

    `root` is the raw folder; None takes the one recorded in run.json where that is still there. `quick` leaves out
    hashes and the rows' values, `inputs=False` the raw folder. `progress(done, all)` is called after each shard.
    """
    out = folder(out)
    verdict = Verdict(str(out))
    names = sorted(path.stem for path in files(out / MANIFEST_DIR, ".json"))
    data = sorted(path.stem for path in files(out / DATA_DIR, ".parquet"))
    if not names:
        raise ValueError(f"{out}: expected a dataset of `ariel build-dataset`, found no {MANIFEST_DIR}/*.json")
    for name in sorted(set(data) - set(names)):
        verdict.note(f"{DATA_DIR}/{name}.parquet", f"a manifest {MANIFEST_DIR}/{name}.json", "none")
    check_numbering(verdict, {*names, *data})
    manifests = {name: manifest for name in names if (manifest := _read_manifest(verdict, out, name)) is not None}
    _check_lineage(verdict, manifests)
    for done, (name, manifest) in enumerate(manifests.items(), 1):
        _check_shard(verdict, out, name, manifest, quick)
        if progress:
            progress(done, len(manifests))
    verdict.older = not (out / record.FILE).exists()
    if not verdict.differences and not verdict.older:  # of damaged shards it can only say the same again
        check_sample(verdict, out, quick)
    check_card(verdict, out)
    if not verdict.older:
        check_record(verdict, out)
        _check_croissant(verdict, out)
    _check_report(verdict, out, manifests)
    where = root or recorded_root(out) if inputs else None
    if where is not None:
        _check_inputs(verdict, where, manifests)
    return verdict


def verify_rows(out: str | Folder) -> Verdict:
    """Check shards without manifests, as `ariel simulate --fast` writes: names, columns, every row, splits, sample.

    ValueError where there are no shards, or the first is none.
    """
    out = folder(out)
    verdict = Verdict(str(out))
    shards = find_shards(out)
    if not any(shards.values()):
        raise ValueError(f"{out / DATA_DIR}: expected Parquet shards, found none")
    check_numbering(verdict, {path.stem for path in files(out / DATA_DIR, ".parquet")})
    n_bins: int | None = None
    for split, paths in sorted(shards.items()):
        for path in paths:
            what = f"{DATA_DIR}/{path.name}"
            try:
                with open_binary(path) as opened:
                    file = pq.ParquetFile(opened)
                    n_bins = n_bins or _bins(file)
                    found = read_rows(verdict, file, what, n_bins)
            except (pa.ArrowException, OSError, ValueError) as error:
                verdict.note(what, "a whole Parquet file of light curves", f"{type(error).__name__}: {error}")
                continue
            verdict.shards += 1
            verdict.rows[split] += len(found)
            for planet, visit in found:
                place = verdict.places.setdefault(planet, split)
                if (planet, visit) in verdict.seen:
                    verdict.note(f"planet {planet} visit {visit}", "one row", f"another in {what}")
                elif place != split:
                    verdict.note(f"planet {planet}", f"all visits in the split {place}", f"visit {visit} in {what}")
                verdict.seen.add((planet, visit))
    verdict.older = not (out / record.FILE).exists()
    if not verdict.older:
        if not verdict.differences:
            check_sample(verdict, out)
        check_record(verdict, out)
    return verdict


def _bins(file: pq.ParquetFile) -> int:
    """Time bins of a shard's light curves; ValueError where it has none."""
    time = Features.from_arrow_schema(file.schema_arrow.remove_metadata()).get("time")
    if (length := getattr(time, "length", -1)) < 1:
        raise ValueError(f"expected a column `time` of a fixed length, found {time}")
    return int(length)


def recorded_root(out: Folder) -> Path | None:
    """The raw folder that the dataset was built from (in run.json), if it still exists."""
    try:
        root = Path(json.loads((out / "run.json").read_bytes())["config"]["root"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return root if root.is_dir() else None


# --- manifests -----------------------------------------------------------------------------------------------------


def check_numbering(verdict: Verdict, names: set[str]) -> None:
    """Every split's shards are 0 … n−1 of n."""
    splits: dict[str, list[ShardName]] = {}
    for name in names:
        split, dash, rest = name.partition("-")
        index, of, count = rest.partition("-of-")
        if dash and of and index.isdigit() and count.isdigit():
            splits.setdefault(split, []).append(ShardName(split, int(index), int(count)))
        else:
            verdict.note(f"{DATA_DIR}/{name}.parquet", "a name SPLIT-00000-of-00001", name)
    for split, shards in sorted(splits.items()):
        total = Counter(shard.count for shard in shards).most_common(1)[0][0]
        found = {shard.index for shard in shards if shard.count == total}
        for missing in sorted(set(range(total)) - found):
            verdict.note(ShardName(split, missing, total).file, f"{total} shards of {split}", "no shard, no manifest")
        for shard in shards:
            if shard.count != total:
                verdict.note(shard.file, f"shards of {split} numbered of {total}", f"one of {shard.count}")


def _read_manifest(verdict: Verdict, out: Folder, name: str) -> dict[str, Any] | None:
    """A usable manifest, its inconsistencies noted; None if it cannot be used."""
    what = f"{MANIFEST_DIR}/{name}.json"
    try:
        manifest = json.loads((out / what).read_bytes())
    except (OSError, ValueError) as error:
        verdict.note(what, "a readable JSON manifest", f"{type(error).__name__}: {error}")
        return None
    if not isinstance(manifest, dict):
        verdict.note(what, "a JSON object", type(manifest).__name__)
        return None
    if wrong := flaws(manifest):
        verdict.note(what, f"the keys {', '.join(MANIFEST_KEYS)}", f"{', '.join(wrong)} missing or of another type")
        return None
    verdict.expect(f"{what}: shard", f"{DATA_DIR}/{name}.parquet", manifest["shard"])
    verdict.expect(f"{what}: config_hash", config_hash(manifest["settings"]), manifest["config_hash"])
    verdict.expect(f"{what}: rows", len(_rows_planned(manifest)), manifest["rows"])
    return manifest


def _rows_planned(manifest: Mapping[str, Any]) -> list[tuple[int, int]]:
    """(planet, visit) of the rows that a shard should have, in order."""
    return [(entry["planet_id"], entry["visit"]) for entry in manifest["visits"] if "error" not in entry]


def _check_lineage(verdict: Verdict, manifests: Mapping[str, dict[str, Any]]) -> None:
    """All shards were made with the same settings by the same code."""
    for key in ("config_hash", "code"):
        values = {name: json.dumps(manifest[key], sort_keys=True) for name, manifest in manifests.items()}
        if values:
            usual = Counter(values.values()).most_common(1)[0][0]
            for name, value in values.items():
                verdict.expect(f"{MANIFEST_DIR}/{name}.json: {key}, as most of the shards", usual, value)


# --- shards --------------------------------------------------------------------------------------------------------


def _check_shard(verdict: Verdict, out: Folder, name: str, manifest: Mapping[str, Any], quick: bool) -> None:
    """File, size, hash, rows."""
    what, path = f"{DATA_DIR}/{name}.parquet", out / DATA_DIR / f"{name}.parquet"
    try:
        size = path.stat().st_size
    except OSError:
        verdict.note(what, f"a shard of {manifest['bytes']:,} bytes", "none")
        return
    verdict.shards += 1
    verdict.expect(f"{what}: bytes", manifest["bytes"], size)
    try:
        with open_binary(path) as file:
            if not quick:
                verdict.expect(f"{what}: SHA-256", manifest["sha256"], sha256(file))
                file.seek(0)
            _check_rows(verdict, pq.ParquetFile(file), name, manifest, quick)
    except (pa.ArrowException, OSError, ValueError) as error:
        verdict.note(what, "a whole Parquet file", f"{type(error).__name__}: {error}")


def _check_rows(verdict: Verdict, file: pq.ParquetFile, name: str, manifest: Mapping[str, Any], quick: bool) -> None:
    """Columns, planets and visits are those recorded, every row is valid, and no planet is elsewhere too."""
    what, split = f"{DATA_DIR}/{name}.parquet", name.partition("-")[0]
    found = read_rows(verdict, file, what, manifest["settings"]["reduction"]["n_bins"], quick)
    verdict.rows[split] += len(found)
    if found != (planned := _rows_planned(manifest)):
        verdict.note(f"{what}: planets and visits", _listed(planned, found), _listed(found, planned))
    for planet, visit in found:
        place = verdict.places.setdefault(planet, name)
        if (planet, visit) in verdict.seen:
            verdict.note(f"planet {planet} visit {visit}", "one row", f"rows in {place} and {name}")
        elif place != name:
            verdict.note(f"planet {planet}", f"all visits in {place}", f"visit {visit} in {name}")
        verdict.seen.add((planet, visit))


def read_rows(
    verdict: Verdict, file: pq.ParquetFile, what: str, n_bins: int, quick: bool = False
) -> list[tuple[int, int]]:
    """(planet, visit) of every row of the shard `what`, which is held to the schema; `quick`: its columns only."""
    planned_types = dict(schema.features(n_bins))
    types = dict(Features.from_arrow_schema(file.schema_arrow.remove_metadata()))
    for column in dict.fromkeys([*planned_types, *types]):
        verdict.expect(f"{what}: column {column}", planned_types.get(column), types.get(column))
    if not {"planet_id", "visit"} <= {*types}:
        return []
    found: list[tuple[int, int]] = []
    for group in range(file.num_row_groups):
        chosen = ["planet_id", "visit"] if quick or types != planned_types else None
        table = file.read_row_group(group, columns=chosen, use_threads=False)
        found += list(zip(table["planet_id"].to_pylist(), table["visit"].to_pylist(), strict=True))
        for row in rows_of(table) if chosen is None else ():
            try:
                schema.check_row(row, n_bins)
            except ValueError as error:
                verdict.note(f"{what}: a row", "one of the schema", error)
    return found


def check_sample(verdict: Verdict, out: Folder, quick: bool = False) -> None:
    """`data/sample` has the first planets' rows as they are in the shards; `quick`: their planets and visits."""
    what = SAMPLE_DIR
    try:
        split, rows = sample_of(out)
        what = f"{SAMPLE_DIR}/{ShardName(split, 0, 1)}.parquet"
        others = [path.name for paths in find_shards(out, SAMPLE_DIR).values() for path in paths]
        if not verdict.expect(f"{SAMPLE_DIR}: files", [what.rpartition("/")[2]], others):
            return
        with open_binary(out / what) as file:
            table = pq.ParquetFile(file).read(columns=["planet_id", "visit"] if quick else None, use_threads=False)
        for place, row in enumerate(rows):
            name = f"{what}: row {place}, planet {row['planet_id']} visit {row['visit']}"
            if not verdict.expect(name, "there", "there" if place < table.num_rows else "none"):
                return
            [copy] = rows_of(table.slice(place, 1))
            wrong = [column for column in copy if not _same(copy[column], row.get(column))]
            verdict.expect(f"{name}: columns that differ from the shard's", [], wrong)
        verdict.expect(f"{what}: rows", place + 1, table.num_rows)
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        verdict.note(what, "a sample of the shards", f"{type(error).__name__}: {error}")


def _same(one: object, other: object) -> bool:
    """Whether two values of a row are equal; NaN equals NaN."""
    floats = isinstance(one, float | np.ndarray) and np.asarray(one).dtype.kind == "f"
    return np.array_equal(np.asarray(one), np.asarray(other), equal_nan=floats and other is not None)


def _listed(some: list[tuple[int, int]], others: list[tuple[int, int]]) -> str:
    """How many rows, and the first of them that the others do not have in the same place."""
    first = next((i for i, pair in enumerate(some) if i >= len(others) or others[i] != pair), None)
    where = "" if first is None else f", row {first} planet {some[first][0]} visit {some[first][1]}"
    return f"{len(some)} rows{where}"


# --- what was written about them -----------------------------------------------------------------------------------


def check_card(verdict: Verdict, out: Folder) -> None:
    """README.md counts the rows of each split as they are: `load_dataset` goes by it."""
    try:
        infos = DatasetCard((out / "README.md").read_bytes().decode()).data.to_dict()["dataset_info"]
        infos = [infos] if isinstance(infos, dict) else infos  # one where there is one configuration
        [info] = [info for info in infos if info["config_name"] == CONFIG]
        counts = {split["name"]: split["num_examples"] for split in info["splits"]}
    except UNREADABLE as error:
        verdict.note("README.md", "a dataset card with the counts of its splits", f"{type(error).__name__}: {error}")
        return
    for split in sorted({*counts, *(split for split, rows in verdict.rows.items() if rows)}):
        verdict.expect(f"README.md: rows of {split}, as in the shards", verdict.rows[split], counts.get(split, 0))


def check_record(verdict: Verdict, out: Folder) -> None:
    """dataset.json has wavelengths, and rows, planets, layouts and licence as the shards have them."""
    try:
        content = record.read_content(out)
        record.record_of(content, record.FILE)
        counts = {split: part["rows"] for split, part in content["splits"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        verdict.note(record.FILE, "the record of a dataset", f"{type(error).__name__}: {error}")
        return
    for split in sorted({*counts, *(split for split, rows in verdict.rows.items() if rows)}):
        verdict.expect(f"{record.FILE}: rows of {split}, as in the shards", verdict.rows[split], counts.get(split, 0))
    if not verdict.differences:  # damaged shards cannot be read once more
        for key, expected in record.facts(read_contents(out)).items():
            verdict.expect(f"{record.FILE}: {key}, as in the shards", expected, content.get(key))


def _check_croissant(verdict: Verdict, out: Folder) -> None:
    """croissant.json describes columns of these names."""
    try:
        sets = {entry["@id"]: entry for entry in json.loads((out / croissant.FILE).read_bytes())["recordSet"]}
        names = [field["name"] for field in sets[CONFIG]["field"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        verdict.note(croissant.FILE, "a description of the columns", f"{type(error).__name__}: {error}")
        return
    verdict.expect(f"{croissant.FILE}: fields", ["split", *(column.name for column in schema.COLUMNS)], names)


def _check_report(verdict: Verdict, out: Folder, manifests: Mapping[str, dict[str, Any]]) -> None:
    """report.json has the same rows and settings."""
    try:
        report = json.loads((out / "report.json").read_bytes())
        rows, config = dict(report["rows"]), report["config_hash"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        verdict.note("report.json", "a report with `rows` and `config_hash`", f"{type(error).__name__}: {error}")
        return
    for split in sorted({*rows, *verdict.rows}):
        verdict.expect(f"report.json: rows of {split}, as in the shards", verdict.rows[split], rows.get(split, 0))
    if manifests:
        verdict.expect("report.json: config_hash", next(iter(manifests.values()))["config_hash"], config)


def _check_inputs(verdict: Verdict, root: Path, manifests: Mapping[str, dict[str, Any]]) -> None:
    """The raw files have the sizes and times that they had when they were read, and no table has come since."""
    verdict.root = str(root)
    now: dict[str, Fingerprint] = dict(table_fingerprints(root))
    for manifest in manifests.values():
        for name in {**manifest["inputs"], **table_fingerprints(root)}:
            if name not in now:
                now[name] = fingerprint(root / name)
            if (then := manifest["inputs"].get(name)) != now[name]:
                verdict.note(root / name, in_words(then), in_words(now[name]))
    verdict.inputs = len(now)
