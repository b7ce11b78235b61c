"""What is usual for a telescope, learned from the fits of its visits."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from modeling.test_noise import MEAN, SCENE, VISITS, in_airs, in_fgs1, spoiled, spread

from modeling_ariel import FitSettings, Telescope, fit
from modeling_ariel.noise_prior import CELLS_OF_VISIT, KINDS, first_cell, sizes_of
from modeling_ariel.telescope import TelescopeError, VisitEvidence, without_prior

COMMON, PHOTOMETER = KINDS.index("common"), KINDS.index("photometer")


def learned(spoil) -> Telescope:  # type: ignore[no-untyped-def]
    return Telescope.learn(fit(spoiled(spoil), SCENE.wavelength).evidence)


def test_noise_that_most_visits_have_is_expected_of_the_next() -> None:
    quiet = Telescope.learn(fit(SCENE.batch(VISITS), SCENE.wavelength).evidence)
    common, own = learned(in_airs), learned(in_fgs1)
    absent = [[one.noise[kind].absent for one in (quiet, common, own)] for kind in (COMMON, PHOTOMETER)]
    assert absent[0][1] < 0.5 < absent[0][0]
    assert absent[0][2] > 0.8
    assert absent[1][2] < 0.3 < absent[1][0]
    sizes = np.array(common.noise[COMMON].sizes)
    median = 1.5 ** np.searchsorted(sizes.cumsum(), 0.5)
    assert 60 < median < 400  # 150 ppm are in it


def test_errors_are_better_where_the_telescope_is_known() -> None:
    batch, quiet = spoiled(in_airs), SCENE.batch(VISITS)
    known = FitSettings(telescope=learned(in_airs))
    before, after = fit(batch, SCENE.wavelength), fit(batch, SCENE.wavelength, known)
    assert spread(after, MEAN) < 1.5
    errors = [float(np.square((one.depth.numpy() - SCENE.depth) @ MEAN).mean()) for one in (before, after)]
    assert errors[1] < errors[0]
    still = FitSettings(telescope=Telescope.learn(fit(quiet, SCENE.wavelength).evidence))
    narrower = fit(quiet, SCENE.wavelength, still)
    assert float(narrower.white_depth_err.mean()) < float(fit(quiet, SCENE.wavelength).white_depth_err.mean())
    assert spread(narrower, MEAN) < 1.5


def test_nothing_and_little_leave_the_defaults() -> None:
    nothing, one = Telescope.learn([VisitEvidence()]), Telescope.learn(fit(SCENE.batch(1), SCENE.wavelength).evidence)
    start = Telescope()
    assert (nothing.clock_sigma, nothing.table_scale) == pytest.approx((0.03, 1.0))
    for found in (nothing, one):
        for kind, before in zip(found.noise, start.noise, strict=True):
            assert kind.absent == pytest.approx(before.absent, abs=0.12)
    assert one.clock_sigma == pytest.approx(start.clock_sigma, rel=0.2)


def test_clocks_and_star_tables_that_are_off_are_known_to_be() -> None:
    scene = replace(SCENE, noise=2e-4, b=0.45)
    apart = []
    for number in range(12):
        one = replace(scene, seed=number)
        batch, late = one.batch(1), replace(one, t0=one.t0 + 0.1 * (-1) ** number).batch(1)
        batch["flux"][..., 0] = late["flux"][..., 0]
        wrong = 0.45 + 0.15 * (-1) ** (number // 2)
        batch["i"] = torch.tensor([np.degrees(np.arccos(wrong / one.a))])
        apart += fit(batch, scene.wavelength).evidence
    found, good = Telescope.learn(apart), Telescope.learn(fit(scene.batch(12), scene.wavelength).evidence)
    assert 0.06 < found.clock_sigma < 0.12
    assert good.clock_sigma < 0.025
    assert found.table_scale > 1.5 > 0.8 > good.table_scale


def test_what_the_data_say_is_told_from_what_was_known_before() -> None:
    draw = torch.Generator().manual_seed(0)
    root = torch.randn(3, 3, generator=draw, dtype=torch.float64)
    alone, told = root @ root.T + 0.1 * torch.eye(3), torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    prior, sigma = torch.tensor([0.2, 0.0, 1.0], dtype=torch.float64), torch.tensor([0.5, 2.0, 1.0]).double()
    covariance = torch.linalg.inv(torch.linalg.inv(alone) + torch.diag(sigma**-2))
    mean = covariance @ (torch.linalg.solve(alone, told) + prior / sigma**2)
    torch.testing.assert_close(without_prior(mean, covariance, prior, sigma), (told, alone))


def test_sizes_of_noise_cover_what_a_visit_can_tell() -> None:
    for white_ppm in (5.0, 60.0, 3000.0):
        first = first_cell((white_ppm * 1e-6) ** 2)
        sizes = sizes_of(first, torch.zeros(1, dtype=torch.float64))
        assert sizes.shape == (1 + CELLS_OF_VISIT,)
        assert 0.05 < float(sizes[1]) / (white_ppm * 1e-6) < 0.25
        assert float(sizes[-1]) / (white_ppm * 1e-6) > 6
    assert first_cell(0.0) == 0


def test_a_telescope_is_saved_and_other_files_are_refused(tmp_path: Path) -> None:
    found = learned(in_airs)
    found.save(tmp_path / "telescope.json")
    assert Telescope.load(tmp_path / "telescope.json") == found
    good = found.to_dict()
    spoiled_ones = [
        good | change
        for change in ({"noise": []}, {"clock_sigma": 0}, {"clock_sigma": None}, {"table_scale": float("nan")})
    ]
    spoiled_ones += [good | {"noise": [good["noise"][0] | one] * 6} for one in ({"absent": 2}, {"drifts": [1.0]})]
    for text in (*map(json.dumps, spoiled_ones), "{}", "[1]", '{"noise": [{"absent": 1}], "clock_sigma": 1}'):
        (tmp_path / "other.json").write_text(text)
        with pytest.raises(TelescopeError, match=r"other\.json: expected a telescope"):
            Telescope.load(tmp_path / "other.json")
