"""`ariel curriculum CONFIG`: stages of training in one file, each starting from the one before."""

from __future__ import annotations

from ariel_scripts.options.curriculum import CurriculumOptions
from ariel_scripts.stage_runner import Study, run_or_plan
from ariel_scripts.stages import TRAINING, read_stages


def main(options: CurriculumOptions) -> None:
    """Check all stages, then run those that are not done."""
    stages = read_stages(options.stages, options.out, TRAINING)
    study = Study("curriculum", options.stages, options.out, stages, keeps=True)
    run_or_plan(study, options.restart, options.dry_run)
