"""Raw folders of the Ariel Data Challenge: the only file that knows layouts, file names, dtypes and tables.

Two layouts exist (the data pages of the NeurIPS Ariel Data Challenges 2024 and 2025); which one a folder has follows
from its files. Opening a folder or a visit reads no frames: pixels are decoded by Parquet column projection, on
demand.
"""

from __future__ import annotations

import logging
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from hf_dataset.folders import read_json
from hf_dataset.raw import tables
from hf_dataset.raw.files import (
    INDEX_COLUMN,
    PlanetTable,
    RawDataError,
    array_columns,
    open_parquet,
    other_form,
    read_csv,
    read_frame,
    require_file,
    row_of,
    what_is,
)
from hf_dataset.schema import STAR_COLUMNS

logger = logging.getLogger(__name__)

AIRS, FGS1 = "AIRS-CH0", "FGS1"
INSTRUMENTS = (AIRS, FGS1)
SPLITS = ("train", "test")
# all that is read in the folder itself, of either layout: every row depends on it
TABLES = (
    "adc_info.csv",
    "axis_info.parquet",
    "simulation.json",
    *(f"{split}{kind}.csv" for split in SPLITS for kind in ("", "_adc_info", "_labels", "_star_info")),
    "wavelengths.csv",
)
CALIBRATION_FILES = ("dark", "dead", "flat", "linear_corr", "read")
N_COEFFICIENTS = 6  # linear_corr stacks the coefficients c0 … c5 of a fifth-order polynomial, a detector each
FGS1_INTEGRATION_S = (0.1, 0.2)  # FGS1 has no column in axis_info; the organisers' recipe hard-codes it
DECODE_SAMPLES = 150_000  # decoded at a time: pyarrow needs some 16 bytes for each, and is fastest in cache
AIRS_END_DELAY_S = 0.1  # the organisers add 0.1 s to the tabulated integration of an exposure's second frame

# medians between which a calibration frame can be believed: the real planet's are 0.006 e-/s, 1.01 and 13 e-, slope 1.0
PLAUSIBLE = {"dark": (-10.0, 10.0), "flat": (0.5, 2.0), "read": (0.1, 1000.0), "linear_corr": (0.5, 2.0)}

Pixels = Sequence[int] | NDArray[np.intp]


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
    """Recognise and open a raw challenge folder; otherwise RawDataError says what was expected."""
    root = Path(root)
    if not root.is_dir():
        raise RawDataError(f"{root}: expected a raw challenge folder, found {'a file' if root.exists() else 'nothing'}")
    splits = [split for split in SPLITS if (root / split).is_dir()]
    if not splits:
        found = ", ".join(sorted(path.name for path in root.iterdir())[:8]) or "an empty folder"
        raise RawDataError(f"{root}: expected a folder train/ or test/ of planets, found {found}")
    for name in TABLES:  # one that is missing is a warning at most, so nobody would see why
        twin = name.replace("_labels", "") if "_labels" in name else name.replace(".csv", "_labels.csv")
        if (other := other_form(root / name)) and not (root / twin).exists():
            raise RawDataError(f"{root}: expected {name}, found {other}")
    return ChallengeFolder(root, _layout(root, splits), tuple(splits))


def _layout(root: Path, splits: Sequence[str]) -> str:
    """`2024` or `2025`: by the ADC table, else by the file names of most planets."""
    by_table = {"2025": (root / "adc_info.csv").exists()}
    by_table["2024"] = any((root / f"{split}_adc_info.csv").exists() for split in splits)
    if sum(by_table.values()) == 1:
        return next(layout for layout, there in by_table.items() if there)
    votes: Counter[str] = Counter()
    for planet in (entry for split in splits for entry in (root / split).iterdir() if what_is(entry) == "a folder"):
        names = os.listdir(planet) if os.access(planet, os.R_OK) else []
        votes["2025"] += any(re.fullmatch(r".+_(signal|calibration)_\d+(\.parquet)?", name) for name in names)
        votes["2024"] += any(re.fullmatch(r".+_(signal\.parquet|calibration)", name) for name in names)
    if not any(votes.values()):
        raise RawDataError(
            f"{root}: expected planets with …_signal.parquet (2024) or …_signal_0.parquet (2025), or an ADC table "
            f"train_adc_info.csv (2024) or adc_info.csv (2025), found {'both' if any(by_table.values()) else 'none'}"
        )
    return votes.most_common(1)[0][0]


@dataclass(frozen=True)
class ChallengeFolder:
    """A raw folder of either layout; tables are read on first use and kept."""

    root: Path
    layout: str
    splits: tuple[str, ...]

    @property
    def simulated(self) -> bool:
        """Whether this project's simulator wrote the folder, according to its record."""
        return bool(self._record)

    def origin(self, split: str, planet: int) -> str:
        """The `layout` of a row of the planet, which decides the licence of the dataset.

        `simulated`: this project's simulator recorded that it made the planet in that split; `given`: it did so for a
        spectrum from elsewhere. Anything else, and all where the record cannot be read, has the challenge's layout.
        """
        planets = self._record.get("planets")
        listed = planets.get(split) if isinstance(planets, dict) else None
        if not isinstance(listed, list) or planet not in listed:
            return self.layout
        given = self._record.get("given_spectra", [])
        return "simulated" if isinstance(given, list) and planet not in given else "given"

    @cached_property
    def _record(self) -> dict[str, Any]:
        """The simulator's record; empty if there is none."""
        path = self.root / "simulation.json"
        record = read_json(path) if what_is(path) == "a file" else None
        return record if record is not None and record.get("simulated") is True else {}

    def planets(self, split: str) -> list[int]:
        """Planet numbers of a split, ascending: every entry whose name is a number, so that none is overlooked."""
        if split not in self.splits:
            raise RawDataError(f"{self.root}: expected the split {split!r}, found {', '.join(self.splits)}")
        names = sorted(path.name for path in (self.root / split).iterdir() if not path.name.startswith("."))
        numbers = {int(name) for name in names if re.fullmatch(r"[0-9]{1,18}", name)}
        if others := [name for name in names if not re.fullmatch(r"[0-9]{1,18}", name)]:
            logger.warning("%s: left out, as no planet's number: %s", self.root / split, ", ".join(others[:8]))
        return sorted(numbers)

    def planet_folder(self, split: str, planet: int) -> Path:
        """A planet's folder; RawDataError if there is none."""
        folder = self.root / split / str(planet)
        if (found := what_is(folder)) != "a folder":
            names = os.listdir(folder.parent) if folder.parent.is_dir() else []
            others = [name for name in names if re.fullmatch(rf"0+{planet}", name)]
            raise RawDataError(f"{folder}: expected the folder of planet {planet}, found {' '.join([found, *others])}")
        return folder

    def visits(self, split: str, planet: int) -> list[int]:
        """Visit numbers of a planet, ascending; a visit with only one instrument, or only calibration, counts."""
        folder = self.planet_folder(split, planet)
        number = "" if self.layout == "2024" else r"_(0|[1-9][0-9]{0,8})"
        kinds = rf"({'|'.join(INSTRUMENTS)})_(?:signal{number}\.parquet|calibration{number})"
        matches = [re.fullmatch(kinds, name) for name in os.listdir(folder)]
        return sorted({int("".join(filter(None, match.groups()[1:])) or 0) for match in matches if match})

    def visit(self, split: str, planet: int, visit: int) -> RawVisit:
        """One visit, lazily: nothing is read yet."""
        return RawVisit(self, split, int(planet), int(visit))

    @cached_property
    def wavelengths(self) -> NDArray[np.float64]:
        """(channel,) [µm]: FGS1, then the AIRS-CH0 channels ascending."""
        return tables.read_wavelengths(self.root / "wavelengths.csv")

    def truth(self, split: str, planet: int) -> NDArray[np.float64] | None:
        """(channel,) true transit depths (Rp/Rs)², None where the planet has no label."""
        path = self.label_file(split)
        if path is None:
            return None
        table = self._table(path.name)
        if planet not in table and planet not in table.planets:  # the latter refuses ids that could be this planet's
            return None
        return tables.spectrum(table, planet)

    def missing_truths(self) -> str:
        """Which training planets have no true spectrum, in a sentence; empty where all have, or no file can be read."""
        planets = self.planets("train") if "train" in self.splits else []
        path = self.label_file("train")
        try:
            known = set() if path is None else set(self._table(path.name).planets)
        except RawDataError:
            return ""  # said of every planet
        missing = [planet for planet in planets if planet not in known]
        if not missing:
            return ""
        path = path or self.root / ("train_labels.csv" if self.layout == "2024" else "train.csv")
        found = f"no row of {len(missing)}, the first {missing[:3]}" if what_is(path) != "none" else "no such file"
        return f"{path}: expected true spectra of {len(planets)} training planets, found {found}"

    def star(self, split: str, planet: int) -> dict[str, float | int]:
        """`star` (index, −1 where none) and Rs Ms Ts Mp e P sma i in the table's units, NaN where none."""
        if self.layout == "2024":
            index = tables.star_index(self._table(f"{split}_adc_info.csv"), planet)
            return {"star": index, **dict.fromkeys(STAR_COLUMNS, np.nan)}
        return {"star": -1, **tables.star_parameters(self._table(f"{split}_star_info.csv"), planet)}

    def adc(self, split: str, planet: int, instrument: str) -> tuple[float, float]:
        """(gain [counts/e-], offset [e-]) of an instrument: electrons = counts / gain + offset."""
        if self.layout == "2024":
            table = self._table(f"{split}_adc_info.csv")
            path, row = table.path, table.row(planet)
        else:
            path = self.root / "adc_info.csv"
            header, rows = read_csv(path)
            if len(rows) != 1:
                raise RawDataError(f"{path}: expected one row for all planets, found {len(rows)}")
            row = row_of(path, f"planet {planet}", header, rows[0])
        return tables.adc(path, f"planet {planet}", row, [f"{instrument}_adc_gain", f"{instrument}_adc_offset"])

    @cached_property
    def axes(self) -> dict[str, NDArray[np.float64]]:
        """Columns of axis_info.parquet without their padding: frame times [h], wavelengths [µm], integrations [s]."""
        return tables.read_axes(self.root / "axis_info.parquet")

    def axis(self, name: str) -> NDArray[np.float64]:
        """One axis by its column name."""
        if name not in self.axes:
            path = self.root / "axis_info.parquet"
            raise RawDataError(f"{path}: expected the column {name}, found {', '.join(self.axes)}")
        return self.axes[name]

    @property
    def airs_wavelengths(self) -> NDArray[np.float64]:
        """(column,) [µm] of the AIRS-CH0 detector, as stored: descending in both challenges."""
        values = self.axis("AIRS-CH0-axis2-um")
        if not (values.size and values[-1] > 0 and (np.diff(values) < 0).all()):
            raise RawDataError(
                f"{self.root / 'axis_info.parquet'}: expected AIRS-CH0-axis2-um descending to more than 0 µm, found "
                f"{values[:2].tolist()} … {values[-1:].tolist()}"
            )
        return values

    def label_file(self, split: str) -> Path | None:
        """The file of true spectra of a split, None where there is none."""
        names = (f"{split}_labels.csv", f"{split}.csv")
        candidates = [self.root / name for name in (names if self.layout == "2024" else names[::-1])]
        return next((path for path in candidates if what_is(path) != "none"), None)

    @cached_property
    def _tables(self) -> dict[str, PlanetTable]:
        return {}

    def _table(self, name: str) -> PlanetTable:
        if name not in self._tables:
            self._tables[name] = PlanetTable(self.root / name)
        return self._tables[name]


@dataclass(frozen=True)
class RawVisit:
    """One visit of one planet: its files, read on demand."""

    folder: ChallengeFolder
    split: str
    planet_id: int
    visit: int
    _open: dict[str, pq.ParquetFile] = field(default_factory=dict, compare=False, repr=False)
    _columns: dict[str, list[int]] = field(default_factory=dict, compare=False, repr=False)  # a pixel each, of _open

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
        return [path for path in expected if what_is(path) != "none"]

    def adc(self, instrument: str) -> tuple[float, float]:
        """(gain [counts/e-], offset [e-])."""
        return self.folder.adc(self.split, self.planet_id, instrument)

    def calibration(self, instrument: str) -> CalibrationFrames:
        """Calibration frames of the whole detector; shapes are checked, and that each is plausible as a whole.

        Single values are as stored, even non-finite or absurd ones.
        """
        frames = {}
        for kind in CALIBRATION_FILES:
            path = self.calibration_file(instrument, kind)
            frames[kind] = read_frame(path, f" of {self.name}")
            rows = frames["dark"].shape[0] * (N_COEFFICIENTS if kind == "linear_corr" else 1)
            expected = (rows, frames["dark"].shape[1])
            if frames[kind].shape != expected:
                raise RawDataError(f"{path} of {self.name}: expected shape {expected}, found {frames[kind].shape}")
        frames["linear_corr"] = frames["linear_corr"].reshape(N_COEFFICIENTS, *frames["dark"].shape)
        for kind, frame in frames.items():
            self._refuse_implausible(self.calibration_file(instrument, kind), kind, frame)
        return CalibrationFrames(**{**frames, "dead": ~(frames["dead"] == 0)})  # NaN counts as dead

    def _refuse_implausible(self, path: Path, kind: str, frame: NDArray[np.float64]) -> None:
        """Raise RawDataError if most of a calibration frame is not finite, or its median is implausible."""
        values = frame[1] if kind == "linear_corr" else frame  # the polynomial's slope
        finite = values[np.isfinite(values)]
        if 2 * finite.size < values.size:
            raise RawDataError(f"{path} of {self.name}: expected finite values, found {finite.size} of {values.size}")
        least, most = PLAUSIBLE.get(kind, (-np.inf, np.inf))
        if not least <= (median := float(np.median(finite))) <= most:
            what = "slopes (the second of six stacked coefficients)" if kind == "linear_corr" else kind
            raise RawDataError(
                f"{path} of {self.name}: expected {what} with a median from {least:g} to {most:g}, found {median:g}"
            )
        if kind == "dark" and not finite.any():
            raise RawDataError(f"{path} of {self.name}: expected a measured dark frame, found 0 in every pixel")

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
        name, path = f"{instrument}-axis0-h", self.folder.root / "axis_info.parquet"
        return tables.frame_times(path, name, stamps[:n], self.integration(instrument)[1])

    def integration(self, instrument: str) -> tuple[float, float]:
        """(start, end) [s]: charge collected since reset when the two frames of an exposure are read."""
        if instrument == FGS1:
            return FGS1_INTEGRATION_S
        name, path = f"{instrument}-integration_time", self.folder.root / "axis_info.parquet"
        start, end = tables.integration_times(path, name, self.folder.axis(name))
        return start, end + AIRS_END_DELAY_S

    def read(self, instrument: str, rows: Pixels, columns: Pixels) -> NDArray[np.uint16]:
        """(frame, row, column) [counts] of the pixels rows × columns; nothing else is decoded.

        The array is a view whose time axis is contiguous in memory, as the file's columns are.
        """
        n_columns = self.shape(instrument)[1]
        pixels = np.asarray(rows, np.intp)[:, None] * n_columns + np.asarray(columns, np.intp)
        counts = self.read_series(instrument, pixels.ravel())
        return counts.reshape(*pixels.shape, -1).transpose(2, 0, 1)

    def read_series(self, instrument: str, pixels: NDArray[np.intp]) -> NDArray[np.uint16]:
        """(pixel, frame) [counts] of the pixels numbered row · n_columns + column; nothing else is decoded."""
        file = self._signal(instrument)
        columns = self._columns[instrument]
        counts = np.empty((len(pixels), file.metadata.num_rows), np.uint16)
        step = max(1, DECODE_SAMPLES // file.metadata.num_rows)
        try:
            for first in range(0, len(pixels), step):
                part = pixels[first : first + step]
                # by index: by name, pyarrow builds a map of all 11,392 columns for each call
                table = file.reader.read_all(column_indices=[columns[pixel] for pixel in part], use_threads=False)
                for i, pixel in enumerate(part):
                    column = table.column(f"column_{pixel}")
                    if column.null_count or len(column) != counts.shape[1]:
                        raise RawDataError(
                            f"{self.signal_file(instrument)} of {self.name}: expected {counts.shape[1]} counts, found "
                            f"{len(column)} with {column.null_count} nulls in column_{pixel}"
                        )
                    counts[first + i] = column.to_numpy()
        except (pa.ArrowException, OSError) as error:
            raise RawDataError(f"{self.signal_file(instrument)} of {self.name}: cannot be decoded: {error}") from error
        return counts

    def reopened(self) -> RawVisit:
        """The same visit with its own open files, for another thread."""
        return RawVisit(self.folder, self.split, self.planet_id, self.visit)

    def close(self) -> None:
        """Close the signal files; reading again opens them again."""
        while self._open:
            self._open.popitem()[1].close()

    def shape(self, instrument: str) -> tuple[int, int]:
        """(rows, columns) of the detector, from the dark frame."""
        path = self.calibration_file(instrument, "dark")
        with open_parquet(path, f" of {self.name}") as dark:
            rows, columns = dark.metadata.num_rows, len(array_columns(dark.schema_arrow, path, f" of {self.name}"))
        return rows, columns

    def _signal(self, instrument: str) -> pq.ParquetFile:
        """The opened signal file, its columns checked against the detector's pixels."""
        if instrument not in self._open:
            self.folder.planet_folder(self.split, self.planet_id)
            path, of = self.signal_file(instrument), f" of {self.name}"
            require_file(path, "a Parquet file", of)
            rows, columns = self.shape(instrument)
            file = open_parquet(path, of)
            try:
                schema = file.schema_arrow
                found = sum(not name.startswith(INDEX_COLUMN) for name in schema.names)
                if found != rows * columns:
                    raise RawDataError(
                        f"{path}{of}: expected {rows * columns:,} columns "
                        f"(a pixel each of {rows} × {columns}), found {found:,}"
                    )
                at = array_columns(schema, path, of)
                types = schema.types
                if wrong := {str(types[i]) for i in at} - {"uint16"}:
                    raise RawDataError(f"{path}{of}: expected uint16 counts, found {', '.join(sorted(wrong))}")
                if file.metadata.num_rows == 0:
                    raise RawDataError(f"{path}{of}: expected frames, found none")
            except (pa.ArrowException, UnicodeDecodeError) as error:
                raise RawDataError(f"{path}{of}: expected a whole Parquet file, found {error}") from error
            self._open[instrument], self._columns[instrument] = file, at
        return self._open[instrument]
