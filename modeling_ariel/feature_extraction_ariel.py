"""Rows of the dataset, arrays, or one's own light curves, checked and made into the tensors that the model takes.

    light_curve = (flux / level - 1) / (flux_err / level),   level = median of a channel's valid bins

computed in float64 and clipped; what is invalid is 0. Everything learned or chosen stands in
``preprocessor_config.json``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from transformers.feature_extraction_utils import BatchFeature, FeatureExtractionMixin

from .arrays import Array, FeatureError, Mask, numbers, plain
from .columns import STAR_COLUMNS
from .visits import (
    Places,
    channel_level,
    check_flux,
    check_spectrum,
    check_star,
    check_time,
    match_channels,
    planet_of,
    read_flux,
    read_rows,
)

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

_NETWORK = ("light_curve", "centroid", "star_features")  # what no fit sees


@dataclass
class Visit:
    """A checked visit: ``time`` (T,) [h]; ``flux``, ``flux_err``, ``light_curve``, ``valid`` (T, C) on the
    extractor's channels; ``centroid`` (T, 4) scaled; ``star`` (8,) raw, NaN unknown; ``spectrum`` (C,) or None;
    ``planet``: what its visits share; ``number`` among them, None where not given.
    """

    name: str
    planet: tuple[Any, ...]
    number: Any
    time: Array
    flux: Array
    flux_err: Array
    valid: Mask
    light_curve: Array
    centroid: Array
    star: Array
    spectrum: Array | None


class ArielFeatures(BatchFeature):
    """The extractor's tensors, of which ``to`` casts the network's alone: the fit needs the others as they are."""

    def to(self, *args: Any, **kwargs: Any) -> "ArielFeatures":
        """On another device, ``light_curve``, ``centroid`` and ``star_features`` also of another dtype."""
        before = dict(self.items())
        super().to(*args, **kwargs)
        for name, value in before.items():
            if name not in _NETWORK and self[name].dtype != value.dtype:
                self[name] = value.to(self[name].device)
        return self


def check_once(visits: Sequence[Visit]) -> None:
    """Refuse a visit of a planet that is there twice, by its number or by its light curves."""
    seen: dict[Any, list[Visit]] = {}
    for visit in visits:
        others = seen.setdefault(visit.planet, [])
        for other in others:
            if visit.number is not None and visit.number == other.number:
                raise FeatureError(f"{visit.name}: expected each visit once, found visit {visit.number} twice")
            if np.array_equal(visit.time, other.time) and np.array_equal(visit.flux, other.flux):
                also = "" if other.number is None else f", also as visit {other.number}"
                raise FeatureError(f"{visit.name}: expected each visit once, found the same light curves twice{also}")
        others.append(visit)


def ariel_wavelength() -> list[float]:
    """Wavelengths [um] of FGS1 and the 282 labelled AIRS-CH0 channels, ascending: a parabola in the pixel column."""
    column = (np.arange(320, 38, -1) - 177.5) / 177.5
    airs = 3.073675512434198 - 1.2226052102268359 * column - 0.2178175817621592 * column**2
    return [0.7, *airs.tolist()]


class ArielFeatureExtractor(FeatureExtractionMixin):
    """Light curves to tensors.

    Args:
        wavelength: (C,) [um] the model's channels; default FGS1 and the 282 labelled AIRS-CH0 channels.
        wavelength_tolerance: how far from a channel a given wavelength may lie [um]; half the narrowest spacing.
        fgs1_tolerance: the same for channels below 1 um: FGS1 sees 0.60 to 0.80 um, and is given as 0.700 or 0.705.
        clip: largest absolute light curve [sigma]; the deepest simulated transits reach 180 in 72 s bins.
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
    ) -> "ArielFeatures":
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
            scaled, 0 where unknown; ``star`` (B, 8) raw, NaN unknown; ``star_features`` (B, 16) scaled, 0 where
            unknown, then 1 where known; ``planet`` (B,) index of each visit's planet, in order of first appearance;
            ``labels`` (P, C) if every planet has a spectrum.
        """
        if return_tensors not in ("pt", "np", None):
            raise FeatureError(f"return_tensors: expected 'pt' or 'np', found {return_tensors!r}")
        arrays = {"time": time, "flux": flux, "flux_err": flux_err, "valid": valid, "wavelength": wavelength,
                  "star": star, "centroid": centroid, "planet_id": planet_id, "spectrum": spectrum}  # fmt: skip
        visits = [self.visit(row, place) for place, row in enumerate(read_rows(rows, arrays))]
        check_once(visits)
        return ArielFeatures(self._batch(visits), tensor_type=return_tensors)

    def visit(self, row: Mapping[str, Any], place: int = 0) -> Visit:
        """One row, checked and normalised; ``place`` names it in errors where it has no planet_id."""
        planet_id = plain(row.get("planet_id"))
        name = f"planet {planet_id} visit {plain(row.get('visit', 0))}"
        if planet_id is None:
            name = f"visit {place} of the batch"
        if missing := [field for field in ("time", "flux", "flux_err") if row.get(field) is None]:
            raise FeatureError(f"{name}: expected time, flux and flux_err, missing {missing}")
        time = check_time(name, numbers(name, "time", row["time"], ("T",)))
        size, given, own = match_channels(
            name, row.get("wavelength"), np.asarray(self.wavelength), (self.fgs1_tolerance, self.wavelength_tolerance)
        )
        bins = len(time)
        flux, flux_err, valid = read_flux(name, row, bins, size)
        good = check_flux(name, flux, flux_err, valid)
        flux, flux_err, good = (self._placed(values, given, own) for values in (flux, flux_err, good))
        level = channel_level(flux, good)
        with np.errstate(invalid="ignore"):
            good &= level > 0
        if not good.any():
            raise FeatureError(
                f"{name}: flux: expected a positive median in some of the extractor's channels (flux, not its "
                "deviation), found none"
            )
        flux = np.where(np.isfinite(flux), flux, 0.0)
        flux_err = np.where(np.isfinite(flux_err) & (flux_err > 0), flux_err, 1.0)
        light_curve = np.where(good, (flux - np.where(good, level, 0.0)) / flux_err, 0.0)
        depth = check_spectrum(name, row.get("spectrum"), size)
        return Visit(
            name=name,
            planet=planet_of(row, place),
            number=plain(row.get("visit")),
            time=time,
            flux=flux,
            flux_err=flux_err,
            valid=good,
            light_curve=light_curve.clip(-self.clip, self.clip),
            centroid=self._centroid(name, row.get("centroid"), bins),
            star=check_star(name, row),
            spectrum=None if depth is None else self._placed(depth, given, own, np.nan),
        )

    def _placed(self, values: NDArray[Any], given: Places, own: Places, fill: Any = 0) -> NDArray[Any]:
        """Values (..., channels) on the extractor's channels (..., C)."""
        placed = np.full((*values.shape[:-1], len(self.wavelength)), fill, dtype=values.dtype)
        placed[..., own] = values[..., given]
        return placed

    def _centroid(self, name: str, value: Any, bins: int) -> Array:
        """(T, 4) from their medians, scaled and clipped; 0 where absent."""
        if value is None:
            return np.zeros((bins, 4))
        centroid = numbers(name, "centroid", value, (bins, 4))
        if np.isinf(centroid).any():
            raise FeatureError(f"{name}: centroid: expected finite px or NaN, found infinite ones")
        centre = channel_level(centroid, np.isfinite(centroid))
        scaled = (centroid - centre) / np.asarray(self.centroid_scale)
        return np.nan_to_num(scaled).clip(-self.centroid_clip, self.centroid_clip)

    def _batch(self, visits: list[Visit]) -> dict[str, NDArray[Any]]:
        """Arrays of all visits, padded to the longest."""
        bins = max(len(visit.time) for visit in visits)
        keys = list(dict.fromkeys(visit.planet for visit in visits))
        star = np.stack([visit.star for visit in visits])
        data: dict[str, NDArray[Any]] = {
            "time": np.stack([_continued(visit.time, bins) for visit in visits]).astype(np.float32)
        }
        for field in ("flux", "flux_err", "valid", "light_curve", "centroid"):
            parts = [getattr(visit, field) for visit in visits]
            fill = 1 if field == "flux_err" else 0
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
