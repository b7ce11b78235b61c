"""Properties that hold for any input: settings, plans, splits, binning, hits, calibration steps, reading, bit flips."""

from __future__ import annotations

import json
import random
import tempfile
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import detector_frames as frames
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hf_dataset import splits
from hf_dataset.build.plan import BuildOptions, make_plan
from hf_dataset.digests import config_hash
from hf_dataset.raw import files, layouts
from hf_dataset.raw.layouts import FGS1, RawDataError
from hf_dataset.reduction import calibration, extraction, light_curves
from hf_dataset.reduction.options import ReductionOptions

# the same examples every time and no deadline: a slow machine fails nothing
steady = settings(derandomize=True, deadline=None, database=None, max_examples=50,
                  suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])  # fmt: skip
DEFAULTS = {one.name: one.default for one in fields(ReductionOptions)}
CHOICES = {
    "dtype": ("float32", "float64"), "adc": calibration.ADC_CONVENTIONS, "hot_pixels": ("fill", "mask", "use"),
    "foreground": extraction.FOREGROUND_KINDS, "extraction": extraction.EXTRACTION_KINDS,
    "fgs1_extraction": extraction.EXTRACTION_KINDS, "last_exposure": ("keep", "drop"), "pixels": ("needed", "all"),
}  # fmt: skip
FRACTIONS = ("max_filled", "max_bad_pixels", "min_good_fraction", "min_flat")


def valid_value(name: str) -> st.SearchStrategy[Any]:
    """Any value that a setting may have."""
    default = DEFAULTS[name]
    if name in CHOICES:
        return st.sampled_from(CHOICES[name])
    if name == "fgs1_annulus":
        return st.tuples(st.floats(9, 11), st.integers(12, 20))
    if name == "fgs1_radius":
        return st.floats(1, 9)
    if isinstance(default, bool):
        return st.booleans()
    if isinstance(default, int):
        return st.integers(1, 10_000)
    return st.floats(0.01, 1) if name in FRACTIONS else st.floats(0.01, 1e5) | st.integers(1, 1000)


def invalid_value(name: str) -> st.SearchStrategy[Any]:
    """Values of another type, or beyond what a setting may be."""
    default = DEFAULTS[name]
    texts = st.sampled_from(["", "no", "12", "fils"])
    if isinstance(default, bool):
        return texts | st.sampled_from([0, 1, None, 1.0])
    if isinstance(default, str):
        return texts | st.sampled_from([None, 3, True, ["fill"]])
    if isinstance(default, tuple):
        return st.sampled_from([(5, 4), (1,), (10, 16, 20), 10, "ab", (10, np.nan), (10, np.inf), None, (1, 2)])
    numbers = [-1, np.nan, np.inf, -np.inf, None, True, [3], 10**400]
    return texts | st.sampled_from([*numbers[:-1], 1.5] if isinstance(default, int) else numbers)


valid_settings = st.sets(st.sampled_from(sorted(DEFAULTS)), max_size=8).flatmap(
    lambda names: st.fixed_dictionaries({name: valid_value(name) for name in sorted(names)})
)


@steady
@given(valid_settings)
def test_any_valid_settings_survive_json_and_are_their_hash(changes: dict[str, Any]) -> None:
    options = ReductionOptions(**changes)
    again = ReductionOptions(**json.loads(json.dumps(options.to_dict())))
    assert again == options
    assert config_hash(again.to_dict()) == config_hash(options.to_dict())
    assert replace(options) == options


@steady
@given(valid_settings, valid_settings)
def test_settings_have_one_hash_just_where_they_are_equal(one: dict[str, Any], other: dict[str, Any]) -> None:
    first, second = ReductionOptions(**one), ReductionOptions(**other)
    assert (config_hash(first.to_dict()) == config_hash(second.to_dict())) == (first == second)


@settings(steady, max_examples=200)
@given(st.sampled_from(sorted(DEFAULTS)).flatmap(lambda name: st.tuples(st.just(name), invalid_value(name))))
def test_a_setting_that_cannot_be_is_refused_by_its_name(setting: tuple[str, Any]) -> None:
    name, value = setting
    with pytest.raises(ValueError, match=rf"^{name}: expected "):
        ReductionOptions(**{name: value})


@steady
@given(st.sampled_from(["limit", "planets_per_shard", "workers"]), st.integers(-5, 0))
def test_a_build_option_that_cannot_be_is_refused_by_its_name(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=rf"^{name}: expected at least 1, found {value}"):
        BuildOptions(**{name: value})


# --- plans and splits ----------------------------------------------------------------------------------------------

planets = st.dictionaries(st.integers(0, 2**62), st.integers(1, 3), min_size=1, max_size=40)


def folder_of(train: dict[int, int], test: dict[int, int]) -> Any:
    """What a plan asks of a raw folder."""
    found = {"train": train, "test": test}
    return SimpleNamespace(
        splits=("train", "test"), layout="2025", planets=lambda split: sorted(found[split]),
        visits=lambda split, planet: list(range(found[split][planet])),
    )  # fmt: skip


@steady
@given(planets, planets, st.integers(1, 9) | st.none(), st.floats(0, 0.9), st.integers(0, 3), st.randoms())
def test_every_visit_is_in_one_shard_and_a_planets_visits_are_together(
    train: dict[int, int], test: dict[int, int], size: int | None, fraction: float, seed: int, mixer: random.Random
) -> None:
    options = BuildOptions(planets_per_shard=size, validation_fraction=fraction, seed=seed)
    made = make_plan(folder_of(train, test), Path("raw"), Path("out"), options)
    visits = [(shard.raw_split, *visit) for shard in made.shards for visit in shard.visits]
    expected = {("train", p, v) for p, n in train.items() for v in range(n)}
    expected |= {("test", p, v) for p, n in test.items() for v in range(n)}
    assert len(visits) == len(set(visits))
    assert set(visits) == expected
    homes: dict[tuple[str, int], set[str]] = {}
    for shard in made.shards:
        for planet, _ in shard.visits:
            homes.setdefault((shard.raw_split, planet), set()).add(str(shard.name))
    assert all(len(names) == 1 for names in homes.values())
    assert made.ambiguous == set(train) & set(test)
    shuffled = [dict(mixer.sample(sorted(part.items()), len(part))) for part in (train, test)]
    assert make_plan(folder_of(*shuffled), Path("raw"), Path("out"), options) == made


@steady
@given(st.integers(0, 2**62), st.floats(0, 0.99), st.floats(0, 0.99), st.integers(0, 5))
def test_a_larger_validation_fraction_keeps_the_planets_of_a_smaller(
    planet: int, one: float, other: float, seed: int
) -> None:
    small, large = sorted((one, other))
    assert splits.is_validation(planet, small, seed) <= splits.is_validation(planet, large, seed)


@steady
@given(st.lists(st.integers(0, 2**62), min_size=1, max_size=60), st.integers(1, 8), st.integers(0, 5))
def test_folds_are_even_keep_planets_together_and_forget_the_order(ids: list[int], n_folds: int, seed: int) -> None:
    assume(n_folds <= len(set(ids)))
    found = splits.grouped_folds(ids, n_folds, seed)
    fold = dict(zip(ids, found.tolist(), strict=True))
    assert [fold[planet] for planet in ids] == found.tolist()
    sizes = np.bincount(list(fold.values()), minlength=n_folds)
    assert sizes.max() - sizes.min() <= 1
    backwards = splits.grouped_folds(ids[::-1], n_folds, seed)
    np.testing.assert_array_equal(backwards[::-1], found)


# --- small arrays --------------------------------------------------------------------------------------------------

lengths = st.integers(7, 60)


@steady
@given(st.integers(1, 200), st.data())
def test_bins_hold_every_exposure_once_and_are_even(n: int, data: st.DataObject) -> None:
    n_bins = data.draw(st.integers(1, n))
    edges = light_curves.bin_edges(n, n_bins)
    sizes = np.diff(edges)
    assert (edges[0], edges[-1]) == (0, n)
    assert sizes.min() >= 1
    assert sizes.max() - sizes.min() <= 1
    values = np.arange(n, dtype=float)
    assert (light_curves.bin_mean(values, edges) * sizes).sum() == pytest.approx(values.sum())


@steady
@given(hnp.arrays(bool, st.tuples(lengths, st.integers(1, 4))), st.integers(0, 2**32 - 1), st.integers(1, 7))
def test_a_bin_is_the_mean_of_its_good_exposures_and_finite_whatever_is_bad(
    good: np.ndarray, seed: int, n_bins: int
) -> None:
    flux = np.random.default_rng(seed).normal(100, 1, good.shape)
    spoiled = np.where(good, flux, np.nan)
    edges = light_curves.bin_edges(len(good), n_bins)
    binned = light_curves.bin_flux(spoiled, np.ones(good.shape[1]), np.ones_like(good), edges)
    for k in range(n_bins):
        part = slice(edges[k], edges[k + 1])
        count = good[part].sum(axis=0)
        np.testing.assert_array_equal(binned.valid[k], (count > 0) & (2 * count >= edges[k + 1] - edges[k]))
        for channel in np.flatnonzero(binned.valid[k]):
            assert binned.flux[k, channel] == pytest.approx(flux[part, channel][good[part, channel]].mean())
            assert binned.flux_err[k, channel] == pytest.approx(count[channel] ** -0.5)
    assert np.isfinite(binned.flux).all()
    assert (binned.flux_err > 0).all()


@steady
@given(lengths, st.integers(0, 2**32 - 1), st.floats(-1e3, 1e6), st.floats(0.1, 100), st.data())
def test_a_hit_is_found_alone_wherever_it_is_and_whatever_the_level_and_scale(
    n: int, seed: int, level: float, scale: float, data: st.DataObject
) -> None:
    series = np.random.default_rng(seed).uniform(-1, 1, (n, 1))
    at = data.draw(st.integers(0, n - 1))
    series[at] += 50
    hits = light_curves.find_hits(level + scale * series, 5.0, scale)
    assert np.flatnonzero(hits).tolist() == [at]


@steady
@given(
    st.integers(1, 6), st.integers(0, 2**32 - 1), st.floats(0.1, 3), st.floats(-2000, 2000),
    st.sampled_from(calibration.ADC_CONVENTIONS),
)  # fmt: skip
def test_the_chain_is_what_its_steps_say_and_forgets_what_frames_have_in_common(
    n_exposures: int, seed: int, gain: float, offset: float, convention: str
) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 60_000, (2 * n_exposures, 2, 3)).astype(np.uint16)
    linear = np.zeros((6, 2, 3))
    linear[0], linear[1] = rng.normal(0, 5, (2, 3)), rng.uniform(0.9, 1.1, (2, 3))
    dark, flat = rng.normal(0, 1, (2, 3)), rng.uniform(0.9, 1.1, (2, 3))
    found = calibration.calibrate(
        counts, layouts.CalibrationFrames(dark, np.zeros((2, 3), bool), flat, np.full((2, 3), 13.0), linear),
        np.zeros((2, 3), bool), calibration.Readout(gain, offset, (0.1, 4.6), convention), dtype=np.float64,
    )  # fmt: skip
    scale = gain if convention == "multiply" else 1 / gain
    pairs = counts.astype(float)
    expected = ((pairs[1::2] - pairs[0::2]) * scale * linear[1] - 4.5 * dark) / flat  # offset and c0 cancel
    np.testing.assert_allclose(found.data, expected, rtol=1e-9, atol=1e-6)
    assert found.variance is not None
    assert (found.variance > 0).all()


@steady
@given(hnp.arrays(bool, (4, 12)), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_filled_pixels_come_from_good_ones_of_their_row_and_nothing_else_changes(
    bad: np.ndarray, reach: int, seed: int
) -> None:
    data = np.random.default_rng(seed).uniform(50, 100, (3, 4, 12))
    spoiled = np.where(bad, 1e30, data)
    mask = np.zeros((1, 4, 12), bool)
    clean = calibration.fill_bad_pixels(np.where(bad, 0.0, data), None, mask, bad=bad, reach=reach)
    found = calibration.fill_bad_pixels(spoiled, None, mask, bad=bad, reach=reach)
    np.testing.assert_array_equal(found.data[:, ~bad], data[:, ~bad])
    filled = bad & ~found.mask.any(axis=0)
    np.testing.assert_allclose(found.data[:, filled], clean.data[:, filled])
    for row, column in zip(*np.nonzero(bad), strict=True):
        near = bad[row, max(column - reach, 0) : column + reach + 1]
        assert filled[row, column] == (not near.all())


@steady
@given(
    hnp.arrays(float, (6, 8), elements=st.floats(1, 1e5)),
    st.sampled_from(extraction.EXTRACTION_KINDS),
    hnp.arrays(bool, (6, 8)),
)
def test_sums_of_a_profile_scale_with_the_light_and_leave_bad_pixels_out(
    mean: np.ndarray, kind: Any, usable: np.ndarray
) -> None:
    inside = np.ones((6, 8))
    profile = extraction.spatial_profile(mean, 0.0, inside)
    weights = extraction.sum_weights(kind, inside, usable, profile, mean)
    assert not weights[~usable].any()
    light = np.array([1.0, 0.5, 2.0])
    cube = light[:, None, None] * mean
    sums = extraction.extract(cube, weights, mean, np.zeros(8))
    np.testing.assert_allclose(sums.flux, light[:, None] * sums.flux[0], rtol=1e-9)
    np.testing.assert_allclose(sums.flux[0], (weights * mean).sum(axis=0), rtol=1e-9)


# --- files ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def one_planet() -> Any:
    """A folder with one planet, all its counts random."""
    with tempfile.TemporaryDirectory() as name:
        rng = np.random.default_rng(0)
        frames.write_tables(Path(name), "2025", [7], 8, 8)
        airs, fgs1 = (rng.integers(0, 65536, (8, 32, n)).astype(np.uint16) for n in (356, 32))
        frames.write_planet(Path(name), "2025", 7, airs, fgs1)
        yield Path(name), fgs1


pixels = st.lists(st.integers(0, 31), min_size=1, max_size=6)


@steady
@given(pixels, pixels)
def test_any_pixels_in_any_order_are_those_of_the_whole_file(
    one_planet: tuple[Path, np.ndarray], rows: list[int], columns: list[int]
) -> None:
    root, counts = one_planet
    visit = layouts.open_folder(root).visit("train", 7, 0)
    assume(len(set(rows)) == len(rows) and len(set(columns)) == len(columns))
    np.testing.assert_array_equal(visit.read(FGS1, rows, columns), counts[:, rows][:, :, columns])


@pytest.mark.parametrize("checksums", [False, True])
@pytest.mark.parametrize("compression", ["zstd", "snappy"])
def test_a_flipped_bit_is_refused_or_read_as_numbers_and_under_checksums_never_changes_one(
    tmp_path: Path, compression: str, checksums: bool
) -> None:
    """A thousand flips: an error is a RawDataError, and checksums leave no flip in a page unseen."""
    rng = np.random.default_rng(1)
    values = rng.normal(1, 0.01, (32, 8))
    path = tmp_path / "flat.parquet"
    frames.write_frame(path, values, compression=compression, write_page_checksum=checksums)
    content = path.read_bytes()
    pages = pq.ParquetFile(path).metadata.row_group(0)
    end = max(pages.column(k).data_page_offset + pages.column(k).total_compressed_size for k in range(8))
    changed = refused = unnamed = 0
    for at in rng.integers(0, 8 * len(content), 1000):
        flipped = bytearray(content)
        flipped[at // 8] ^= 1 << (at % 8)
        path.write_bytes(bytes(flipped))
        try:
            found = files.read_frame(path, " of planet 7 visit 0")
        except RawDataError as error:
            refused += 1
            unnamed += "flat.parquet of planet 7 visit 0: " not in str(error)
            continue
        different = found.shape != values.shape or not np.array_equal(found, values)
        changed += different
        if checksums and at // 8 < end:
            assert not different
    assert refused > 100
    assert not unnamed
    assert checksums or changed > 100  # why docs/bad_inputs.md says what it says
