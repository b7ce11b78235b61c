"""Small raw folders and forward-modelled frames for the detector's tests, made without the project's simulator."""

from __future__ import annotations

import csv
import shutil
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

N_AIRS_COLUMNS, N_ROWS = 356, 32
GAIN, OFFSET = 0.4369, -1000.0
PLANET = 342072318  # of the 2025 train split: the one of which real calibration frames are at hand


def axis_um() -> np.ndarray:
    """(column,) descending wavelengths, near those of axis_info.parquet."""
    return np.linspace(4.078, 1.633, N_AIRS_COLUMNS)


def write_frame(path: Path, frame: np.ndarray, **options: object) -> None:
    """A 2-D array as the challenge stores it: a Parquet column an array column, one row group."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {f"column_{i}": np.ascontiguousarray(frame[:, i]) for i in range(frame.shape[1])}
    pq.write_table(pa.table(columns), path, row_group_size=max(len(frame), 1), **options)


def write_signal(path: Path, counts: np.ndarray) -> None:
    """Frames (frame, row, column), a column a pixel."""
    write_frame(path, counts.reshape(counts.shape[0], -1))


def write_csv(path: Path, header: list[str], rows: list[list[object]]) -> None:
    """A table with a header."""
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def write_tables(root: Path, layout: str, planets: list[int], n_airs: int, n_fgs1: int) -> None:
    """wavelengths.csv, axis_info.parquet, ADC, star and label tables of a train split."""
    root.mkdir(parents=True, exist_ok=True)
    wl = [f"wl_{i + 1}" for i in range(283)]
    write_csv(root / "wavelengths.csv", wl, [[0.705, *axis_um()[320:38:-1]]])
    n = max(n_airs, n_fgs1, N_AIRS_COLUMNS)

    def padded(values: np.ndarray) -> np.ndarray:
        return np.concatenate([values, np.full(n - len(values), np.nan)])

    airs_start = np.arange(n_airs // 2) * 7.5 / (n_airs // 2)
    fgs1_start = np.arange(n_fgs1 // 2) * 7.5 / (n_fgs1 // 2)
    axes = {
        "AIRS-CH0-axis0-h": padded(np.stack([airs_start, airs_start + 3e-5], axis=1).ravel()),
        "AIRS-CH0-axis2-um": padded(axis_um()),
        "AIRS-CH0-integration_time": padded(np.tile([0.1, 4.5], n_airs // 2)),
        "FGS1-axis0-h": padded(np.stack([fgs1_start, fgs1_start + 3e-5], axis=1).ravel()),
    }
    pq.write_table(pa.table(axes), root / "axis_info.parquet")
    truth = [[planet, *np.linspace(0.01, 0.011, 283)] for planet in planets]
    adc = [f"{name}_adc_{what}" for name in ("FGS1", "AIRS-CH0") for what in ("offset", "gain")]
    if layout == "2025":
        write_csv(root / "adc_info.csv", adc, [[OFFSET, GAIN, OFFSET, GAIN]])
        star = ["Rs", "Ms", "Ts", "Mp", "e", "P", "sma", "i"]
        rows = [[float(planet), 1.1, 1.0, 5500.0, 0.7, 0.0, 3.3, 8.5, 89.0] for planet in planets]
        write_csv(root / "train_star_info.csv", ["planet_id", *star], rows)
        write_csv(root / "train.csv", ["planet_id", *wl], truth)
    else:
        rows = [[planet, OFFSET, GAIN, OFFSET, GAIN, 1] for planet in planets]
        write_csv(root / "train_adc_info.csv", ["planet_id", *adc, "star"], rows)
        write_csv(root / "train_labels.csv", ["planet_id", *wl], truth)


def write_calibration(folder: Path, n_columns: int, **changes: np.ndarray) -> dict[str, np.ndarray]:
    """Neutral calibration frames of 32 × n_columns (dark 0, flat 1, read 13, linear), with `changes`."""
    shape = (N_ROWS, n_columns)
    linear = np.zeros((6, *shape))
    linear[1] = 1.0
    frames = {
        "dark": np.random.default_rng(0).normal(0.0, 1e-4, shape),
        "dead": np.zeros(shape, bool),
        "flat": np.ones(shape),
        "read": np.full(shape, 13.0),
        "linear_corr": linear.reshape(-1, n_columns),
    } | changes
    for name, frame in frames.items():
        write_frame(folder / f"{name}.parquet", frame)
    return frames


def encode(electrons: np.ndarray) -> np.ndarray:
    """Electrons → counts, the organisers' floor((e − offset) · gain)."""
    return np.clip(np.floor((electrons - OFFSET) * GAIN), 0, 65535).astype(np.uint16)


def read_pairs(exposures: np.ndarray, rng: np.random.Generator, read: float = 13.0) -> np.ndarray:
    """Charge collected between two reads (exposure, row, column) → counts of start and end frames with read noise."""
    frames = np.zeros((2 * exposures.shape[0], *exposures.shape[1:]))
    frames[0::2] = 0.02 * exposures.mean(axis=0)
    frames[1::2] = frames[0::2] + exposures
    return encode(frames + rng.normal(0.0, read, frames.shape))


def write_planet(
    root: Path, layout: str, planet: int, airs: np.ndarray, fgs1: np.ndarray, visit: int = 0, **changes: np.ndarray
) -> None:
    """Signals (frame, row, column) [counts] and neutral calibration of a planet; `changes` are of AIRS-CH0's."""
    folder = root / "train" / str(planet)
    number = "" if layout == "2024" else f"_{visit}"
    for name, counts in (("AIRS-CH0", airs), ("FGS1", fgs1)):
        write_signal(folder / f"{name}_signal{number}.parquet", counts)
        write_calibration(
            folder / f"{name}_calibration{number}", counts.shape[2], **(changes if name == "AIRS-CH0" else {})
        )


def random_folder(root: Path, layout: str = "2025") -> Path:
    """A folder of planets 11 and 7 whose frames are a bright trace and a bright spot with noise, free to be spoiled."""
    return Path(shutil.copytree(_random_folder(layout).name, root))


@cache
def _random_folder(layout: str) -> tempfile.TemporaryDirectory[str]:
    """What copies are made of: writing 11,392 columns takes ten times as long."""
    made, n_airs, planets = tempfile.TemporaryDirectory(), 20, [11, 7]
    rng = np.random.default_rng(1)
    airs, fgs1 = star_light(n_airs // 2, n_airs // 2 * 2)
    write_tables(Path(made.name), layout, planets, n_airs, n_airs * 2)
    for planet in planets:
        counts = read_pairs(rng.poisson(airs), rng), read_pairs(rng.poisson(fgs1), rng)
        write_planet(Path(made.name), layout, planet, *counts)
    return made


def star_light(n_airs: int, n_fgs1: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean exposures (exposure, row, column) [e-] of a constant star: Gaussian cores on diffraction wings."""
    rows = np.arange(N_ROWS)[:, None]
    spectrum = 6e4 * (1 + 0.3 * np.sin(np.arange(N_AIRS_COLUMNS) / 40))
    distance = np.abs(rows - 15.6)
    profile = np.exp(-(distance**2) / 2 / 1.3**2) + 0.05 / np.maximum(distance, 2.0) ** 2
    airs = np.broadcast_to(spectrum * profile / profile.sum(), (n_airs, N_ROWS, N_AIRS_COLUMNS))
    distance = np.hypot(rows - 15.4, np.arange(N_ROWS) - 15.8)
    spot = np.exp(-(distance**2) / 2 / 1.5**2) + 0.05 / np.maximum(distance, 3.0) ** 3
    fgs1 = np.broadcast_to(2e5 * spot / spot.sum(), (n_fgs1, N_ROWS, N_ROWS))
    return airs, fgs1


def real_folder(real: Path, root: Path) -> Path:
    """The real planet put back together: its 50 frames as 50 × pixels, calibration frames and tables beside."""
    source = real / "challenge_2025"
    root.mkdir(parents=True, exist_ok=True)
    for path in source.glob("*.*"):
        shutil.copyfile(path, root / path.name)
    for name, columns in (("AIRS-CH0", N_AIRS_COLUMNS), ("FGS1", N_ROWS)):
        planet = source / "train" / str(PLANET)
        target = root / "train" / str(PLANET)
        flat = pq.read_table(planet / f"{name}_signal_0.parquet").column(0).to_numpy()
        write_signal(target / f"{name}_signal_0.parquet", flat.reshape(-1, N_ROWS, columns))
        calibration = target / f"{name}_calibration_0"
        calibration.mkdir()
        for path in (planet / calibration.name).glob("*.parquet"):
            shutil.copyfile(path, calibration / path.name)
    return root
