"""`ariel inspect DATASET PLANET`: one visit on one page, from the raw image to residuals."""

from __future__ import annotations

import logging
from pathlib import Path

from ariel_scripts.options.inspect import InspectOptions
from ariel_scripts.pages.gathering import gather
from ariel_scripts.pages.inspection import draw
from hf_dataset.folders import folder
from hf_dataset.store.rows import DamagedDataset

logger = logging.getLogger(__name__)


def main(options: InspectOptions) -> None:
    """Draw the visit and write it."""
    planet, visit = options.planet, options.visit
    where = options.out or Path(f"planet_{planet}_visit_{visit}.png")
    try:
        page = draw(gather(folder(options.dataset), planet, visit, options.root))
    except DamagedDataset as error:
        raise ValueError(f"{error}; `ariel verify {options.dataset}` tells what is damaged") from error
    where.parent.mkdir(parents=True, exist_ok=True)
    page.savefig(where)
    logger.info("written: %s", where)
