"""`ariel report DATASET --model MODEL --out report.html`: one HTML page about predicted spectra."""

from __future__ import annotations

from ariel_scripts.options.report import ReportOptions
from ariel_scripts.report.writer import write_report
from ariel_scripts.run_record import run_record


def main(options: ReportOptions) -> None:
    """Write the page, and a record of the run beside it."""
    out, config = options.out, options.record()
    name = f"{out.stem}.run.json"
    with run_record(out.parent, "report", config, options.seed, name=name) as run:
        write_report(options, run)
