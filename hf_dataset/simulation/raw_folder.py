"""Raw challenge folders: a simulated visit read out by `detector.py` and written in the challenge's exact format.

Formats (file names, dtypes, column names, one row group, ZSTD, the tables' columns) are those of the challenge's own
files. A folder has one `axis_info.parquet`, hence one cadence: with fewer frames than the full 11,250 the exposures
keep their integration times and spread over the same 7.5 h. `simulation.json` and `simulation_truth.parquet` say how
it was made.
"""

import csv
import json
import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from hf_dataset.schema import N_CHANNELS, STAR_COLUMNS
from hf_dataset.simulation import detector as det
from hf_dataset.simulation import telescope, transits
from hf_dataset.simulation.light_curves import visit_rng
from hf_dataset.simulation.planets import ATMOSPHERE, Planet
from hf_dataset.simulation.telescope import WINDOW_H, airs_axis_um, wavelengths_um

Array = NDArray[np.float64]
logger = logging.getLogger(__name__)

RECORD, UNFINISHED = "simulation.json", "simulation.json.partial"
FULL_AIRS_FRAMES = 2 * telescope.AIRS_EXPOSURES
FGS1_PER_AIRS_FRAME = 12
INSTRUMENTS = ("AIRS-CH0", "FGS1")
ADC_2025 = (0.4369, -1000.0)  # gain, offset: one row for all planets
# 2024's per-planet ADC: (gain mean, gain scatter) of each instrument and star, offset (mean, scatter, low, high)
ADC_2024_GAIN = {"FGS1": ((1.033, 0.009), (0.847, 0.007)), "AIRS-CH0": ((1.512, 0.006), (0.931, 0.003))}
ADC_2024_OFFSET = {
    "FGS1": ((-357.9, 24.0, -493, -316), (-357.6, 22.0, -493, -316)),
    "AIRS-CH0": ((-872.9, 76.0, -1174, -705), (-837.3, 68.0, -1174, -705)),
}


@dataclass(frozen=True)
class Cadence:
    """Times of the frames of both instruments on a 7.5 h visit [h]; a pair is (start, end) of an exposure."""

    n_airs_frames: int

    def __post_init__(self) -> None:
        """Frames come in pairs."""
        if self.n_airs_frames < 4 or self.n_airs_frames % 2 or self.n_airs_frames > FULL_AIRS_FRAMES:
            raise ValueError(f"frames: expected an even number, 4 to {FULL_AIRS_FRAMES}, found {self.n_airs_frames}")

    def exposures(self, instrument: str) -> int:
        """Exposures (pairs of frames) of a visit."""
        return self.n_airs_frames // 2 * (FGS1_PER_AIRS_FRAME if instrument == "FGS1" else 1)

    def frame_times(self, instrument: str) -> Array:
        """Time of each frame [h], as in axis_info.parquet: 0.1 and 0.2 s after each exposure's beginning."""
        n = self.exposures(instrument)
        begin = np.arange(n) * WINDOW_H / n
        return (begin[:, None] + np.array([0.1, 0.2]) / 3600).ravel()

    def exposure_times(self, instrument: str) -> Array:
        """Middle of each exposure [h]."""
        start, end = det.INTEGRATION_S[instrument]
        n = self.exposures(instrument)
        return np.arange(n) * WINDOW_H / n + (start + end) / 2 / 3600


@dataclass(frozen=True, eq=False)
class VisitPlan:
    """One visit to be read out: relative light of every exposure and the pointing, per instrument."""

    planet: Planet
    visit: int
    drift: telescope.Drift
    gain: dict[str, Array]  # transit times drift: AIRS (exposure, column), FGS1 (exposure, 1)
    shifts: dict[str, Array]  # (exposure, 2) [px]


def plan_visit(planet: Planet, visit: int, cadence: Cadence, seed: int, settings: det.DetectorSettings) -> VisitPlan:
    """Transit, gain drift and jitter of a visit."""
    rng = visit_rng(seed, planet.planet_id, visit, purpose=1)
    drift = settings.drift.draw(rng)
    channels = wavelengths_um(planet.layout)
    columns = airs_axis_um()
    inside = np.clip(columns, channels[1], channels[-1])
    depth = np.interp(inside, channels[1:], planet.spectrum[1:])
    u = np.stack([np.interp(inside, channels[1:], planet.u[1:, j]) for j in range(2)], axis=1)
    gain, shifts = {}, {}
    for instrument in INSTRUMENTS:
        time = cadence.exposure_times(instrument)
        separation = transits.sky_separation(time, planet.t0, planet.P, planet.sma, planet.i, planet.e)
        if instrument == "FGS1":
            curve = transits.light_curves(separation, planet.spectrum[:1], planet.u[:1])
            gain[instrument] = curve * (1 + drift.fgs1_time(time)[:, None])
        else:
            curve = transits.light_curves(separation, depth, u)
            gain[instrument] = curve * (1 + np.outer(drift.airs_time(time), drift.airs_wavelength(columns)))
        shifts[instrument] = settings.pointing.draw(rng, time.size, WINDOW_H / time.size, instrument)
    response = settings.pointing.airs_response * rng.standard_normal()
    gain["AIRS-CH0"] *= 1 + response * shifts["AIRS-CH0"][:, :1]
    return VisitPlan(planet, visit, drift, gain, shifts)


def draw_adc(planet: Planet, seed: int) -> dict[str, tuple[float, float]]:
    """(gain, offset) of each instrument for this planet's layout."""
    if planet.layout == "2025":
        return dict.fromkeys(INSTRUMENTS, ADC_2025)
    rng = visit_rng(seed, planet.planet_id, 0, purpose=2)
    adc = {}
    for instrument in INSTRUMENTS:
        mean, scatter = ADC_2024_GAIN[instrument][planet.star]
        centre, width, low, high = ADC_2024_OFFSET[instrument][planet.star]
        offset = float(np.clip(rng.normal(centre, width), low, high))
        adc[instrument] = (float(np.clip(rng.normal(mean, scatter), mean - 3 * scatter, mean + 3 * scatter)), offset)
    return adc


def simulate_frames(
    plan: VisitPlan,
    instrument: str,
    detector: det.Detector,
    adc: tuple[float, float],
    seed: int,
    settings: det.DetectorSettings,
) -> det.Frames:
    """All frames of one instrument in one visit: (pixel, frame), row-major pixels."""
    planet = plan.planet
    if instrument == "FGS1":
        scene = det.fgs1_scene(telescope.fgs1_flux(planet.Ts, planet.brightness), settings)
    else:
        scene = det.airs_scene(telescope.airs_column_flux(planet.Ts, planet.brightness), settings)
    rng = visit_rng(seed, planet.planet_id, plan.visit, purpose=10 + INSTRUMENTS.index(instrument))
    shifts = plan.shifts[instrument]
    frames = np.empty((detector.dark.size, 2 * shifts.shape[0]), dtype=np.uint16)
    first = 0
    for part in det.read_out(rng, scene, detector, plan.gain[instrument], shifts, adc, settings):
        frames[:, first : first + part.shape[0]] = part.T
        first += part.shape[0]
    return frames


# --- files ---------------------------------------------------------------------------------------------------------


def _write_table(path: Path, columns: Sequence[Any], **options: Any) -> None:
    """One row group of columns `column_0`, `column_1`, …, whole or not at all."""
    table = pa.Table.from_arrays([pa.array(c) for c in columns], names=[f"column_{i}" for i in range(len(columns))])
    temporary = path.with_name(path.name + ".partial")
    pq.write_table(table, temporary, compression="zstd", row_group_size=max(1, table.num_rows), **options)
    os.replace(temporary, path)


def write_detector(folder: Path, maps: det.Detector) -> None:
    """The five calibration files of one instrument."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("dark", "dead", "flat", "read"):
        _write_table(folder / f"{name}.parquet", list(getattr(maps, name).T.copy()), use_dictionary=False)
    stacked = maps.linear_corr.reshape(-1, maps.linear_corr.shape[2])  # (6 x 32, columns): c0 rows, c1 rows, ...
    _write_table(folder / "linear_corr.parquet", list(stacked.T.copy()), use_dictionary=False)


def write_visit(
    folder: Path, planet: Planet, visit: int, cadence: Cadence, seed: int, settings: det.DetectorSettings
) -> dict[str, Any]:
    """Write signals and calibration of one visit, unless they exist; return the drawn truths."""
    suffix = f"_{visit}" if planet.layout == "2025" else ""
    plan = plan_visit(planet, visit, cadence, seed, settings)
    adc = draw_adc(planet, seed)
    for instrument in INSTRUMENTS:
        signal = folder / f"{instrument}_signal{suffix}.parquet"
        if signal.exists():  # its calibration was written before it
            continue
        rng = visit_rng(seed, planet.planet_id, visit, purpose=20 + INSTRUMENTS.index(instrument))
        maps = det.draw_detector(rng, det.SHAPES[instrument], settings)
        write_detector(folder / f"{instrument}_calibration{suffix}", maps)
        frames = simulate_frames(plan, instrument, maps, adc[instrument], seed, settings)
        _write_table(signal, list(frames), use_dictionary=False)
    return {"planet_id": planet.planet_id, "visit": visit, **plan.drift.as_dict()}


def write_axis_info(path: Path, cadence: Cadence) -> None:
    """axis_info.parquet: four double columns as long as FGS1's frames, the shorter ones padded with nulls."""
    fgs1, airs = cadence.frame_times("FGS1"), cadence.frame_times("AIRS-CH0")
    columns = {
        "AIRS-CH0-axis0-h": airs,
        "AIRS-CH0-axis2-um": airs_axis_um(),
        "AIRS-CH0-integration_time": np.tile([0.1, 4.5], airs.size // 2),
        "FGS1-axis0-h": fgs1,
    }
    n = max(c.size for c in columns.values())
    arrays = [
        pa.array(np.pad(c, (0, n - c.size)), mask=np.arange(n) >= c.size, type=pa.float64()) for c in columns.values()
    ]
    pq.write_table(pa.Table.from_arrays(arrays, names=list(columns)), path, compression="snappy")


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def write_tables(root: Path, layout: str, splits: dict[str, Sequence[Planet]], seed: int) -> None:
    """Wavelengths, star or ADC tables, the train split's spectra, sample_submission (of test or else train planets)."""
    wl = [f"wl_{i + 1}" for i in range(N_CHANNELS)]
    _write_csv(root / "wavelengths.csv", wl, [[repr(float(x)) for x in wavelengths_um(layout)]])
    adc_names = ["FGS1_adc_offset", "FGS1_adc_gain", "AIRS-CH0_adc_offset", "AIRS-CH0_adc_gain"]
    if layout == "2025":
        _write_csv(root / "adc_info.csv", adc_names, [[ADC_2025[1], ADC_2025[0]] * 2])
    for split, planets in splits.items():
        if layout == "2025":
            rows: list[list[Any]] = [[p.planet_id, *(repr(v) for v in p.star_table().values())] for p in planets]
            _write_csv(root / f"{split}_star_info.csv", ["planet_id", *STAR_COLUMNS], rows)
        else:
            rows = []
            for p in planets:
                adc = draw_adc(p, seed)
                rows.append([p.planet_id, *adc["FGS1"][::-1], *adc["AIRS-CH0"][::-1], p.star])
            _write_csv(root / f"{split}_adc_info.csv", ["planet_id", *adc_names, "star"], rows)
    labels = root / ("train.csv" if layout == "2025" else "train_labels.csv")
    rows = [[p.planet_id, *(f"{x:.9g}" for x in p.spectrum)] for p in splits["train"]]
    _write_csv(labels, ["planet_id", *wl], rows)
    fill = 0.456 if layout == "2025" else 0.123
    wanted = splits.get("test") or splits["train"]
    sigma = [f"sigma_{i + 1}" for i in range(N_CHANNELS)]
    blank = [[p.planet_id] + [fill] * (2 * N_CHANNELS) for p in wanted]
    _write_csv(root / "sample_submission.csv", ["planet_id", *wl, *sigma], blank)


def write_truth(root: Path, splits: Mapping[str, Sequence[Planet]], drawn: Sequence[dict[str, Any]]) -> None:
    """simulation_truth.parquet: a row a planet and visit, the test split's spectra included.

    Mixing ratios, cloud opacity, temperature [K] and scale height [R*] of the atmosphere are NaN where a spectrum was
    given, not drawn.
    """
    where = {p.planet_id: (split, p) for split, planets in splits.items() for p in planets}
    rows = []
    for truth in drawn:
        split, p = where[truth["planet_id"]]
        orbit = {"t0": p.t0, "b": p.b, "k": p.k, "duration": p.duration, "brightness": p.brightness}
        spectrum = {"spectrum": p.spectrum.tolist(), "u1": p.u[:, 0].tolist(), "u2": p.u[:, 1].tolist()}
        atmosphere = dict.fromkeys(ATMOSPHERE, float("nan")) if p.atmosphere is None else p.atmosphere
        rows.append({**truth, "split": split, "star": p.star, **p.star_table(), **orbit, **atmosphere, **spectrum})
    pq.write_table(pa.Table.from_pylist(rows), root / "simulation_truth.parquet", compression="zstd")


def write_folder(
    root: str | Path,
    planets: Sequence[Planet],
    layout: str = "2025",
    n_airs_frames: int = FULL_AIRS_FRAMES,
    seed: int = 0,
    visits: int = 1,
    test_planets: Sequence[Planet] = (),
    settings: det.DetectorSettings | None = None,
    progress: Callable[[int], Any] | None = None,
) -> Path:
    """A raw challenge folder at `root` with `planets` in train/ and `test_planets` in test/.

    `progress(n)` is called after each visit. Frames depend on the seed, the planet and the visit alone. A stopped run
    continues when called again with the same arguments; other folders are refused. `simulation.json` is written last.
    """
    settings = settings or det.DetectorSettings()
    cadence = Cadence(n_airs_frames)
    if layout == "2024" and visits != 1:
        raise ValueError(f"visits: the 2024 layout has 1 visit a planet, found {visits}")
    splits: dict[str, Sequence[Planet]] = {"train": planets} | ({"test": test_planets} if test_planets else {})
    everyone = [p for group in splits.values() for p in group]
    if wrong := [p.planet_id for p in everyone if p.layout != layout]:
        raise ValueError(f"planet {wrong[0]}: expected layout {layout}, found another; sample it for that layout")
    root = Path(root)
    record = _provenance(layout, splits, n_airs_frames, visits, seed, settings)
    if _claim(root, record):
        if progress:
            progress(len(everyone) * visits)
        return root
    drawn = []
    for split, group in splits.items():
        for planet in group:
            for visit in range(visits):
                folder = root / split / str(planet.planet_id)
                drawn.append(write_visit(folder, planet, visit, cadence, seed, settings))
                if progress:
                    progress(1)
    write_axis_info(root / "axis_info.parquet", cadence)
    write_tables(root, layout, splits, seed)
    write_truth(root, splits, drawn)
    os.replace(root / UNFINISHED, root / RECORD)
    return root


def _claim(root: Path, record: dict[str, Any]) -> bool:
    """Start or resume the folder of this record; true, and nothing changed, if it is finished.

    ValueError where the folder holds something else.
    """
    root.mkdir(parents=True, exist_ok=True)
    text = json.dumps(record, indent=1) + "\n"
    found = next((root / name for name in (RECORD, UNFINISHED) if (root / name).exists()), None)
    if found is None and any((root / split).exists() for split in ("train", "test")):
        raise ValueError(f"{root}: expected a new folder, found train/ or test/ that the simulator did not write")
    if found and found.read_text() != text:
        raise ValueError(
            f"{found}: expected the record of this run, found another's: choose another folder or delete it"
        )
    if found and found.name == RECORD:
        return True
    (root / UNFINISHED).write_text(text)
    return False


def _provenance(
    layout: str,
    splits: dict[str, Sequence[Planet]],
    n_airs_frames: int,
    visits: int,
    seed: int,
    settings: det.DetectorSettings,
) -> dict[str, Any]:
    try:
        release = version("ariel-hf")
    except PackageNotFoundError:
        release = "unknown"
    given = [p.planet_id for group in splits.values() for p in group if p.given]
    return {
        "simulated": True,
        "generator": f"ariel-hf {release} hf_dataset.simulation",
        "layout": layout,
        "seed": seed,
        "n_airs_frames": n_airs_frames,
        "visits": visits,
        "planets": {split: [p.planet_id for p in group] for split, group in splits.items()},
        **({"given_spectra": given} if given else {}),
        "truth": "simulation_truth.parquet",
        "settings": asdict(settings),
    }
