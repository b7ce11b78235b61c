"""`ariel selftest`: does this installation work, and does it give the right answers?

What a check needs is imported by the check: a library that is missing or broken fails it, and the others still run.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import typer

from ariel_scripts.options.selftest import SelftestOptions
from ariel_scripts.versions import versions

logger = logging.getLogger(__name__)

SIGMAS = 4.0  # how far a recovered mean depth may be from the truth, in its own error
FRAMES, BINS = 1500, 125


def check_libraries(folder: Path) -> str:
    """Every library that decides a result is installed."""
    found = versions()
    if missing := [name for name, version in found.items() if version == "not installed"]:
        raise RuntimeError(f"not installed: {', '.join(missing)}")
    return ", ".join(f"{name} {version}" for name, version in found.items())


def check_transit(folder: Path) -> str:
    """The torch transit agrees with exoplanet-core, an independent code."""
    import torch
    from exoplanet_core import quad_limbdark_light_curve

    from modeling_ariel.transit import quadratic_transit

    z = np.linspace(0.0, 1.3, 500)
    expected = 1.0 + quad_limbdark_light_curve(0.3, 0.2, z, np.full_like(z, 0.1))
    k, u1, u2 = (torch.tensor(value, dtype=torch.float64) for value in (0.1, 0.3, 0.2))
    worst = float(np.abs(quadratic_transit(torch.tensor(z), k, u1, u2).numpy() - expected).max())
    if worst > 1e-8:
        raise RuntimeError(f"transit differs from exoplanet-core by {worst:.1e}, expected at most 1e-8")
    return f"largest difference {worst:.1e}"


def check_score(folder: Path) -> str:
    """Perfect spectra score 1, the reference scores 0."""
    from modeling_ariel.scoring import score_2024

    truth = np.full((2, 283), 0.002) + np.linspace(0, 1e-3, 2)[:, None]
    best = score_2024(truth, truth, np.full_like(truth, 1e-5))
    naive = score_2024(truth, np.full_like(truth, 0.0025517146), np.full_like(truth, 0.0017261974))
    if abs(best - 1) > 1e-9 or abs(naive) > 1e-9:
        raise RuntimeError(f"expected scores 1 and 0, found {best} and {naive}")
    return "truth scores 1, the reference 0"


def check_raw_to_depth(folder: Path) -> str:
    """A simulated raw planet becomes a dataset row that opens and gives back its mean depth."""
    import datasets
    import torch

    from hf_dataset import schema
    from hf_dataset.build import run
    from hf_dataset.build.plan import BuildOptions
    from hf_dataset.reduction.visit import ReductionOptions
    from hf_dataset.simulation import planets, raw_folder
    from modeling_ariel.retrieval import fit

    root, out = folder / "raw", folder / "light-curves"
    raw_folder.write_folder(root, planets.sample_planets(1, 1, "2025"), "2025", FRAMES, seed=1)
    run.build_dataset(root, out, BuildOptions(reduction=ReductionOptions(n_bins=BINS), workers=1))
    dataset = datasets.load_dataset(str(out), split="train", cache_dir=str(folder / "cache")).with_format("numpy")
    row = dataset[0]
    batch = {name: torch.as_tensor(np.asarray(row[name]))[None] for name in ("time", "flux", "flux_err", "valid")}
    batch |= {name: torch.tensor([float(row[name])]) for name in schema.STAR_COLUMNS}
    result = fit(batch, torch.as_tensor(planets.wavelengths_um("2025")))
    weight = 1.0 / result.covariance[0].diagonal().numpy()
    weight /= weight.sum()
    error = float(np.sqrt(weight @ result.covariance[0].numpy() @ weight))
    z = float(weight @ (result.depth[0].numpy() - row["spectrum"])) / error
    if not abs(z) < SIGMAS:
        raise RuntimeError(f"mean depth {z:+.1f} σ from the truth, expected within {SIGMAS}")
    return f"mean depth {z:+.1f} σ from the truth (σ = {error * 1e6:.0f} ppm, {FRAMES} of 11250 frames)"


CHECKS: dict[str, Callable[[Path], str]] = {
    "libraries": check_libraries,
    "transit": check_transit,
    "score": check_score,
    "raw frames to depth": check_raw_to_depth,
}


def main(options: SelftestOptions) -> None:
    """Run every check, and say how it ended."""
    checks, failed = dict(CHECKS), []
    if options.deep:
        from ariel_scripts.selftest import deep

        checks |= deep.CHECKS
    with tempfile.TemporaryDirectory(prefix="ariel-selftest-") as folder:
        for name, check in checks.items():
            start = time.perf_counter()
            scratch = Path(folder, name.replace(" ", "-"))
            scratch.mkdir()
            try:
                verdict, detail = "ok", check(scratch)
            except Exception as error:  # whatever a broken library raises, the others are checked
                verdict, detail = "FAILED", str(error) or type(error).__name__
                logger.debug("%s", name, exc_info=True)
                failed.append(name)
            typer.echo(f"{verdict:6}  {name} ({time.perf_counter() - start:.1f} s): {detail}")
    if failed:
        raise RuntimeError(f"selftest: {', '.join(failed)} failed")
