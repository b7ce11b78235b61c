"""Draw `thumbnail.png`, the card of the Space itself, from the planet of the sample that the page opens on.

Run in space/: python -m page.thumbnail. It is committed; draw it again when the checkpoint or the sample changes.
"""

from __future__ import annotations

from pathlib import Path

from engine.__main__ import main as ensure_sample
from engine.inference import Engine
from page.sharing import THUMBNAIL, WHAT
from page.social_card import NAME, spectrum_card


def main() -> Path:
    """The file, drawn anew."""
    engine = Engine.open(dataset=str(ensure_sample()))
    rows = engine.visits(engine.opening())
    THUMBNAIL.write_bytes(spectrum_card(engine.spectrum(rows), engine.verdict(rows), NAME, WHAT, "a simulated planet"))
    return THUMBNAIL


if __name__ == "__main__":
    print(main())
