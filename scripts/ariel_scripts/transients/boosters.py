"""CatBoost, LightGBM and XGBoost behind one face, saved in each library's own format: JSON or text, never a pickle.

The libraries are the extra `transients`; each is imported when it is used.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ariel_scripts.transients.oversampling import interpolated

Values = NDArray[np.float32]
Array = NDArray[np.float64]

SUFFIXES = {"catboost": ".cbm.json", "lightgbm": ".txt", "xgboost": ".json"}
IMBALANCES = ("none", "weights", "oversample", "smote", "focal")
FOCUS = 2.0  # γ of the focal loss (Lin et al. 2017, arXiv:1708.02002)


@dataclass(frozen=True)
class BoosterSettings:
    """One booster: its library, how many trees of which depth, shares of rows and features that a tree sees.

    imbalance: what is done about few objects of class 1: nothing; weights, by `odds`; as many copies of their rows;
    as many rows between them; the focal loss. ValueError where one is not known.
    """

    library: str = "lightgbm"
    trees: int = 300
    depth: int = 4
    rate: float = 0.03
    ridge: float = 5.0
    rows: float = 0.7
    columns: float = 0.3
    imbalance: str = "weights"
    odds: float = 5.0

    def __post_init__(self) -> None:
        if self.library not in SUFFIXES:
            raise ValueError(f"library: expected one of {', '.join(SUFFIXES)}, found {self.library!r}")
        if self.imbalance not in IMBALANCES:
            raise ValueError(f"imbalance: expected one of {', '.join(IMBALANCES)}, found {self.imbalance!r}")


@dataclass(frozen=True, eq=False)
class Booster:
    """A trained booster of a library; `model` is the library's own object."""

    library: str
    model: Any

    def odds(self, values: Values) -> Array:
        """(row,) log odds that a row (row, feature) is of class 1, as the trees give them."""
        if self.library == "catboost":
            found = self.model.predict(values, prediction_type="RawFormulaVal", thread_count=1)
        elif self.library == "lightgbm":
            found = self.model.predict(values, raw_score=True, num_threads=1)
        else:
            found = self.model.predict(_library("xgboost").DMatrix(values), output_margin=True)
        return np.asarray(found, np.float64)

    def contributions(self, values: Values) -> Array:
        """(row, feature + 1) shares of the log odds of rows (row, feature), the last that of no feature.

        Shapley values of the trees, by each library's own TreeSHAP (Lundberg et al. 2018, arXiv:1802.03888).
        """
        if self.library == "catboost":
            pool = _library("catboost").Pool(values)
            found = self.model.get_feature_importance(pool, type="ShapValues", thread_count=1)
        elif self.library == "lightgbm":
            found = self.model.predict(values, pred_contrib=True, num_threads=1)
        else:
            found = self.model.predict(_library("xgboost").DMatrix(values), pred_contribs=True)
        return np.asarray(found, np.float64)

    def importance(self, count: int) -> Array:
        """(feature,) of `count`: share of the gain of all splits."""
        if self.library == "catboost":
            gain = np.asarray(self.model.get_feature_importance(), np.float64)
        elif self.library == "lightgbm":
            gain = np.asarray(self.model.feature_importance("gain"), np.float64)
        else:
            gain = np.zeros(count)
            for name, value in self.model.get_score(importance_type="total_gain").items():
                gain[int(name[1:])] = value
        return np.asarray(gain / max(gain.sum(), 1e-300))

    def save(self, path: Path) -> None:
        """Write the model; the name must end as `SUFFIXES` says."""
        if self.library == "catboost":
            self.model.save_model(str(path), format="json")
        else:
            self.model.save_model(str(path))


def load_booster(path: Path) -> Booster:
    """A saved model, by its ending; ValueError where it is none."""
    for library, suffix in SUFFIXES.items():
        if path.name.endswith(suffix):
            return Booster(library, _load(library, path))
    raise ValueError(f"{path}: expected a booster that ends in {', '.join(SUFFIXES.values())}")


def _load(library: str, path: Path) -> Any:
    module = _library(library)
    try:
        if library == "lightgbm":
            return module.Booster(model_file=str(path))
        model = module.CatBoost() if library == "catboost" else module.Booster()
        if library == "catboost":
            model.load_model(str(path), format="json")
        else:
            model.load_model(str(path))
    except Exception as error:  # each library has errors of its own
        raise ValueError(f"{path}: expected a model of {library}, found none: {error}") from error
    return model


def train_booster(
    values: Values, target: NDArray[np.int64], settings: BoosterSettings, seed: int, draws: int = 1
) -> Booster:
    """Train on rows (row, feature), NaN where not known, of class (row,) 0 or 1.

    `draws` rows one after another are of one object. ValueError where a class is missing, or the library is not
    installed.
    """
    if set(np.unique(target)) != {0, 1}:
        raise ValueError(f"target: expected objects of class 0 and 1, found {sorted(set(target.tolist()))}")
    if settings.imbalance in ("oversample", "smote"):
        rare, times = values[target == 1], max(round(settings.odds) - 1, 0)
        between = settings.imbalance == "smote"
        more = interpolated(rare, len(rare) * times, seed, draws) if between else np.repeat(rare, times, axis=0)
        values, target = np.concatenate([values, more]), np.append(target, np.ones(len(more), np.int64))
    weight = np.where(target == 1, settings.odds if settings.imbalance == "weights" else 1.0, 1.0)
    train = {"catboost": _catboost, "lightgbm": _lightgbm, "xgboost": _xgboost}[settings.library]
    return Booster(settings.library, train(values, target, weight, settings, seed))


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ValueError(f"{name}: expected to be installed: pip install 'ariel-hf[transients]'") from error


def _catboost(values: Values, target: NDArray[np.int64], weight: Array, own: BoosterSettings, seed: int) -> Any:
    catboost = _library("catboost")
    focal = f"Focal:focal_alpha=0.5;focal_gamma={FOCUS}"
    model = catboost.CatBoost(
        {
            "loss_function": focal if own.imbalance == "focal" else "Logloss",
            "iterations": own.trees,
            "depth": own.depth,
            "learning_rate": own.rate,
            "l2_leaf_reg": own.ridge,
            "bootstrap_type": "Bernoulli",
            "subsample": own.rows,
            "rsm": own.columns,
            "random_seed": seed,
            "thread_count": 1,
            "verbose": False,
            "allow_writing_files": False,
        }
    )
    return model.fit(catboost.Pool(values, target, weight=weight))


def _lightgbm(values: Values, target: NDArray[np.int64], weight: Array, own: BoosterSettings, seed: int) -> Any:
    lightgbm = _library("lightgbm")
    settings = {
        "objective": _focal(target) if own.imbalance == "focal" else "binary",
        "learning_rate": own.rate,
        "num_leaves": max(2**own.depth - 1, 2),
        "max_depth": own.depth,
        "min_data_in_leaf": 20,
        "lambda_l2": own.ridge,
        "bagging_fraction": own.rows,
        "bagging_freq": 1,
        "feature_fraction": own.columns,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "verbose": -1,
    }
    return lightgbm.train(settings, lightgbm.Dataset(values, target, weight=weight), own.trees)


def _xgboost(values: Values, target: NDArray[np.int64], weight: Array, own: BoosterSettings, seed: int) -> Any:
    xgboost = _library("xgboost")
    settings = {
        "objective": "binary:logistic",
        "eta": own.rate,
        "max_depth": own.depth,
        "lambda": own.ridge,
        "subsample": own.rows,
        "colsample_bytree": own.columns,
        "min_child_weight": 3.0,
        "tree_method": "hist",
        "seed": seed,
        "nthread": 1,
    }
    rows = xgboost.DMatrix(values, target, weight=weight)
    return xgboost.train(settings, rows, own.trees, obj=_focal(target) if own.imbalance == "focal" else None)


def _focal(target: NDArray[np.int64]) -> Any:
    """The focal loss's slope and curvature by the log odds, as LightGBM and XGBoost ask for them."""
    sign = np.where(target == 1, 1.0, -1.0)

    def objective(odds: Array, _: Any) -> tuple[Array, Array]:
        return focal_slopes(np.asarray(odds, np.float64) * sign, sign)

    return objective


def focal_slopes(margin: Array, sign: Array) -> tuple[Array, Array]:
    """(row,) first and second derivative by the log odds of −(1 − p)^γ ln p, p = σ(margin), margin = sign · odds.

    Where the loss is hardly convex the curvature is a twentieth of the logistic loss's, for trees need one above 0.
    """
    p = 1 / (1 + np.exp(-np.clip(margin, -40, 40)))
    miss = 1 - p
    slope = miss**FOCUS * (FOCUS * p * np.log(p) - miss)
    inner = FOCUS * p * np.log(p) - miss
    curvature = p * miss * (-FOCUS * miss ** (FOCUS - 1) * inner + miss**FOCUS * (FOCUS * np.log(p) + FOCUS + 1))
    return sign * slope, np.maximum(curvature, 0.05 * p * miss)
