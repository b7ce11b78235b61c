"""The fit where its assumptions fail: is what it calls ok right?

Run: make foreign (python bench/foreign.py --visits 256). Visits of `foreign_curves.py` are fitted as a user would; z is
the error over its sigma of the mean depth over AIRS, of FGS1's depth, and of the spectrum's slope over wavelength;
`in 50`, `in 90` are the shares of channels within these intervals, with 95 % intervals by bootstrap over visits.
Resumes: visits in bench/out/foreign/ are not fitted again by the same sources. Writes bench/out/foreign.md.
"""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import repeat
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from foreign_curves import KINDS, draw, light_curves
from numpy.typing import NDArray
from tqdm import tqdm

from ariel_scripts.command_line import run_script
from ariel_scripts.opening import sources

ROOT = Path(__file__).resolve().parents[1]
WITHIN = {"in 50": 0.6745, "in 90": 1.6449}  # sigma


@dataclass(frozen=True)
class Outcome:
    """One fitted visit: z of mean depth over AIRS, of FGS1 and of the slope; shares of channels within intervals; error
    and sigma of the mean depth.
    """

    status: str
    notes: str
    white: float
    fgs1: float
    slope: float
    in_50: float
    in_90: float
    white_error: float
    white_sigma: float


def fit_one(kind: str, number: int) -> Outcome:
    """Draw, fit and judge one visit."""
    import torch

    from modeling_ariel.retrieval import fit

    torch.set_num_threads(1)
    visit = draw(number, KINDS[kind])
    flux, error, valid = light_curves(visit)
    curves = {"time": visit.time, "flux": flux, "flux_err": error, "valid": valid}
    batch = {name: torch.as_tensor(values)[None] for name, values in curves.items()}
    batch |= {name: torch.tensor([value], dtype=torch.float64) for name, value in visit.table.items()}
    with torch.no_grad():
        found = fit(batch, torch.as_tensor(visit.wavelength))
    depth, covariance = found.depth[0].numpy(), found.covariance[0].numpy()
    away = depth - visit.depth
    mean, slope = np.zeros(len(depth)), visit.airs - visit.airs[1:].mean()
    mean[1:] = 1 / (len(depth) - 1)
    slope[0] = 0.0

    def z(direction: NDArray[np.float64]) -> float:
        return float(direction @ away / np.sqrt(direction @ covariance @ direction))

    size = np.abs(away) / np.sqrt(np.diag(covariance))
    return Outcome(
        status=found.status[0],
        notes=found.notes[0],
        white=z(mean),
        fgs1=float(away[0] / np.sqrt(covariance[0, 0])),
        slope=z(slope),
        in_50=float((size < WITHIN["in 50"]).mean()),
        in_90=float((size < WITHIN["in 90"]).mean()),
        white_error=float(mean @ away),
        white_sigma=float(np.sqrt(mean @ covariance @ mean)),
    )


def outcomes(kind: str, visits: int, pool: ProcessPoolExecutor, folder: Path) -> list[Outcome]:
    """Outcomes of a kind's first visits, those that are on disk not made again."""
    path = folder / f"{kind}.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    found = [Outcome(**json.loads(line)) for line in lines][:visits]
    rest = range(len(found), visits)
    with path.open("a") as file:
        for one in pool.map(fit_one, repeat(kind), rest):
            file.write(json.dumps(asdict(one)) + "\n")
            file.flush()
            found.append(one)
    return found


def interval(values: list[float]) -> tuple[float, float]:
    """95 % interval of a mean over visits, by bootstrap."""
    rng = np.random.default_rng(0)
    means = rng.choice(values, (2000, len(values))).mean(1)
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


def spread(values: list[float]) -> float:
    """Root mean square of z; 1 is honest."""
    return float(np.sqrt(np.mean(np.square(values))))


def summary(found: list[Outcome]) -> dict[str, Any]:
    """What the table says of a kind."""
    ok = [one for one in found if one.status == "ok"]
    rest = [one for one in found if one.status in ("partial", "doubtful")]
    said: dict[str, Any] = {"visits": len(found), "ok": len(ok) / len(found)}
    if ok:
        said |= {name: spread([getattr(one, name) for one in ok]) for name in ("white", "fgs1", "slope")}
        said |= {name: float(np.mean([getattr(one, name) for one in ok])) for name in ("in_50", "in_90")}
        said["in_90_interval"] = interval([one.in_90 for one in ok])
        said["worst"] = max(abs(one.white) for one in ok)
        said["white_error"] = spread([one.white_error for one in ok]) * 1e6
        said["white_sigma"] = float(np.median([one.white_sigma for one in ok])) * 1e6
    if rest:
        said["in_90_of_others"] = float(np.mean([one.in_90 for one in rest]))
    return said


def table(results: dict[str, dict[str, Any]]) -> str:
    """Markdown: a row a kind."""
    rows = [
        "| what is off | ok | z: mean, FGS1, slope | largest | error, σ of mean [ppm] | in 50 | in 90 | others |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for kind, said in results.items():
        first = f"| {KINDS[kind].what} | {100 * said['ok']:.0f} %"
        others = f"{100 * said['in_90_of_others']:.0f} %" if "in_90_of_others" in said else "–"
        if "white" not in said:
            rows.append(f"{first} | – | – | – | – | – | {others} |")
            continue
        low, high = said["in_90_interval"]
        rows.append(
            f"{first} | {said['white']:.2f}, {said['fgs1']:.2f}, {said['slope']:.2f} | {said['worst']:.1f} "
            f"| {said['white_error']:.0f}, {said['white_sigma']:.0f} | {100 * said['in_50']:.0f} % "
            f"| {100 * said['in_90']:.0f} % ({100 * low:.0f}–{100 * high:.0f}) | {others} |"
        )
    return "\n".join(rows)


def main(
    visits: Annotated[int, typer.Option(min=2, help="Visits of each kind.")] = 256,
    kinds: Annotated[list[str] | None, typer.Option("--kind", help="A kind alone; more by repeating.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
    out: Annotated[Path, typer.Option(help="Folder of the table.")] = ROOT / "bench" / "out",
) -> None:
    """Fit visits of every kind and judge what is called ok.

    Example: python bench/foreign.py --visits 32 --kind clean --kind red_1h
    """
    curves_source = Path(__file__).with_name("foreign_curves.py")
    folder = out / "foreign" / sources.digest(sources.FIT, [curves_source.read_bytes()])
    folder.mkdir(parents=True, exist_ok=True)
    results = {}
    with ProcessPoolExecutor(workers) as pool:
        for kind in tqdm(kinds or list(KINDS), unit="kind"):
            results[kind] = summary(outcomes(kind, visits, pool, folder))
    text = table(results)
    (out / "foreign.md").write_text(text + "\n")
    (out / "foreign.json").write_text(json.dumps(results, indent=1) + "\n")
    typer.echo(text)


if __name__ == "__main__":
    run_script(main)
