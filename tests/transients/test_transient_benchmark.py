"""Rows of bench/transients.py that no command trains: perceptrons, networks whose thresholds other folds choose."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from boosting_scenes import objects
from sklearn.metrics import roc_auc_score
from transient_networks import FOLDS, Network, Networks, judged_by_others
from transient_perceptron import perceptron_folds, perceptron_odds
from transient_scenes import SMALL, dataset, rows

from ariel_scripts.transients.nested import OuterFold, judge, places_of
from ariel_scripts.transients.search import Objects


def test_a_perceptron_finds_a_signal_and_judges_on_the_boosters_folds() -> None:
    train, judged = objects(300, signal=3.0), objects(300, signal=3.0, seed=1)
    assert roc_auc_score(judged.target, perceptron_odds(train, judged, 100)) > 0.9
    own = objects(60)
    for one, (learned, held) in zip(perceptron_folds(own, 2, 1, 1, lambda _: None), places_of(own, 2, 0), strict=True):
        np.testing.assert_array_equal(one.train, learned)
        np.testing.assert_array_equal(one.judged, held)
        assert np.isfinite(one.inner).all()


def test_no_judged_object_moves_its_own_fold_s_threshold() -> None:
    rng = np.random.default_rng(0)
    own = objects(200)
    odds = rng.standard_normal(200) + own.target

    def chosen(odds: np.ndarray) -> np.ndarray:
        folds = [OuterFold(0, train, held, train * 0.0, odds[held]) for train, held in places_of(own, FOLDS, 0)]
        return judge(judged_by_others(folds, 200), own.target).chosen[0]

    held = places_of(own, FOLDS, 0)[2][1]
    moved = odds.copy()
    moved[held[0]] = 9.0
    np.testing.assert_array_equal(chosen(moved)[held[1:]], chosen(odds)[held[1:]])
    assert chosen(moved)[held[0]]


def test_a_network_is_judged_on_the_boosters_folds_and_continues(tmp_path: Path) -> None:
    data = dataset(tmp_path / "data", 10, 2)
    listed = sorted(rows(10)[0], key=lambda row: row["object_id"])
    names, target = (np.array([row[name] for row in listed]) for name in ("object_id", "target"))
    values = np.random.default_rng(0).standard_normal((30, 3, 4)).astype(np.float32)
    features = tuple(f"family.feature_{place}" for place in range(4))
    own = Objects(names, np.array([row["spec_type"] for row in listed]), target, values, features, names)
    settings = ("hidden_size=16", *(f"{key}={value}" for key, value in SMALL["transient"].items()))
    networks = Networks(data, own, tmp_path / "networks", quick=True)
    row = Network(settings=settings, features=True, augmented=False)
    found = networks.folds("small", row, own)
    for one, (train, held) in zip(found, places_of(own, FOLDS, 0), strict=True):
        np.testing.assert_array_equal(one.judged, held)
        np.testing.assert_array_equal(one.train, train)
        assert np.isfinite(one.odds).all()
    (tmp_path / "networks/small-100/fold-1.npz").unlink()  # as a stop would leave it
    again = networks.folds("small", row, own)
    np.testing.assert_allclose([one.odds for one in again], [one.odds for one in found], rtol=1e-4)
    alone = networks.folds("one", replace(row, folds=1), own)
    assert len(alone) == 1
    assert not set(alone[0].train) & set(alone[0].judged)
