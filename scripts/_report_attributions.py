"""Which times and wavelengths of a light curve the network's answer rests on: integrated gradients.

Sundararajan et al. 2017 (arXiv:1703.01365): the gradient of an output along the straight way from a baseline to the
input, averaged, times the difference. Summed over the input it is what the output changes from one to the other
(completeness), which is checked for every planet.

The baseline is the light curve without any light missing. The classical fit is held as it is: attributed is what the
network makes of the light curve beyond it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

STEPS = 48  # misses at most a few parts in a thousand of the change; 24 missed up to 6 %
OUTPUTS = ("depth", "sigma")


@dataclass
class Attribution:
    """Of one planet: ``time`` (V, T) [h] of its visits and their ``white`` light (V, T), relative [%]; for each of
    OUTPUTS ``by_time`` (V, T) and ``by_channel`` (C,), summed over the others, ``total`` change from the baseline and
    ``missed``, how much of it the sums lack.

    Units: depth [ppm], the mean over channels; sigma [%], the mean of ln sigma over channels.
    """

    planet: int
    time: np.ndarray
    white: np.ndarray
    by_time: dict[str, np.ndarray]
    by_channel: dict[str, np.ndarray]
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
    at = (baseline + along * (x - baseline)).detach().requires_grad_(True)
    outputs = function(at).sum(0)  # each row rests on its own input alone
    slopes = [torch.autograd.grad(output, at, retain_graph=True)[0] for output in outputs]
    return torch.stack([(share * slope).double().sum(0) for slope in slopes]) * (x - baseline).double()


def attribute(member: Any, planet: int, rows: list[dict[str, Any]], steps: int = STEPS) -> Attribution:
    """Attributions of one planet, given the rows of its visits, to the light curves that ``member``'s model reads."""
    from ariel_scripts._predictor import classical_inputs, fit_inputs
    from modeling_ariel.retrieval_ariel import fit

    model = member.model
    inputs = {name: value.to(member.device) for name, value in member.extractor(rows).items() if name != "labels"}
    with torch.no_grad():
        if model.config.physics == "residual":
            found = fit(fit_inputs(inputs), model.physics.wavelength.double())
            inputs |= classical_inputs(model.physics.summarise(found, inputs["planet"]))
    curve = inputs.pop("light_curve")

    def answer(light_curves: Tensor) -> Tensor:
        """Of as many copies of the planet as there are ``light_curves`` (S, V, T, C)."""
        copies = len(light_curves)
        given = {name: value.repeat(copies, *(1,) * (value.ndim - 1)) for name, value in inputs.items()}
        given["planet"] = torch.arange(copies, device=curve.device).repeat_interleave(len(curve))
        spectrum = model(light_curve=light_curves.flatten(0, 1), **given)
        depth, sigma = spectrum.mean.double(), spectrum.sigma.double()
        return torch.stack([1e6 * depth.mean(1), 100.0 * sigma.log().mean(1)], 1)

    dark = torch.zeros_like(curve)
    with torch.enable_grad():
        maps = integrated_gradients(answer, curve, dark, steps).cpu().numpy()
    with torch.no_grad():
        ends = answer(torch.stack([dark, curve])).cpu().numpy()
    named = dict(zip(OUTPUTS, maps, strict=True))
    total = dict(zip(OUTPUTS, map(float, ends[1] - ends[0]), strict=True))
    return Attribution(
        planet,
        inputs["time"].cpu().numpy(),
        white_light(inputs["flux"], inputs["valid"]),
        {name: found.sum(2) for name, found in named.items()},
        {name: found.sum((0, 1)) for name, found in named.items()},
        total,
        {name: total[name] - float(found.sum()) for name, found in named.items()},
    )


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread: a small network is no faster on more, and far slower where other work wants the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def white_light(flux: Tensor, valid: Tensor) -> np.ndarray:
    """Sum of the channels (V, T) about its median [%], NaN where no channel is valid; flux (V, T, C)."""
    good = valid.bool()
    level = torch.where(good, flux, torch.nan).nanmedian(1, keepdim=True).values
    relative = torch.where(good, flux, torch.nan) / level
    weight = torch.where(good, level.expand_as(flux), 0.0)
    total = (relative.nan_to_num() * weight).sum(2) / weight.sum(2)
    return 100.0 * (total - 1.0).double().cpu().numpy()


def rows_of(where: Any, split: str, planets: list[int]) -> dict[int, list[dict[str, Any]]]:
    """The rows of all visits of some planets, as models read them; no further is read than to the last of them."""
    from ariel_scripts._datasets import count_visits, open_split
    from ariel_scripts.predict import COLUMNS

    visits = count_visits(where, split, None)
    left = sum(visits[planet] for planet in planets)
    found: dict[int, list[dict[str, Any]]] = {planet: [] for planet in planets}
    for row in open_split(where, split).select_columns(list(COLUMNS)).with_format("numpy"):
        if int(row["planet_id"]) in found:
            found[int(row["planet_id"])].append(row)
            left -= 1
            if not left:
                break
    return {planet: sorted(rows, key=lambda row: int(row["visit"])) for planet, rows in found.items()}
