"""Rows between rows of the rare class, settings that inner folds choose, and shares of AGN, supernovae and TDEs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from boosting_scenes import FAST, QUICK, objects
from sklearn.metrics import pairwise, roc_auc_score

from ariel_scripts.transients import prediction
from ariel_scripts.transients.evaluation import evaluate
from ariel_scripts.transients.feature_table import FeatureTable
from ariel_scripts.transients.kinds import FOLDER, load_kinds, others_of, train_kinds
from ariel_scripts.transients.oversampling import NEIGHBOURS, interpolated, neighbours
from ariel_scripts.transients.predicted import judge_predicted, read_predicted
from ariel_scripts.transients.search import Objects, train_search


def typed(count: int = 200, seed: int = 0) -> Objects:
    """Half of those that are no TDE are supernovae, told from AGN by the second feature."""
    own = objects(count, seed=seed)
    kind = np.where(own.target == 1, "TDE", np.where(np.arange(count) % 2 == 0, "AGN", "SN Ia"))
    own.values[:, :, 1] += 3.0 * (kind == "SN Ia")[:, None]
    return replace(own, spec_type=kind)


def table_of(own: Objects, split: str = "train", known: bool = True) -> FeatureTable:
    count, draws, _ = own.values.shape
    of = {"object_id": own.name, "spec_type": own.spec_type, "target": own.target if known else own.target * 0 - 1}
    columns = {name: np.repeat(one, draws) for name, one in of.items()}
    draw = np.tile(np.arange(draws), count)
    values = own.values.reshape(count * draws, -1)
    return FeatureTable(**columns, split=np.full(draw.size, split), draw=draw, names=own.features, values=values)


# --- oversampling --------------------------------------------------------------------------------------------------


def test_neighbours_are_scikit_learn_s_of_other_objects() -> None:
    rng = np.random.default_rng(0)
    values = rng.standard_normal((30, 6)).astype(np.float32)
    values[rng.random(values.shape) < 0.2] = np.nan
    scaled = (values - np.nanmean(values, 0)) / np.nanstd(values, 0)
    distance = pairwise.nan_euclidean_distances(scaled)
    owner = np.arange(30) // 3
    distance[owner[:, None] == owner] = np.inf
    np.testing.assert_array_equal(neighbours(values, 3), np.argsort(distance, 1)[:, :NEIGHBOURS])


def test_new_rows_lie_between_objects_and_lack_what_the_first_lacks() -> None:
    values = np.array([[0, 0], [0, 0], [1, 10], [1, np.nan]], np.float32)  # two objects of two draws
    found = interpolated(values, 400, 0, draws=2)
    assert found.shape == (400, 2)
    lacking = np.isnan(found[:, 1])
    assert lacking.sum() == 100  # as often as they are the first
    inside = found[~lacking]
    assert inside.min() >= 0
    np.testing.assert_array_equal(interpolated(values, 400, 0, draws=2), found)
    both = inside[(inside[:, 1] > 0) & (inside[:, 1] < 10)]
    np.testing.assert_allclose(both[:, 1], 10 * both[:, 0], atol=1e-5)  # on the line from one to the other


# --- tuning --------------------------------------------------------------------------------------------------------


def test_inner_folds_choose_the_settings_that_find_the_signal() -> None:
    stumps = replace(QUICK, alternatives=({"trees": 1, "rate": 1e-6, "columns": 0.13}, {}))
    search, _ = train_search(objects(300), stumps)
    assert search.chosen["alternative"] == {}
    assert search.chosen["boosters"][0]["trees"] == FAST.trees
    assert len(prediction.settings_of("lightgbm", tune=True).alternatives) > 1


# --- kinds ---------------------------------------------------------------------------------------------------------


def test_a_second_search_tells_supernovae_from_agn_where_types_do(tmp_path: Path) -> None:
    own, other = typed(), typed(seed=1)
    search = train_kinds(own, "lightgbm", 0)
    assert search is not None
    rest = other.target == 0
    q = search.probability(other.judged, other.features)
    assert roc_auc_score(other.spec_type[rest] == "SN Ia", q[rest]) > 0.95
    search.save(tmp_path / FOLDER)
    again = load_kinds(tmp_path)
    assert again is not None
    np.testing.assert_allclose(again.probability(other.judged, other.features), q)
    assert load_kinds(tmp_path / "none") is None
    for kinds in ("unknown", "AGN"):
        assert others_of(replace(own, spec_type=np.full(own.target.size, kinds))) is None


def test_predictions_have_shares_that_add_to_one_and_evaluate_scores_them(tmp_path: Path) -> None:
    own = typed()
    table = table_of(own)
    prediction.write_held_out(table, QUICK, 2, 0, tmp_path, lambda _: None)
    held = pq.read_table(tmp_path / prediction.HELD_OUT)
    total = sum(held[f"share_{name}"].to_numpy() for name in ("AGN", "SN", "TDE"))
    np.testing.assert_allclose(total, 1)
    np.testing.assert_array_equal(held["share_TDE"], held["probability"])
    truth = dict(zip(own.name.tolist(), zip(own.target.tolist(), own.spec_type.tolist(), strict=True), strict=True))
    found = evaluate(judge_predicted(read_predicted(tmp_path / prediction.HELD_OUT), truth), 20)
    assert min(found["classes"]["scores"][name]["f1"] for name in ("AGN", "SN")) > 0.8
    search, kinds = prediction.train_on(table, QUICK, 0)
    prediction.write_predictions(search, kinds, table_of(own, "test", known=False), "test", tmp_path)
    assert sorted(read_predicted(tmp_path / prediction.PROBABILITIES).shares) == ["AGN", "SN", "TDE"]
    prediction.write_predictions(search, None, table_of(own, "test", known=False), "test", tmp_path)
    assert read_predicted(tmp_path / prediction.PROBABILITIES).shares == {}
