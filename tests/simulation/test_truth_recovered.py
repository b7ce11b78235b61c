"""Raw simulated planets through the whole chain give unbiased depths with right errors (bench/truth_recovered.py)."""

from __future__ import annotations

import numpy as np
import pytest
from truth_recovered import LAYOUTS, Case, recover


def whitened_spread(results: list[dict]) -> float:
    return float(np.sqrt(np.mean(np.square([r["whitened"] for r in results]))))


def test_depths_from_raw_frames_lie_around_the_truth_as_their_errors_say() -> None:
    results = [recover(Case(LAYOUTS[i % 2], i // 2, 750, 7)) for i in range(4)]
    assert [r["status"] for r in results] == ["ok"] * 4
    assert whitened_spread(results) == pytest.approx(1.0, abs=0.1)
    assert np.abs([r["z_white"] for r in results]).max() < 3.5


@pytest.mark.slow
def test_depths_of_many_planets_are_unbiased_to_a_tenth_of_their_error() -> None:
    results = [recover(Case(LAYOUTS[i % 2], i // 2, 1500, 11)) for i in range(40)]
    results += [recover(Case(layout, 0, 11_250, 12)) for layout in LAYOUTS]
    z = np.array([r["z"] for r in results])
    assert abs(z.mean()) < 0.1 + 2 * z.mean(axis=1).std() / np.sqrt(len(z))
    assert whitened_spread(results) == pytest.approx(1.0, abs=0.1)
