"""`ariel transients build ROOT OUT`: a raw folder of transients → Hugging Face dataset."""

from __future__ import annotations

import importlib.metadata
import logging

from tqdm import tqdm

from ariel_scripts.options.fields import values_of
from ariel_scripts.options.transients.build import BuildOptions
from ariel_scripts.run_record import run_record
from ariel_scripts.versions import DISTRIBUTION, git_commit
from hf_dataset.transients.dataset import build_dataset
from hf_dataset.transients.raw import count_files
from hf_dataset.words import number_of

logger = logging.getLogger(__name__)


def main(options: BuildOptions) -> None:
    """Build, and say what was left out."""
    config = {name: str(value) for name, value in values_of(options).items()}
    code = {DISTRIBUTION: importlib.metadata.version(DISTRIBUTION), "commit": git_commit()}
    disable = None if logger.isEnabledFor(logging.INFO) else True
    with run_record(options.out, "transients build", config) as run:
        with tqdm(total=count_files(options.root), unit="file", desc="reading", disable=disable) as bar:
            contents, findings = build_dataset(options.root, options.out, code, bar.update)
        run.metrics |= {"rows": {split: part.rows for split, part in contents.splits.items()}, **findings.counts()}
        for line in findings.lines():
            logger.warning("%s", line)
        rows = " + ".join(f"{part.rows} {split}" for split, part in contents.splits.items())
        logger.info("%s: %s objects", options.out, rows)
        if options.strict and findings.objects:
            why = options.out / "report.json"
            raise RuntimeError(f"{number_of(len(findings.objects), 'object')} left out, see {why}")
