"""Splits by planet."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from hf_dataset.splits import fold_of, fraction_of, grouped_folds, is_validation

PLANETS = range(1_000_000, 1_001_000)


def test_folds_of_published_datasets_never_change() -> None:
    assert [fold_of(planet, 5) for planet in (342072318, 1103775, 785834, 14485303)] == [1, 0, 3, 2]
    assert fraction_of(342072318) == pytest.approx(0.3032816292187661, abs=1e-15)


def test_folds_hold_about_the_same_number_of_planets() -> None:
    sizes = Counter(fold_of(planet, 5) for planet in PLANETS)
    assert set(sizes) == set(range(5))
    assert all(abs(size - 200) < 5 * np.sqrt(200 * 0.8) for size in sizes.values())


def test_another_seed_gives_another_split() -> None:
    same = sum(fold_of(planet, 5, seed=0) == fold_of(planet, 5, seed=1) for planet in PLANETS)
    assert 120 < same < 280


def test_a_larger_validation_fraction_keeps_the_planets_of_a_smaller_one() -> None:
    small = {planet for planet in PLANETS if is_validation(planet, 0.1)}
    large = {planet for planet in PLANETS if is_validation(planet, 0.2)}
    assert 60 < len(small) < 140
    assert small < large
    assert not any(is_validation(planet, 0.0) for planet in PLANETS)


def test_grouped_folds_keep_the_visits_of_a_planet_together_and_are_even() -> None:
    rng = np.random.default_rng(0)
    rows = rng.permutation(np.repeat(np.arange(50, 73), 3))
    folds = grouped_folds(rows, 5)
    by_planet = {planet: set(folds[rows == planet]) for planet in np.unique(rows)}
    assert all(len(found) == 1 for found in by_planet.values())
    sizes = Counter(next(iter(found)) for found in by_planet.values())
    assert sorted(sizes.values()) == [4, 4, 5, 5, 5]


def test_grouped_folds_do_not_depend_on_the_order_of_rows() -> None:
    rows = np.array([5, 3, 9, 3, 7, 5])
    order = np.array([4, 2, 0, 1, 5, 3])
    np.testing.assert_array_equal(grouped_folds(rows, 2)[order], grouped_folds(rows[order], 2))


@pytest.mark.parametrize("n_folds", [0, 4])
def test_more_folds_than_planets_are_refused(n_folds: int) -> None:
    with pytest.raises(ValueError, match=f"3 planets, found {n_folds}"):
        grouped_folds([1, 2, 3], n_folds)


def test_a_validation_fraction_outside_its_range_is_refused() -> None:
    with pytest.raises(ValueError, match="found 1"):
        is_validation(1, 1.0)
