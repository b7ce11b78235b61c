"""The light curves that a network of spectra reads: a batch of visits, checked, and as rows of the answer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from .columns import STAR_COLUMNS
from .physics import ClassicalPosterior
from .planet_groups import check_planet, check_stars, planet_mean
from .spectrum_config import ArielSpectrumConfig

DEPTH, _MOST = 1e-3, 50.0  # depth: the unit of light curves that networks read without a fit, and the most of it


@dataclass
class VisitBatch:
    """What a network reads of B visits: T bins, C channels.

    ``light_curve`` (B, T, C) [sigma] and where it is ``valid``; ``time`` (B, T) [h]; ``centroid`` (B, T, 4) and
    ``star_features`` (B, 16), scaled, zeros where unknown; ``noise`` (B, C), that sigma in relative flux, where known;
    ``residual`` (B, T, C) of the classical fit [sigma], None with physics="none"; ``planet`` (B,), None where each
    visit is its own; ``rows`` R of the answer, planets times draws; ``classical`` their posterior, as it is, None with
    physics="none".
    """

    light_curve: Tensor
    valid: Tensor
    time: Tensor
    centroid: Tensor
    star_features: Tensor
    noise: Tensor | None
    residual: Tensor | None
    planet: Tensor | None
    rows: int
    classical: ClassicalPosterior | None = None

    def by_row(self, values: Tensor) -> Tensor:
        """Values (B, F) of visits as rows (R, F) of the answer: the mean of a planet's visits, for each draw."""
        return repeated(values if self.planet is None else planet_mean(values, self.planet), self.rows)

    def read(self, reader: Callable[["VisitBatch"], dict[str, Tensor]]) -> dict[str, Tensor]:
        """What ``reader`` finds in visits (b, ...), put together (B, ...), 0 beyond the end of shorter ones.

        It sees together those that end together, without the bins after the last with data: what it finds in a visit
        may depend on how long that is, and not on how far others made it be filled up. Exported programs see all alike.
        """
        bins = self.valid.shape[1]
        ends = [bins] * len(self.valid)
        if not torch.compiler.is_compiling():
            place = torch.arange(1, bins + 1, device=self.valid.device)
            ends = (self.valid.any(-1) * place).amax(1).clamp_min(1).tolist()
        groups = [[place for place, one in enumerate(ends) if one == end] for end in sorted(set(ends))]
        parts = [reader(self._alone(group, ends[group[0]])) for group in groups]
        return {name: _together([part[name] for part in parts], groups) for name in parts[0]}

    def _alone(self, visits: list[int], bins: int) -> "VisitBatch":
        """Some visits, each a planet, up to so many bins."""
        in_time = {"light_curve", "valid", "time", "centroid", "residual"}
        own: dict[str, Any] = {"planet": None, "rows": len(visits), "classical": None}
        for name in (field.name for field in fields(self) if field.name not in own):
            values = getattr(self, name)
            if values is not None and len(visits) < len(self.valid):
                values = values[visits]
            own[name] = values[:, :bins] if values is not None and name in in_time else values
        return VisitBatch(**own)

    @property
    def light(self) -> Tensor:
        """What convolutions read (B, T, C), 0 where not valid.

        The residuals of the fit [sigma] where there is one; else the light curve about its median, in typical depths
        where the noise is known: in sigma alone no depth can be seen.
        """
        seen = self.light_curve if self.residual is None else self.residual
        if self.residual is None and self.noise is not None:
            seen = (seen * self.noise[:, None] / DEPTH).clamp(-_MOST, _MOST)
        return torch.where(self.valid, seen, torch.zeros_like(seen)).to(self.light_curve)


def checked_visits(
    config: ArielSpectrumConfig,
    light_curve: Tensor,
    valid: Tensor,
    time: Tensor,
    centroid: Tensor | None,
    star_features: Tensor | None,
) -> VisitBatch:
    """Visits, each a planet, with zeros for what is not known; ValueError where shapes do not fit."""
    if light_curve.ndim != 3 or light_curve.shape[-1] != config.n_channels:
        raise ValueError(f"light_curve: expected (B, T, {config.n_channels}), found {tuple(light_curve.shape)}")
    check_shape("valid", valid, light_curve.shape)
    check_shape("time", time, light_curve.shape[:2])
    if centroid is None:
        centroid = light_curve.new_zeros(*light_curve.shape[:2], 4)
    if star_features is None:
        star_features = light_curve.new_zeros(len(light_curve), config.n_star_features)
    check_shape("centroid", centroid, (*light_curve.shape[:2], 4))
    check_shape("star_features", star_features, (len(light_curve), config.n_star_features))
    return VisitBatch(light_curve, valid, time, centroid, star_features, None, None, None, len(light_curve))


def checked_planet(planet: Tensor | None, star: Tensor | None, visits: int) -> Tensor | None:
    """The planet of each of so many visits; ValueError where it, or a star table, cannot be meant."""
    if star is not None:
        check_shape("star", star, (visits, len(STAR_COLUMNS)))
    if planet is not None:
        check_shape("planet", planet, (visits,))
        check_planet(planet)
        if star is not None:
            check_stars(star, planet)
    return planet


def known_noise(noise: Tensor | None, flux: Tensor | None, flux_err: Tensor | None, valid: Tensor) -> Tensor | None:
    """The noise (B, C) as given, or of the flux; None where neither tells."""
    if noise is not None:
        check_shape("noise", noise, (len(valid), valid.shape[-1]))
    elif flux is not None and flux_err is not None and flux.shape == flux_err.shape == valid.shape:
        noise = relative_noise(flux, flux_err, valid)
    return noise


def relative_noise(flux: Tensor, flux_err: Tensor, valid: Tensor) -> Tensor:
    """1 sigma (B, C) of a bin in relative flux, from (B, T, C) in any unit; 0 where nothing is valid."""
    unknown = torch.full_like(flux, float("nan"))
    level = torch.where(valid, flux, unknown).nanmedian(1).values
    error = torch.where(valid, flux_err, unknown).nanmedian(1).values
    return (error / level.clamp_min(1e-30)).nan_to_num(0.0)


def check_shape(name: str, tensor: Tensor, expected: Sequence[int]) -> None:
    """ValueError where a tensor has another shape."""
    if tensor.shape != tuple(expected):
        raise ValueError(f"{name}: expected {tuple(expected)}, found {tuple(tensor.shape)}")


def repeated(x: Tensor, rows: int) -> Tensor:
    """(P, ...) with each planet repeated until there are ``rows``."""
    draws, rest = divmod(rows, len(x))
    if rest or not draws:
        raise ValueError(f"classical posterior: expected a multiple of {len(x)} planets in rows, found {rows}")
    return x if draws == 1 else x.repeat_interleave(draws, 0)


def _together(parts: list[Tensor], places: list[list[int]]) -> Tensor:
    """Parts (b, ...) as rows of one tensor at their ``places``, 0 where others are larger."""
    if len(parts) == 1:
        return parts[0]
    size = [max(sizes) for sizes in zip(*(part.shape[1:] for part in parts), strict=True)]
    whole = parts[0].new_zeros(sum(map(len, places)), *size)
    for part, own in zip(parts, places, strict=True):
        corner: list[slice | Tensor] = [slice(length) for length in part.shape[1:]]
        whole[(torch.tensor(own, device=whole.device), *corner)] = part
    return whole
