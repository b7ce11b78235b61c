"""Raw simulated folders: the challenge's exact formats, the detector's physics, and agreement with the fast path."""

import csv
import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from hf_dataset.raw import layouts
from hf_dataset.reduction.options import ReductionOptions
from hf_dataset.reduction.visit import reduce_visit
from hf_dataset.simulation import detector, light_curves, planets, raw_folder, statistics, telescope

FRAMES = 60


@pytest.fixture(scope="module", params=["2024", "2025"])
def folder(request, tmp_path_factory):
    """A small raw folder of each layout: (path, layout, planets)."""
    root = tmp_path_factory.mktemp(f"raw{request.param}")
    sample = planets.sample_planets(3, 1, request.param)
    visits = 2 if request.param == "2025" else 1
    raw_folder.write_folder(root, sample[:2], request.param, FRAMES, seed=2, visits=visits, test_planets=sample[2:])
    return root, request.param, sample


def parquet_form(path):
    """What a Parquet file looks like to a reader, apart from its values."""
    file = pq.ParquetFile(path)
    meta = file.metadata
    return {
        "names": file.schema_arrow.names,
        "types": {str(t) for t in file.schema_arrow.types},
        "row groups": meta.num_row_groups,
        "rows": meta.num_rows,
        "compression": meta.row_group(0).column(0).compression,
    }


def test_the_reader_finds_every_planet_visit_and_truth(folder):
    root, layout, sample = folder
    opened = layouts.open_folder(root)
    assert opened.layout == layout
    assert opened.simulated
    assert opened.planets("train") == sorted(p.planet_id for p in sample[:2])
    assert {opened.origin("train", p.planet_id) for p in sample[:2]} == {"simulated"}
    assert opened.origin("train", sample[2].planet_id) == layout  # not where the simulator put it
    assert opened.planets("test") == [sample[2].planet_id]
    assert opened.visits("train", sample[0].planet_id) == ([0, 1] if layout == "2025" else [0])
    np.testing.assert_allclose(opened.wavelengths, planets.wavelengths_um(layout), atol=1e-12)
    np.testing.assert_allclose(opened.truth("train", sample[0].planet_id), sample[0].spectrum, rtol=1e-8)
    assert opened.truth("test", sample[2].planet_id) is None


def test_calibration_files_have_the_real_files_form(folder, real):
    root, layout, sample = folder
    suffix = "_0" if layout == "2025" else ""
    for name in detector.SHAPES:
        theirs = real / "challenge_2025" / "train" / "342072318" / f"{name}_calibration_0"
        ours = root / "train" / str(sample[0].planet_id) / f"{name}_calibration{suffix}"
        assert sorted(p.name for p in ours.iterdir()) == sorted(p.name for p in theirs.iterdir())
        for path in theirs.iterdir():
            assert parquet_form(ours / path.name) == parquet_form(path), path.name


def test_signals_are_one_column_a_pixel_in_one_row_group(folder):
    root, layout, sample = folder
    suffix = "_0" if layout == "2025" else ""
    for name, pixels, frames in (("AIRS-CH0", 32 * 356, FRAMES), ("FGS1", 32 * 32, 12 * FRAMES)):
        form = parquet_form(root / "train" / str(sample[0].planet_id) / f"{name}_signal{suffix}.parquet")
        assert form["names"] == [f"column_{i}" for i in range(pixels)]
        assert form["types"] == {"uint16"}
        assert (form["rows"], form["row groups"]) == (frames, 1)


def test_tables_have_the_real_tables_columns(folder, real):
    root, layout, _ = folder
    challenge = real / f"challenge_{layout}"
    tables = [path.name for path in challenge.glob("*.csv")]
    assert len(tables) >= 5
    for name in tables:
        with (root / name).open() as ours, (challenge / name).open() as theirs:
            assert next(csv.reader(ours)) == next(csv.reader(theirs)), name


def test_axes_of_a_full_visit_are_the_real_ones(real, tmp_path):
    raw_folder.write_axis_info(tmp_path / "axis_info.parquet", raw_folder.Cadence(11_250))
    for layout in ("2024", "2025"):
        theirs = pq.read_table(real / f"challenge_{layout}" / "axis_info.parquet")
        ours = pq.read_table(tmp_path / "axis_info.parquet")
        assert ours.schema.names == theirs.schema.names
        assert ours.schema.types == theirs.schema.types
        for name in ours.schema.names:
            np.testing.assert_allclose(ours[name].to_numpy(), theirs[name].to_numpy(), rtol=0, atol=1e-12)


def test_reduced_frames_span_the_same_hours():
    full, few = raw_folder.Cadence(11_250), raw_folder.Cadence(300)
    for name in detector.SHAPES:
        assert few.frame_times(name)[0] == full.frame_times(name)[0]
        assert few.exposure_times(name)[-1] == pytest.approx(7.5, abs=7.5 / 140)
    assert few.exposures("FGS1") == 12 * few.exposures("AIRS-CH0")


@pytest.mark.parametrize("frames", [2, 61, 11_252])
def test_frame_numbers_that_cannot_be_are_refused(frames):
    with pytest.raises(ValueError, match="even number"):
        raw_folder.Cadence(frames)


def test_planets_of_another_layout_are_refused(tmp_path):
    with pytest.raises(ValueError, match="expected layout 2025"):
        raw_folder.write_folder(tmp_path, planets.sample_planets(1, 0, "2024"), "2025", FRAMES)


def test_frames_depend_on_seed_planet_and_visit_alone(folder, tmp_path):
    root, layout, sample = folder
    raw_folder.write_folder(tmp_path, sample[1:2], layout, FRAMES, seed=2)
    for path in (tmp_path / "train").rglob("*.parquet"):
        assert path.read_bytes() == (root / path.relative_to(tmp_path)).read_bytes(), path.name


def test_a_stopped_run_goes_on_and_ends_the_same(tmp_path, monkeypatch):
    sample = planets.sample_planets(2, 1, "2025")
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    raw_folder.write_folder(whole, sample, "2025", 8, seed=1)

    def interrupt(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        raw_folder.write_folder(stopped, sample, "2025", 8, seed=1, progress=interrupt)
    assert not (stopped / "simulation.json").exists()
    written = {path: path.stat().st_mtime_ns for path in stopped.rglob("*_signal_0.parquet")}
    raw_folder.write_folder(stopped, sample, "2025", 8, seed=1)
    assert all(path.stat().st_mtime_ns == when for path, when in written.items())
    files = {path.relative_to(whole): path.read_bytes() for path in whole.rglob("*") if path.is_file()}
    assert files == {path.relative_to(stopped): path.read_bytes() for path in stopped.rglob("*") if path.is_file()}


def test_a_folder_made_otherwise_is_refused(tmp_path):
    sample = planets.sample_planets(1, 1, "2025")
    raw_folder.write_folder(tmp_path / "a", sample, "2025", 8, seed=1)
    with pytest.raises(ValueError, match="another's"):
        raw_folder.write_folder(tmp_path / "a", sample, "2025", 8, seed=2)
    (tmp_path / "b" / "train").mkdir(parents=True)
    with pytest.raises(ValueError, match="did not write"):
        raw_folder.write_folder(tmp_path / "b", sample, "2025", 8, seed=2)


def test_truth_and_provenance_lie_beside_the_folder(folder):
    root, layout, sample = folder
    record = json.loads((root / "simulation.json").read_text())
    assert (record["layout"], record["seed"], record["n_airs_frames"]) == (layout, 2, FRAMES)
    truth = pq.read_table(root / record["truth"]).to_pylist()
    row = next(r for r in truth if r["planet_id"] == sample[2].planet_id)
    assert row["split"] == "test"
    np.testing.assert_array_equal(row["spectrum"], sample[2].spectrum)


# --- the detector --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def maps():
    return detector.draw_detector(np.random.default_rng(0), (32, 356), detector.DetectorSettings())


def test_the_stored_polynomial_inverts_the_non_linearity(maps):
    linear = maps.linear_corr.reshape(6, -1).astype(float)
    true = np.geomspace(1, 6e4, 40)[:, None] * np.ones(linear.shape[1])
    reported = detector.delinearise(true.copy(), linear, np.ones(linear.shape[1], dtype=bool))
    recovered = sum(linear[k] * reported**k for k in range(6))
    np.testing.assert_allclose(recovered, true, rtol=2e-5, atol=1e-3)
    assert np.median(reported[-1] / true[-1]) == pytest.approx(0.97, abs=0.01)  # 3 % at 60,000 e-


def test_maps_have_the_real_maps_distributions(maps, real):
    calibration = real / "challenge_2025" / "train" / "342072318" / "AIRS-CH0_calibration_0"
    for name, quantiles in (("dark", (0.05, 0.5, 0.95)), ("flat", (0.05, 0.5, 0.95)), ("read", (0.05, 0.5, 0.95))):
        table = pq.read_table(calibration / f"{name}.parquet")
        theirs = np.quantile(np.stack([c.to_numpy() for c in table.columns], axis=1), quantiles)
        ours = np.quantile(getattr(maps, name), quantiles)
        np.testing.assert_allclose(ours, theirs, rtol=0.12, err_msg=name)
    assert 0.0005 < maps.dead.mean() < 0.003


def test_the_converter_is_undone_within_one_count():
    electrons = np.array([-20.0, 0.0, 123.4, 50_000.0])
    for gain, offset in ((0.4369, -1000.0), (1.5, -850.0)):
        counts = detector.encode(electrons, gain, offset)
        assert counts.dtype == np.uint16
        error = electrons - (counts / gain + offset)
        assert np.all((error >= -1e-9) & (error < 1 / gain)) or counts.max() == 65535


def test_images_are_the_real_planets(real):
    """The mean of the 25 real exposures of planet 342072318, against the scene of its star."""
    settings, shapes = detector.DetectorSettings(), detector.SHAPES
    scenes = {
        "AIRS-CH0": detector.airs_scene(telescope.airs_column_flux(4797.6, 1.0), settings),
        "FGS1": detector.fgs1_scene(telescope.fgs1_flux(4797.6, 1.0), settings),
    }
    for name, tolerance in (("AIRS-CH0", 0.1), ("FGS1", 0.2)):
        path = real / "challenge_2025" / "train" / "342072318" / f"{name}_signal_0.parquet"
        counts = pq.read_table(path).column(0).to_numpy().astype(float).reshape(50, *shapes[name])
        frames = counts / 0.4369 - 1000
        theirs = (frames[1::2] - frames[::2]).mean(axis=0)
        ours = scenes[name].basis[0].reshape(shapes[name]) + scenes[name].foreground
        assert ours.sum() == pytest.approx(theirs.sum(), rel=0.04)
        assert np.abs(ours - theirs).sum() / theirs.sum() < tolerance


def test_a_pair_shares_its_charge_and_dead_pixels_see_nothing(maps):
    settings = detector.DetectorSettings(hit_rate=0)
    scene = detector.airs_scene(telescope.airs_column_flux(5000.0, 1.0), settings)
    n = 400
    frames = np.concatenate(
        list(
            detector.read_out(
                np.random.default_rng(1), scene, maps, np.ones((n, 356)), np.zeros((n, 2)), (0.4369, -1000.0), settings
            )
        )
    )
    electrons = frames / 0.4369 - 1000
    start, end = electrons[::2], electrons[1::2]
    cds, light = end - start, scene.light(np.ones((1, 356)), np.zeros(1), np.zeros(1), maps.true_flat)[0]
    dim = (light > 20) & (light < 1000)  # where non-linearity hardly matters
    np.testing.assert_allclose(cds.mean(axis=0)[dim].mean(), light[dim].mean(), rtol=0.01)
    expected = light + 2 * maps.read.ravel() ** 2 + 1 / 0.4369**2 / 6
    np.testing.assert_allclose(np.median(cds.var(axis=0)[dim] / expected[dim]), 1, atol=0.03)
    dead = maps.dead.ravel()
    np.testing.assert_allclose(cds[:, dead].mean(), 0, atol=1.0)


# --- slow against fast ---------------------------------------------------------------------------------------------


def test_reduced_raw_frames_are_statistically_the_fast_light_curves(tmp_path):
    """Level, noise per channel, drift and depth, on three planets of 1,000 frames."""
    sample, n_bins = planets.sample_planets(3, 11, "2025"), 125
    raw_folder.write_folder(tmp_path, sample, "2025", 1000, seed=4)
    folder = layouts.open_folder(tmp_path)
    truths = {row["planet_id"]: row for row in pq.read_table(tmp_path / "simulation_truth.parquet").to_pylist()}
    settings = light_curves.LightCurveSettings(noise=light_curves.NoiseModel(airs_exposures=500))
    noise_ratio, fgs1_ratio = [], []
    for planet in sample:
        row, _ = reduce_visit(folder.visit("train", planet.planet_id, 0), ReductionOptions(n_bins=n_bins))
        quick, truth = light_curves.simulate_with_truth(planet, 0, n_bins, seed=4, settings=settings)
        level = np.median(row["flux"], axis=0) / np.median(quick["flux"], axis=0)
        assert np.median(level) == pytest.approx(1, abs=0.005)
        assert np.all(np.abs(level[1:] - 1) < 0.03)
        assert level[0] == pytest.approx(1, abs=0.1)  # some of the arms is taken for foreground
        assert np.median(row["flux_err"] / quick["flux_err"]) == pytest.approx(1, abs=0.03)
        ratio = statistics.scatter(row["flux"].astype(float)) / statistics.scatter(quick["flux"].astype(float))
        noise_ratio.append(np.median(ratio[1:]))
        fgs1_ratio.append(ratio[0])
        for flux, drift in ((row["flux"], truths[planet.planet_id]["airs_p"]), (quick["flux"], truth.drift_law.airs_p)):
            depth_scale, error, slope, slope_error = white_fit(flux[:, 1:].astype(float), truth)
            assert abs(depth_scale - 1) < 4 * error + 2e-3, "depth"
            assert abs(slope / 1.2 - drift[0]) < 4 * slope_error + 0.35 * abs(drift[0]) + 5e-5, "drift"
    assert np.mean(noise_ratio) == pytest.approx(1, abs=0.04)
    assert np.median(fgs1_ratio) == pytest.approx(1, abs=0.3)  # from 1 to 1.5, by where the dead pixels lie


def white_fit(flux, truth):
    """Depth over the true depth and the linear drift of a white curve, with their errors."""
    white = flux.sum(axis=1)
    white /= np.median(white)
    level = truth.star_flux[1:]
    shape = (truth.transit[:, 1:] * level).sum(axis=1) / level.sum()
    design = np.stack([*np.polynomial.legendre.legvander(np.linspace(-1, 1, white.size), 3).T, shape - 1], axis=1)
    solution, *_ = np.linalg.lstsq(design, white, rcond=None)
    residual = white - design @ solution
    errors = np.sqrt(np.diag(np.linalg.inv(design.T @ design))) * residual.std()
    return solution[4] / solution[0], errors[4], solution[1] / solution[0], errors[1]
