"""CPU seconds and memory of the classical fit, by number of bins; all 283 channels, one thread.

Run: python bench/fit_speed.py. Each size in a process of its own; the first fit, which fills caches, is not counted.
"""

from __future__ import annotations

import resource
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import torch
from foreign_curves import Kind, draw, light_curves, nothing

BINS, VISITS = (375, 1500), 4


def measure(bins: int) -> tuple[float, float, float]:
    """CPU seconds a visit; memory of the process before, and at its peak [GB]."""
    from modeling_ariel.retrieval import fit

    torch.set_num_threads(1)
    visits = [draw(number, Kind("", nothing, bins=bins)) for number in range(1 + VISITS)]
    given = []
    for visit in visits:
        flux, error, valid = light_curves(visit)
        curves = {"time": visit.time, "flux": flux, "flux_err": error, "valid": valid}
        given.append({name: torch.as_tensor(values)[None] for name, values in curves.items()})
        given[-1] |= {name: torch.tensor([value], dtype=torch.float64) for name, value in visit.table.items()}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wavelength = torch.as_tensor(visits[0].wavelength)
    with torch.no_grad():
        fit(given[0], wavelength)
        start = time.process_time()
        for batch in given[1:]:
            fit(batch, wavelength)
    seconds = (time.process_time() - start) / VISITS
    return seconds, before / 2**20, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    for bins in BINS:
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            seconds, before, peak = pool.submit(measure, bins).result()
        print(f"{bins} bins: {seconds:.2f} CPU s a visit, {peak:.2f} GB at its peak ({before:.2f} before)")
