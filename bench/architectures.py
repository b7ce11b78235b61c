"""Every architecture of the field on one benchmark: the same data, losses, folds and time.

Run: make architectures (python bench/architectures.py ../shared/real/challenge_2024/train_labels.csv; without such a
file, on simulated spectra). Four tables: light curves of all spectra in folds by planet; the same with 50 labelled
planets; what the parts of architectures are worth, on the first fold; and what the first fold's models make of light
curves of another simulator, telescope and atmospheres. Finished parts are kept, so a stopped run continues. Writes
architectures.md and .json; nothing trained on given spectra leaves the output folder.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from away import fits, judged
from models import CONFIGS, REPOSITORY, Bench

from ariel_scripts.command_line import run_script
from ariel_scripts.run_record import run_record, write_json

TRUTHS = REPOSITORY.parent / "shared/real/challenge_2024/train_labels.csv"
AWAY = ("as trained", "clean", "twisted_100", "red_1h", "limb_darkening", "no_table", "wasp39b")
SIMULATED = 466  # planets where no spectra are given
PHYSICS = "physics alone, with the fold's prior"
FEW = 50  # labelled planets


def main(
    truths: Annotated[Path, typer.Argument(help="CSV of spectra; simulated ones where it is not there.")] = TRUTHS,
    out: Annotated[Path, typer.Option(help="Folder for everything that is made.")] = REPOSITORY
    / "bench/out/architectures",
    plan: Annotated[Path, typer.Option(help="YAML of variants, as `ariel ablate` takes it.")] = CONFIGS
    / "architectures.yaml",
    minutes: Annotated[float, typer.Option(min=0.0, help="Of training, for each variant and fold.")] = 5.0,
    finalists: Annotated[int, typer.Option(min=0, help="Variants trained on all five folds.")] = 3,
    planets: Annotated[int, typer.Option(min=4, help="Of each case away from home.")] = 30,
    quick: Annotated[bool, typer.Option("--quick", help="A few steps of everything: does it run?")] = False,
) -> None:
    """Train, score and rank every architecture.

    Example: python bench/architectures.py --minutes 2
    """
    out, planets = (out / "quick", 4) if quick else (out, planets)
    bench = Bench(truths, out, ())
    own = read_plan(plan, minutes, quick, out)
    whole, parts = split_plan(own)
    with run_record(out, "architectures", {"truths": str(truths), "minutes": minutes, "quick": quick}, 0) as run:
        light_curves(bench, quick)
        tables = {
            "all labelled planets": ranked(bench, "all", whole, ("--first", "0,1", "--finalists", finalists)),
            "parts, first fold": ranked(bench, "parts", parts, ("--first", "0")),
            f"{FEW} labelled planets": ranked(bench, f"{FEW}", few(whole, quick), ("--first", "0,1")),
        }
        text = "\n".join(f"{name}\n\n{(folder / 'leaderboard.md').read_text()}" for name, folder in tables.items())
        rows = {name: json.loads((folder / "leaderboard.json").read_text()) for name, folder in tables.items()}
        elsewhere = away(tables["all labelled planets"], planets, truths, out)
        run.metrics.update({"tables": rows, "away": elsewhere})
        write_json(out / "architectures.json", run.metrics)
        text += f"\naway from home\n\n{as_markdown(elsewhere)}"
        (out / "architectures.md").write_text(text, encoding="utf-8")
    print(text)


def read_plan(path: Path, minutes: float, quick: bool, out: Path) -> Path:
    """The plan with so many minutes, beside what it makes."""
    import yaml

    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    files = [str((path.parent / name).resolve()) for name in content["options"].pop("config", ())]
    content["options"] |= {"config": files, "minutes": minutes}
    if rules := content.get("rules"):
        content["rules"] = str((path.parent / rules).resolve())
    for own in content["variants"].values():
        if penalties := own.get("penalties"):
            own["penalties"] = str((path.parent / penalties).resolve())
    if quick:
        content["options"] |= {"evaluate_every": 2, "minutes": 0.0}
        short = {"steps": 2, "evaluate_every": 2}
        content["variants"] = {name: own | short for name, own in content["variants"].items()}
    return _written(out / "plan.yaml", content)


def split_plan(plan: Path) -> tuple[Path, Path]:
    """Plans of the architectures as they come, and of those with a part changed, which have settings."""
    import yaml

    content = yaml.safe_load(plan.read_text(encoding="utf-8"))
    found = []
    for name, changed in (("whole", False), ("parts", True)):
        chosen = {name: own for name, own in content["variants"].items() if ("settings" in own) is changed}
        found.append(_written(plan.with_name(f"{name}.yaml"), content | {"variants": chosen}))
    return found[0], found[1]


def few(plan: Path, quick: bool) -> Path:
    """The plan with few labelled planets."""
    import yaml

    content = yaml.safe_load(plan.read_text(encoding="utf-8"))
    content["options"]["planets"] = 12 if quick else FEW
    return _written(plan.with_name("few.yaml"), content)


def _written(path: Path, content: dict[str, Any]) -> Path:
    from ariel_scripts.options.yaml_values import write_yaml

    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(write_yaml(content), encoding="utf-8")
    return path


def light_curves(bench: Bench, quick: bool) -> None:
    """Light curves of the given spectra, or of simulated ones."""
    if quick:
        bench.once(bench.labelled, "simulate", bench.labelled, "--fast", "--planets", 30)
    elif bench.truths.exists():
        bench.once(bench.labelled, "simulate", bench.labelled, "--fast", "--spectra", bench.truths)
    else:
        bench.once(bench.labelled, "simulate", bench.labelled, "--fast", "--planets", SIMULATED)


def ranked(bench: Bench, name: str, plan: Path, options: tuple[Any, ...]) -> Path:
    """Folder of a leaderboard."""
    folder = bench.out / name
    bench.once(folder / "run.json", "ablate", plan, "--dataset", bench.labelled, "--out", folder, *options)
    return folder


def away(board: Path, planets: int, truths: Path, out: Path) -> dict[str, dict[str, float]]:
    """What the first fold's model of each variant makes of other light curves, cases averaged; physics alone first."""
    files, found = fits(list(AWAY), planets, 2, truths, out), {PHYSICS: dict[str, float]()}
    for row in json.loads((board / "leaderboard.json").read_text()):
        cases = [one for one in judged(str(Path(row["folder"]) / "model"), files).values() if "model" in one]
        keys = cases[0]["model"]
        near = [case for case in cases if "model where near" in case]
        physics, model = ({key: [case[who][key] for case in cases] for key in keys} for who in ("physics", "model"))
        if row["options"].get("physics") != "none":
            found[PHYSICS] = _means(physics)
        found[row["variant"]] = _means(model) | {"far": float(np.mean([case["far"] for case in cases]))}
        if near:
            covered = [case["model where near"]["in_90"] for case in near]
            found[row["variant"]]["in_90_near"] = float(np.average(covered, weights=[case["near"] for case in near]))
    return found


def _means(numbers: dict[str, list[float]]) -> dict[str, float]:
    """Mean over cases, and the worst coverage."""
    return {key: float(np.mean(values)) for key, values in numbers.items()} | {"worst_in_90": min(numbers["in_90"])}


def as_markdown(rows: dict[str, dict[str, float]]) -> str:
    """A line a variant."""
    shown = {"log_likelihood": ".3f", "rmse_ppm": ".0f", "in_90": ".1%", "worst_in_90": ".1%", "z": ".2f",
             "far": ".0%", "in_90_near": ".1%"}  # fmt: skip
    heads = ("variant", "mean ln likelihood", "RMSE ppm", "in 90", "in 90, worst case", "z spread", "far from training",
             "in 90 where near")  # fmt: skip
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name, row in rows.items():
        lines.append(
            f"| {name} | {' | '.join(format(row[key], form) if key in row else '–' for key, form in shown.items())} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    run_script(main)
