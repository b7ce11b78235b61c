"""Rows of the dataset, arrays, or one's own light curves, checked and made into the tensors that the model takes.

    light_curve = (flux / level - 1) / (flux_err / level),   level = median of a channel's valid bins

computed in float64 and clipped; what is invalid is 0. What cannot be meant is an error that names the planet, what was
expected and what was found. Everything learned or chosen stands in ``preprocessor_config.json``.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from transformers.feature_extraction_utils import BatchFeature, FeatureExtractionMixin

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

logger = logging.getLogger(__name__)

STAR_COLUMNS = ("Rs", "Ms", "Ts", "Mp", "e", "P", "sma", "i")
# Median, scale and whether the logarithm is taken: median and standard deviation of 4,000 planets of the simulated
# population (seed 0, layout 2025), whose ranges are the challenge's; their orbits are circles, 0.1 is a common e.
_STAR_STATISTICS = {
    "Rs": (0.178, 0.289, True),
    "Ms": (0.081, 0.212, True),
    "Ts": (5815.0, 490.0, False),
    "Mp": (-0.052, 0.961, True),
    "e": (0.0, 0.1, False),
    "P": (1.637, 0.282, True),
    "sma": (2.376, 0.312, True),
    "i": (88.75, 1.29, False),
}
_STAR_RANGES = {  # what a star table can hold in its units: beyond lies another unit
    "Rs": (0.01, 1e3, "solar radii"),
    "Ms": (0.01, 200.0, "solar masses"),
    "Ts": (1e3, 1e5, "K"),
    "Mp": (1e-6, 1e5, "Jupiter masses"),
    "e": (-1e-6, 1.0, "an eccentricity"),
    "P": (0.01, 1e6, "days"),
    "sma": (1.0, 1e6, "stellar radii"),
    "i": (45.0, 135.0, "degrees"),
}
_FGS1 = 1.0  # um: channels below it are the photometer's
_SPAN = (0.5, 200.0)  # h of a visit
_FAR = 1000.0  # h: float32 keeps 0.2 s of less


class FeatureError(ValueError):
    """Light curves that cannot be meant."""


@dataclass
class Visit:
    """A checked visit: ``time`` (T,) [h]; ``flux``, ``flux_err``, ``light_curve``, ``valid`` (T, C) on the
    extractor's channels; ``centroid`` (T, 4) scaled; ``star`` (8,) raw, NaN unknown; ``spectrum`` (C,) or None;
    ``planet``: what its visits share.
    """

    name: str
    planet: tuple[Any, ...]
    time: Array
    flux: Array
    flux_err: Array
    valid: Mask
    light_curve: Array
    centroid: Array
    star: Array
    spectrum: Array | None


def ariel_wavelength() -> list[float]:
    """Wavelengths [um] of FGS1 and the 282 labelled AIRS-CH0 channels, ascending: a parabola in the pixel column."""
    column = (np.arange(320, 38, -1) - 177.5) / 177.5
    airs = 3.073675512434198 - 1.2226052102268359 * column - 0.2178175817621592 * column**2
    return [0.7, *airs.tolist()]


def _is_many(value: Any) -> bool:
    """Whether it is a stack or list of things, rather than a number, a text or None."""
    return hasattr(value, "__len__") and not isinstance(value, str | bytes | Mapping) and getattr(value, "ndim", 1) > 0


def _plain(value: Any) -> Any:
    """Scalars of NumPy and torch as Python's."""
    return value.item() if hasattr(value, "item") else value


def _with_star_columns(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with a star table given as a mapping, or as (..., 8) numbers, laid out in its eight columns."""
    out = dict(row)
    star = out.get("star")
    if isinstance(star, Mapping):
        unknown = sorted(set(star) - set(STAR_COLUMNS))
        if unknown:
            raise FeatureError(f"star: expected columns {STAR_COLUMNS}, found {unknown}")
        out.update(out.pop("star"))
    elif _is_many(star) and "Rs" not in out:
        table = np.asarray(out.pop("star"), dtype=np.float64)
        if table.shape[-1] != len(STAR_COLUMNS):
            raise FeatureError(f"star: expected the 8 values {STAR_COLUMNS}, found shape {table.shape}")
        out.update({name: table[..., place] for place, name in enumerate(STAR_COLUMNS)})
    return out


def as_rows(rows: Any) -> list[dict[str, Any]]:
    """One dictionary a visit, of a row, a dictionary of columns, or an iterable of rows."""
    if not isinstance(rows, Mapping):
        if isinstance(rows, str) or not isinstance(rows, Iterable):
            raise FeatureError(f"rows: expected a row, a list of rows or a dictionary of columns, found {type(rows)}")
        listed = list(rows)
        if not all(isinstance(row, Mapping) for row in listed):
            kinds = sorted({type(row).__name__ for row in listed if not isinstance(row, Mapping)})
            raise FeatureError(f"rows: expected dictionaries, found {kinds}; give arrays by name: time=, flux=, ...")
        return [_with_star_columns(row) for row in listed]
    columns = _with_star_columns({name: value for name, value in rows.items() if value is not None})
    if not _is_many(columns.get("time")) or not len(columns["time"]):
        raise FeatureError(f"time: expected bin centres, found {columns.get('time')!r} among {sorted(columns)}")
    if not _is_many(columns["time"][0]):
        return [columns]
    shared = {name for name, value in columns.items() if not _is_many(value)}
    if "wavelength" in columns and not _is_many(columns["wavelength"][0]):
        shared.add("wavelength")
    size = len(columns["time"])
    for name in columns.keys() - shared:
        if len(columns[name]) != size:
            raise FeatureError(f"{name}: expected {size} visits as in time, found {len(columns[name])}")
    return [{name: value if name in shared else value[i] for name, value in columns.items()} for i in range(size)]


def _numbers(name: str, field: str, value: Any, shape: tuple[int | str, ...], kinds: str = "fiu") -> Array:
    """``value`` as float64 of ``shape``, where letters stand for any length."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float().numpy() if str(value.dtype) == "torch.bfloat16" else value.numpy()
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise FeatureError(f"{name}: {field}: expected shape {shape}, found rows of different lengths") from error
    if array.dtype.kind not in kinds:
        raise FeatureError(f"{name}: {field}: expected numbers, found dtype {array.dtype}")
    same = len(shape) == array.ndim and all(
        isinstance(n, str) or n == m for n, m in zip(shape, array.shape, strict=True)
    )
    if not same:
        raise FeatureError(f"{name}: {field}: expected shape {shape}, found {array.shape}")
    return array.astype(np.float64)


def _check_time(name: str, time: Array) -> Array:
    """Increasing hours (T,), counted from the first bin where their zero is far away."""
    if time.size < 2:
        raise FeatureError(f"{name}: time: expected 2 bins or more, found {time.size}")
    if not np.isfinite(time).all():
        raise FeatureError(f"{name}: time: expected finite hours, found {np.sum(~np.isfinite(time))} that are not")
    step = np.diff(time)
    if not (step > 0).all():
        at = int(np.argmax(step <= 0))
        raise FeatureError(
            f"{name}: time: expected increasing, found {time[at]} then {time[at + 1]} at bins {at}, {at + 1}"
        )
    span = float(time[-1] - time[0])
    if not _SPAN[0] <= span <= _SPAN[1]:
        unit = "days" if span < _SPAN[0] else "minutes or seconds"
        raise FeatureError(
            f"{name}: time: expected hours, a visit of {_SPAN[0]:g} to {_SPAN[1]:g} h, found {span:g}: {unit}?"
        )
    return time - time[0] if abs(time[0]) > _FAR else time


def _check_flux(name: str, flux: Array, flux_err: Array, valid: Mask) -> Mask:
    """Which of the ``valid`` points (T, C) can be used; an error where none can, or where units cannot be right."""
    for field, value in (("flux", flux), ("flux_err", flux_err)):
        if (infinite := np.isinf(value) & valid).any():
            bin_, channel = np.argwhere(infinite)[0]
            raise FeatureError(
                f"{name}: {field}: expected finite numbers (NaN where there are none), found "
                f"{value[bin_, channel]} at bin {bin_}, channel {channel}"
            )
    with np.errstate(invalid="ignore"):
        good = valid & np.isfinite(flux) & (flux_err > 0)
    if not good.any():
        raise FeatureError(
            f"{name}: expected valid data, found none in {good.size} points: {np.sum(~valid)} masked, "
            f"{np.sum(valid & np.isnan(flux))} with NaN flux, {np.sum(valid & ~(flux_err > 0))} with no positive error"
        )
    if (flux_err[good] >= np.abs(flux[good])).all():
        raise FeatureError(
            f"{name}: flux_err: expected errors in the unit of flux, found all larger than flux (medians "
            f"{np.median(flux_err[good]):.3g} and {np.median(flux[good]):.3g}): variances, or ppm?"
        )
    return good


def _level(flux: Array, good: Mask) -> Array:
    """Median of each channel's good bins: (C,), NaN where there are none."""
    ordered = np.sort(np.where(good, flux, np.nan), axis=0)  # NaN last
    count = good.sum(0)
    middle = np.stack([np.maximum(count - 1, 0) // 2, np.minimum(count // 2, len(flux) - 1)])
    return np.take_along_axis(ordered, middle, 0).mean(0)


class ArielFeatureExtractor(FeatureExtractionMixin):
    """Light curves to tensors.

    Args:
        wavelength: (C,) [um] the model's channels; default FGS1 and the 282 labelled AIRS-CH0 channels.
        wavelength_tolerance: how far from a channel a given wavelength may lie [um]; half the narrowest spacing.
        fgs1_tolerance: the same for channels below 1 um: FGS1 sees 0.60 to 0.80 um, and is given as 0.700 or 0.705.
        clip: largest |light_curve| [sigma]; the deepest simulated transits reach 180 in 72 s bins.
        centroid_scale: scatter of the four centroid columns in the simulated population [px].
        centroid_clip, star_clip: largest scaled values.
        star_median, star_scale: of the star table's columns, or of their logarithms where ``star_log``.
    """

    model_input_names = [  # noqa: RUF012, as the library names it
        "time", "flux", "flux_err", "valid", "light_curve", "centroid", "star", "star_features", "planet",
    ]  # fmt: skip

    def __init__(
        self,
        wavelength: list[float] | None = None,
        wavelength_tolerance: float = 0.0025,
        fgs1_tolerance: float = 0.1,
        clip: float = 300.0,
        centroid_scale: tuple[float, ...] | list[float] = (9.5e-3, 9.5e-3, 4.5e-3, 4.6e-3),
        centroid_clip: float = 10.0,
        star_median: list[float] | None = None,
        star_scale: list[float] | None = None,
        star_log: list[bool] | None = None,
        star_clip: float = 10.0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        defaults = zip(*(_STAR_STATISTICS[name] for name in STAR_COLUMNS), strict=True)
        median, scale, log = (list(values) for values in defaults)
        self.wavelength = [float(value) for value in (ariel_wavelength() if wavelength is None else wavelength)]
        self.wavelength_tolerance, self.fgs1_tolerance = float(wavelength_tolerance), float(fgs1_tolerance)
        self.clip, self.centroid_clip, self.star_clip = float(clip), float(centroid_clip), float(star_clip)
        self.centroid_scale = [float(value) for value in centroid_scale]
        self.star_median = [float(value) for value in (median if star_median is None else star_median)]
        self.star_scale = [float(value) for value in (scale if star_scale is None else star_scale)]
        self.star_log = [bool(value) for value in (log if star_log is None else star_log)]
        # what was loaded may name another repository: the code saved beside this JSON is meant
        self.auto_map = {"AutoFeatureExtractor": "feature_extraction_ariel.ArielFeatureExtractor"}
        self._validate()

    def _validate(self) -> None:
        if not self.wavelength or not (np.diff(self.wavelength) > 0).all() or not 0 < self.wavelength[-1] < 100:
            raise FeatureError("wavelength: expected ascending channels in um, found others")
        for name, size in (("centroid_scale", 4), ("star_median", 8), ("star_scale", 8), ("star_log", 8)):
            if len(getattr(self, name)) != size:
                raise FeatureError(f"{name}: expected {size} values, found {len(getattr(self, name))}")
        positive = ("clip", "centroid_clip", "star_clip", "wavelength_tolerance", "fgs1_tolerance")
        values = [getattr(self, name) for name in positive] + self.centroid_scale + self.star_scale
        if not min(values) > 0:
            raise FeatureError(
                f"{positive}, centroid_scale, star_scale: expected positive numbers, found {min(values)}"
            )

    def __call__(
        self,
        rows: Any = None,
        *,
        time: ArrayLike | None = None,
        flux: ArrayLike | None = None,
        flux_err: ArrayLike | None = None,
        valid: ArrayLike | None = None,
        wavelength: ArrayLike | None = None,
        star: Mapping[str, Any] | ArrayLike | None = None,
        centroid: ArrayLike | None = None,
        planet_id: Any = None,
        spectrum: ArrayLike | None = None,
        return_tensors: str | None = "pt",
    ) -> BatchFeature:
        """Tensors of B visits of P planets: T bins, C channels.

        Give ``rows`` of the dataset (one, a list, or a dictionary of columns, in any of the dataset's formats), or
        arrays: one visit, or a stack or list of visits, which may differ in their number of bins. Shorter visits are
        padded at the end with invalid bins, time going on at the same step. ``planet_id`` tells which visits belong to
        one planet; without it each is its own.

        Args:
            rows: dictionaries with ``time``, ``flux``, ``flux_err`` and any of what follows.
            time: (T,) [h].
            flux, flux_err: (T, channels) in any unit; NaN flux and errors that are not positive are invalid.
            valid: (T, channels) bool; default all.
            wavelength: (channels,) [um] of those given; each is put where it lies within the tolerance of a channel
                of the extractor, the extractor's other channels are invalid. Default: the extractor's.
            star: star table: a mapping from any of STAR_COLUMNS, or 8 values in their order, NaN unknown.
            centroid: (T, 4) [px] as in the dataset.
            planet_id: of each visit.
            spectrum: (channels,) true depths.
            return_tensors: "pt" or "np".

        Returns:
            ``time`` (B, T); ``flux``, ``flux_err``, ``valid``, ``light_curve`` (B, T, C); ``centroid`` (B, T, 4)
            scaled, 0 where unknown; ``star`` (B, 8) raw, NaN unknown; ``star_features`` (B, 16) scaled, 0 where unknown, then 1
            where known; ``planet`` (B,) index of each visit's planet, in order of first appearance; ``labels`` (P, C)
            if every planet has a spectrum.
        """
        if return_tensors not in ("pt", "np", None):
            raise FeatureError(f"return_tensors: expected 'pt' or 'np', found {return_tensors!r}")
        arrays = {"time": time, "flux": flux, "flux_err": flux_err, "valid": valid, "wavelength": wavelength,
                  "star": star, "centroid": centroid, "planet_id": planet_id, "spectrum": spectrum}  # fmt: skip
        given = {name: value for name, value in arrays.items() if value is not None}
        if (rows is None) == ("time" not in given) or (rows is not None and given.keys() - {"wavelength"}):
            raise FeatureError(f"expected either rows or arrays with time, flux, flux_err, found arrays {list(given)}")
        listed = as_rows(given if rows is None else rows)
        if rows is not None and wavelength is not None:
            listed = [{"wavelength": wavelength, **row} for row in listed]
        if not listed:
            raise FeatureError("rows: expected at least one visit, found none")
        visits = [self.visit(row, place) for place, row in enumerate(listed)]
        return BatchFeature(self._batch(visits), tensor_type=return_tensors)

    def visit(self, row: Mapping[str, Any], place: int = 0) -> Visit:
        """One row, checked and normalised; ``place`` names it in errors where it has no planet_id."""
        planet_id = _plain(row.get("planet_id"))
        name = (
            f"visit {place} of the batch"
            if planet_id is None
            else f"planet {planet_id} visit {_plain(row.get('visit', 0))}"
        )
        if missing := [field for field in ("time", "flux", "flux_err") if row.get(field) is None]:
            raise FeatureError(f"{name}: expected time, flux and flux_err, missing {missing}")
        time = _check_time(name, _numbers(name, "time", row["time"], ("T",)))
        size, given, own = self._matched(name, row.get("wavelength"))
        bins = len(time)
        flux = _numbers(name, "flux", row["flux"], (bins, size))
        flux_err = _numbers(name, "flux_err", row["flux_err"], (bins, size))
        valid = np.ones((bins, size)) if row.get("valid") is None else row["valid"]
        valid = _numbers(name, "valid", valid, (bins, size), "biuf")
        if not np.isin(valid, (0.0, 1.0)).all():
            raise FeatureError(f"{name}: valid: expected true and false, found other numbers")
        good = _check_flux(name, flux, flux_err, valid > 0)
        on_own = np.zeros((3, bins, len(self.wavelength)))
        on_own[:, :, own] = flux[:, given], flux_err[:, given], good[:, given]
        flux, flux_err, good = on_own[0], on_own[1], on_own[2] > 0
        level = _level(flux, good)
        with np.errstate(invalid="ignore"):
            good &= level > 0
        if not good.any():
            raise FeatureError(
                f"{name}: flux: expected a positive median in some of the extractor's channels (flux, not its "
                "deviation), found none"
            )
        flux, flux_err = np.where(np.isfinite(flux), flux, 0.0), np.where(flux_err > 0, flux_err, 1.0)
        light_curve = np.where(good, (flux - np.where(np.isfinite(level), level, 0.0)) / flux_err, 0.0)
        planet = ("unnamed", place) if planet_id is None else (row.get("layout"), planet_id)
        return Visit(
            name, planet, time, flux, flux_err, good, light_curve.clip(-self.clip, self.clip),
            self._centroid(name, row.get("centroid"), bins), self._star(name, row),
            self._spectrum(name, row.get("spectrum"), size, given, own),
        )  # fmt: skip

    def _matched(self, name: str, wavelength: Any) -> tuple[int, NDArray[np.intp], NDArray[np.intp]]:
        """How many channels are given; which of them are used; and which of the extractor's they are."""
        own = np.asarray(self.wavelength)
        if wavelength is None:
            return len(own), np.arange(len(own)), np.arange(len(own))
        lam = _numbers(name, "wavelength", wavelength, ("channels",))
        if not lam.size or not (np.isfinite(lam) & (lam > 0)).all():
            raise FeatureError(f"{name}: wavelength: expected positive um, found {lam.size} others or none")
        middle = float(np.median(lam))
        if not 0.05 < middle < 100.0:
            unit = "nm" if middle >= 100.0 else "metres"
            raise FeatureError(f"{name}: wavelength: expected um, found values round {middle:g}: {unit}?")
        distance = np.abs(lam[:, None] - own)
        nearest = distance.argmin(1)
        tolerance = np.where(own < _FGS1, self.fgs1_tolerance, self.wavelength_tolerance)[nearest]
        given = np.flatnonzero(distance[np.arange(lam.size), nearest] <= tolerance)
        if not given.size:
            raise FeatureError(
                f"{name}: wavelength: expected channels within {self.wavelength_tolerance:g} um of the extractor's, "
                f"{own[0]:g} to {own[-1]:g} um, found none in {lam.min():g} to {lam.max():g} um"
            )
        found, times = np.unique(nearest[given], return_counts=True)
        if times.max() > 1:
            raise FeatureError(
                f"{name}: wavelength: expected 1 channel near {own[found[times.argmax()]]:.4f} um, found {times.max()}"
            )
        if given.size < lam.size:
            logger.warning(
                "%s: %d of %d channels left out: no channel near them", name, lam.size - given.size, lam.size
            )
        return lam.size, given, nearest[given]

    def _centroid(self, name: str, value: Any, bins: int) -> Array:
        """(T, 4) from their medians, scaled and clipped; 0 where absent."""
        if value is None:
            return np.zeros((bins, 4))
        centroid = _numbers(name, "centroid", value, (bins, 4))
        if np.isinf(centroid).any():
            raise FeatureError(f"{name}: centroid: expected finite px or NaN, found infinite ones")
        centre = _level(centroid, np.isfinite(centroid))
        scaled = (centroid - centre) / np.asarray(self.centroid_scale)
        return np.nan_to_num(scaled).clip(-self.centroid_clip, self.centroid_clip)

    def _star(self, name: str, row: Mapping[str, Any]) -> Array:
        """(8,) of the star table, NaN unknown."""
        star = np.full(len(STAR_COLUMNS), np.nan)
        for place, column in enumerate(STAR_COLUMNS):
            if row.get(column) is None:
                continue
            value = float(_numbers(name, column, row[column], ()))
            low, high, unit = _STAR_RANGES[column]
            if not np.isnan(value) and not low <= value <= high:
                raise FeatureError(f"{name}: {column}: expected {unit}, {low:g} to {high:g}, found {value:g}")
            star[place] = value
        return star

    def _spectrum(
        self, name: str, value: Any, size: int, given: NDArray[np.intp], own: NDArray[np.intp]
    ) -> Array | None:
        """True depths (C,) on the extractor's channels, NaN where not given; None without any."""
        if value is None or not len(value):
            return None
        depth = _numbers(name, "spectrum", value, (size,))
        if np.isnan(depth).all():
            return None
        if (wrong := ~np.isnan(depth) & ~((depth >= 0) & (depth < 1))).any():
            raise FeatureError(
                f"{name}: spectrum: expected depths (Rp/Rs)^2 of 0 to 1, found {depth[wrong][0]:g}: ppm or percent?"
            )
        spectrum = np.full(len(self.wavelength), np.nan)
        spectrum[own] = depth[given]
        return spectrum

    def _batch(self, visits: list[Visit]) -> dict[str, NDArray[Any]]:
        """Arrays of all visits, padded to the longest."""
        bins = max(len(visit.time) for visit in visits)
        keys = list(dict.fromkeys(visit.planet for visit in visits))
        star = np.stack([visit.star for visit in visits])
        data: dict[str, NDArray[Any]] = {
            "time": np.stack([_continued(visit.time, bins) for visit in visits]).astype(np.float32)
        }
        for field, fill in (
            ("flux", 0.0),
            ("flux_err", 1.0),
            ("light_curve", 0.0),
            ("centroid", 0.0),
            ("valid", False),
        ):
            parts = [getattr(visit, field) for visit in visits]
            padded = [np.pad(part, ((0, bins - len(part)), (0, 0)), constant_values=fill) for part in parts]
            data[field] = np.stack(padded).astype(bool if field == "valid" else np.float32)
        data["star"] = star.astype(np.float32)
        data["star_features"] = self._star_features(star).astype(np.float32)
        data["planet"] = np.array([keys.index(visit.planet) for visit in visits], dtype=np.int64)
        labels = {key: self._label([visit for visit in visits if visit.planet == key]) for key in keys}
        known = [label for label in labels.values() if label is not None]
        if len(known) == len(keys):
            data["labels"] = np.stack(known).astype(np.float32)
        return data

    def _star_features(self, star: Array) -> Array:
        """(B, 16): scaled columns, 0 where unknown, and whether they are known."""
        known = ~np.isnan(star)
        log = np.asarray(self.star_log)
        value = np.where(log, np.log(np.where(known & log, star, 1.0)), star)
        scaled = (value - np.asarray(self.star_median)) / np.asarray(self.star_scale)
        return np.concatenate([np.where(known, scaled, 0.0).clip(-self.star_clip, self.star_clip), known], -1)

    @staticmethod
    def _label(visits: list[Visit]) -> Array | None:
        """The spectrum that a planet's visits agree on."""
        found = [visit for visit in visits if visit.spectrum is not None]
        for visit in found[1:]:
            if not np.array_equal(visit.spectrum, found[0].spectrum, equal_nan=True):  # type: ignore[arg-type]
                raise FeatureError(f"{visit.name}: spectrum: expected that of {found[0].name}, found another")
        return found[0].spectrum if found else None


def _continued(time: Array, bins: int) -> Array:
    """Time (T,) made ``bins`` long, going on at its median step."""
    extra = np.arange(1, bins - len(time) + 1)
    return np.concatenate([time, time[-1] + float(np.median(np.diff(time))) * extra])


ArielFeatureExtractor.register_for_auto_class()
