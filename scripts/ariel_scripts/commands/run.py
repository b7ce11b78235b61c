"""`ariel run ROOT --out OUT --budget 9h`: from a raw challenge folder to a validated submission in a given time."""

from __future__ import annotations

from ariel_scripts.alone import alone_in
from ariel_scripts.challenge.budget import Clock
from ariel_scripts.challenge.flow import Commands, Flow
from ariel_scripts.commands import submit
from ariel_scripts.commands.build_dataset import recorded_build
from ariel_scripts.options.fields import values_of
from ariel_scripts.options.run import RunOptions
from ariel_scripts.run_record import run_record


def main(options: RunOptions) -> None:
    """Build, predict and submit by the functions of those commands, in turns."""
    clock = Clock(options.budget_s, options.age)
    config = {**values_of(options), "root": str(options.root)}
    with alone_in(options.out), run_record(options.out, "run", config, options.seed) as run:
        Flow(options, Commands(recorded_build, submit.main), clock, run).go()
