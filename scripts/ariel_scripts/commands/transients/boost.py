"""`ariel transients boost FEATURES OUT`: a table of features → a trained search for TDEs."""

from __future__ import annotations

import logging
import shutil

from tqdm import tqdm

from ariel_scripts.options.fields import values_of
from ariel_scripts.options.transients.boost import BoostOptions
from ariel_scripts.run_record import Run, run_record
from ariel_scripts.transients.feature_table import FeatureTable, read_features
from ariel_scripts.transients.kinds import FOLDER
from ariel_scripts.transients.prediction import HELD_OUT, settings_of, train_on, write_held_out
from modeling_ariel.transients.detection_scores import detection

logger = logging.getLogger(__name__)


def main(options: BoostOptions) -> None:
    """Train and save."""
    config = {name: str(value) for name, value in values_of(options).items()}
    with run_record(options.out, "transients boost", config, options.seed) as run:
        table = read_features(options.features)
        if options.folds:
            _hold_out(options, table, run)
        search, kinds = train_on(table, settings_of(options.library, options.tune), options.seed)
        search.save(options.out)
        if kinds is None:
            shutil.rmtree(options.out / FOLDER, ignore_errors=True)  # an earlier model's
            logger.warning("%s: types of objects do not tell supernovae from AGN: no shares of them", options.features)
        else:
            kinds.save(options.out / FOLDER)
        run.metrics |= search.chosen | {"threshold": search.threshold}
    logger.info(
        "%s: %d features, average precision out of the inner folds %.3f, threshold %.3f",
        options.out,
        len(search.features),
        search.chosen["inner average precision"],
        search.threshold,
    )


def _hold_out(options: BoostOptions, table: FeatureTable, run: Run) -> None:
    """Judge all labelled objects in outer folds."""
    disable = None if logger.isEnabledFor(logging.INFO) else True
    with run.timed("folds"), tqdm(total=options.folds, unit="fold", desc="folds", disable=disable) as bar:
        settings = settings_of(options.library, options.tune)
        judged = write_held_out(table, settings, options.folds, options.seed, options.out, bar.update)
    run.metrics["held out"] = vars(detection(judged.target, judged.chosen[0]))
    logger.info("%s: F1 %.3f", options.out / HELD_OUT, run.metrics["held out"]["f1"])
