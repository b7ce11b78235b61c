"""`ariel inspect DATASET PLANET`: one visit on one page, its verdict first."""

from __future__ import annotations

import logging
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from ariel_scripts.options.inspect import InspectOptions
from ariel_scripts.pages.gathering import gather
from ariel_scripts.pages.inspection import draw
from ariel_scripts.pages.inspection_page import inspection_page
from ariel_scripts.pages.inspection_verdict import verdict
from ariel_scripts.report.page import without_folders
from ariel_scripts.versions import git_commit, versions
from hf_dataset.folders import folder
from hf_dataset.store.rows import DamagedDataset

logger = logging.getLogger(__name__)


def main(options: InspectOptions) -> None:
    """Draw the visit, write the page or the picture, and say how it is."""
    planet, visit = options.planet, options.visit
    where = options.out or Path(f"planet_{planet}_visit_{visit}.html")
    picture = where.suffix == ".png"
    try:
        found = gather(folder(options.dataset), planet, visit, options.root)
    except DamagedDataset as error:
        raise ValueError(f"{error}; `ariel verify {options.dataset}` tells what is damaged") from error
    said = verdict(found)
    where.parent.mkdir(parents=True, exist_ok=True)
    if picture:
        draw(found, said.sentence).savefig(where)
    else:
        known = {
            "written": datetime.now(UTC).isoformat(timespec="seconds"),
            "git commit": git_commit() or "not a checkout",
            "command": {name: value for name, value in asdict(options).items() if value is not None},
            "versions": versions(),
        }
        where.write_text(inspection_page(found, without_folders(known)), encoding="utf-8")
    logger.info("%s: %s: %s", where, said.title, said.sentence)
