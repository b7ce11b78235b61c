"""Make the Space's sample with the released model's scores, and print its folder.

Run in space/: python -m engine [FOLDER]. The default is the folder that the Space opens: the bundled one, or one in
this machine's cache. Scores of another checkpoint are replaced.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

from engine import sample
from engine.inference import Engine


def main(folder: Path | None = None) -> Path:
    """The sample's folder, complete."""
    folder = sample.ensure(folder)
    engine, scores = Engine.open(dataset=str(folder), background=False), folder / sample.SCORES
    known = json.loads(scores.read_text()) if scores.is_file() else {}
    if known.get("model_sha256", engine.network.digest if known else None) != engine.network.digest:
        engine.rank_all()
    return folder


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if len(sys.argv) > 2:
        sys.exit("usage: python -m engine [FOLDER]")
    print(main(Path(sys.argv[1]) if len(sys.argv) == 2 else None))
