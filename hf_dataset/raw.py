"""Raw folders of the Ariel Data Challenge: the only file that knows layouts, file names, dtypes and tables.

Two layouts exist (the data pages of the NeurIPS Ariel Data Challenges 2024 and 2025); which one a folder has is read
off what is in it. Opening a folder or a visit reads no frames: pixels are decoded by Parquet column projection, on
demand.
"""

from __future__ import annotations

import csv
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

logger = logging.getLogger(__name__)

AIRS, FGS1 = "AIRS-CH0", "FGS1"
INSTRUMENTS = (AIRS, FGS1)
SPLITS = ("train", "test")
CALIBRATION_FILES = ("dark", "dead", "flat", "linear_corr", "read")
STAR_COLUMNS = ("Rs", "Ms", "Ts", "Mp", "e", "P", "sma", "i")
N_COEFFICIENTS = 6  # linear_corr stacks the coefficients c0 … c5 of a fifth-order polynomial, a detector each
N_CHANNELS = 283
FGS1_INTEGRATION_S = (0.1, 0.2)  # FGS1 has no column in axis_info; the organisers' recipe hard-codes it
DECODE_SAMPLES = 3_000_000  # decoded at a time: pyarrow needs some 16 bytes for each
AIRS_END_DELAY_S = 0.1  # the organisers add 0.1 s to the tabulated integration of an exposure's second frame


Pixels = Sequence[int] | NDArray[np.intp]


class RawDataError(ValueError):
    """A raw folder or file is not what the challenge's layout says; names file, planet, expected and found."""


@dataclass(frozen=True)
class CalibrationFrames:
    """Calibration of one instrument in one visit; every frame is (row, column) of the whole detector.

    dark [e-/s], dead (bool), flat (relative response), read [e-, 1σ of one read], linear_corr (power, row, column).
    """

    dark: NDArray[np.float64]
    dead: NDArray[np.bool_]
    flat: NDArray[np.float64]
    read: NDArray[np.float64]
    linear_corr: NDArray[np.float64]

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of the detector."""
        return self.dark.shape[0], self.dark.shape[1]

    def window(self, rows: slice, columns: slice) -> CalibrationFrames:
        """The frames of the pixels rows × columns."""
        at = (slice(None), rows, columns)
        return CalibrationFrames(
            self.dark[at[1:]], self.dead[at[1:]], self.flat[at[1:]], self.read[at[1:]], self.linear_corr[at]
        )


def open_folder(root: str | Path) -> ChallengeFolder:
    """Recognise and open a raw challenge folder; RawDataError says what was looked for where it is not one."""
    root = Path(root)
    if not root.is_dir():
        raise RawDataError(f"{root}: expected a raw challenge folder, found {'a file' if root.exists() else 'nothing'}")
    splits = [split for split in SPLITS if (root / split).is_dir()]
    if not splits:
        found = ", ".join(sorted(path.name for path in root.iterdir())[:8]) or "an empty folder"
        raise RawDataError(f"{root}: expected a folder train/ or test/ of planets, found {found}")
    return ChallengeFolder(root, _layout(root, splits), tuple(splits))


def _layout(root: Path, splits: Sequence[str]) -> str:
    """`2024` or `2025`, by the names of signal files, else of the ADC tables."""
    for split in splits:
        for planet in sorted((root / split).iterdir()):
            names = [path.name for path in planet.iterdir()] if planet.is_dir() else []
            if any(re.fullmatch(r".+_(signal|calibration)_\d+(\.parquet)?", name) for name in names):
                return "2025"
            if any(re.fullmatch(r".+_(signal\.parquet|calibration)", name) for name in names):
                return "2024"
    if (root / "adc_info.csv").exists():
        return "2025"
    if any((root / f"{split}_adc_info.csv").exists() for split in splits):
        return "2024"
    raise RawDataError(
        f"{root}: expected planets with …_signal.parquet (2024) or …_signal_0.parquet (2025), or an ADC table "
        f"train_adc_info.csv (2024) or adc_info.csv (2025), found none of them"
    )


@dataclass(frozen=True)
class ChallengeFolder:
    """A raw folder of either layout; tables are read on first use and kept."""

    root: Path
    layout: str
    splits: tuple[str, ...]

    @property
    def simulated(self) -> bool:
        """True where this project's simulator wrote the folder."""
        return (self.root / "simulation.json").exists()

    def planets(self, split: str) -> list[int]:
        """Planet numbers of a split, ascending."""
        if split not in self.splits:
            raise RawDataError(f"{self.root}: expected the split {split!r}, found {', '.join(self.splits)}")
        return sorted(int(p.name) for p in (self.root / split).iterdir() if p.is_dir() and p.name.isdigit())

    def visits(self, split: str, planet: int) -> list[int]:
        """Visit numbers of a planet, ascending; a visit of which only one instrument is there counts."""
        folder = self.root / split / str(planet)
        if not folder.is_dir():
            raise RawDataError(f"{folder}: expected the folder of planet {planet}, found none")
        if self.layout == "2024":
            return [0] if any(folder.glob("*_signal.parquet")) else []
        names = [re.fullmatch(r".+_signal_(\d+)\.parquet", path.name) for path in folder.iterdir()]
        return sorted({int(match[1]) for match in names if match})

    def visit(self, split: str, planet: int, visit: int) -> RawVisit:
        """One visit, lazily: nothing is read yet."""
        return RawVisit(self, split, int(planet), int(visit))

    @cached_property
    def wavelengths(self) -> NDArray[np.float64]:
        """(channel,) [µm]: FGS1, then the AIRS-CH0 channels ascending."""
        path = self.root / "wavelengths.csv"
        rows = _read_csv(path)
        values = _numbers(path, "wavelengths", list(rows[0].values()) if rows else [])
        if len(rows) != 1 or values.size != N_CHANNELS or not (np.diff(values[1:]) > 0).all():
            raise RawDataError(
                f"{path}: expected 1 row of {N_CHANNELS} ascending wl_…, found {len(rows)} × {values.size}"
            )
        return values

    def truth(self, split: str, planet: int) -> NDArray[np.float64] | None:
        """(channel,) true transit depths (Rp/Rs)², None where the planet has no label."""
        row = self._labels.get(split, {}).get(planet)
        if row is None:
            return None
        path = self._label_file(split)
        values = _numbers(path, f"planet {planet}", [row[name] for name in row if name.startswith("wl_")])
        if values.size != N_CHANNELS or not np.isfinite(values).all():
            raise RawDataError(f"{path}: planet {planet}: expected {N_CHANNELS} finite wl_…, found {values.size}")
        return values

    def star(self, split: str, planet: int) -> dict[str, float | int]:
        """`star` (index, −1 where none) and Rs Ms Ts Mp e P sma i in the table's units, NaN where none."""
        if self.layout == "2024":
            row = self._planet_row(f"{split}_adc_info.csv", planet)
            return {"star": int(float(row.get("star", -1))), **dict.fromkeys(STAR_COLUMNS, np.nan)}
        name = f"{split}_star_info.csv"
        row = self._planet_row(name, planet)
        if missing := [column for column in STAR_COLUMNS if column not in row]:
            raise RawDataError(f"{self.root / name}: expected the columns {', '.join(STAR_COLUMNS)}, missing {missing}")
        values = _numbers(self.root / name, f"planet {planet}", [row[column] for column in STAR_COLUMNS])
        return {"star": -1, **dict(zip(STAR_COLUMNS, values.tolist(), strict=True))}

    def adc(self, split: str, planet: int, instrument: str) -> tuple[float, float]:
        """(gain [counts/e-], offset [e-]) of an instrument: electrons = counts / gain + offset."""
        names = [f"{instrument}_adc_gain", f"{instrument}_adc_offset"]
        if self.layout == "2024":
            path = self.root / f"{split}_adc_info.csv"
            row = self._planet_row(path.name, planet)
        else:
            path = self.root / "adc_info.csv"
            rows = _read_csv(path)
            if len(rows) != 1:
                raise RawDataError(f"{path}: expected one row for all planets, found {len(rows)}")
            row = rows[0]
        if missing := [name for name in names if name not in row]:
            raise RawDataError(f"{path}: expected the columns {', '.join(names)}, missing {', '.join(missing)}")
        gain, offset = _numbers(path, f"planet {planet}", [row[name] for name in names]).tolist()
        if not (np.isfinite([gain, offset]).all() and gain > 0):
            raise RawDataError(
                f"{path}: planet {planet}: expected a positive {names[0]}, found {gain}, offset {offset}"
            )
        return gain, offset

    @cached_property
    def axes(self) -> dict[str, NDArray[np.float64]]:
        """Columns of axis_info.parquet without their padding: frame times [h], wavelengths [µm], integrations [s]."""
        path = self.root / "axis_info.parquet"
        table = _open_parquet(path, "axes").read()
        columns = {name: np.asarray(table[name].to_numpy(), np.float64) for name in table.column_names}
        return {name: values[np.isfinite(values)] for name, values in columns.items()}

    def axis(self, name: str) -> NDArray[np.float64]:
        """One axis by its column name."""
        if name not in self.axes:
            path = self.root / "axis_info.parquet"
            raise RawDataError(f"{path}: expected the column {name}, found {', '.join(self.axes)}")
        return self.axes[name]

    @property
    def airs_wavelengths(self) -> NDArray[np.float64]:
        """(column,) [µm] of the AIRS-CH0 detector, as stored (descending)."""
        return self.axis("AIRS-CH0-axis2-um")

    def label_file(self, split: str) -> Path | None:
        """The file of true spectra of a split, None where there is none."""
        candidates = (self.root / f"{split}_labels.csv", self.root / f"{split}.csv")
        return next((path for path in candidates if path.exists()), None)

    def _label_file(self, split: str) -> Path:
        return self.label_file(split) or self.root / f"{split}.csv"

    @cached_property
    def _labels(self) -> dict[str, dict[int, dict[str, str]]]:
        files = {split: self.label_file(split) for split in self.splits}
        return {split: _by_planet(path) for split, path in files.items() if path is not None}

    @cached_property
    def _tables(self) -> dict[str, dict[int, dict[str, str]]]:
        return {}

    def _planet_row(self, name: str, planet: int) -> dict[str, str]:
        if name not in self._tables:
            self._tables[name] = _by_planet(self.root / name)
        if planet not in (table := self._tables[name]):
            raise RawDataError(
                f"{self.root / name}: expected a row of planet {planet}, found {len(table)} other planets"
            )
        return table[planet]


@dataclass(frozen=True)
class RawVisit:
    """One visit of one planet: where its files are, and their content on demand."""

    folder: ChallengeFolder
    split: str
    planet_id: int
    visit: int
    _open: dict[str, pq.ParquetFile] = field(default_factory=dict, compare=False, repr=False)

    @property
    def layout(self) -> str:
        """Layout of its folder, `2024` or `2025`."""
        return self.folder.layout

    @property
    def name(self) -> str:
        """`planet 1 visit 0`, for messages."""
        return f"planet {self.planet_id} visit {self.visit}"

    def signal_file(self, instrument: str) -> Path:
        """Path of the raw frames."""
        return self._path(f"{instrument}_signal", ".parquet")

    def calibration_file(self, instrument: str, kind: str) -> Path:
        """Path of one calibration frame (dark, dead, flat, linear_corr, read)."""
        return self._path(f"{instrument}_calibration", "") / f"{kind}.parquet"

    def _path(self, stem: str, suffix: str) -> Path:
        number = "" if self.layout == "2024" else f"_{self.visit}"
        return self.folder.root / self.split / str(self.planet_id) / f"{stem}{number}{suffix}"

    def files(self) -> list[Path]:
        """Every file of the visit that exists, in a fixed order."""
        expected = [
            path
            for instrument in INSTRUMENTS
            for path in (
                self.signal_file(instrument),
                *(self.calibration_file(instrument, kind) for kind in CALIBRATION_FILES),
            )
        ]
        return [path for path in expected if path.exists()]

    def adc(self, instrument: str) -> tuple[float, float]:
        """(gain [counts/e-], offset [e-])."""
        return self.folder.adc(self.split, self.planet_id, instrument)

    def calibration(self, instrument: str) -> CalibrationFrames:
        """Calibration frames of the whole detector, shapes checked, values as stored (they may be non-finite)."""
        frames = {}
        for kind in CALIBRATION_FILES:
            path = self.calibration_file(instrument, kind)
            table = _open_parquet(path, self.name).read()
            columns = [name for name in table.column_names if not name.startswith("__index_level")]
            frames[kind] = np.stack([np.asarray(table[name].to_numpy(), np.float64) for name in columns], axis=1)
            rows = frames["dark"].shape[0] * (N_COEFFICIENTS if kind == "linear_corr" else 1)
            expected = (rows, frames["dark"].shape[1])
            if frames[kind].shape != expected:
                raise RawDataError(f"{path} of {self.name}: expected shape {expected}, found {frames[kind].shape}")
        n_rows, n_columns = frames["dark"].shape
        return CalibrationFrames(
            dark=frames["dark"],
            dead=~(frames["dead"] == 0),  # NaN counts as dead
            flat=frames["flat"],
            read=frames["read"],
            linear_corr=frames["linear_corr"].reshape(N_COEFFICIENTS, n_rows, n_columns),
        )

    def n_frames(self, instrument: str) -> int:
        """Number of frames in the signal file."""
        return self._signal(instrument).metadata.num_rows

    def times(self, instrument: str) -> NDArray[np.float64]:
        """(frame,) [h] time stamps of the frames."""
        stamps, n = self.folder.axis(f"{instrument}-axis0-h"), self.n_frames(instrument)
        if n > stamps.size:
            raise RawDataError(
                f"{self.signal_file(instrument)} of {self.name}: expected at most the {stamps.size} frames of "
                f"axis_info.parquet, found {n}"
            )
        if n < stamps.size:
            logger.warning(
                "%s %s: %d frames, axis_info has %d times; the first are used", self.name, instrument, n, stamps.size
            )
        if not (np.diff(stamps[:n]) > 0).all():
            raise RawDataError(f"{self.folder.root / 'axis_info.parquet'}: expected increasing {instrument}-axis0-h")
        return stamps[:n]

    def integration(self, instrument: str) -> tuple[float, float]:
        """(start, end) [s]: charge collected since reset when the two frames of an exposure are read."""
        if instrument == FGS1:
            return FGS1_INTEGRATION_S
        seconds = self.folder.axis(f"{instrument}-integration_time")
        start, end = (np.unique(seconds[k::2]) for k in (0, 1))
        if start.size != 1 or end.size != 1:
            raise RawDataError(
                f"{self.folder.root / 'axis_info.parquet'}: expected {instrument}-integration_time alternating between "
                f"two values, found {start[:3].tolist()} and {end[:3].tolist()}"
            )
        return float(start[0]), float(end[0]) + AIRS_END_DELAY_S

    def read(self, instrument: str, rows: Pixels, columns: Pixels) -> NDArray[np.uint16]:
        """(frame, row, column) [counts] of the pixels rows × columns; nothing else is decoded.

        The array is a view whose time axis is contiguous in memory, as the file's columns are.
        """
        file = self._signal(instrument)
        shape = self.shape(instrument)
        names = file.schema_arrow.names
        at = [i for i, name in enumerate(names) if not name.startswith("__index_level")]
        pixels = [at[int(row) * shape[1] + int(column)] for row in rows for column in columns]
        counts = np.empty((len(pixels), file.metadata.num_rows), np.uint16)
        step = max(1, DECODE_SAMPLES // file.metadata.num_rows)
        try:
            for first in range(0, len(pixels), step):
                part = pixels[first : first + step]
                # by index: by name, pyarrow builds a map of all 11,392 columns for each call
                table = file.reader.read_all(column_indices=part, use_threads=False)
                for i, pixel in enumerate(part):
                    counts[first + i] = table.column(names[pixel]).to_numpy()
        except (pa.ArrowException, OSError) as error:
            raise RawDataError(f"{self.signal_file(instrument)} of {self.name}: cannot be decoded: {error}") from error
        return counts.reshape(len(rows), len(columns), -1).transpose(2, 0, 1)

    def close(self) -> None:
        """Close the signal files; reading again opens them again."""
        while self._open:
            self._open.popitem()[1].close()

    def shape(self, instrument: str) -> tuple[int, int]:
        """(rows, columns) of the detector, from the dark frame."""
        dark = _open_parquet(self.calibration_file(instrument, "dark"), self.name)
        names = [name for name in dark.schema_arrow.names if not name.startswith("__index_level")]
        return dark.metadata.num_rows, len(names)

    def _signal(self, instrument: str) -> pq.ParquetFile:
        """The opened signal file, its columns checked against the detector's pixels."""
        if instrument not in self._open:
            path = self.signal_file(instrument)
            file = _open_parquet(path, self.name)
            rows, columns = self.shape(instrument)
            fields = [f for f in file.schema_arrow if not f.name.startswith("__index_level")]
            if len(fields) != rows * columns:
                raise RawDataError(
                    f"{path} of {self.name}: expected {rows * columns:,} columns "
                    f"(a pixel each of {rows} × {columns}), found {len(fields):,}"
                )
            if wrong := {str(f.type) for f in fields} - {"uint16"}:
                raise RawDataError(f"{path} of {self.name}: expected uint16 counts, found {', '.join(sorted(wrong))}")
            if file.metadata.num_rows == 0:
                raise RawDataError(f"{path} of {self.name}: expected frames, found none")
            self._open[instrument] = file
        return self._open[instrument]


def _open_parquet(path: Path, what: str) -> pq.ParquetFile:
    if not path.exists():
        raise RawDataError(f"{path} of {what}: expected a Parquet file, found none")
    try:
        return pq.ParquetFile(path, pre_buffer=False)  # a buffer would hold far more than the columns asked for
    except (pa.ArrowException, OSError) as error:
        raise RawDataError(
            f"{path} of {what}: expected a whole Parquet file, found {path.stat().st_size:,} bytes: {error}"
        ) from error


def _read_csv(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        raise RawDataError(f"{path}: expected a CSV table, found none")
    with path.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def _by_planet(path: Path) -> dict[int, dict[str, str]]:
    rows = _read_csv(path)
    if rows and "planet_id" not in rows[0]:
        raise RawDataError(f"{path}: expected a column planet_id, found {', '.join(list(rows[0])[:8])}")
    try:
        return {int(float(row["planet_id"])): row for row in rows}  # the 2025 test table writes 1103775.0
    except (TypeError, ValueError) as error:
        raise RawDataError(f"{path}: expected whole numbers in planet_id, found {error}") from error


def _numbers(path: Path, what: str, texts: Sequence[str | None]) -> NDArray[np.float64]:
    try:
        return np.array([float(text) if text else np.nan for text in texts])
    except ValueError as error:
        raise RawDataError(f"{path}: {what}: expected numbers, found {error}") from error
