"""Bad pixels filled along wavelength, by the median of neighbours and by a small U-Net: docs/calibration.md's table.

Run: python bench/pixels.py (ten minutes on a core). Frames of simulated planets are kept; good pixels in the light
are hidden through a whole visit, as dead ones are, and filled in each exposure. The U-Net is trained on other planets.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from ariel_scripts.command_line import run_script

os.environ.setdefault("OMP_NUM_THREADS", "1")
HERE = Path(__file__).resolve().parent
HALF, REACH = 10, 3  # rows either side of the light that the U-Net sees; px along wavelength
SHARE, DRAWS = 0.02, 12  # of the light's pixels that are hidden; masks of a visit
LEAST = 0.1  # of a pixel's light over the brightest of its column or frame, from which it is worth filling
WAYS = ("along wavelength", "median of neighbours", "U-Net")


def kept_frames(out: Path, planets: int, frames: int) -> Path:
    """Frames of simulated planets, made once; every pixel of them is read."""
    from hf_dataset.build.plan import BuildOptions
    from hf_dataset.build.run import build_dataset
    from hf_dataset.reduction.options import ReductionOptions
    from hf_dataset.simulation.planets import sample_planets
    from hf_dataset.simulation.raw_folder import write_folder

    name = f"{planets}-{frames}"
    raw = write_folder(out / f"raw-{name}", sample_planets(planets, 3, "2025"), "2025", frames)
    reduction = ReductionOptions(n_bins=20, pixels="all")
    build_dataset(raw, out / f"curves-{name}", BuildOptions(reduction, workers=1, keep_frames=out / f"frames-{name}"))
    return out / f"frames-{name}"


def images(frames: Any) -> dict[str, Any]:
    """Exposures (exposure, row, column) about the light, the foreground taken off, their bad pixels and noise."""
    centre = frames.facts["centre_px"][0] if "centre_px" in frames.facts else float(np.median(frames["trace"]))
    rows = slice(round(centre) - HALF, round(centre) + HALF)
    cube = frames.exposures(rows).astype(np.float32) - frames["foreground"]
    bad = (frames["flags"][rows] != 0) | frames["mask"][rows]
    return {"cube": cube, "bad": bad, "sigma": np.sqrt(frames["variance"][rows])}


def hide(scene: dict[str, Any], rng: np.random.Generator) -> Any:
    """(row, column) of good pixels in the light to be filled."""
    mean = np.where(scene["bad"], 0.0, scene["cube"].mean(axis=0))
    brightest = mean.max(axis=0) if mean.shape[1] > mean.shape[0] * 4 else mean.max()
    light = np.flatnonzero(~scene["bad"] & (mean > LEAST * brightest))
    hidden = np.zeros(mean.shape, bool)
    hidden.flat[rng.choice(light, max(1, round(SHARE * light.size)), replace=False)] = True
    return hidden


def train(scenes: list[dict[str, Any]], steps: int, seed: int) -> Any:
    """A U-Net that fills single exposures."""
    import torch
    from tqdm import tqdm

    from modeling_ariel.pixel_network import PixelNetwork, filling_loss

    torch.manual_seed(seed)
    rng, network = np.random.default_rng(seed), PixelNetwork()
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in tqdm(range(steps), unit="step", leave=False):
        scene = scenes[rng.integers(len(scenes))]
        chosen = rng.integers(len(scene["cube"]), size=8)
        bad = torch.from_numpy(scene["bad"]).expand(len(chosen), -1, -1)
        optimizer.zero_grad()
        filling_loss(network, torch.from_numpy(scene["cube"][chosen]), bad, SHARE).backward()
        optimizer.step()
        schedule.step()
    return network.eval()


def filled(scene: dict[str, Any], hidden: Any, network: Any) -> dict[str, Any]:
    """(exposure, pixel) what each way puts in place of the hidden pixels."""
    import torch

    from hf_dataset.reduction.calibration import fill_bad_pixels
    from modeling_ariel.pixel_network import fill_by_median

    bad, cube = scene["bad"] | hidden, scene["cube"]
    along = fill_bad_pixels(cube, None, np.zeros((1, *bad.shape), bool), bad=bad, reach=REACH)
    stacked = torch.from_numpy(cube), torch.from_numpy(bad).expand(len(cube), -1, -1)
    with torch.no_grad():
        found = (along.data, fill_by_median(*stacked).numpy(), network(*stacked).numpy())
    return {name: image[:, hidden] for name, image in zip(WAYS, found, strict=True)}


def errors(scene: dict[str, Any], hidden: Any, values: Any) -> tuple[Any, Any, Any]:
    """Squares of errors in units of the pixel's noise: as filled, and scaled to the right mean; shares off (pixel,)."""
    measured, sigma = scene["cube"][:, hidden], scene["sigma"][hidden]
    mean, truth = values.mean(axis=0), measured.mean(axis=0)
    scaled = values * (truth / np.where(np.abs(mean) > 1e-3 * truth, mean, truth))
    return ((values - measured) / sigma) ** 2, ((scaled - measured) / sigma) ** 2, np.abs(mean / truth - 1.0)


def main(
    planets: Annotated[int, typer.Option(min=3, help="Simulated planets; a third is judged by.")] = 6,
    frames: Annotated[int, typer.Option(min=40, help="AIRS-CH0 frames of each.")] = 240,
    steps: Annotated[int, typer.Option(min=1, help="Of training, for each instrument.")] = 1500,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Compare three ways to fill a bad pixel, in units of its noise in one exposure.

    Example: python bench/pixels.py --planets 3 --frames 120 --steps 200
    """
    from hf_dataset.raw.layouts import INSTRUMENTS
    from hf_dataset.store.frames import find_frames

    folder = kept_frames(HERE / "out" / "pixels", planets, frames)
    print(
        "| instrument | way | error σ | scaled to the right mean σ | level off, median % | pixels |\n"
        + "|---" * 6
        + "|"
    )
    for instrument in INSTRUMENTS:
        scenes = [images(one) for one in find_frames(folder, instrument)]
        held = scenes[: planets // 3]
        network = train(scenes[planets // 3 :], steps, seed)
        rng = np.random.default_rng(seed)
        parts: dict[str, list[Any]] = {name: [] for name in WAYS}
        for scene in held * DRAWS:
            hidden = hide(scene, rng)
            for name, values in filled(scene, hidden, network).items():
                parts[name].append(errors(scene, hidden, values))
        for name, found in parts.items():
            plain, scaled = (np.sqrt(np.mean(np.concatenate([one[k].ravel() for one in found]))) for k in (0, 1))
            off = np.concatenate([one[2] for one in found])
            print(
                f"| {instrument} | {name} | {plain:.2f} | {scaled:.2f} | {100 * np.median(off):.1f} | {off.size} |",
                flush=True,
            )


if __name__ == "__main__":
    run_script(main)
