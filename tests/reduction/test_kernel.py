"""The compiled pass over time series against the plain steps, bit for bit; and what it may depend on."""

from __future__ import annotations

import hashlib
import itertools
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import detector_frames as frames
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_dataset.raw import layouts
from hf_dataset.raw.layouts import AIRS, FGS1, CalibrationFrames
from hf_dataset.reduction import calibration, exposures, kernel, light_curves
from hf_dataset.reduction.calibration import Readout
from hf_dataset.reduction.options import ReductionOptions

Array = np.ndarray
SATURATION = 40_000


def plain(
    counts: Array, maps: CalibrationFrames, bad: Array, readout: Readout, noise: Array, options: ReductionOptions
) -> tuple[Array, Array, Array]:
    """By the step functions: exposures (exposure, 1, pixel), (n, 2) pixel and exposure lost, often saturated.

    counts is (frame, 1, pixel), the maps and bad (1, pixel).
    """
    state = calibration.calibrate(
        counts, maps, bad, readout, noise=False, dtype=np.dtype(options.dtype), **exposures.steps_of(options)
    )
    lost = np.broadcast_to(state.mask & ~bad, state.data.shape).copy()
    often = lost.mean(axis=0) > 0.01
    lost &= ~often
    if options.hit_threshold > 0:
        lost |= light_curves.find_hits(state.data, options.hit_threshold, noise) & ~bad
    light_curves.replace_hits(state.data, np.nonzero(lost))
    return state.data, np.argwhere(lost[:, 0].T), often[0]


def compiled(
    counts: Array, maps: CalibrationFrames, bad: Array, readout: Readout, noise: Array, options: ReductionOptions
) -> tuple[Array, Array, Array, Array]:
    """The same by the kernel, and the mean of each pixel."""
    given = exposures.kernel_constants(maps, bad, readout, options)
    n = bad.size
    series, mean = np.zeros((n, len(counts) // 2), options.dtype), np.zeros(n)
    lost, often = kernel.calibrate_series(
        np.ascontiguousarray(counts[:, 0].T), np.arange(n), *given.readout, *given.pixels, noise.ravel(), bad.ravel(),
        options.hit_threshold, series, mean,
    )  # fmt: skip
    return series.T[:, None], lost, often, mean


def scene(rng: np.random.Generator, n_frames: int, n_pixels: int) -> tuple[Array, CalibrationFrames, Array, Array]:
    """Counts (frame, 1, pixel) with hits and saturation, maps with non-finite values where bad, bad and known noise."""
    level = rng.uniform(2_500, 30_000, n_pixels)
    counts = rng.normal(level, rng.uniform(1, 60, n_pixels), (n_frames, n_pixels))
    for _ in range(n_frames // 8):
        counts[rng.integers(n_frames), rng.integers(n_pixels)] += rng.uniform(-3_000, 60_000)
    bad = rng.random((1, n_pixels)) < 0.2
    shape = bad.shape
    linear = np.array([1.0, 1, 1e-7, 1e-12, -1e-17, 1e-23])[:, None, None] * rng.uniform(0.9, 1.1, (6, *shape))
    maps = CalibrationFrames(
        dark=np.where(bad, np.nan, rng.normal(0.5, 0.3, shape)),
        dead=bad,
        flat=np.where(bad, 0.0, rng.uniform(0.8, 1.2, shape)),
        read=np.full(shape, 13.0),
        linear_corr=np.where(bad, np.inf, linear),
    )
    return np.clip(counts, 0, 65535).astype(np.uint16)[:, None], maps, bad, rng.uniform(0, 80, shape)


def assert_equal(counts: Array, maps: CalibrationFrames, bad: Array, noise: Array, options: ReductionOptions) -> None:
    readout = Readout(frames.GAIN, frames.OFFSET, (0.1, 4.6), options.adc, options.saturation)
    series, lost, often = plain(counts, maps, bad, readout, noise, options)
    found, found_lost, found_often, mean = compiled(counts, maps, bad, readout, noise, options)
    assert found.dtype == series.dtype == options.dtype
    np.testing.assert_array_equal(found, series)
    np.testing.assert_array_equal(found_lost, lost)
    np.testing.assert_array_equal(found_often, often)
    assert_same_mean(mean, series[:, 0])


def assert_same_mean(mean: Array, series: Array) -> None:
    """Equal means (pixel,) of series (exposure, pixel), as near as any two orders of summation.

    Each errs by at most (n - 1) u times the mean of |x| (Higham 2002, eq. 4.4), and by u |mean| when divided; where the
    samples cancel, that is far more than u times their mean.
    """
    exact, unit = series.astype(np.float64), 2.0**-53
    bound = 2 * len(series) * unit * np.abs(exact).mean(axis=0)
    assert (np.abs(mean - exact.mean(axis=0)) <= bound).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("adc", calibration.ADC_CONVENTIONS)
def test_every_combination_of_steps_is_the_plain_steps_bit_for_bit(adc: calibration.AdcConvention, dtype: str) -> None:
    rng = np.random.default_rng(1)
    counts, maps, bad, noise = scene(rng, 2400, 12)
    assert bad.any()
    base = ReductionOptions(dtype=dtype, adc=adc, saturation=SATURATION)  # type: ignore[arg-type]
    for linearity, dark, flat, threshold in itertools.product((True, False), (True, False), (True, False), (5.0, 0.0)):
        options = replace(base, linearity=linearity, dark=dark, flat=flat, hit_threshold=threshold)
        assert_equal(counts, maps, bad, noise, options)
    assert len(compiled(counts, maps, bad, Readout(frames.GAIN, frames.OFFSET, (0.1, 4.6), adc), noise, base)[1]) > 50


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_exposures=st.integers(1, 40),
    n_pixels=st.integers(1, 4),
    dtype=st.sampled_from(["float32", "float64"]),
    threshold=st.sampled_from([0.0, 0.5, 3.0, 5.0]),
    saturation=st.sampled_from([5_000.0, 20_000.5, 65_535.0]),
)
def test_short_series_hits_at_the_ends_and_saturation_are_treated_as_by_the_plain_steps(
    seed: int, n_exposures: int, n_pixels: int, dtype: str, threshold: float, saturation: float
) -> None:
    counts, maps, bad, noise = scene(np.random.default_rng(seed), 2 * n_exposures, n_pixels)
    options = ReductionOptions(dtype=dtype, hit_threshold=threshold, saturation=saturation)  # type: ignore[arg-type]
    assert_equal(counts, maps, bad, noise, options)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("instrument", [AIRS, FGS1])
def test_the_real_planets_frames_are_calibrated_as_by_the_plain_steps(
    real: Path, tmp_path: Path, instrument: str, dtype: str
) -> None:
    visit = layouts.open_folder(frames.real_folder(real, tmp_path / "raw")).visit("train", frames.PLANET, 0)
    options = ReductionOptions(n_bins=25, dtype=dtype, pixels="all", hit_threshold=0.0)  # type: ignore[arg-type]
    found = exposures.calibrate_visit(visit, instrument, options)
    maps, columns = visit.calibration(instrument), found.columns
    bad = exposures.bad_pixels(found.flags, options)
    window = maps.window(slice(None), slice(int(columns[0]), int(columns[-1]) + 1))
    readout = Readout(*visit.adc(instrument), visit.integration(instrument))
    counts = visit.read(instrument, range(32), columns)
    expected = calibration.calibrate(counts, window, bad, readout, noise=False, dtype=np.dtype(dtype))
    assert bad.sum() > 0
    np.testing.assert_array_equal(found.cube[:, ~bad], expected.data[:, ~bad])


# --- what results may depend on ------------------------------------------------------------------------------------

FINGERPRINT = "import test_kernel; print(test_kernel.fingerprint())"


def fingerprint() -> str:
    """Hash of everything the kernel computes for a fixed scene, in both precisions."""
    counts, maps, bad, noise = scene(np.random.default_rng(5), 1600, 6)
    readout, digest = Readout(frames.GAIN, frames.OFFSET, (0.1, 4.6)), hashlib.sha256()
    for dtype in ("float32", "float64"):
        for part in compiled(counts, maps, bad, readout, noise, ReductionOptions(dtype=dtype)):  # type: ignore[arg-type]
            digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()


def run(code: str, **environment: str) -> str:
    here = Path(__file__).resolve().parents[1]
    path = os.pathsep.join([str(here.parent), str(here), str(Path(__file__).parent)])
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path, **environment},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()


@pytest.mark.slow  # compiles everything anew
def test_a_processor_without_vector_extensions_gives_the_same_bytes(tmp_path: Path) -> None:
    """Fused multiply-adds or reordered sums would differ between the processors of one cluster."""
    oldest = {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": "", "NUMBA_CACHE_DIR": str(tmp_path)}
    assert run(FINGERPRINT, **oldest) == fingerprint()


def test_importing_the_package_imports_no_compiler() -> None:
    assert run("import sys, hf_dataset.reduction.visit, hf_dataset.build.run; print('numba' in sys.modules)") == "False"


def test_without_a_place_for_machine_code_functions_are_compiled_all_the_same() -> None:
    names: dict[str, Any] = {}
    exec(compile("def twice(x):\n    return 2 * x", "<nowhere>", "exec"), names)
    with pytest.raises(RuntimeError, match="cannot cache"):
        kernel.numba.njit(names["twice"], cache=True)
    assert kernel.compiled(names["twice"])(21) == 42
