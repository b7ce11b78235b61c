"""Every way to spoil a raw folder of transients ends in a named refusal, an object or measurements left out by name."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from bad_transient_cases import CASES, OTHERS, Case, write_folder

from hf_dataset.raw.files import RawDataError
from hf_dataset.transients import raw, schema


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    objects = raw.read_objects(write_folder(tmp_path_factory.mktemp("sound") / "raw"))
    assert objects.findings.counts() == {"objects": 0}
    return {row["object_id"]: row for rows in objects.rows.values() for row in rows}


def same(one: dict, other: dict) -> bool:
    curves = [row["lightcurve"] for row in (one, other)]
    return all(np.array_equal(curves[0][name], curves[1][name]) for name in curves[0]) and {
        **one,
        "lightcurve": None,
    } == {**other, "lightcurve": None}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_wrong_is_named_and_counted_and_the_rest_stays(
    case: Case, sound: dict[str, dict], tmp_path: Path
) -> None:
    root = write_folder(tmp_path / "raw")
    case.change(root)
    if case.refused:
        with pytest.raises(RawDataError, match=re.escape(case.refused)):
            raw.read_objects(root)
        return
    objects = raw.read_objects(root)
    rows = {row["object_id"]: row for rows in objects.rows.values() for row in rows}
    findings = objects.findings
    assert set(findings.objects) == set(case.left_out)
    for name, reason in case.left_out.items():
        assert reason in findings.objects[name]
    assert {kind: each.total() for kind, each in findings.measurements.items()} == case.kinds
    assert tuple(findings.notes) == case.notes
    assert set(rows) == {*OTHERS, *({"ann"} - set(case.left_out))}
    for row in rows.values():
        schema.check_row(row)
    for name in OTHERS:
        assert same(rows[name], sound[name]), name
    if "ann" in rows:
        assert rows["ann"]["lightcurve"]["time"].size == case.n
        left = set(rows["ann"]["lightcurve"]["time"]) ^ set(sound["ann"]["lightcurve"]["time"])
        assert len(left) == 3 - case.n
    for kind in [*case.kinds, *case.notes]:
        assert any(kind in line for line in findings.lines())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layout": "plasticc"}, "layout: expected one of mallorn, simulated, found 'plasticc'"),
        ({"target": 2}, "target: expected 0, 1 or None, found 2"),
        ({"redshift": float("nan")}, "redshift: expected a finite number or None, found nan"),
        ({"object_id": None}, "object_id: expected a value, found none"),
        ({"extra": 1}, "unknown ['extra']"),
        ({"lightcurve": {"band": np.array(["r"])}}, "lightcurve: expected band, time, flux, flux_err, found band"),
    ],
)
def test_a_wrong_row_is_refused_with_object_column_expected_and_found(
    change: dict, message: str, sound: dict[str, dict]
) -> None:
    with pytest.raises(ValueError, match=rf"object .*: .*{re.escape(message)}"):
        schema.check_row(sound["ann"] | change)


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("band", ["r", "g", "V"], "band: expected one of u, g, r, i, z, y, found V"),
        ("time", [3.0, 2.0, 4.0], "time: expected ascending times"),
        ("flux", [1.0, np.inf, 1.0], "flux: expected finite values"),
        ("flux_err", [1.0, 0.0, 1.0], "flux_err: expected positive errors"),
        ("flux", [1.0], "lightcurve: expected arrays of one length above 0, found [1, 3]"),
    ],
)
def test_a_wrong_light_curve_is_refused(column: str, values: list, message: str, sound: dict[str, dict]) -> None:
    curve = sound["ann"]["lightcurve"] | {column: np.array(values)}
    with pytest.raises(ValueError, match=rf"object ann: {re.escape(message)}"):
        schema.check_row(sound["ann"] | {"lightcurve": curve})
