"""Every setting of the reduction of raw frames to light curves, validated where it is made."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, fields
from numbers import Integral, Real
from typing import Any, Literal, cast

from hf_dataset.reduction.calibration import ADC_CONVENTIONS, AdcConvention
from hf_dataset.reduction.extraction import EXTRACTION_KINDS, FOREGROUND_KINDS, ExtractionKind, ForegroundKind


class ReductionError(ValueError):
    """A visit cannot be reduced; names planet, visit, instrument and the reason."""


@dataclass(frozen=True)
class ReductionOptions:
    """Every setting of the calibration and extraction; docs/calibration.md has the measured effect of each."""

    n_bins: int = 375  # time bins of the light curves
    dtype: Literal["float32", "float64"] = "float32"  # of the frames; sums over time are float64
    adc: AdcConvention = "divide"
    linearity: bool = True
    dark: bool = True
    flat: bool = True
    hot_sigma: float = 5.0  # clip of the dark frame that makes a pixel hot
    hot_noise: float = 0.1  # dark shot noise over readout variance that makes it so; 0: all, as the organisers
    hot_pixels: Literal["fill", "mask", "use"] = "fill"
    min_flat: float = 0.5  # least usable relative response
    saturation: float = 65535.0  # counts from which a sample is saturated
    fill_reach: int = 3  # columns either side from which a bad pixel may be filled
    max_filled: float = 0.5  # share of a channel's light in filled or masked pixels from which it is invalid
    max_bad_pixels: float = 0.1  # fraction of the pixels used from which a visit is refused
    hit_threshold: float = 5.0  # σ; 0 switches hit rejection off
    foreground: ForegroundKind = "wings"
    foreground_inner: float = 9.0  # px from the AIRS trace where its foreground rows begin
    fgs1_annulus: tuple[float, float] = (10.0, 16.0)  # px
    foreground_stride: int = 3  # AIRS foreground of one in so many columns; its level is smooth along them
    extraction: ExtractionKind = "plain"  # of AIRS-CH0
    fgs1_extraction: ExtractionKind = "optimal"
    fgs1_dejitter: bool = True  # take off what of its flux answers the pointing, which is large there
    airs_half_width: float = 5.0  # px
    fgs1_radius: float = 8.0  # px
    min_good_fraction: float = 0.5  # of a bin's exposures
    last_exposure: Literal["keep", "drop"] = "keep"  # `drop` leaves it out, and a frame without a pair too
    pixels: Literal["needed", "all"] = "needed"  # read those of the sums and the foreground, or the whole detector

    def __post_init__(self) -> None:
        for one in fields(self):
            object.__setattr__(self, one.name, _typed(one.name, getattr(self, one.name), one.default))
        choices = {
            "dtype": ("float32", "float64"),
            "adc": ADC_CONVENTIONS,
            "hot_pixels": ("fill", "mask", "use"),
            "foreground": FOREGROUND_KINDS,
            "extraction": EXTRACTION_KINDS,
            "fgs1_extraction": EXTRACTION_KINDS,
            "last_exposure": ("keep", "drop"),
            "pixels": ("needed", "all"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name}: expected one of {', '.join(allowed)}, found {getattr(self, name)!r}")
        positive = (
            "n_bins",
            "foreground_stride",
            "hot_sigma",
            "saturation",
            "airs_half_width",
            "fgs1_radius",
            "foreground_inner",
        )
        for name in positive:
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: expected more than 0, found {getattr(self, name)}")
        for name in ("max_filled", "max_bad_pixels", "min_good_fraction", "min_flat"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name}: expected a fraction in (0, 1], found {getattr(self, name)}")
        for name, least in (("hit_threshold", 0), ("hot_noise", 0), ("fill_reach", 1)):
            if not getattr(self, name) >= least:
                raise ValueError(f"{name}: expected {least} or more, found {getattr(self, name)}")
        if not self.fgs1_radius <= self.fgs1_annulus[0] < self.fgs1_annulus[1]:
            raise ValueError(f"fgs1_annulus: expected fgs1_radius ≤ inner < outer, found {self.fgs1_annulus}")

    def to_dict(self) -> dict[str, Any]:
        """JSON-able settings, in the order above."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


def _typed(name: str, value: Any, default: Any) -> Any:
    """`value` as the type of the field's default, so that 5 and 5.0 are one setting; ValueError where it is another."""
    if isinstance(default, tuple):
        items = value if isinstance(value, (list, tuple)) else (value,)
        if len(items) != len(default):
            raise ValueError(f"{name}: expected {len(default)} numbers, found {value!r}")
        return tuple(_typed(name, *pair) for pair in zip(items, default, strict=True))
    kind = type(default)
    number = isinstance(value, Real) and not isinstance(value, bool) and abs(cast(float, value)) <= sys.float_info.max
    if kind is float and number:
        return float(value)
    if kind is int and number and isinstance(value, Integral):
        return int(value)
    if kind in (bool, str) and type(value) is kind:
        return value
    words = {float: "a finite number", int: "a whole number", bool: "true or false", str: "a word"}
    raise ValueError(f"{name}: expected {words[kind]}, found {value!r}")
