"""`ariel transients boost FEATURES OUT`: a table of features → a trained search for TDEs."""

from __future__ import annotations

import logging

from ariel_scripts.options.fields import values_of
from ariel_scripts.options.transients.boost import BoostOptions
from ariel_scripts.run_record import run_record
from ariel_scripts.transients.feature_table import read_features
from ariel_scripts.transients.prediction import train_on

logger = logging.getLogger(__name__)


def main(options: BoostOptions) -> None:
    """Train and save."""
    config = {name: str(value) for name, value in values_of(options).items()}
    with run_record(options.out, "transients boost", config, options.seed) as run:
        search = train_on(read_features(options.features), options.library, options.seed)
        search.save(options.out)
        run.metrics |= search.chosen | {"threshold": search.threshold}
    logger.info(
        "%s: %d features, average precision out of the inner folds %.3f, threshold %.3f",
        options.out,
        len(search.features),
        search.chosen["inner average precision"],
        search.threshold,
    )
