"""Light curves as people have them become the model's tensors; what is wrong with them: modeling/test_visits.py."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from small_visits import BINS, CHANNELS, WAVELENGTH, visit
from tolerances import assert_close

from hf_dataset import schema
from hf_dataset.simulation.light_curves import simulate_row
from hf_dataset.simulation.planets import sample_planets
from hf_dataset.simulation.telescope import wavelengths_um
from modeling_ariel.arrays import FeatureError
from modeling_ariel.columns import STAR_COLUMNS
from modeling_ariel.feature_extraction_ariel import ArielFeatureExtractor, ariel_wavelength


@pytest.fixture(scope="module")
def extractor() -> ArielFeatureExtractor:
    return ArielFeatureExtractor(wavelength=WAVELENGTH)


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    """Four simulated visits of the dataset's schema: two planets with two each."""
    return [simulate_row(planet, number, n_bins=30) for planet in sample_planets(2, seed=3) for number in range(2)]


def assert_same(found: Any, expected: Any) -> None:
    assert found.keys() == expected.keys()
    for name in expected:
        np.testing.assert_array_equal(np.asarray(found[name]), np.asarray(expected[name]), err_msg=name)


# what comes out


def test_rows_become_the_tensors_that_the_model_takes(rows: list[dict[str, Any]]) -> None:
    batch = ArielFeatureExtractor()(rows)
    expected = {
        "time": ((4, 30), torch.float32),
        "flux": ((4, 30, 283), torch.float32),
        "flux_err": ((4, 30, 283), torch.float32),
        "valid": ((4, 30, 283), torch.bool),
        "light_curve": ((4, 30, 283), torch.float32),
        "centroid": ((4, 30, 4), torch.float32),
        "star": ((4, 8), torch.float32),
        "star_features": ((4, 16), torch.float32),
        "planet": ((4,), torch.int64),
        "labels": ((2, 283), torch.float32),
    }
    assert {name: (tuple(value.shape), value.dtype) for name, value in batch.items()} == expected
    assert set(ArielFeatureExtractor.model_input_names) == set(batch) - {"labels"}
    assert batch["planet"].tolist() == [0, 0, 1, 1]
    np.testing.assert_array_equal(batch["labels"], np.stack([rows[0]["spectrum"], rows[2]["spectrum"]]))


def test_light_curves_are_deviations_from_the_median_in_units_of_their_errors(
    extractor: ArielFeatureExtractor,
) -> None:
    row = visit()
    expected = np.empty((BINS, CHANNELS))
    for channel in range(CHANNELS):  # relative flux over relative error, as it is defined
        level = np.median(row["flux"][:, channel])
        expected[:, channel] = (row["flux"][:, channel] / level - 1.0) / (row["flux_err"][:, channel] / level)
    assert_close(extractor(row)["light_curve"][0].numpy(), expected)


def test_the_level_is_the_median_of_valid_bins_alone(extractor: ArielFeatureExtractor) -> None:
    row = visit()
    row["valid"][::3, 1] = False
    expected = extractor(row, return_tensors="np")["light_curve"][0]
    row["flux"][::3, 1] = 1e9
    batch = extractor(row, return_tensors="np")
    np.testing.assert_array_equal(batch["light_curve"][0], expected)
    assert not batch["light_curve"][0, ::3, 1].any()
    good = row["flux"][row["valid"][:, 1], 1]
    assert_close(batch["light_curve"][0, 1, 1], (row["flux"][1, 1] - np.median(good)) / row["flux_err"][1, 1])


def test_light_curves_do_not_depend_on_the_unit_of_flux(extractor: ArielFeatureExtractor) -> None:
    row, tiny = visit(), visit()
    for field in ("flux", "flux_err"):
        tiny[field] = 1e-17 * row[field]
    np.testing.assert_allclose(extractor(tiny)["light_curve"], extractor(row)["light_curve"], rtol=1e-5, atol=1e-4)


def test_normalisation_keeps_float64_where_the_flux_has_it(extractor: ArielFeatureExtractor) -> None:
    row = visit()
    deviation = 1e-9 * np.arange(BINS)[:, None] * np.ones(CHANNELS)
    row |= {"flux": 1.0 + deviation, "flux_err": np.full((BINS, CHANNELS), 1e-9)}
    np.testing.assert_allclose(extractor(row)["light_curve"][0, :, 0], np.arange(BINS) - 19.5, rtol=1e-5)


def test_light_curves_are_clipped_as_the_statistics_say() -> None:
    row = visit()
    row["flux"][5, 2] *= 10.0
    for clip in (4.0, 300.0):
        curve = ArielFeatureExtractor(wavelength=WAVELENGTH, clip=clip)(row)["light_curve"]
        assert float(curve.abs().max()) == clip


def test_nan_flux_and_errors_that_are_not_positive_are_invalid(extractor: ArielFeatureExtractor) -> None:
    row = visit()
    row["flux"][3, 1], row["flux_err"][4, 2], row["flux_err"][5, 3], row["flux_err"][6, 4] = np.nan, 0.0, -1.0, np.nan
    batch = extractor(row)
    assert batch["valid"].logical_not().nonzero().tolist() == [[0, 3, 1], [0, 4, 2], [0, 5, 3], [0, 6, 4]]
    assert all(torch.isfinite(batch[name]).all() for name in ("flux", "flux_err", "light_curve"))
    assert (batch["flux_err"] > 0).all()
    assert not batch["light_curve"][~batch["valid"]].any()


def test_what_is_masked_may_be_anything(extractor: ArielFeatureExtractor) -> None:
    row = visit()
    row["valid"][2] = False
    row["flux"][2], row["flux_err"][2, :3], row["flux_err"][2, 3:] = np.inf, np.nan, np.inf
    batch = extractor(row)
    assert not batch["valid"][0, 2].any()
    assert all(torch.isfinite(batch[name]).all() for name in ("flux", "flux_err", "light_curve"))


def test_dead_channels_are_invalid(extractor: ArielFeatureExtractor) -> None:
    row = visit()
    row["flux"][:, 3] -= np.median(row["flux"][:, 3]) + 1.0
    batch = extractor(row)
    assert batch["valid"].all(1)[0].tolist() == [channel != 3 for channel in range(CHANNELS)]


def test_shorter_visits_are_padded_at_the_end_with_invalid_bins(extractor: ArielFeatureExtractor) -> None:
    long, short = visit(1, bins=BINS), visit(2, bins=25)
    batch, alone = extractor([long, short]), extractor(short)
    assert batch["valid"][1].any(-1).tolist() == [True] * 25 + [False] * (BINS - 25)
    for name in ("time", "flux", "flux_err", "light_curve", "centroid"):
        assert torch.equal(batch[name][1, :25], alone[name][0]), name
        assert torch.isfinite(batch[name]).all()
    np.testing.assert_allclose(batch["time"][1].diff(), 7.5 / 25, rtol=1e-5)
    assert_same({name: value[:1] for name, value in batch.items()}, extractor(long))


def test_a_visit_does_not_depend_on_its_company(extractor: ArielFeatureExtractor) -> None:
    visits = [visit(planet, seed=5) for planet in range(3)]
    batch = extractor(visits)
    for place, row in enumerate(visits):
        alone = extractor(row)
        for name in ("time", "flux", "flux_err", "valid", "light_curve", "centroid", "star_features"):
            assert torch.equal(batch[name][place], alone[name][0]), name


def test_visits_of_a_planet_share_its_index_in_order_of_first_appearance(extractor: ArielFeatureExtractor) -> None:
    ids = [9, 4, 9, 7, 4]
    rows = [visit(planet_id, seed=place, visit=place) for place, planet_id in enumerate(ids)]
    assert extractor(rows)["planet"].tolist() == [0, 1, 0, 2, 1]
    unnamed = [{name: value for name, value in visit(1).items() if name != "planet_id"} for _ in range(3)]
    assert extractor(unnamed)["planet"].tolist() == [0, 1, 2]
    layouts = [visit(1, layout="2025"), visit(1, layout="simulated"), visit(1, seed=1, layout="2025", visit=1)]
    assert extractor(layouts)["planet"].tolist() == [0, 1, 0]


def test_labels_are_there_only_if_every_planet_has_a_spectrum(extractor: ArielFeatureExtractor) -> None:
    assert extractor([visit(1), visit(2), visit(1, seed=1, visit=1, spectrum=None)])["labels"].shape == (2, CHANNELS)
    for missing in (None, [], np.full(CHANNELS, np.nan)):
        assert "labels" not in extractor([visit(1), visit(2, spectrum=missing)])
    with pytest.raises(
        FeatureError, match="planet 1 visit 1: spectrum: expected that of planet 1 visit 0, found another"
    ):
        extractor([visit(1), visit(1, seed=1, visit=1, spectrum=np.full(CHANNELS, 0.02))])


def test_star_tables_are_scaled_and_flagged(extractor: ArielFeatureExtractor) -> None:
    star = {"Rs": 1.5, "Ts": 6305.0, "i": np.nan}
    batch = extractor(visit(**star))
    place = {name: STAR_COLUMNS.index(name) for name in STAR_COLUMNS}
    features, known = batch["star_features"][0, :8], batch["star_features"][0, 8:]
    assert {name for name in STAR_COLUMNS if known[place[name]]} == {"Rs", "Ts"}
    assert float(features[place["Rs"]]) == pytest.approx((np.log(1.5) - 0.178) / 0.289, rel=1e-6)
    assert float(features[place["Ts"]]) == pytest.approx(1.0, rel=1e-6)
    assert not features[known == 0].any()
    assert batch["star"][0, place["Rs"]] == 1.5
    assert torch.isnan(batch["star"][0]).tolist() == (known == 0).tolist()


def test_simulated_stars_and_centroids_have_unit_scale() -> None:
    planets = sample_planets(300, seed=11)
    extractor = ArielFeatureExtractor()
    table = np.array([[getattr(planet, name) for name in STAR_COLUMNS] for planet in planets])
    features = extractor._star_features(table)[:, :8]
    spread = np.delete(features, STAR_COLUMNS.index("e"), axis=1)
    np.testing.assert_allclose(spread.std(0), 1.0, atol=0.2)
    np.testing.assert_allclose(np.median(spread, axis=0), 0.0, atol=0.2)
    centroid = extractor([simulate_row(planet) for planet in planets[:3]])["centroid"]
    np.testing.assert_allclose(centroid.std(dim=(0, 1)), 1.0, atol=0.1)


def test_centroids_are_counted_from_their_medians_and_are_zero_where_unknown(
    extractor: ArielFeatureExtractor,
) -> None:
    row = visit()
    expected = extractor(row)["centroid"]
    row["centroid"] = row["centroid"] + 15.5  # px on the detector
    np.testing.assert_allclose(extractor(row)["centroid"], expected, atol=1e-4)
    row["centroid"][4] = np.nan
    batch = extractor([row, visit(8, centroid=None), visit(9, centroid=np.full((BINS, 4), np.nan))])
    assert not batch["centroid"][0, 4].any()
    assert not batch["centroid"][1:].any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_cast_changes_what_the_network_takes_alone(extractor: ArielFeatureExtractor, dtype: torch.dtype) -> None:
    exact = extractor(visit())
    cast = extractor(visit()).to("cpu", dtype)
    network = {"light_curve", "centroid", "star_features"}
    assert {name for name, value in cast.items() if value.dtype == dtype} == network
    assert_same({name: cast[name] for name in cast.keys() - network}, {n: exact[n] for n in exact.keys() - network})
    assert extractor(visit()).to("meta")["flux"].device.type == "meta"
    assert_same(extractor(visit(), return_tensors="np").to("cpu", dtype), extractor(visit(), return_tensors="np"))


# what goes in


@pytest.mark.parametrize("kind", ["python", "numpy", "torch"])
def test_every_format_of_the_datasets_library_gives_the_same_tensors(rows: list[dict[str, Any]], kind: str) -> None:
    extractor = ArielFeatureExtractor()
    rows = [*rows[:3], rows[3] | {"planet_id": 99, "spectrum": None}]
    expected = extractor(rows)
    dataset = datasets.Dataset.from_list(rows, features=schema.features(30)).with_format(
        None if kind == "python" else kind
    )
    assert "labels" not in expected
    assert_same(extractor(dataset), expected)
    assert_same(extractor(dataset[:4]), expected)
    assert_same(extractor([dataset[i] for i in range(4)]), expected)
    assert_same(extractor(dataset[0]), extractor(rows[0]))


def test_streamed_rows_can_be_given_as_they_come(extractor: ArielFeatureExtractor) -> None:
    visits = [visit(planet) for planet in range(3)]
    assert_same(extractor(row for row in visits), extractor(visits))


def test_arrays_stacks_and_lists_of_arrays_are_light_curves_too(extractor: ArielFeatureExtractor) -> None:
    visits = [visit(1), visit(2)]
    expected = extractor(visits)
    fields = ("time", "flux", "flux_err", "valid", "centroid", "spectrum")
    stacked = {name: np.stack([row[name] for row in visits]) for name in fields}
    assert_same(extractor(**stacked), expected)
    assert_same(extractor(**{name: torch.as_tensor(value) for name, value in stacked.items()}), expected)
    assert_same(extractor(**{name: [row[name] for row in visits] for name in fields}), expected)
    assert_same(extractor(**{name: visits[0][name] for name in fields}), extractor(visits[0]))
    ragged = [visit(1, bins=30), visit(2)]
    found = extractor(**{name: [row[name] for row in ragged] for name in fields}, planet_id=[5, 5])
    assert found["planet"].tolist() == [0, 0]
    assert_same({name: found[name] for name in fields[:4]}, {name: extractor(ragged)[name] for name in fields[:4]})


def test_star_tables_may_be_mappings_or_eight_numbers(extractor: ArielFeatureExtractor) -> None:
    table = {"Rs": 1.1, "Ms": 1.0, "Ts": 5800.0, "Mp": 0.9, "e": 0.01, "P": 4.0, "sma": 9.0, "i": 88.0}
    arrays = {name: visit()[name] for name in ("time", "flux", "flux_err")}
    expected = extractor(visit(**table))["star_features"]
    assert torch.equal(extractor(**arrays, star=table)["star_features"], expected)
    assert torch.equal(extractor(**arrays, star=list(table.values()))["star_features"], expected)
    assert torch.equal(extractor(visit(star=table))["star_features"], expected)
    pair = {name: [value, value] for name, value in arrays.items()}
    assert torch.equal(extractor(**pair, star=table)["star_features"], expected.expand(2, -1))
    eight = np.tile(list(table.values()), (2, 1))
    assert torch.equal(extractor(**pair, star=eight)["star_features"], expected.expand(2, -1))
    with pytest.raises(FeatureError, match="remove_unused_columns=False"):
        extractor(visit(star=1))  # the dataset's index of a 2024 star is no table: a Trainer has dropped that


def test_channels_are_put_where_their_wavelengths_are(
    extractor: ArielFeatureExtractor, caplog: pytest.LogCaptureFixture
) -> None:
    row = visit()
    expected = extractor(row)
    order = [5, 0, 2]  # three of eight, in another order, a little off, and one that AIRS-CH0 has not
    own = {"time": row["time"], "wavelength": np.array([3.2016, 0.705, 2.2990, 5.0])}
    for field in ("flux", "flux_err"):
        own[field] = np.concatenate([row[field][:, order], row[field][:, :1]], 1)
    batch = extractor(own)
    assert "1 of 4 channels left out" in caplog.text
    for channel in range(CHANNELS):
        if channel in order:
            assert torch.equal(batch["light_curve"][..., channel], expected["light_curve"][..., channel])
            assert batch["valid"][..., channel].all()
        else:
            assert not batch["valid"][..., channel].any()
            assert not batch["light_curve"][..., channel].any()
    assert_same(extractor(**own), batch)
    assert_same(extractor({k: v for k, v in own.items() if k != "wavelength"}, wavelength=own["wavelength"]), batch)


def test_labels_follow_their_wavelengths_and_are_unknown_elsewhere(extractor: ArielFeatureExtractor) -> None:
    row = visit(wavelength=[3.2, 2.0], spectrum=[0.012, 0.011])
    for field in ("flux", "flux_err", "valid"):
        row[field] = row[field][:, :2]
    labels = extractor(row)["labels"][0]
    assert labels[[1, 5]].tolist() == pytest.approx([0.011, 0.012], rel=1e-6)
    assert int(torch.isnan(labels).sum()) == CHANNELS - 2


def test_own_channels_are_those_of_the_dataset() -> None:
    for layout in ("2024", "2025"):
        np.testing.assert_allclose(ariel_wavelength(), wavelengths_um(layout), atol=0.0051)
        np.testing.assert_allclose(ariel_wavelength()[1:], wavelengths_um(layout)[1:], atol=1e-12)
    assert ArielFeatureExtractor().wavelength_tolerance <= 0.51 * np.diff(ariel_wavelength()).min()


def test_times_far_from_their_zero_are_counted_from_the_first_bin(extractor: ArielFeatureExtractor) -> None:
    row = visit()
    late = extractor(visit(time=row["time"] + 24.0 * 2.46e6))["time"]  # Julian date in hours
    np.testing.assert_allclose(late[0], row["time"] - row["time"][0], atol=1e-6)
    np.testing.assert_allclose(extractor(row)["time"][0], row["time"], atol=1e-6)


# saved and loaded


def test_saved_and_loaded_it_is_the_same(tmp_path: Path) -> None:
    changed = ArielFeatureExtractor(wavelength=WAVELENGTH, clip=50.0, star_clip=3.0, star_log=[False] * 8)
    for before in (ArielFeatureExtractor(), changed):
        before.save_pretrained(tmp_path)
        after = ArielFeatureExtractor.from_pretrained(tmp_path)
        assert after.to_dict() == before.to_dict()
        assert after.to_json_string() == (tmp_path / "preprocessor_config.json").read_text()
    assert_same(after(visit()), changed(visit()))


def test_a_saved_folder_says_where_its_code_is_and_holds_it(tmp_path: Path) -> None:
    ArielFeatureExtractor().save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "preprocessor_config.json").read_text())
    assert saved["auto_map"] == {"AutoFeatureExtractor": "feature_extraction_ariel.ArielFeatureExtractor"}
    code = {path.name for path in tmp_path.glob("*.py")}
    assert code == {"arrays.py", "columns.py", "feature_extraction_ariel.py", "visits.py"}


def test_another_repository_in_a_loaded_auto_map_is_forgotten() -> None:
    elsewhere = {"AutoFeatureExtractor": "someone/else--feature_extraction_ariel.ArielFeatureExtractor"}
    assert ArielFeatureExtractor(auto_map=elsewhere).to_dict() == ArielFeatureExtractor().to_dict()


def test_a_process_without_this_package_loads_it_by_its_auto_class(tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    before = ArielFeatureExtractor(wavelength=WAVELENGTH, clip=50.0)
    before.save_pretrained(saved)
    row = {name: visit()[name] for name in ("time", "flux", "flux_err")}
    np.savez(tmp_path / "visit.npz", **row)
    script = (
        "import sys\n"
        "for name in ('modeling_ariel', 'hf_dataset', 'ariel_scripts', 'datasets', 'scipy'): sys.modules[name] = None\n"
        "import numpy as np\n"
        "from transformers import AutoFeatureExtractor\n"
        "extractor = AutoFeatureExtractor.from_pretrained('saved', trust_remote_code=True)\n"
        "batch = extractor(**np.load('visit.npz'), return_tensors='np')\n"
        "np.save('found.npy', batch['light_curve'])\n"
        "extractor.save_pretrained('again')\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"HF_MODULES_CACHE": str(tmp_path / "modules"), "HF_HUB_OFFLINE": "1"}
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "found.npy"), before(**row)["light_curve"])
    for path in sorted(saved.iterdir()):
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes(), path.name
