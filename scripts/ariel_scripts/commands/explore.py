"""Say what a raw challenge folder holds, and what is missing: `ariel explore ROOT`.

Reads tables, Parquet footers and file sizes, no frames. The same text goes to the screen and, as Markdown, to a file.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import typer
from tqdm import tqdm

from ariel_scripts.options.explore import ExploreOptions
from hf_dataset.raw import layouts
from hf_dataset.raw.layouts import INSTRUMENTS, ChallengeFolder, RawDataError

logger = logging.getLogger(__name__)

MAX_PROBLEMS = 20

Found = TypeVar("Found")


def main(options: ExploreOptions) -> None:
    """Print the description and write it."""
    root, out = options.root, options.out
    text, problems = describe(root, options.planets)
    typer.echo(text)
    if out is not None and str(out) != "-":
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text + "\n", encoding="utf-8")
        logger.info("written: %s", out)
    if options.strict and problems:
        raise ValueError(f"{root}: {len(problems)} problems, the first: {problems[0]}")


def describe(root: Path, most: int = 0) -> tuple[str, list[str]]:
    """Markdown about a raw folder, and what is missing or broken in it."""
    folder = layouts.open_folder(root)
    problems: list[str] = []
    lines = [
        f"# {root}",
        "",
        f"Layout {folder.layout}{', simulated' if folder.simulated else ''}.",
        "",
    ]
    lines += tables(folder, problems)
    problems += filter(None, [folder.missing_truths()])
    for split in folder.splits:
        lines += ["", *describe_split(folder, split, most, problems)]
    lines += ["", "## Missing or broken", ""]
    lines += [f"- {problem}" for problem in problems[:MAX_PROBLEMS]] or ["Nothing was found missing."]
    if len(problems) > MAX_PROBLEMS:
        lines.append(f"- … and {len(problems) - MAX_PROBLEMS} more")
    return "\n".join(lines), problems


def tables(folder: ChallengeFolder, problems: list[str]) -> list[str]:
    """What the tables beside the splits say."""
    rows = []

    def look(what: str, read: Callable[[], str]) -> None:
        try:
            rows.append(f"| {what} | {read()} |")
        except RawDataError as error:
            problems.append(str(error))
            rows.append(f"| {what} | **missing** |")

    def wavelengths() -> str:
        w = folder.wavelengths
        return f"{w.size}: FGS1 {w[0]:.3f} µm, AIRS-CH0 {w[1]:.4f} … {w[-1]:.4f} µm"

    def axis(name: str) -> str:
        values = folder.axis(name)
        return f"{values.size:,} values, {values[0]:.4g} … {values[-1]:.4g}"

    look("wavelengths", wavelengths)
    look("AIRS-CH0 frame times [h]", lambda: axis("AIRS-CH0-axis0-h"))
    look("AIRS-CH0 columns [µm]", lambda: axis("AIRS-CH0-axis2-um"))
    look("FGS1 frame times [h]", lambda: axis("FGS1-axis0-h"))
    return ["| table | content |", "|---|---|", *rows]


def describe_split(folder: ChallengeFolder, split: str, most: int, problems: list[str]) -> list[str]:
    """Planets, visits, files and labels of a split."""
    planets = folder.planets(split)
    visits = {planet: folder.visits(split, planet) for planet in planets}
    looked = planets[:most] if most else planets
    forms: Counter[tuple[str, str]] = Counter()
    size, labelled, starred = 0, 0, 0
    for planet in tqdm(looked, desc=split, unit="planet", delay=2):
        if not visits[planet]:
            problems.append(f"{split} planet {planet}: no signal file")
        labelled += noted(partial(folder.truth, split, planet), problems) is not None
        starred += bool(noted(partial(folder.star, split, planet), problems))
        for visit in (folder.visit(split, planet, number) for number in visits[planet]):
            size += sum(path.stat().st_size for path in visit.files())
            for instrument in INSTRUMENTS:
                try:
                    rows, columns = visit.shape(instrument)
                    form = f"{visit.n_frames(instrument):,} × {rows} × {columns} uint16"
                    forms[instrument, form] += 1
                    visit.adc(instrument)
                    visit.calibration(instrument)
                except RawDataError as error:
                    problems.append(str(error))
            visit.close()
    counts = Counter(len(numbers) for numbers in visits.values())
    per_planet = ", ".join(f"{count} with {n} visit{'' if n == 1 else 's'}" for n, count in sorted(counts.items()))
    where = f"of {len(looked):,} looked into" if len(looked) < len(planets) else "of all"
    lines = [
        f"## {split}",
        "",
        "| | |",
        "|---|---|",
        f"| planets | {len(planets):,} ({per_planet or 'none'}) |",
        f"| size, {where} | {size / 1e9:.2f} GB |",
        f"| with a true spectrum, {where} | {labelled:,} |",
        f"| with star and ADC tables, {where} | {starred:,} |",
    ]
    return lines + [f"| {name} | {form}: {count:,} visits |" for (name, form), count in sorted(forms.items())]


def noted(read: Callable[[], Found], problems: list[str]) -> Found | None:
    """What is read; None, and a problem noted once, where the folder does not allow it."""
    try:
        return read()
    except ValueError as error:
        if str(error) not in problems:
            problems.append(str(error))
        return None
