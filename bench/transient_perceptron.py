"""A multilayer perceptron on the features, in the folds of the boosted searches; scikit-learn's.

All it learns, medians and quantiles too, it learns inside the objects that it is trained on. Its settings are fixed:
nothing was chosen on these objects.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import QuantileTransformer

from ariel_scripts.transients.nested import OuterFold, places_of
from ariel_scripts.transients.search import Array, Objects
from modeling_ariel.transients.detection_scores import log_odds

INNER, SEEDS = 4, 3
WIDTHS, DECAY = (64, 32), 1.0


def perceptron_folds(
    objects: Objects, folds: int, repeats: int, epochs: int, progress: Callable[[int], object]
) -> list[OuterFold]:
    """Outer folds of perceptrons, as `nested_folds`."""
    found = []
    for repeat in range(repeats):
        for held, (train, judged) in enumerate(places_of(objects, folds, repeat)):
            own, inner = objects.of(train), np.zeros(train.size)
            for learned, other in places_of(own, INNER, 100 * repeat + held):
                inner[other] = perceptron_odds(own.of(learned), own.of(other), epochs)
            odds = perceptron_odds(own, objects.of(judged), epochs)
            found.append(OuterFold(repeat, train, judged, inner, odds))
            progress(1)
    return found


def perceptron_odds(train: Objects, judged: Objects, epochs: int) -> Array:
    """(object,) log odds of the judged objects, the mean over seeds, by perceptrons trained on the others.

    Features become normal by their ranks; what is not known becomes the median.
    """
    values, target = train.rows
    found = []
    for seed in range(SEEDS):
        network = MLPClassifier(WIDTHS, alpha=DECAY, max_iter=epochs, random_state=seed)
        ranks = QuantileTransformer(output_distribution="normal", n_quantiles=min(200, len(values)), random_state=seed)
        model = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), ranks, network)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the number of epochs is a setting
            model.fit(np.where(np.isfinite(values), values, np.nan), target)
        own = np.where(np.isfinite(judged.judged), judged.judged, np.nan)
        found.append(log_odds(model.predict_proba(own)[:, 1]))
    return np.asarray(np.mean(found, axis=0))
