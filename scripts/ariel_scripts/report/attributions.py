"""Attribution of the network's answer to times and wavelengths of a light curve: integrated gradients.

Sundararajan et al. 2017 (arXiv:1703.01365): the gradient of an output along the straight path from a baseline to the
input, averaged, times the difference. Its sum over the input is the change of the output along the path
(completeness), which is checked for every planet.

The network reads the data twice: as the light curve and, where it corrects a classical fit, as the residual of that
fit. Both follow the path together. The baseline is 0 for both: what the extractor gives for light that never leaves its
level, and a fit that leaves nothing. As the extractor measures each channel from its median in units of its error, the
share a of the way is the light curve with its transit, drift and noise a times as large. The spectrum of the fit
itself, with its error, is held as it is: attributed is what the network makes of the data beyond it.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ariel_scripts.opening.datasets import count_visits
from ariel_scripts.opening.hub import Located
from ariel_scripts.options.report import ReportOptions
from ariel_scripts.prediction.job import stream_rows
from ariel_scripts.prediction.predictor import Member, choose_device, load_member
from ariel_scripts.report.data import Entry, Network, Study
from ariel_scripts.report.statistics import planet_scores, score_terms
from modeling_ariel.pipeline_ariel import classical_inputs, torch_threads
from modeling_ariel.visit_batch import relative_noise

STEPS = 48  # misses at most a few parts in a thousand of the change; 24 missed up to 6 %
OUTPUTS = ("depth", "sigma")
READINGS = ("light curve", "residual of the fit")  # the second only where the model has a fit
_AT_A_TIME = 2**24  # numbers that go through the network at once: memory, not the answer, depends on it


@dataclass
class Attribution:
    """Of one planet: ``time`` (V, T) [h] of its visits and their ``white`` light (V, T), relative [%]; for each of
    OUTPUTS ``by_time`` (V, T) and ``by_channel`` (C,), summed over the others, ``by_reading`` of READINGS, ``total``
    change from the baseline and ``missed``, how much of it the sums lack.

    Units: depth [ppm], the mean over channels; sigma [%], the mean of ln sigma over channels.
    """

    planet: int
    time: np.ndarray
    white: np.ndarray
    by_time: dict[str, np.ndarray]
    by_channel: dict[str, np.ndarray]
    by_reading: dict[str, dict[str, float]]
    total: dict[str, float]
    missed: dict[str, float]


def integrated_gradients(
    function: Callable[[Tensor], Tensor], x: Tensor, baseline: Tensor, steps: int = STEPS
) -> Tensor:
    """Attributions (K, ...) of the K outputs of ``function`` to the elements of ``x``.

    ``function`` takes a stack (S, ...) of inputs like ``x`` and gives (S, K), a row for each. The integral is by the
    rule of Gauss and Legendre with ``steps`` points in the root of the way gone: normalising layers bend most at its
    start. Exact where gradients are polynomials of degree steps - 1.
    """
    points, weights = np.polynomial.legendre.leggauss(steps)
    root = 0.5 * (points + 1.0)
    shape = (steps, *(1,) * x.ndim)
    along, share = (torch.as_tensor(a, dtype=x.dtype).reshape(shape).to(x.device) for a in (root**2, root * weights))
    size = max(1, _AT_A_TIME // x.numel())
    parts = []
    for where, weight in zip(along.split(size), share.split(size), strict=True):
        at = (baseline + where * (x - baseline)).detach().requires_grad_(True)
        outputs = function(at).sum(0)  # each row rests on its own input alone
        slopes = [torch.autograd.grad(output, at, retain_graph=True)[0] for output in outputs]
        parts.append(torch.stack([(weight * slope).double().sum(0) for slope in slopes]))
    return torch.stack(parts).sum(0) * (x - baseline).double()


def attribute(member: Member, planet: int, rows: list[dict[str, Any]], steps: int = STEPS) -> Attribution:
    """Attributions of one planet, given the rows of its visits, to the light curves that ``member``'s model reads."""
    model = member.model
    inputs = member.features(rows)
    names = ["light_curve"]
    with torch.no_grad():
        if member.has_fit:
            inputs |= classical_inputs(member.posterior(member.fit(inputs), inputs["planet"]))
            names.append("residual")
    time, flux = inputs["time"].cpu().numpy(), inputs.pop("flux")
    white = white_light(flux, inputs["valid"])
    inputs["noise"] = relative_noise(flux, inputs.pop("flux_err"), inputs["valid"].bool())
    del inputs["star"]  # with the flux only for the fit, which is done
    curve = inputs["light_curve"]
    read = torch.stack([inputs.pop(name).to(curve.dtype) for name in names])  # (R, V, T, C)
    read = torch.where(inputs["valid"].bool(), read, torch.zeros_like(read))

    def answer(readings: Tensor) -> Tensor:
        """Of as many copies of the planet as there are ``readings`` (S, R, V, T, C)."""
        copies = len(readings)
        arguments = {name: value.repeat(copies, *(1,) * (value.ndim - 1)) for name, value in inputs.items()}
        arguments["planet"] = torch.arange(copies, device=curve.device).repeat_interleave(len(curve))
        arguments |= {name: readings[:, place].flatten(0, 1) for place, name in enumerate(names)}
        spectrum = model(**arguments)
        depth, sigma = spectrum.mean.double(), spectrum.sigma.double()
        return torch.stack([1e6 * depth.mean(1), 100.0 * sigma.log().mean(1)], 1)

    nothing = torch.zeros_like(read)
    with torch.enable_grad():
        maps = integrated_gradients(answer, read, nothing, steps).cpu().numpy()
    with torch.no_grad():
        ends = answer(torch.stack([nothing, read])).cpu().numpy()
    named = dict(zip(OUTPUTS, maps, strict=True))  # (R, V, T, C) each
    total = dict(zip(OUTPUTS, map(float, ends[1] - ends[0]), strict=True))
    return Attribution(
        planet,
        time,
        white,
        {name: found.sum((0, 3)) for name, found in named.items()},
        {name: found.sum((0, 1, 2)) for name, found in named.items()},
        {name: dict(zip(READINGS, map(float, found.sum((1, 2, 3))), strict=False)) for name, found in named.items()},
        total,
        {name: total[name] - float(found.sum()) for name, found in named.items()},
    )


def white_light(flux: Tensor, valid: Tensor) -> np.ndarray:
    """Sum of the channels (V, T) about its median [%], NaN where no channel is valid; flux (V, T, C)."""
    good = valid.bool()
    level = torch.where(good, flux, torch.nan).nanmedian(1, keepdim=True).values
    relative = torch.where(good, flux, torch.nan) / level
    weight = torch.where(good, level.expand_as(flux), 0.0)
    total = (relative.nan_to_num() * weight).sum(2) / weight.sum(2)
    return 100.0 * (total - 1.0).double().cpu().numpy()


def rows_of(where: Located, split: str, planets: list[int]) -> dict[int, list[dict[str, Any]]]:
    """The rows of all visits of some planets, as models read them; no further is read than to the last of them."""
    visits = count_visits(where, split, None)
    left = sum(visits[planet] for planet in planets)
    found: dict[int, list[dict[str, Any]]] = {planet: [] for planet in planets}
    for row in stream_rows(where, split):
        if int(row["planet_id"]) in found:
            found[int(row["planet_id"])].append(row)
            left -= 1
            if not left:
                break
    gc.collect()  # a stream left early and not collected makes Arrow's threads hang the end of a process (arrow#45214)
    return {planet: sorted(rows, key=lambda row: int(row["visit"])) for planet, rows in found.items()}


@dataclass
class Attributed:
    """Attributions by an entry's network of planets from the worst to the best, and why there are none."""

    entry: Entry
    planets: list[Attribution]
    lack: str = ""


def example_attributions(study: Study, options: ReportOptions, where: Located) -> list[Attributed]:
    """Attributions of a few planets, and those asked for, by each network that is known to have predicted."""
    networks = [(entry, entry.network) for entry in study.entries if entry.network is not None]
    if not networks:
        return []
    chosen = _example_planets(study, options.attributions)
    chosen += [planet for planet in options.asked if planet not in chosen and planet in study.planets]
    rows = rows_of(where, options.split, chosen)
    found = []
    with tqdm(total=len(chosen) * len(networks), unit="planet", desc="attributions") as bar, torch_threads(1):
        for entry, network in networks:
            one = Attributed(entry, [])
            found.append(one)
            try:
                member = _loaded(network, choose_device(options.device))
                for planet in chosen:
                    one.planets.append(attribute(member, planet, rows[planet]))
                    bar.update()
            except (OSError, ValueError, RuntimeError) as error:
                one.lack = f"{network.source}: {error}"
    return found


def _loaded(network: Network, device: torch.device) -> Member:
    """The network again; ValueError where it is another by now."""
    member = load_member(network.source, network.revision, device, 0, network.architecture)
    if network.digest not in (None, member.digest):
        raise ValueError(f"expected the weights that predicted, {network.digest[:8]}, found {member.digest[:8]}")
    return member


def _example_planets(study: Study, count: int) -> list[int]:
    """Planets from the lowest score to the highest, evenly spaced; the first ones where no truth is known."""
    order: Sequence[int] = range(len(study.planets))
    if len(study.labelled):
        score = planet_scores(score_terms(*study.judged(study.entries[0]), "2024"))
        order = study.labelled[np.argsort(score, kind="stable")].tolist()
        places = np.unique(np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int))
        order = [order[place] for place in places]
    return [int(study.planets[place]) for place in list(order)[:count]]
