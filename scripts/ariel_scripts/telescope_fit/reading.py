"""The command's files as observations, cut and binned as its options say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ariel_scripts.light_curves.read import ReadOptions, read_observations
from ariel_scripts.options.light_curves import LightCurveOptions
from modeling_ariel.any_telescope.binning import bin_channels
from modeling_ariel.any_telescope.observation import Array, Observation, ObservationError


def read_all(files: Sequence[Path], options: LightCurveOptions) -> list[Observation]:
    """Observations of all files, with names of their own."""
    reading = ReadOptions(
        time_unit=options.time_unit,
        wavelength_unit=options.wavelength_unit,
        wavelength=options.wavelength,
        exposure=options.exposure,
        flux=options.flux,
        regressors=tuple(options.regressors or ()),
        columns=tuple(options.columns or ()),
        quality=options.quality,
    )
    edges = None if options.edges is None else read_edges(options.edges)
    found = [prepared(one, options, edges) for path in files for one in read_observations(path, reading)]
    return distinct(found)


def prepared(observation: Observation, options: LightCurveOptions, edges: Array | None = None) -> Observation:
    """The part that is asked for, in channels as asked for."""
    if options.instrument is not None:
        observation = replace(observation, instrument=options.instrument)
    if options.first is not None or options.last is not None:
        first = -math.inf if options.first is None else options.first
        last = math.inf if options.last is None else options.last
        part = observation.between(first, last)
        if len(part.time) < 2:
            span = f"{observation.time[0]:.2f} to {observation.time[-1]:.2f} h"
            asked = f"{first:g} to {last:g}"
            raise ObservationError(f"{observation.name}: --from, --to: expected some of {span}, found {asked}")
        observation = part
    if any(one is not None for one in (edges, options.bins, options.resolution)):
        observation = bin_channels(observation, edges, options.bins, options.resolution)
    return observation


def read_edges(path: Path) -> Array:
    """Edges of channels [um], (K+1,) or (K, 2), of a text file."""
    try:
        edges = np.loadtxt(path, delimiter="," if "," in path.read_text() else None)
    except (OSError, ValueError) as error:
        raise ObservationError(f"{path}: edges: expected numbers, um, found: {error}") from None
    return np.asarray(edges, np.float64)


def distinct(observations: Sequence[Observation]) -> list[Observation]:
    """The same with names of their own: those that several have are numbered."""
    names = [one.name for one in observations]
    seen: dict[str, int] = {}
    found = []
    for one in observations:
        seen[one.name] = seen.get(one.name, 0) + 1
        several = names.count(one.name) > 1
        found.append(replace(one, name=f"{one.name} ({seen[one.name]})") if several else one)
    return found
