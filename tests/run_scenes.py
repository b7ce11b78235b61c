"""Reductions of fake visits whose stars are possible, for tests of `ariel run`; workers import them."""

from __future__ import annotations

from typing import Any

from fake_folder import FakeVisit, reduce_fake

from hf_dataset.reduction.options import ReductionOptions

STAR = {"Rs": 1.0, "Ms": 1.0, "Ts": 5700.0, "Mp": 1.0, "e": 0.0, "P": 4.0, "sma": 10.0, "i": 88.0}


def reduce_planet(visit: FakeVisit, options: ReductionOptions) -> tuple[dict[str, Any], dict[str, Any]]:
    """`reduce_fake` with the star of a usual planet."""
    row, report = reduce_fake(visit, options)
    return row | {name: value for name, value in STAR.items() if name in row}, report
