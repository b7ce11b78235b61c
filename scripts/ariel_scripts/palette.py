"""Colours of the figures that Matplotlib draws: Okabe and Ito's palette, safe for colour-blind readers."""

from __future__ import annotations

BLACK, ORANGE, SKY, GREEN, BLUE, RED = "#000000", "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00"
