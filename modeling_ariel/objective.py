"""What physics rules find in answered spectra: their numbers, what they charge in training, and where they pull."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .losses import gaussian_nll, score_loss
from .penalties import (
    UNIT,
    coherence,
    edge_mask,
    fft_power,
    fgs1_shape,
    fit_templates,
    in_units,
    non_negativity,
    quantile_order,
    ratio_bounds,
    seam,
    sigma_bounds,
    smoothness,
    total_variation,
    transit_asymmetry,
)
from .penalty_rules import Rule, Rules

OF_TRANSIT = ("transit_asymmetry", "fgs1_shape")
_NORMAL = (-1.2816, 0.0, 1.2816)  # quantiles 10, 50 and 90 of a Gaussian answer, where a model gives no others
_PPM = 1e-6 / UNIT


@dataclass
class Answered:
    """What is answered of P planets: ``mean`` and ``sigma`` (P, C) [depth]; where a model has them, ``quantiles``
    (P, C, Q) [depth] of rising probability and ``transit`` (P, T, C), relative light lost at even times. ``facts`` of
    the planets (P,) tell their kinds (:mod:`planet_kinds`); without, they are of none.
    """

    mean: Tensor
    sigma: Tensor
    quantiles: Tensor | None = None
    transit: Tensor | None = None
    facts: Mapping[str, Tensor] | None = None


@dataclass
class _Scene:
    """An answer in units of 100 ppm, with the ``wavelength`` (C,) of channels and what they count (C,) in a rule, which
    AIRS channels are ``in_bands`` (N,), and ``templates`` (N, M) of the ``molecules``.
    """

    x: Tensor
    sigma: Tensor
    quantiles: Tensor
    transit: Tensor | None
    wavelength: Tensor
    weight: Tensor
    in_bands: Tensor
    templates: Tensor
    molecules: Sequence[str]

    @property
    def airs(self) -> tuple[Tensor, Tensor]:
        """Spectra (P, N) and wavelengths (N,) of AIRS."""
        return self.x[:, 1:], self.wavelength[1:]

    @property
    def lost(self) -> Tensor:
        """The transit; ValueError where none is answered."""
        if self.transit is None:
            raise ValueError("expected a model that answers a transit, found none: leave the rule out")
        return self.transit

    def area_ratios(self, rule: Rule) -> Tensor:
        """How far molecules' mean absorption over AIRS is out of bounds."""
        found = fit_templates(*self.airs, self.templates)[0] * self.templates.mean(0)
        area = dict(zip(self.molecules, found.unbind(-1), strict=True))
        each = [ratio_bounds(area[one.of], area[one.to], one.low, one.high) for one in rule.options["ratios"]]
        return torch.stack(each).sum(0)

    def smoothness(self, rule: Rule) -> Tensor:
        """Bends, which count less in bands."""
        fewer = 1.0 + (rule.options["in_bands"] - 1.0) * self.in_bands
        return smoothness(*self.airs, self.weight[1:] * fewer)

    def sigma_bounds(self, rule: Rule) -> Tensor:
        """Sigma out of bounds."""
        low, high = (_PPM * rule.options[key] for key in ("low_ppm", "high_ppm"))
        return sigma_bounds(self.sigma, low, high, self.weight)


_MEASURES: dict[str, Callable[[_Scene, Rule], Tensor]] = {
    "smoothness": _Scene.smoothness,
    "total_variation": lambda s, rule: total_variation(s.airs[0], s.weight[1:]),
    "fft_power": lambda s, rule: fft_power(s.airs[0], rule.options["frequency"], s.weight[1:]),
    "non_negativity": lambda s, rule: non_negativity(s.x, s.weight),
    "coherence": lambda s, rule: coherence(*s.airs, s.templates, s.weight[1:] * s.in_bands),
    "seam": lambda s, rule: seam(s.x, s.wavelength, rule.options["index"], rule.options["width"]),
    "area_ratios": _Scene.area_ratios,
    "quantile_order": lambda s, rule: quantile_order(s.quantiles, s.weight),
    "sigma_bounds": _Scene.sigma_bounds,
    "transit_asymmetry": lambda s, rule: transit_asymmetry(s.lost),
    "fgs1_shape": lambda s, rule: fgs1_shape(s.lost, s.weight[1:]),
}


class Objective:
    """The rules of a config's `penalties`, for channels at ``wavelength`` (C,) [um], FGS1 first.

    Raises:
        ValueError: no rules, or none for these channels; the message names the entry.
    """

    def __init__(self, penalties: Mapping[str, Any], wavelength: Sequence[float]):
        self.rules = Rules.of(penalties)
        self.wavelength = np.asarray(wavelength, np.float64)  # NumPy: a model may be built without its memory
        channels = len(self.wavelength)
        if channels < 4 + sum(self.rules.edges):
            raise ValueError(f"penalties: expected 4 channels or more between the edges, found {channels} in all")
        if (one := self.rules.rules.get("seam")) and one.options["index"] >= channels:
            raise ValueError(
                f"penalties: rules: seam: index: expected a channel, 1 to {channels - 1}, found {one.options['index']}"
            )
        airs = self.wavelength[1:]
        shapes = [np.interp(airs, *np.asarray(points).T) for points in self.rules.templates.values()]
        self.templates = np.stack(shapes, -1) if shapes else np.zeros((len(airs), 0))

    @property
    def looks_at_transits(self) -> bool:
        """Whether a rule is on the transit that a model answers."""
        return any(name in self.rules.rules for name in OF_TRANSIT)

    def inside(self, names: Sequence[str]) -> np.ndarray:
        """Which channels (C,) lie in any of these windows."""
        found = np.zeros(len(self.wavelength), bool)
        for low, high in (pair for name in names for pair in self.rules.windows[name]):
            found |= (self.wavelength >= low) & (self.wavelength < high)
        return found

    def weight(self, rule: Rule) -> np.ndarray:
        """What each channel (C,) counts in a rule."""
        weight = np.ones(len(self.wavelength))
        for name, factor in (self.rules.regions | rule.regions).items():
            weight[self.inside([name])] *= factor
        weight[1:] *= np.asarray(edge_mask(len(weight) - 1, *self.rules.edges))
        return weight

    def measure(self, answered: Answered, lenient: bool = False) -> dict[str, Tensor]:
        """What each rule measures (P,).

        A rule on what is not answered is a ValueError, or NaN where ``lenient``.
        """
        x, sigma = in_units(answered.mean), in_units(answered.sigma)
        if answered.quantiles is None:
            quantiles = x[..., None] + sigma[..., None] * x.new_tensor(_NORMAL)
        else:
            quantiles = in_units(answered.quantiles)
        transit = None if answered.transit is None else in_units(answered.transit)
        in_bands = self.inside(list(self.rules.windows))[1:].astype(np.float64)
        fixed = (torch.from_numpy(one).to(x) for one in (self.wavelength, in_bands, self.templates))
        wavelength, bands, templates = fixed
        found = {}
        for name, rule in self.rules.rules.items():
            if lenient and name in OF_TRANSIT and transit is None:
                found[name] = x.new_full((len(x),), float("nan"))
                continue
            weight = torch.from_numpy(self.weight(rule)).to(x)
            molecules = list(self.rules.templates)
            scene = _Scene(x, sigma, quantiles, transit, wavelength, weight, bands, templates, molecules)
            try:
                found[name] = _MEASURES[name](scene, rule)
            except ValueError as error:
                raise ValueError(f"penalties: rules: {name}: {error}") from error
        return found

    def terms(self, answered: Answered) -> tuple[Tensor, Tensor]:
        """Weight and limit (R, P) of each rule for each planet, by the kinds that it is of."""
        rules, shape = self.rules.rules, (-1, len(answered.mean))
        x = in_units(answered.mean.detach())
        weight, limit = (
            x.new_tensor([getattr(rule, name) for rule in rules.values()])[:, None].expand(shape)
            for name in ("weight", "limit")
        )
        for profile in self.rules.profiles.values() if answered.facts else ():
            factors = x.new_tensor([profile.factors.get(name, (1.0, 1.0)) for name in rules])
            held = profile.holds(answered.facts or {}).to(x)
            weight = weight * factors[:, :1] ** held
            limit = limit * factors[:, 1:] ** held
        return weight, limit

    def charge(self, answered: Answered, log_sizes: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """What the rules cost each planet (P,), and what it counts in the likelihood (P,): more, the more it breaks.

        ``log_sizes`` (R,) as :class:`RuleScales` learns them.
        """
        rules, measured = self.rules.rules, self.measure(answered)
        weight, limit = self.terms(answered)
        value = torch.stack(list(measured.values()))
        cost = torch.stack([rules[name].charge(*one) for name, *one in zip(measured, value, limit, strict=True)])
        if log_sizes is not None:
            learned = log_sizes.to(cost)[:, None]
            cost = cost * torch.exp(-learned) + _size(limit) * learned
        broken = (value.detach() > limit).to(cost)
        return (weight * cost).sum(0), 1.0 + self.rules.reweight * broken.mean(0)


def _size(limit: Tensor) -> Tensor:
    """What a rule's values are counted in: its limit, or 1 where that is 0."""
    return torch.where(limit > 0.0, limit, torch.ones_like(limit))


def spectrum_loss(
    answered: Answered, labels: Tensor, kind: str, objective: Objective | None, log_sizes: Tensor | None = None
) -> Tensor:
    """What training minimises: ``kind``, the "gaussian" likelihood or a "score_…", and what rules cost on average.

    ``labels`` (P, C) depth, NaN where unknown; ``log_sizes`` of learned weights of rules.
    """
    mean, sigma = answered.mean, answered.sigma
    charged = None if objective is None else [one.to(mean) for one in objective.charge(answered, log_sizes)]
    if kind == "gaussian":
        nll = gaussian_nll(mean, sigma, labels)
        known = (~torch.isnan(labels)).any(-1).sum().clamp_min(1)
        loss = (nll if charged is None else charged[1] * nll).sum() / known
    else:
        loss = score_loss(mean, sigma, labels, kind.removeprefix("score_"))
    return loss if charged is None else loss + charged[0].mean()


@dataclass
class Violations:
    """What the R rules named ``names`` find in P spectra.

    ``value`` and ``limit`` (P, R), the value NaN where a rule cannot be judged; ``gradient`` (R, P, C): by how much a
    rule's charge changes when the mean of a channel rises by 100 ppm.
    """

    names: list[str]
    value: Tensor
    limit: Tensor
    gradient: Tensor

    @property
    def broken(self) -> Tensor:
        """Which rules each planet breaks (P, R)."""
        return self.value > self.limit

    @property
    def excess(self) -> Tensor:
        """By how much each rule is broken (P, R), in limits, or as it is where the limit is 0; 0 where it is kept."""
        return ((self.value - self.limit) / _size(self.limit)).clamp_min(0.0).nan_to_num(0.0)


def violations(
    mean: Tensor,
    sigma: Tensor,
    wavelength: Sequence[float],
    rules: Mapping[str, Any],
    facts: Mapping[str, Tensor] | None = None,
) -> Violations:
    """What the ``rules``, the `penalties` of a config, find in spectra: ``mean`` and ``sigma`` (P, C) [depth].

    ``facts`` of the planets (P,) tell their kinds, as in :class:`Answered`.
    """
    objective = Objective(rules, wavelength)
    maps: list[Tensor] = []
    with torch.enable_grad():
        at = mean.detach().double().requires_grad_()
        answered = Answered(at, sigma.detach().double(), facts=facts)
        measured, (weight, limit) = objective.measure(answered, lenient=True), objective.terms(answered)
        for place, (name, value) in enumerate(measured.items()):
            cost = (weight[place] * objective.rules.rules[name].charge(value, limit[place])).sum()
            slope = None
            if cost.requires_grad:
                slope = torch.autograd.grad(cost, at, retain_graph=True, allow_unused=True)[0]
            maps.append(torch.zeros_like(at) if slope is None else UNIT * slope)
    values = torch.stack([value.detach() for value in measured.values()], -1)
    return Violations(list(measured), values, limit.T, torch.stack(maps))
