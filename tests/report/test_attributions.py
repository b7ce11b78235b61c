"""The report's attributions: their axiom, both readings of the data, and how they are shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import BINS, IDS, POPULATION, save_model

from ariel_scripts.prediction import predictor
from ariel_scripts.report import attributions, network
from ariel_scripts.report.attributions import READINGS, Attributed, Attribution, attribute, integrated_gradients
from ariel_scripts.report.data import Entry, Study
from ariel_scripts.report.rules import broken_by
from ariel_scripts.report.sections import shapes
from hf_dataset.simulation import light_curves, planets

CHANNELS = 283


def test_integrated_gradients_are_exact_for_what_can_be_integrated_by_hand() -> None:
    x, baseline = torch.tensor([[1.0, 2.0], [3.0, -1.0]]), torch.zeros(2, 2)

    def function(stack: torch.Tensor) -> torch.Tensor:
        a, b = stack[:, 0, 0], stack[:, 0, 1]
        return torch.stack([a * b**2, stack.sum((1, 2))], 1)

    found = integrated_gradients(function, x, baseline, steps=4)
    # along (t, 2 t): da integrates 4 t^2 to 4/3, db 2 t 2 t to 4/3 times 2
    np.testing.assert_allclose(found[0].numpy(), [[4 / 3, 8 / 3], [0, 0]], rtol=1e-6)
    np.testing.assert_allclose(found[1].numpy(), x.numpy(), rtol=1e-6)


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    return list(light_curves.simulate_rows(POPULATION, visits=1, n_bins=BINS, seed=1))


def test_steps_in_parts_give_what_they_give_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def function(stack: torch.Tensor) -> torch.Tensor:
        return torch.stack([stack.tanh().prod(2).sum(1), stack.square().sum((1, 2))], 1)

    once = integrated_gradients(function, x, torch.zeros_like(x))
    monkeypatch.setattr(attributions, "_AT_A_TIME", 5 * x.numel())
    torch.testing.assert_close(integrated_gradients(function, x, torch.zeros_like(x)), once, rtol=1e-12, atol=0)


@pytest.fixture(scope="module")
def row() -> dict[str, Any]:
    """A planet's visit with a channel that no one saw."""
    found = next(light_curves.simulate_rows(POPULATION[:1], visits=1, n_bins=BINS, seed=1))
    valid = found["valid"].copy()
    valid[:, 7] = False
    return {**found, "valid": valid}


def member(folder: Path, physics: str) -> Any:
    return predictor.load_member(str(save_model(folder, physics=physics)), None, torch.device("cpu"))


@pytest.mark.parametrize("physics", ["none", "residual"])
def test_attributions_sum_to_what_the_data_change(tmp_path: Path, row: dict[str, Any], physics: str) -> None:
    found = attribute(member(tmp_path / "m", physics), IDS[0], [row, {**row, "visit": 1, "flux": row["flux"] * 1.01}])
    assert found.time.shape == found.white.shape == (2, BINS)
    for name in ("depth", "sigma"):
        assert found.by_time[name].shape == (2, BINS)
        assert abs(found.total[name]) > 0
        assert found.by_channel[name].sum() == pytest.approx(found.total[name], rel=0.02)
        assert found.by_time[name].sum() == pytest.approx(found.by_channel[name].sum(), rel=1e-9)
        assert found.missed[name] == pytest.approx(found.total[name] - found.by_channel[name].sum(), abs=1e-9)
        assert found.by_channel[name][7] == 0.0
        assert list(found.by_reading[name]) == list(READINGS[: 1 if physics == "none" else 2])
        assert sum(found.by_reading[name].values()) == pytest.approx(found.by_channel[name].sum(), rel=1e-9)


@pytest.mark.parametrize("deaf", [0, 1])
def test_a_network_that_reads_the_data_one_way_only_gets_all_of_its_answer_from_there(
    tmp_path: Path, row: dict[str, Any], deaf: int
) -> None:
    model = member(tmp_path / "m", "residual")
    embeddings = model.model.ariel.embeddings
    with torch.no_grad():
        (embeddings.light_curve, embeddings.residual)[deaf].weight.zero_()
    found = attribute(model, IDS[0], [row])
    for name in ("depth", "sigma"):
        assert found.by_reading[name][READINGS[deaf]] == 0.0
        assert abs(found.total[name]) > 0
        assert found.by_reading[name][READINGS[1 - deaf]] == pytest.approx(found.total[name], rel=0.02)


# --- as they are shown ---------------------------------------------------------------------------------------------


@pytest.fixture
def study() -> Study:
    """Two planets, the first of which was cut at 0 in three channels."""
    wavelength = planets.wavelengths_um("2025")
    mu, sigma = np.full((2, CHANNELS), 1e-3), np.full((2, CHANNELS), 1e-5)
    mu[0, [40, 41, 90]] = 0.0
    return Study("d", "train", wavelength, np.array([3, 5]), np.ones(2, int), np.full((2, CHANNELS), np.nan),
                 np.full((2, 7), np.nan), {3: [], 5: []}, [Entry("a", "a", mu, sigma)])  # fmt: skip


def test_depths_that_were_cut_are_counted_and_marked(study: Study) -> None:
    table = shapes(study, broken_by(study, None)).data["penalties"]
    cells = dict(zip(table.head, table.rows[0], strict=True))
    assert cells["cut at 0"] == f"{3 / (2 * CHANNELS):.3g}"
    assert table.rows[0][table.head.index("cut at 0") + 1] == "1"
    one = np.zeros(CHANNELS)
    hours = np.arange(4.0)[None]
    given = Attribution(3, hours, hours, {"depth": hours}, {"depth": one}, {"depth": {"light curve": 1.5}},
                        {"depth": 1.5}, {"depth": 0.001})  # fmt: skip
    section = network.attributions(study, [Attributed(study.entries[0], [given])])
    assert section is not None
    figure = section.data["planets"][0]["figures"][-1]
    traces = figure.variants["depth"]["data"]
    crosses = [trace for trace in traces if "cut at 0, " in trace["hovertemplate"]]
    assert [trace["x"]["shape"] for trace in crosses] == [[3]]


@pytest.mark.parametrize("readings", [{"light curve": 1.5}, {"light curve": 2.0, "residual of the fit": -0.5}])
def test_the_caption_says_through_which_reading_the_answer_changed(study: Study, readings: dict[str, float]) -> None:
    hours = np.arange(4.0)[None]
    given = Attribution(3, hours, hours, {"depth": hours}, {"depth": np.zeros(CHANNELS)}, {"depth": readings},
                        {"depth": 1.502}, {"depth": 0.002})  # fmt: skip
    section = network.attributions(study, [Attributed(study.entries[0], [given])])
    assert section is not None
    figure = section.data["planets"][0]["figures"][0]
    assert "changes by 1.5 ppm" in figure.caption
    assert ("2 by the light curve, −0.5 by the residual of the fit" in figure.caption) == (len(readings) > 1)
    assert "misses 0.002" in figure.caption
