"""Which pixels are decoded: all that a row needs, wherever the light is, with the row that all pixels give."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import detector_frames as frames
import numpy as np
import pytest

from hf_dataset.raw import layouts
from hf_dataset.raw.layouts import AIRS, FGS1
from hf_dataset.reduction import exposures, pixels
from hf_dataset.reduction.options import ReductionOptions
from hf_dataset.reduction.visit import reduce_visit
from hf_dataset.simulation import planets, raw_folder

OPTIONS = ReductionOptions(n_bins=25)
PLACES = {"centred": (0, 0, 0), "towards a corner": (-6, 7, 6), "at an edge": (9, 0, -9)}


@pytest.fixture(scope="module")
def visits(tmp_path_factory: pytest.TempPathFactory) -> dict[str, layouts.RawVisit]:
    """A constant star with noise, moved by whole pixels to each place."""
    return {place: star_visit(tmp_path_factory.mktemp("star"), *moved) for place, moved in PLACES.items()}


def star_visit(root: Path, airs_rows: int, fgs1_rows: int, fgs1_columns: int) -> layouts.RawVisit:
    rng = np.random.default_rng(3)
    airs, fgs1 = frames.star_light(100, 100)
    airs, fgs1 = np.roll(airs, airs_rows, axis=1), np.roll(fgs1, (fgs1_rows, fgs1_columns), axis=(1, 2))
    frames.write_tables(root, "2025", [7], 200, 200)
    frames.write_planet(
        root, "2025", 7, frames.read_pairs(rng.poisson(airs), rng), frames.read_pairs(rng.poisson(fgs1), rng)
    )
    return layouts.open_folder(root).visit("train", 7, 0)


def box_depths(row: dict) -> tuple[np.ndarray, np.ndarray]:
    """(channel,) depth of a box over the middle third under a cubic baseline, and its error."""
    t = np.linspace(-1, 1, len(row["flux"]))
    design = np.stack([np.ones_like(t), t, t**2, t**3, -1.0 * (np.abs(t) < 1 / 3)], axis=1)
    inverse = np.linalg.pinv(design)
    base, *_, box = inverse @ row["flux"].astype(np.float64)
    return box / base, np.sqrt(inverse[4] ** 2 @ row["flux_err"].astype(np.float64) ** 2) / base


def largest_change(visit: layouts.RawVisit, options: ReductionOptions, other: ReductionOptions) -> float:
    """Largest difference of a channel's depth between two reductions, in units of its error.

    Of a box of any depth the constant star has: what scales with the depth is measured for one of 2 %.
    """
    rows = [reduce_visit(visit, each)[0] for each in (options, other)]
    (depth, error), (reference, _) = (box_depths(row) for row in rows)
    scale = rows[0]["flux"].mean(axis=0, dtype=float) / rows[1]["flux"].mean(axis=0, dtype=float) - 1
    return float((np.maximum(np.abs(depth - reference), np.abs(scale) * 0.02) / error).max())


@pytest.mark.parametrize("place", PLACES)
def test_a_row_hardly_depends_on_the_pixels_left_out_wherever_the_star_is(
    place: str, visits: dict[str, layouts.RawVisit]
) -> None:
    assert largest_change(visits[place], OPTIONS, replace(OPTIONS, pixels="all")) < 0.01


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "changes", [{}, {"airs_half_width": 2.0, "fgs1_radius": 3.0}, {"airs_half_width": 8.0}], ids=str
)
def test_every_pixel_of_the_apertures_is_read_wherever_the_star_is(
    place: str, changes: dict, visits: dict[str, layouts.RawVisit]
) -> None:
    visit, options = visits[place], replace(OPTIONS, **changes)
    down, below, right = PLACES[place]
    airs, fgs1 = (exposures.calibrate_visit(visit, name, options) for name in (AIRS, FGS1))
    rows, columns = np.indices((32, 32))
    assert airs.read[np.abs(np.arange(32) - 15.6 - down) < options.airs_half_width + 0.5].all()
    assert fgs1.read[np.hypot(rows - 15.4 - below, columns - 15.8 - right) < options.fgs1_radius + 0.5].all()
    assert airs.read.mean() < 0.85
    assert fgs1.read.mean() < 0.85
    assert not airs.cube[:, ~airs.read].any()


def test_pixels_that_a_dead_one_is_filled_from_are_read_too() -> None:
    mean = frames.star_light(1, 1)[1][0]
    bad = np.zeros(mean.shape, bool)
    rows, columns = np.indices(mean.shape)
    near = np.hypot(rows - 15.4, columns - 15.8) < OPTIONS.fgs1_radius + 1
    edge = int(np.flatnonzero(near[15])[-1])
    bad[15, edge - 1 : edge + 1] = True
    wanted = pixels.wanted(FGS1, mean, np.ones(mean.shape, bool), bad, replace(OPTIONS, fgs1_annulus=(12.0, 16.0)))
    assert wanted.light[15, edge]
    assert wanted.read[15, edge + 1]
    assert not wanted.light[15, edge + 1]


def test_a_detector_without_light_is_read_whole() -> None:
    none, whole = np.zeros((32, 32), bool), np.ones((32, 32), bool)
    for name in (AIRS, FGS1):
        assert pixels.wanted(name, np.full((32, 32), -1.0), whole, none, OPTIONS).read.all()


def test_any_number_of_threads_gives_the_same_bytes(
    visits: dict[str, layouts.RawVisit], monkeypatch: pytest.MonkeyPatch
) -> None:
    visit = visits["centred"]
    monkeypatch.setattr(exposures, "BLOCK_SAMPLES", 2000)  # hundreds of blocks
    one, many = reduce_visit(visit, OPTIONS)[0], reduce_visit(visit, OPTIONS, threads=3)[0]
    for name in one:
        assert np.asarray(one[name]).tobytes() == np.asarray(many[name]).tobytes(), name


def test_single_precision_and_the_pixels_left_out_move_no_depth_of_a_small_simulated_planet(tmp_path: Path) -> None:
    moves_no_depth(tmp_path, 750)


@pytest.mark.slow  # simulates a full-size planet
def test_single_precision_and_the_pixels_left_out_move_no_depth_of_a_full_planet(tmp_path: Path) -> None:
    moves_no_depth(tmp_path, 11_250)


def moves_no_depth(root: Path, n_frames: int) -> None:
    """Neither moves a depth by 1 % of its error, one of 2 % included."""
    raw_folder.write_folder(root, planets.sample_planets(1, 0, "2025"), "2025", n_frames, seed=2)
    folder = layouts.open_folder(root)
    visit = folder.visit("train", folder.planets("train")[0], 0)
    double = ReductionOptions(dtype="float64")
    assert largest_change(visit, ReductionOptions(), double) < 0.01
    assert largest_change(visit, double, replace(double, pixels="all")) < 0.01
