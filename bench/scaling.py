"""What a build costs besides its planets, for docs/scaling.md: planning, resuming and ending a build of 1,100 planets.

    python bench/scaling.py [PLANETS]

The raw folder is one small simulated planet, hard-linked under as many ids; its reduction is replaced by rows of noise
of the size of real ones, so that what is left is files, tables, manifests and the card.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from throughput import make_folder

from hf_dataset import schema
from hf_dataset.build import resume
from hf_dataset.build.plan import BuildOptions, describe, make_plan
from hf_dataset.build.report import finish
from hf_dataset.build.run import build_dataset
from hf_dataset.folders import folder
from hf_dataset.raw import layouts
from hf_dataset.raw.layouts import RawVisit
from hf_dataset.reduction.options import ReductionOptions
from hf_dataset.simulation import planets, raw_folder
from hf_dataset.store.shards import DATA_DIR


def reduce_to_noise(visit: RawVisit, options: ReductionOptions) -> tuple[dict[str, Any], dict[str, Any]]:
    """In place of `reduce_visit`: a row of the right size at once."""
    rng = np.random.default_rng(visit.planet_id)
    shape = (options.n_bins, schema.N_CHANNELS)
    flux = rng.normal(1e4, 30, shape).astype(np.float32)
    row = {
        "planet_id": visit.planet_id,
        "visit": visit.visit,
        "layout": "simulated",
        "time": np.linspace(0, 7.5, options.n_bins, dtype=np.float32),
        "flux": flux,
        "flux_err": np.full(shape, 30, np.float32),
        "valid": np.ones(shape, bool),
        "centroid": np.zeros((options.n_bins, 4), np.float32),
        "star": np.int32(-1),
        **dict.fromkeys(schema.STAR_COLUMNS, np.float32(1)),
        "spectrum": np.full(schema.N_CHANNELS, 0.01, np.float32),
        "calibration": "[]",
    }
    return row, {"seconds": {}, "quality": {}}


def timed(name: str, call: Callable[[], Any]) -> Any:
    """Call, and print the seconds it took."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = call()
    print(f"{name:42} {time.perf_counter() - wall:7.2f} s   {time.process_time() - cpu:7.2f} s CPU", flush=True)
    return result


def main(n_planets: int) -> None:
    """Time each part once."""
    with tempfile.TemporaryDirectory() as scratch:
        one = raw_folder.write_folder(Path(scratch) / "one", planets.sample_planets(1, 1, "2025"), "2025", 120)
        root, out = make_folder(one, Path(scratch) / "raw", n_planets), folder(Path(scratch) / "out")
        options = BuildOptions(workers=1)
        opened = timed(f"open the folder of {n_planets} planets", lambda: layouts.open_folder(root))
        plan = timed("plan", lambda: make_plan(opened, root, out, options))
        timed("describe (sizes of all input)", lambda: describe(plan, opened, plan.shards, 1))
        summary = timed(
            "build, rows of noise, one worker",
            lambda: build_dataset(root, out, options, reduce_visit=reduce_to_noise),
        )
        if summary.failures:
            raise RuntimeError(f"expected {n_planets} rows, found failures: {summary.failures[0]}")
        timed("what is unfinished (all input looked at)", lambda: resume.unfinished(plan, opened))
        wavelengths = opened.wavelengths
        timed("card and report", lambda: finish(plan, wavelengths))
        stored = sum(path.stat().st_size for path in (Path(out) / DATA_DIR).glob("*.parquet"))
        print(f"{len(plan.shards)} shards, {stored / 1e6:.0f} MB")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1100)
