"""The report of a build as Markdown: what was left out, which planets stand out, how the run is distributed, tables.

The numbers are those of report.json, in its units, to four digits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hf_dataset.build.summary import BuildSummary
from hf_dataset.raw.layouts import INSTRUMENTS
from hf_dataset.reduction import quality

Entry = Mapping[str, Any]


def markdown(summary: BuildSummary, entries: Sequence[Entry]) -> str:
    """The report of the visits `entries`, failed ones included, as they are in report.json."""
    good = [entry for entry in entries if "error" not in entry]
    flags = run_figures(good)["stand_out"]
    odd = str(len({flag["planet_id"] for flag in flags})) if len(good) >= quality.MIN_RUN else "not looked for"
    lines = [
        "# Build report",
        "",
        f"Rows: {', '.join(f'{split} {count}' for split, count in summary.rows.items())}. "
        f"Visits left out: {len(summary.failures)}. Planets that stand out: {odd}. "
        f"Worker seconds: {summary.seconds:.0f}. Config {summary.config_hash}.",
        *_left_out(summary.failures),
        *_stand_out(flags, len(good)),
        *_distribution(good),
        *_visits(good),
    ]
    for instrument in INSTRUMENTS:
        lines += _figures(good, instrument)
    return "\n".join(lines) + "\n"


def run_figures(entries: Sequence[Entry]) -> dict[str, Any]:
    """JSON-able: `distribution` (instrument → figure → median, low 5 % and high 95 % quantile), `stand_out` (flags)."""
    good = [entry for entry in entries if "error" not in entry]
    reports = [entry.get("report", {}) for entry in good]
    distribution = {
        name: {
            figure.key: dict(zip(("median", "low", "high"), quality.spread(values), strict=False))
            for figure, values in quality.table(reports, name).items()
        }
        for name in INSTRUMENTS
    }
    flags = [
        {
            "planet_id": good[i]["planet_id"],
            "visit": good[i]["visit"],
            "instrument": name,
            "figure": figure.key,
            "value": value,
            "median": run.median,
        }
        for i, name, figure, value, run in quality.stand_out(reports, INSTRUMENTS)
    ]
    return {"distribution": distribution, "stand_out": flags}


def _left_out(failures: Sequence[Entry]) -> list[str]:
    if not failures:
        return []
    lines = ["", "## Left out", "", "| planet | visit | split | reason |", "|--:|--:|---|---|"]
    for entry in failures:
        reason = str(entry["error"]).replace("|", "\\|").replace("\n", " ")
        lines.append(f"| {entry['planet_id']} | {entry['visit']} | {entry['split']} | {reason} |")
    return lines


def _stand_out(flags: Sequence[Entry], n_visits: int) -> list[str]:
    """The flagged visits, a line each with all reasons."""
    lines = ["", "## Planets that stand out", ""]
    if n_visits < quality.MIN_RUN:
        return [*lines, f"Not looked for: {quality.MIN_RUN} visits are needed for a spread, found {n_visits}."]
    if not flags:
        return [*lines, "None."]
    reasons: dict[tuple[int, int], list[str]] = {}
    by_key = {figure.key: figure for figure in quality.FIGURES}
    for flag in flags:
        figure = by_key[flag["figure"]]
        found = f"{_number(flag['value'])} {figure.unit}".strip()
        reason = f"{flag['instrument']} {figure.header} {found} (run: {_number(flag['median'])})"
        reasons.setdefault((flag["planet_id"], flag["visit"]), []).append(reason)
    lines += [
        f"Worse than the run's median by over {quality.OUTLIER_SIGMA:g} σ (of the median deviation), most reasons "
        "first. `ariel inspect DATASET PLANET` draws one.",
        "",
        "| planet | visit | why |",
        "|--:|--:|---|",
    ]
    ranked = sorted(reasons.items(), key=lambda item: -len(item[1]))
    return lines + [f"| {planet} | {visit} | {'; '.join(why)} |" for (planet, visit), why in ranked]


def _distribution(good: Sequence[Entry]) -> list[str]:
    """How each figure is distributed over the run, with the three worst visits."""
    lines: list[str] = []
    for instrument in INSTRUMENTS:
        columns = quality.table([entry.get("report", {}) for entry in good], instrument)
        if not columns:
            continue
        lines += [
            "",
            f"## {instrument}: the run's figures",
            "",
            "| figure | unit | median | 5 % | 95 % | worst planets |",
            "|---|---|--:|--:|--:|---|",
        ]
        for figure, values in columns.items():
            run = quality.spread(values)
            worst = ", ".join(
                f"{good[i]['planet_id']}{f' visit {v}' if (v := good[i]['visit']) else ''}: {_number(values[i])}"
                for i in quality.worst(figure, values)
            )
            numbers = " | ".join(_number(number) for number in (run.median, run.low, run.high))
            lines.append(f"| {figure.header} | {figure.unit} | {numbers} | {worst} |")
    return lines


def _visits(good: Sequence[Entry]) -> list[str]:
    lines = ["", "## Visits", "", "| planet | visit | split | s | peak MB |", "|--:|--:|---|--:|--:|"]
    return lines + [
        f"| {e['planet_id']} | {e['visit']} | {e['split']} | {e['seconds']:.1f} | {e['peak_mb']} |" for e in good
    ]


def _figures(good: Sequence[Entry], instrument: str) -> list[str]:
    """One instrument's figures, a line a visit."""
    columns = quality.table([entry.get("report", {}) for entry in good], instrument)
    if not columns:
        return []
    headers = [f"{figure.header} [{figure.unit}]" if figure.unit else figure.header for figure in columns]
    lines = [
        "",
        f"## {instrument}: every visit",
        "",
        "| planet | visit | " + " | ".join(headers) + " |",
        "|--:|--:|" + "--:|" * len(headers),
    ]
    for i, entry in enumerate(good):
        cells = " | ".join(_number(values[i]) for values in columns.values())
        lines.append(f"| {entry['planet_id']} | {entry['visit']} | {cells} |")
    return lines


def _number(value: float) -> str:
    return f"{value:.4g}" if value == value else ""  # NaN: no value
