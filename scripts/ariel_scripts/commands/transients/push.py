"""`ariel transients push`: publish a dataset or a model of transients on the Hugging Face Hub."""

from __future__ import annotations

from functools import partial

from ariel_scripts.commands.push import publish
from ariel_scripts.options import push as general
from ariel_scripts.options.transients.push import PushOptions
from ariel_scripts.publishing.transient_release import RELEASES


def main(options: PushOptions) -> None:
    """Check the folder and who asks, and push."""
    asked = general.PushOptions(**(vars(options) | {"kind": general.Kind(options.kind)}))
    publish(asked, partial(RELEASES[options.kind], options.folder, options.repo_id))
