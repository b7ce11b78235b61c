"""`ariel transients features DATASET OUT`: light curves → a table of features."""

from __future__ import annotations

import logging
import os

from tqdm import tqdm

from ariel_scripts.options.fields import values_of
from ariel_scripts.options.transients.features import FeaturesOptions
from ariel_scripts.run_record import run_record
from ariel_scripts.transients.feature_table import FILE, write_features
from hf_dataset.words import number_of

logger = logging.getLogger(__name__)


def main(options: FeaturesOptions) -> None:
    """Compute what is missing."""
    config = values_of(options) | {"out": str(options.out)}
    workers = options.workers or len(os.sched_getaffinity(0))
    disable = None if logger.isEnabledFor(logging.INFO) else True
    with (
        run_record(options.out, "transients features", config, options.seed) as run,
        tqdm(unit="object", desc="features", disable=disable) as bar,
    ):
        count, before = write_features(options.dataset, options.out, options.draws, options.seed, workers, bar.update)
        run.metrics |= {"objects": count, "done before": before}
    logger.info("%s: %s", options.out / FILE, number_of(count, "object"))
