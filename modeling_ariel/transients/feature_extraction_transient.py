"""Light curves of transients to the tensors that every model here takes.

Fluxes are counted in the object's own peak, and times from its most significant measurement: neither the date nor the
order of measurements matters. Everything learned or chosen stands in ``preprocessor_config.json``.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers.feature_extraction_utils import BatchFeature, FeatureExtractionMixin

from .curves import Array, Curve, CurveError, feature_rows, read_curve, rows_of
from .surveys import SURVEYS, absolute_magnitude

HOST = ("redshift", "ebv", "log_peak", "absolute_magnitude")  # never redshift_err: it is empty in training


class TransientFeatureExtractor(FeatureExtractionMixin):
    """Light curves to tensors.

    Args:
        survey: "lsst" or "ztf", whose bands are meant where none is named in a call.
        max_measurements: of an object; of more, evenly many in order of time are kept.
        host_mean, host_scale: of HOST, where the redshift counts as ln(1 + z), the peak as log10 of uJy.
        feature_names: F features that a call may give, in their order.
        feature_median, feature_scale: (F,) of them.
        feature_clip: largest scaled feature.
    """

    model_input_names = ["time", "wavelength", "flux", "flux_err", "observed", "redshift", "host"]  # noqa: RUF012

    def __init__(
        self,
        survey: str = "lsst",
        max_measurements: int = 256,
        host_mean: Sequence[float] = (0.4, 0.05, 0.5, -20.0),
        host_scale: Sequence[float] = (0.3, 0.05, 0.7, 2.5),
        feature_names: Sequence[str] = (),
        feature_median: Sequence[float] = (),
        feature_scale: Sequence[float] = (),
        feature_clip: float = 5.0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.survey, self.max_measurements, self.feature_clip = survey, int(max_measurements), float(feature_clip)
        self.host_mean, self.host_scale = [float(x) for x in host_mean], [float(x) for x in host_scale]
        self.feature_names = [str(name) for name in feature_names]
        self.feature_median = [float(x) for x in feature_median]
        self.feature_scale = [float(x) for x in feature_scale]
        self.auto_map = {"AutoFeatureExtractor": "feature_extraction_transient.TransientFeatureExtractor"}
        self._validate()

    def _validate(self) -> None:
        if self.survey not in SURVEYS:
            raise CurveError(f"survey: expected one of {', '.join(SURVEYS)}, found {self.survey!r}")
        if self.max_measurements < 2:
            raise CurveError(f"max_measurements: expected 2 or more, found {self.max_measurements}")
        sizes = {"host_mean": len(HOST), "host_scale": len(HOST)}
        sizes |= dict.fromkeys(("feature_median", "feature_scale"), len(self.feature_names))
        for name, size in sizes.items():
            if len(getattr(self, name)) != size:
                raise CurveError(f"{name}: expected {size} values, found {len(getattr(self, name))}")
        if not min([*self.host_scale, *self.feature_scale, self.feature_clip]) > 0:
            raise CurveError("host_scale, feature_scale, feature_clip: expected positive numbers, found others")

    def __call__(
        self, rows: Any, *, survey: str | None = None, features: Any = None, return_tensors: str | None = "pt"
    ) -> BatchFeature:
        """Tensors of B objects of at most N measurements; see :func:`rows_of` for what ``rows`` may be.

        Args:
            rows: time [MJD], band or wavelength [A], flux and flux_err [uJy]; redshift and ebv [mag] where known.
            survey: whose bands are meant; default the extractor's.
            features: (B, F), or a mapping from object_id to (F,); NaN where unknown.
            return_tensors: "pt" or "np".

        Returns:
            ``time`` (B, N) [d] observed, about the most significant measurement; ``wavelength`` (B, N) [A] observed;
            ``flux``, ``flux_err`` (B, N) in the object's peak, dust taken off; ``observed`` (B, N) bool;
            ``redshift`` (B,), NaN unknown; ``host`` (B, 4), HOST scaled, NaN unknown; ``features`` (B, F) scaled, NaN
            unknown, where the extractor has names of them.
        """
        curves = [read_curve(row, survey or self.survey, place) for place, row in enumerate(rows_of(rows))]
        if not curves:
            raise CurveError("rows: expected objects, found none")
        return self.batch(curves, features, return_tensors)

    def batch(self, curves: Sequence[Curve], features: Any = None, return_tensors: str | None = "pt") -> BatchFeature:
        """The same of curves that were read before."""
        if return_tensors not in ("pt", "np", None):
            raise CurveError(f"return_tensors: expected 'pt' or 'np', found {return_tensors!r}")
        kept = [self._shortened(curve) for curve in curves]
        size = max(map(len, kept))
        data: dict[str, NDArray[Any]] = {
            name: np.zeros((len(kept), size), np.float32) for name in ("time", "wavelength", "flux", "flux_err")
        }
        data["observed"] = np.zeros((len(kept), size), bool)
        host = np.full((len(kept), len(HOST)), np.nan)
        for place, curve in enumerate(kept):
            peak, own = peak_of(curve), slice(len(curve))
            data["time"][place, own] = curve.time - curve.time[np.argmax(curve.flux / curve.flux_err)]
            data["wavelength"][place, own] = curve.wavelength
            data["flux"][place, own], data["flux_err"][place, own] = curve.flux / peak, curve.flux_err / peak
            data["observed"][place, own] = True
            far = curve.redshift > 0
            magnitude = absolute_magnitude(peak, curve.redshift) if far else np.nan
            host[place] = np.log1p(curve.redshift), curve.ebv, np.log10(peak), magnitude
        data["redshift"] = np.array([curve.redshift for curve in kept], np.float32)
        data["host"] = ((host - self.host_mean) / self.host_scale).astype(np.float32)
        if self.feature_names:
            data["features"] = self._features(kept, features)
        elif features is not None:
            raise CurveError("features: expected none, as this extractor has no feature_names, found some")
        return BatchFeature(data, tensor_type=return_tensors)

    def _shortened(self, curve: Curve) -> Curve:
        if len(curve) <= self.max_measurements:
            return curve
        return curve.take(np.linspace(0, len(curve) - 1, self.max_measurements).round().astype(int))

    def _features(self, curves: Sequence[Curve], features: Any) -> NDArray[np.float32]:
        names = [curve.name.removeprefix("object ") for curve in curves]
        found = feature_rows(self.feature_names, {} if features is None else features, names)
        found = np.where(np.isfinite(found), found, np.nan)
        scaled = (found - self.feature_median) / self.feature_scale
        return scaled.clip(-self.feature_clip, self.feature_clip).astype(np.float32)


def peak_of(curve: Curve) -> float:
    """Flux [uJy] that an object is counted in: the brightest by its lower error bar, at least a typical error."""
    return float(max((curve.flux - curve.flux_err).max(), np.median(curve.flux_err)))


def feature_statistics(features: Array) -> dict[str, list[float]]:
    """Median and 1 sigma (by quartiles) of features (objects, F), NaN unknown, as the extractor takes them."""
    finite = np.where(np.isfinite(features), features, np.nan)
    known = np.isfinite(finite).any(0)
    low, median, high = np.nanpercentile(np.where(known, finite, 0.0), (25, 50, 75), axis=0)
    spread = (high - low) / 1.349  # of a Gaussian
    spread = np.where(spread > 0, spread, np.nanstd(np.where(known, finite, 0.0), 0))
    return {"feature_median": median.tolist(), "feature_scale": np.where(spread > 0, spread, 1.0).tolist()}


TransientFeatureExtractor.register_for_auto_class()
