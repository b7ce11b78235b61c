"""Which options name what a command reads, and which what it writes."""

from __future__ import annotations

READS = frozenset(
    [
        "add",
        "apply",
        "check",
        "dataset",
        "edges",
        "features",
        "file",
        "files",
        "folder",
        "frames",
        "model",
        "penalties",
        "plan",
        "planet",
        "predict",
        "predictions",
        "prior",
        "probabilities",
        "reference",
        "retrieval",
        "root",
        "sample",
        "spectra",
        "stages",
        "study",
        "telescope",
        "templates",
        "truth",
        "truths",
    ]
)
WRITES = frozenset(["export", "keep_frames", "out", "save_prior", "save_telescope"])
WORDS = frozenset(("prior", "telescope"))  # a file or a word, such as `training`
_OWN = {
    ("verify", "out"): "reads",
    ("submit", "dataset"): None,  # a link
    **{("push", option): None for option in ("model", "dataset")},  # links of a card
    ("report", "planet"): None,  # a number
    **{("finetune", option): None for option in ("prior", "spectra")},  # words
    ("transients finetune", "predict"): None,  # a split
}


def role(command: str, option: str) -> str | None:
    """`reads`, `writes`, or None where an option of `ariel COMMAND` names no file, folder or repository."""
    if (command, option) in _OWN:
        return _OWN[command, option]
    return "reads" if option in READS else "writes" if option in WRITES else None
