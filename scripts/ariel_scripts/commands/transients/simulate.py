"""`ariel transients simulate OUT`: transients with known types, as a raw folder."""

from __future__ import annotations

import logging

from tqdm import tqdm

from ariel_scripts.options.fields import values_of
from ariel_scripts.options.transients.simulate import SimulateOptions
from ariel_scripts.run_record import run_record
from hf_dataset.transients.simulation.raw_folder import Settings, write_folder
from hf_dataset.transients.simulation.survey import Survey

logger = logging.getLogger(__name__)


def main(options: SimulateOptions) -> None:
    """Draw the objects and write their tables."""
    settings = Settings(options.objects, options.test_objects, options.seed, Survey(options.seasons))
    config = values_of(options) | {"out": str(options.out)}
    total = options.objects + options.test_objects
    disable = None if logger.isEnabledFor(logging.INFO) else True
    with run_record(options.out, "transients simulate", config, options.seed) as run:
        with tqdm(total=total, unit="object", desc="simulating", disable=disable) as bar:
            write_folder(options.out, settings, bar.update)
        run.metrics["objects"] = total
    logger.info("%s: %d objects to train on, %d to test", options.out, options.objects, options.test_objects)
