"""A dataset folder → what its repository on the Hub holds: record, card, description, shards, sample, lineage, report.

Every row is read and held to the schema, and record and lineage to the rows, before anything is sent. The card is
written from the record, for the Hub's id. Shards are sent as they are; manifests and reports lose paths, names of nodes
and stack traces. `run.json` (folders of this machine) and `simulation_truth.parquet` stay here.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from huggingface_hub import DatasetCard

from ariel_scripts.publishing import previews, retrieval_config
from ariel_scripts.publishing.release import Related, Release, without_machine
from hf_dataset.build import locks, submissions
from hf_dataset.build.report_text import markdown
from hf_dataset.build.summary import BuildSummary
from hf_dataset.folders import read_json
from hf_dataset.store import card_text, croissant, record
from hf_dataset.store.card_data import add_config
from hf_dataset.store.contents import OPEN_LICENCE, Contents, read_contents
from hf_dataset.store.lineage import MANIFEST_DIR, STATE_DIR
from hf_dataset.store.shards import DATA_DIR, SAMPLE_DIR, find_shards
from hf_dataset.store.verify import verify, verify_rows

README = "README.md"
ALLOWED = (
    *(README, record.FILE, croissant.FILE, "report.json", "report.md"),
    *("data/**", f"{MANIFEST_DIR}/*.json", previews.EXAMPLES, f"{previews.CONFIG}/*.parquet"),
    f"{retrieval_config.CONFIG}/*.parquet",
)
RETRIEVED = (
    "The configuration `retrieval` has spectra that were retrieved from these light curves, a row a planet: "
    "`mu` and `sigma` in (Rp/Rs)², `status` and `notes` of the fits."
)
SHOWN = 8  # differences in a message

logger = logging.getLogger(__name__)


def dataset_release(
    folder: str | Path, repo_id: str, related: Related = Related(), retrieval: Sequence[Path] = ()
) -> Release:
    """What a push of the dataset `folder` sends to `repo_id`; the same folder gives the same bytes.

    retrieval: predictions of its planets, sent as one more configuration.

    Raises:
        ValueError: it is not a finished dataset, or its files, rows, counts or splits are not as they should be. The
            message names file, expected and found.
    """
    out = _finished_folder(folder)
    shards = _shards(out)
    about = record.read_record(out)
    manifests = sorted((out / MANIFEST_DIR).glob("*.json"))
    verdict = verify(out, inputs=False) if manifests else verify_rows(out)
    if differences := verdict.differences:
        mended = record.how_to_mend(out) if all(difference.of_the_card for difference in differences) else ""
        lines = [f"{out}: {len(differences)} reasons not to publish{mended}:", *map(str, differences[:SHOWN])]
        raise ValueError("\n  ".join(lines))
    contents = read_contents(out)
    _check_origin(out, contents, manifests)
    written = card_text.card(contents, about)
    about = replace(about, provenance=without_machine(about.provenance))
    drawn = previews.draw_previews(out, about.wavelengths)
    found = retrieval_config.retrieved_spectra(out, retrieval)
    card = _card(contents, about, repo_id, drawn, found, related)
    if (out / README).read_text(encoding="utf-8") not in (card, written):
        logger.warning("%s: edits are not sent: the card is written from %s", out / README, record.FILE)
    files: dict[str, Path | bytes] = {path.relative_to(out).as_posix(): path for path in shards}
    files |= {
        README: card.encode(),
        record.FILE: _json(record.content_of(about, contents)),
        croissant.FILE: _json(croissant.describe(contents, about.title, about.wavelengths, repo_id)),
        **{f"{MANIFEST_DIR}/{path.name}": _json(without_machine(read_json(path))) for path in manifests},
        **_reports(out, repo_id),
        **drawn.files,
        **found.files,
    }
    return Release("dataset", repo_id, files, ALLOWED)


def _card(
    contents: Contents,
    about: record.Record,
    repo_id: str,
    drawn: previews.Previews,
    found: retrieval_config.Retrieved,
    related: Related,
) -> str:
    """The card for the Hub, with pictures and the configuration that holds more of them."""
    shown = [
        f"![White light curves and true spectra of the first planets]({previews.EXAMPLES})",
        f"The configuration `{previews.CONFIG}` has such pictures of the first {previews.MOST} rows of each split.",
        RETRIEVED if found.files else "",
        related.link("See what a model makes of light curves like these."),
    ]
    card = DatasetCard(card_text.card(contents, about, repo_id, "\n\n".join(filter(None, shown))))
    add_config(card.data, previews.CONFIG, previews.CONFIG, drawn.sizes, previews.FEATURES)
    if found.files:
        add_config(card.data, retrieval_config.CONFIG, retrieval_config.CONFIG, found.sizes, retrieval_config.FEATURES)
    return str(card)


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


def _reports(out: Path, repo_id: str) -> dict[str, bytes]:
    """The build's report, where there is one; its Markdown is made again of what is left of the JSON."""
    report = read_json(out / "report.json")
    if report is None:
        return {}
    report = {**without_machine(report), "out": repo_id}
    summary = BuildSummary(**{field.name: report[field.name] for field in fields(BuildSummary) if field.name in report})
    return {"report.json": _json(report), "report.md": markdown(summary, report["visits"]).encode()}


def _json(content: Any) -> bytes:
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()
