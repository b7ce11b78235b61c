"""`ariel templates FRAMES OUT`: PSF templates of kept frames, for Spectre."""

from __future__ import annotations

import logging

from ariel_scripts.options.templates import TemplatesOptions
from ariel_scripts.training.psf_templates import make_templates, write_templates
from hf_dataset.words import number_of

logger = logging.getLogger(__name__)


def main(options: TemplatesOptions) -> None:
    """Make them and write the file."""
    found = make_templates(options.frames, options.size)
    write_templates(options.out, found)
    visits = number_of(found.made_of["visits"], "visit")
    logger.info("%s: templates of %s, layouts %s", options.out, visits, ", ".join(found.made_of["layouts"]))
