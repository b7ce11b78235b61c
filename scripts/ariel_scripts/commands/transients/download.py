"""`ariel transients download OUT`: the MALLORN challenge, by the Kaggle CLI."""

from __future__ import annotations

from ariel_scripts.kaggle_cli import check_kaggle, fetch_all
from ariel_scripts.options.transients.download import DownloadOptions

COMPETITION = "mallorn-astronomical-classification-challenge"


def main(options: DownloadOptions) -> None:
    """Fetch and unpack the competition's archive."""
    if not options.dry_run:
        check_kaggle(COMPETITION)
    fetch_all(COMPETITION, options.out, options.dry_run)
