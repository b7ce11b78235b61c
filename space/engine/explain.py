"""Occlusion: how mean and σ of a spectrum change when parts of the light curves are hidden.

As Zeiler & Fergus 2014 (ECCV), but the fit is repeated too: most of the precision comes from it, so that hiding data
from the network alone would show little. These fits read means of three bins (3.6 min of a transit of hours), which
takes a third of the time; the network reads the light curves at full resolution, without the hidden part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.network import Answer, Network
from engine.records import Attribution
from modeling_ariel.pipeline_ariel import classical_inputs
from modeling_ariel.retrieval import ClassicalFit
from modeling_ariel.scoring import BANDS
from modeling_ariel.status import FITTED

PATCHES = 15  # half an hour each of a visit of 7.5 h
BINS_AVERAGED = 3  # bins averaged for the fits
FEWEST_BINS = 60  # of a fit after averaging; shorter light curves are not averaged
METHOD = (
    "Each fifteenth of every visit and each band is hidden in turn from fit and network, both are run again, "
    "and the answer is compared with the one from all data. The network's residuals are those of the fit to all data, "
    "without the hidden part."
)

Features = Mapping[str, Tensor]
Fit = Callable[[Features], ClassicalFit]


@dataclass(frozen=True)
class _Occluded:
    """Mean and sigma (C,) from the data that are not hidden."""

    mean: np.ndarray
    sigma: np.ndarray


def attribution(network: Network, name: str, features: Features, answer: Answer, fit: Fit) -> Attribution:
    """Attribution of one planet's spectrum.

    Args:
        network: that made the answer.
        name: for titles.
        features: the extractor's tensors of all visits.
        answer: from all data.
        fit: fits features.
    """
    wavelength, own = network.wavelength_um, lengths(features)
    patches = [[np.array_split(np.arange(n), PATCHES)[place] for n in own] for place in range(PATCHES)]  # of each visit
    bands = {label: edges for label, edges in BANDS.items() if _inside(wavelength, edges).any()}
    time = features["time"][0].double().numpy()
    edges = np.array([time[part[0][0]] for part in patches] + [time[own[0] - 1]])
    variance = answer.spectrum.sigma**2
    shares = [getattr(answer.spectrum, f"sigma_{part}") ** 2 / variance for part in ("aleatoric", "epistemic")]
    in_time, in_bands, method = np.zeros((len(patches), 2)), np.zeros((len(bands), 4)), METHOD
    if answer.spectrum.status in FITTED:
        insides = [_inside(wavelength, edge) for edge in bands.values()]
        none_hidden = np.zeros(tuple(features["valid"].shape), bool)
        masks = [none_hidden, *(_hide(none_hidden, patch) for patch in patches)]
        with_all, *found = _occluded(
            network, features, answer, fit, [*masks, *(none_hidden | inside for inside in insides)]
        )
        for place in range(len(patches)):
            in_time[place] = _change(with_all, found[place], np.ones(wavelength.size, bool))
        for place, inside in enumerate(insides):
            one = found[len(patches) + place]
            in_bands[place] = *_change(with_all, one, inside), *_change(with_all, one, ~inside)
    else:
        why = "; ".join(filter(None, answer.classical.notes or ()))
        method = f"Nothing to explain: the fit found no transit ({why or 'no reason'})."
    return Attribution(
        name=name,
        time_edges_h=edges,
        time_shift=in_time[:, 0],
        time_sigma=in_time[:, 1],
        white_flux=_white(features, [patch[0] for patch in patches]),
        band_names=tuple(bands),
        band_edges_um=np.array([[max(low, wavelength[0]), high] for low, high in bands.values()]),
        band_shift=in_bands[:, 0],
        band_sigma=in_bands[:, 1],
        band_rest_shift=in_bands[:, 2],
        band_rest_sigma=in_bands[:, 3],
        wavelength_um=wavelength,
        aleatoric_share=shares[0],
        epistemic_share=shares[1],
        method=method,
    )


def lengths(features: Features) -> list[int]:
    """Time bins of each visit; those after the last one with data are the extractor's padding to the longest visit."""
    return [int(np.flatnonzero(seen)[-1]) + 1 for seen in np.any(features["valid"].numpy(), axis=2)]


def _hide(none_hidden: np.ndarray, patch: Sequence[np.ndarray]) -> np.ndarray:
    """(V, T, C) true in the patch's bins of each visit."""
    hidden = none_hidden.copy()
    for mask, part in zip(hidden, patch, strict=True):
        mask[part] = True
    return hidden


def _inside(wavelength: np.ndarray, edges: tuple[float, float]) -> np.ndarray:
    return (wavelength >= edges[0]) & (wavelength < edges[1])


def _occluded(
    network: Network, features: Features, answer: Answer, fit: Fit, hidden: Sequence[np.ndarray]
) -> list[_Occluded]:
    """The answers without the data of each mask in ``hidden`` (V, T, C); all fits are made in one call."""
    visits = len(features["valid"])
    seen = [features["valid"] & ~torch.tensor(mask) for mask in hidden]
    together = {name: torch.cat([value] * len(seen)) for name, value in features.items() if len(value) == visits}
    fits = fit(averaged({**together, "valid": torch.cat(seen)}))
    found = []
    for place, valid in enumerate(seen):
        of = torch.arange(place * visits, (place + 1) * visits)
        classical = network.pipeline.posterior(fits.select(of), features["planet"])
        inputs = {
            **answer.inputs,
            **classical_inputs(classical),
            "residual": answer.inputs["residual"] * valid,
            "valid": valid,
            "light_curve": features["light_curve"] * valid,
        }
        mean, sigma = network.pipeline.run(inputs)
        found.append(_Occluded(mean[0], sigma[0]))
    return found


def averaged(features: Features, together: int = BINS_AVERAGED) -> dict[str, Tensor]:
    """Features with means of neighbouring bins, weighted by their errors; unchanged where bins are few."""
    bins = features["time"].shape[1]
    if bins // together < FEWEST_BINS:
        return dict(features)
    kept = bins // together * together

    def grouped(name: str) -> Tensor:
        values = features[name][:, :kept]
        return values.unflatten(1, (-1, together))

    valid = grouped("valid")
    weight = torch.where(valid, grouped("flux_err").double() ** -2, torch.zeros((), dtype=torch.float64))
    total = weight.sum(2)
    some = total > 0
    safe = torch.where(some, total, torch.ones_like(total))
    flux = (weight * grouped("flux").double()).sum(2) / safe
    return {
        **features,
        "time": grouped("time").double().mean(2).float(),
        "flux": flux.float(),
        "flux_err": safe.rsqrt().float(),
        "valid": some,
    }


def _change(before: _Occluded, after: _Occluded, of: np.ndarray) -> tuple[float, float]:
    """Shift of the mean [sigma] and change of ln sigma over the channels ``of``."""
    if not of.any():
        return 0.0, 0.0
    shift = ((after.mean - before.mean) / before.sigma)[of]
    return float(np.sqrt((shift**2).mean())), float(np.median(np.log(after.sigma / before.sigma)[of]))


def _white(features: Features, patches: list[np.ndarray]) -> np.ndarray:
    """Mean AIRS-CH0 flux of the first visit in each patch, over its median; NaN without data."""
    flux, valid = features["flux"][0].double().numpy(), features["valid"][0].numpy()
    level = np.array([np.median(f[v]) if v.any() else np.nan for f, v in zip(flux.T, valid.T, strict=True)])
    relative = np.where(valid, flux / level, np.nan)[:, 1:]
    parts = [relative[part] for part in patches]
    return np.array([part[np.isfinite(part)].mean() if np.isfinite(part).any() else np.nan for part in parts])
