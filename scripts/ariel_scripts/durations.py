"""Times in words, read and told."""

from __future__ import annotations

import re

_NUMBER = r"(\d+(?:\.\d+)?)\s*"
_TIME = re.compile(rf"(?:{_NUMBER}h\s*)?(?:{_NUMBER}m(?:in)?\s*)?(?:{_NUMBER}s)?")
_UNITS = (3600.0, 60.0, 1.0)


def seconds_of(text: str) -> float:
    """Seconds of a budget such as 9h, 45m, 1h30m, 90s or `1 h 30 min`; ValueError where it is none."""
    found = _TIME.fullmatch(text.strip().lower())
    if found is None or not any(found.groups()):
        raise ValueError(f"--budget: expected a time such as 9h, 45m, 1h30m or 90s, found {text!r}")
    total = sum(float(number) * unit for number, unit in zip(found.groups("0"), _UNITS, strict=True))
    if not total:
        raise ValueError(f"--budget: expected more than no time, found {text!r}")
    return total


def in_words(seconds: float) -> str:
    """`1 h 30 min`, `4 min 5 s`, `12 s`."""
    whole = round(max(seconds, 0.0))
    hours, minutes = whole // 3600, whole // 60 % 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"
