"""How thoroughly planets are built and predicted, the best first, and which mode a budget allows.

What a faster mode costs in score, and its seconds beside the full mode's, are measured by bench/wall_clock.py
(docs/performance.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

FULL, PLAIN = "full", "plain"
_MARGIN = 0.95  # of what is left may be planned with


@dataclass(frozen=True)
class Mode:
    """A ``name`` and what it is ``without``: settings of the reduction, steps of the fit, extras of the prediction.

    ``build`` and ``predict``: seconds a planet, the full mode's being 1.
    """

    name: str
    without: str
    reduction: Mapping[str, Any] = field(default_factory=dict)
    bins: float = 1.0  # of the time bins that full planets have
    iterations: int | None = None  # Gauss-Newton steps; None: the model's own
    extras: bool = True  # dropout samples, and all models of an ensemble
    build: float = 1.0
    predict: float = 1.0


_FEWER = "half of the fit's steps, and so its noise with memory"
MODES = (
    Mode(FULL, "nothing"),
    Mode(PLAIN, "dropout samples and further models", extras=False, predict=0.5),
    Mode("fewer-steps", f"extras, {_FEWER}", iterations=2, extras=False, predict=0.4),
    Mode(
        "coarse",
        f"extras, {_FEWER}, half of the time bins, most pixels of the foreground",
        reduction={"fgs1_annulus": (10.0, 12.0), "foreground_stride": 12},
        bins=0.5,
        iterations=2,
        extras=False,
        build=0.85,
        predict=0.3,
    ),
)


def modes_for(extras: bool) -> tuple[Mode, ...]:
    """The modes that differ where a prediction has dropout samples or several models, or has not."""
    return tuple(mode for mode in MODES if mode.name != PLAIN or extras)


@dataclass
class Pace:
    """Seconds a planet by step, as the full mode would take; ``earlier``: of an earlier call."""

    earlier: dict[str, float] = field(default_factory=dict)
    chunks: dict[str, list[tuple[int, float]]] = field(default_factory=lambda: {"build": [], "predict": []})

    def add(self, step: str, mode: Mode, planets: int, seconds: float) -> None:
        """Count a chunk of planets."""
        if planets:
            self.chunks[step].append((planets, seconds / getattr(mode, step)))

    def of(self, step: str) -> float | None:
        """Seconds a planet of "build" or "predict"; a first chunk, which starts processes, counts only alone."""
        chunks = self.chunks[step]
        if not chunks:
            return self.earlier.get(step)
        counted = chunks[1:] or chunks
        return sum(seconds for _, seconds in counted) / sum(planets for planets, _ in counted)

    @property
    def sure(self) -> bool:
        """Whether a mode may be chosen by it: after two chunks, or by an earlier call."""
        return all(len(self.chunks[step]) > 1 or step in self.earlier for step in self.chunks)

    def seconds(self, mode: Mode, to_build: int, to_predict: int) -> float | None:
        """What so many planets take; None before anything is measured."""
        build, predict = self.of("build"), self.of("predict")
        if build is None or predict is None:
            return None
        return build * mode.build * to_build + predict * mode.predict * to_predict

    def record(self) -> dict[str, float]:
        """Seconds a planet by step, as far as they are known."""
        found = {step: self.of(step) for step in self.chunks}
        return {step: round(seconds, 4) for step, seconds in found.items() if seconds is not None}


def chosen(modes: Sequence[Mode], pace: Pace, to_build: int, to_predict: int, left: float) -> Mode:
    """The first mode that needs no more than what is left [s]; the last where none does."""
    for mode in modes:
        seconds = pace.seconds(mode, to_build, to_predict)
        if seconds is None or seconds <= _MARGIN * left:
            return mode
    return modes[-1]
