"""A slow build of a fake folder, run as a process so that tests can kill it: `python interrupted_build.py ROOT OUT`."""

from __future__ import annotations

import sys

from fake_folder import CODE, open_fake, reduce_slowly

from ariel_scripts.logs import set_up_logging
from hf_dataset.build import plan
from hf_dataset.build.plan import BuildOptions
from hf_dataset.build.run import build_dataset
from hf_dataset.reduction.options import ReductionOptions

if __name__ == "__main__":
    set_up_logging()
    plan.code_version = lambda: CODE  # so that somebody may edit the sources while the tests run
    options = BuildOptions(reduction=ReductionOptions(n_bins=8), workers=2, planets_per_shard=2)
    try:
        build_dataset(sys.argv[1], sys.argv[2], options, open_folder=open_fake, reduce_visit=reduce_slowly)
    except KeyboardInterrupt:  # as the command does
        sys.exit(130)
