"""`ariel transients report PREDICTIONS DATASET OUT`: one HTML page about predicted transients."""

from __future__ import annotations

from ariel_scripts.options.fields import values_of
from ariel_scripts.options.transients.report import ReportOptions
from ariel_scripts.report.transients.writer import write_report
from ariel_scripts.run_record import run_record


def main(options: ReportOptions) -> None:
    """Write the page, and a record of the run beside it."""
    out, config = options.out, {name: str(value) for name, value in values_of(options).items()}
    with run_record(out.parent, "transients report", config, options.seed, name=f"{out.stem}.run.json") as run:
        write_report(options, run)
