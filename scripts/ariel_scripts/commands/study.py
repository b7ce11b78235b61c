"""`ariel study STUDY`: a whole study in one file, from raw frames to a submission."""

from __future__ import annotations

from ariel_scripts.options.study import StudyOptions
from ariel_scripts.stage_runner import Study, run_or_plan
from ariel_scripts.stages import read_stages


def main(options: StudyOptions) -> None:
    """Check all stages, then run those that are not up to date."""
    study = Study("study", options.study, options.out, read_stages(options.study, options.out))
    run_or_plan(study, options.restart, options.dry_run)
