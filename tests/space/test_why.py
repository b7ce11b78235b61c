"""Why this σ: what hiding data does, and how often the truth was inside."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from space_scenes import engine, planet

from engine import sample
from engine.explain import attribution
from engine.inference import Engine
from engine.reliability import of_uploads_like


def test_hiding_ingress_and_egress_widens_sigma_most() -> None:
    some = planet()
    found = engine().why(engine().visits(some))
    where = sample.cases()[some].planet
    middle = 0.5 * (found.time_edges_h[1:] + found.time_edges_h[:-1])
    contact = np.abs(np.abs(middle - where.t0) - 0.5 * where.duration) < 0.6
    assert contact.any()
    assert found.time_sigma[contact].max() == found.time_sigma.max() > 0.05
    assert np.median(found.time_sigma[~contact]) < 0.5 * found.time_sigma.max()
    in_transit = np.abs(middle - where.t0) < 0.4 * where.duration
    assert found.white_flux[in_transit].mean() < found.white_flux[~in_transit].mean()


def test_a_hidden_band_is_less_well_known() -> None:
    found = engine().why(engine().visits(planet()))
    assert len(found.band_names) == len(found.band_sigma) == 7
    assert (found.band_sigma > found.band_rest_sigma).all()
    assert found.band_sigma[found.band_names.index("H2O 2.7")] > 0.3
    np.testing.assert_allclose(found.aleatoric_share + found.epistemic_share, 1.0)


def test_the_reliability_is_the_one_recorded_with_the_checkpoint(repository: Path) -> None:
    record = json.loads((repository / "modeling_ariel/released/calibration.json").read_text())
    found = engine().reliability()
    assert found.n_planets == len(record["planets"])
    assert found.covered[found.stated == 0.9] == record["after"]["coverage"]["overall"]["0.9"][0]
    assert set(found.by_band) == set(record["after"]["coverage"]) - {"overall"}


def test_without_a_record_the_reliability_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    other = Engine(engine().network, engine().catalogue, workers=1)
    few = [engine().info(planet()), engine().info(planet("two visits"))]
    monkeypatch.setitem(other.__dict__, "_stored_reliability", None)
    monkeypatch.setattr(other, "_first_planets", lambda: few)
    monkeypatch.setattr(other, "spectrum", engine().spectrum)
    found = other.reliability()
    assert found.n_planets == 2
    assert (np.diff(found.covered) >= 0).all()
    assert found.source.startswith("2 planets of")


def test_visits_of_different_lengths_are_each_hidden_in_fifteenths() -> None:
    case = sample.cases()[planet("two visits")]
    rows = [sample.observe(case, n_bins=120)[0], sample.observe(case)[1]]  # the first is padded to 375 times
    features, fits, _ = engine()._fitted(rows)
    seen: list[Any] = []

    def fit(asked: Any) -> Any:  # not made anew: what is hidden is what is looked at
        seen.append(asked["valid"].unflatten(0, (-1, 2)).any(-1).numpy())
        return fits.select(torch.arange(len(asked["valid"])) % 2)

    found = attribution(engine().network, "planet", features, engine()._answer(rows), fit)
    assert found.time_edges_h[-1] == pytest.approx(rows[0]["time"][-1])
    np.testing.assert_allclose(np.diff(found.time_edges_h), 0.5, atol=0.1)
    assert np.isfinite(found.white_flux).all()
    left = seen[0].sum(-1)  # (case, visit), times in threes
    np.testing.assert_array_equal(left[0], [40, 125])
    assert (left[1:16] < left[0]).all()  # every fifteenth hides some of both visits


def test_an_upload_is_told_how_right_error_bars_were_on_curves_like_it(tmp_path: Path) -> None:
    model = {"in_90": 0.85, "z": 1.1}
    cases = {name: {"ok": 58, "model": model | {"in_90": held}} for name, held in
             (("clean", 0.91), ("no_table", 0.87), ("red_1h", 0.8))}  # fmt: skip
    (tmp_path / "away.json").write_text(json.dumps(cases))
    shown = engine().spectrum(engine().visits(planet()))
    without = replace(shown, star=dict.fromkeys(shown.star, float("nan")))
    remembering = replace(shown, notes=("noise with memory, 100 ppm in the white curve",))
    said = [of_uploads_like(one, str(tmp_path)) for one in (shown, without, remembering)]
    assert [text.split("bands held ")[1][:3] for text in said] == ["91%", "87%", "80%"]
    assert "without a star table. Of 58 planets" in said[1]
    (tmp_path / "away.json").unlink()
    assert of_uploads_like(shown, str(tmp_path)) == ""
