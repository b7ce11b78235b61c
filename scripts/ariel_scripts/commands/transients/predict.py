"""`ariel transients predict DATASET OUT`: light curves → predictions, as a submission."""

from __future__ import annotations

import logging

from ariel_scripts.commands.transients import boost, features
from ariel_scripts.options.fields import values_of
from ariel_scripts.options.transients.boost import BoostOptions
from ariel_scripts.options.transients.features import FeaturesOptions
from ariel_scripts.options.transients.predict import PredictOptions
from ariel_scripts.run_record import run_record
from ariel_scripts.transients.feature_table import read_features
from ariel_scripts.transients.kinds import load_kinds
from ariel_scripts.transients.prediction import PREDICTIONS, write_predictions
from ariel_scripts.transients.search import load_search

logger = logging.getLogger(__name__)


def main(options: PredictOptions) -> None:
    """Features, a model where none is given, predictions."""
    config = {name: str(value) for name, value in values_of(options).items()}
    table, model = options.out / "features", options.model or options.out / "model"
    with run_record(options.out, "transients predict", config, options.seed) as run:
        if options.model:
            search, kinds = (
                load_search(options.model),
                load_kinds(options.model),
            )  # a wrong folder is said before minutes of work
        features.main(FeaturesOptions(options.dataset, table, seed=options.seed, workers=options.workers))
        if not options.model:
            boost.main(BoostOptions(table, model, options.library, options.seed))
            search, kinds = load_search(model), load_kinds(model)
        found = write_predictions(search, kinds, read_features(table), options.split, options.out)
        run.metrics |= found | {"threshold": search.threshold}
    logger.info("%s: %d of %d objects", options.out / PREDICTIONS, found["chosen"], found["objects"])
