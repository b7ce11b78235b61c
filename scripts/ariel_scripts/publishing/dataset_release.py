"""A dataset folder → what its repository on the Hub holds: card, description, shards, sample, lineage, report.

Every row is read and held to the schema, and card, licence and lineage to the rows, before anything is sent. What is
sent names no machine: shards are as they are; the card shows the Hub's id; card, manifests and reports lose paths,
names of nodes and stack traces. `run.json` (folders of this machine) and `simulation_truth.parquet` stay here. Licence
and loading are in this version's words, so an older card is no obstacle; its other words stay.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import DatasetCard

from ariel_scripts.publishing.machine_paths import without_paths
from ariel_scripts.publishing.release import Item, Release
from hf_dataset.build import locks, submissions
from hf_dataset.build.report_text import markdown
from hf_dataset.build.summary import BuildSummary
from hf_dataset.folders import read_json
from hf_dataset.store import card_text, croissant
from hf_dataset.store.contents import OPEN_LICENCE, Contents, read_contents
from hf_dataset.store.lineage import MANIFEST_DIR, STATE_DIR
from hf_dataset.store.shards import DATA_DIR, SAMPLE_DIR, find_shards
from hf_dataset.store.verify import verify, verify_rows

README = "README.md"
OWNED = (README, croissant.FILE, "data/**", f"{MANIFEST_DIR}/*.json", "report.json", "report.md")
OF_THE_MACHINE = ("node", "traceback")  # keys of a visit's entry
SHOWN = 8  # differences in a message
HELD = ("license", "configs", "dataset_info")  # YAML that must be the files'; the rest is the owner's


def dataset_release(folder: str | Path, repo_id: str) -> Release:
    """What a push of the dataset `folder` sends to `repo_id`; the same folder gives the same bytes.

    Raises:
        ValueError: it is not a finished dataset, its files, rows, counts or splits are not as they should be, or the
            card's licence is not that of its rows. The message names file, expected and found.
    """
    out = _finished_folder(folder)
    shards = _shards(out)
    manifests = sorted((out / MANIFEST_DIR).glob("*.json"))
    verdict = verify(out, inputs=False) if manifests else verify_rows(out)
    if verdict.older:
        raise ValueError(f"{out}: expected a sample and {croissant.FILE}, found neither{_how_to_mend(out)}")
    if differences := verdict.differences:
        more = len(differences) - SHOWN
        lines = [str(difference) for difference in differences[:SHOWN]] + [f"… and {more} more"] * (more > 0)
        mended = _how_to_mend(out) if all(difference.of_the_card for difference in differences) else ""
        raise ValueError(f"{out}: {len(differences)} reasons not to publish{mended}:\n  " + "\n  ".join(lines))
    contents = read_contents(out)
    _check_origin(out, contents, manifests)
    text, title = _checked_card(out / README, contents)
    try:
        text = card_text.with_section(
            text, card_text.LOADING, card_text.hub_loading(repo_id, next(iter(contents.splits)))
        )
        text = card_text.with_section(text, card_text.LICENCE, card_text.licence_section(contents))
        text = card_text.with_provenance(text, without_paths(card_text.provenance_in(text)))
        wavelengths = card_text.wavelengths_in(text)
    except ValueError as error:
        raise ValueError(f"{out / README}: {error}{_how_to_mend(out)}") from None
    files: dict[str, Path | bytes] = {path.relative_to(out).as_posix(): path for path in shards}
    files[README] = text.encode()
    files[croissant.FILE] = _json(croissant.describe(contents, title, wavelengths, repo_id))
    files |= {
        f"{MANIFEST_DIR}/{path.name}": _json(_without_machine(json.loads(path.read_bytes()))) for path in manifests
    }
    files |= _reports(out, repo_id)
    return Release("dataset", repo_id, tuple(Item(name, files[name]) for name in sorted(files)), OWNED)


def _finished_folder(folder: str | Path) -> Path:
    """The folder, where it holds a dataset that nobody is writing."""
    if "://" in str(folder):
        raise ValueError(f"{folder}: expected a folder of this machine, found a URL: download it and push the copy")
    out = Path(folder)
    if not out.is_dir():
        raise ValueError(f"{out}: expected the folder of a dataset, found {'a file' if out.exists() else 'none'}")
    if (out / STATE_DIR).is_dir():
        try:
            with locks.hold(out / STATE_DIR / "lock"):
                submissions.check(out)
        except (locks.FolderInUse, submissions.StillQueued) as error:
            raise ValueError(f"{out}: expected a finished dataset, found a build: {error}") from None
    if not (out / README).is_file():
        raise ValueError(
            f"{out / README}: expected the card of a finished dataset, found none: run the command that makes it again"
        )
    return out


def _shards(out: Path) -> list[Path]:
    """The Parquet files to send; ValueError where other files lie among them, half-written ones too."""
    shards = [path for where in (DATA_DIR, SAMPLE_DIR) for paths in find_shards(out, where).values() for path in paths]
    others = {path for path in (out / "data").rglob("*") if not path.is_dir()}.difference(shards)
    if others:
        names = ", ".join(sorted(path.relative_to(out).as_posix() for path in others)[:SHOWN])
        raise ValueError(f"{out / 'data'}: expected SPLIT-00000-of-00001.parquet in each folder, found {names} too")
    return shards


def _check_origin(out: Path, contents: Contents, manifests: list[Path]) -> None:
    """Rows that claim to be this project's own have a lineage that says so."""
    if contents.licence != OPEN_LICENCE:
        return
    for path in manifests:
        if not json.loads(path.read_bytes())["inputs"].get("simulation.json"):
            raise ValueError(
                f"{path}: expected `simulation.json` among the inputs of simulated rows, found none: "
                f"not to be published under {OPEN_LICENCE}"
            )
    config = (read_json(out / "run.json") or {}).get("config")
    if isinstance(config, Mapping) and config.get("spectra") not in (None, "None"):
        raise ValueError(
            f"{out / 'run.json'}: expected spectra drawn by the simulator under {OPEN_LICENCE}, found --spectra "
            f"{Path(str(config['spectra'])).name}: simulate it again with this version"
        )


def _checked_card(path: Path, contents: Contents) -> tuple[str, str]:
    """(text, title) of the card, held to what the files hold: licence first, then configurations, splits and counts."""
    try:
        text = path.read_text(encoding="utf-8")
        data = DatasetCard(text).data
        found = yaml.safe_load(data.to_yaml())
    except (ValueError, TypeError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: expected a card with YAML metadata, found {type(error).__name__}: {error}") from None
    title = found.get("pretty_name")
    if not isinstance(title, str) or not title.strip():
        raise ValueError(f"{path}: pretty_name: expected the dataset's title, found {title!r}")
    layouts = ", ".join(contents.layouts)
    if found.get("license") != contents.licence:
        raise ValueError(
            f"{path}: license: expected {contents.licence}, which rows of layout {layouts} have, found "
            f"{found.get('license')!r}{_how_to_mend(path.parent)}"
        )
    expected = yaml.safe_load(card_text.metadata(contents, title).to_yaml())
    for key in HELD:
        if found.get(key) != expected[key]:
            where, one, other = _first_difference(expected[key], found.get(key), key)
            raise ValueError(
                f"{path}: {where}: expected, as in the files, {one}, found {other}{_how_to_mend(path.parent)}"
            )
    return text, title


def _how_to_mend(out: Path) -> str:
    """What to do about a card, a sample or a description, at the end of a message on it."""
    return f" (`ariel verify {out} --rewrite-card` writes card, sample and {croissant.FILE} again from the shards)"


def _first_difference(expected: Any, found: Any, where: str) -> tuple[str, Any, Any]:
    """Where in two unlike YAML values they first differ, and the two there."""
    if isinstance(expected, dict) and isinstance(found, dict):
        key = next(key for key in {**expected, **found} if expected.get(key) != found.get(key))
        return _first_difference(expected.get(key), found.get(key), f"{where}.{key}")
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        place = next(place for place, value in enumerate(expected) if value != found[place])
        return _first_difference(expected[place], found[place], f"{where}[{place}]")
    return where, expected, found


def _without_machine(value: Any) -> Any:
    """JSON content without what only this machine knows."""
    if isinstance(value, Mapping):
        return {key: _without_machine(item) for key, item in value.items() if key not in OF_THE_MACHINE}
    return [_without_machine(item) for item in value] if isinstance(value, list) else without_paths(value)


def _reports(out: Path, repo_id: str) -> Iterator[tuple[str, bytes]]:
    """The build's report, where there is one; its Markdown is made again of what is left of the JSON."""
    report = read_json(out / "report.json")
    if report is None:
        return
    report = {**_without_machine(report), "out": repo_id}
    summary = BuildSummary(**{field.name: report[field.name] for field in fields(BuildSummary) if field.name in report})
    yield "report.json", _json(report)
    yield "report.md", markdown(summary, report["visits"]).encode()


def _json(content: Any) -> bytes:
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()
