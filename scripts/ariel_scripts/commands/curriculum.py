"""`ariel curriculum CONFIG`: stages of training in one file, each starting from the one before."""

from __future__ import annotations

from ariel_scripts.curriculum import read_stages, run_stages
from ariel_scripts.options.curriculum import CurriculumOptions


def main(options: CurriculumOptions) -> None:
    """Check all stages, then run those that are not done."""
    run_stages(read_stages(options.stages, options.out), options)
