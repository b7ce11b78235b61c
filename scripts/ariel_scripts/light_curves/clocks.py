"""What a column of times counts: its unit, where it counts from, whether at the solar system's barycentre."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np

from modeling_ariel.any_telescope.observation import HOURS, Array, ObservationError

MJD = 2_400_000.5  # JD of MJD 0
BTJD, BKJD = 2_457_000.0, 2_454_833.0  # TESS's and Kepler's zeros [BJD_TDB], as lightkurve has them
JULIAN, MODIFIED = (2.3e6, 2.6e6), (4e4, 8e4)  # what days since 1585 and since 1968 look like, until 2077
LONGEST = 2_000.0  # [d] a visit of numbers that look like MJD; seconds would span more
WORDS = "h, min, s, d, bjd, bmjd, btjd, bkjd, bjd-2450000, jd, mjd, hjd, bjd_utc"
NOT_BARYCENTRIC = (
    "times are {name}, up to 8.3 min (and 1.2 min of UTC) off BJD_TDB: hours from the first day, without its BJD"
)
UTC = "times are BJD in UTC, 1.1 to 1.2 min behind BJD_TDB: not corrected"
TAKEN_TDB = "times are {name}, taken as BJD_TDB"


@dataclass(frozen=True)
class Clock:
    """``hours`` a unit; ``zero`` [JD] of time 0, None where unknown; ``note`` on what was taken for granted."""

    name: str
    hours: float = HOURS
    zero: float | None = None
    barycentric: bool = False
    note: str = ""


def _words() -> dict[str, Clock]:
    """All names of clocks in lower case, with _ for what is between words."""
    found: dict[str, Clock] = {}
    relative = {
        1.0: "h hr hrs hour hours",
        1 / 60: "min mins minute minutes",
        1 / 3600: "s sec secs second seconds",
        HOURS: "d day days",
    }
    for hours, words in relative.items():
        found |= {word: Clock(word, hours) for word in words.split()}
    for zero, prefix in ((0.0, ""), (MJD, "m")):
        name = f"{prefix}jd".upper()
        barycentric = f"b{prefix}jd {prefix}bjd b{prefix}jd_tdb {prefix}bjd_tdb b{prefix}jdtdb bjd_{prefix}jd"
        found |= {word: Clock(f"B{name}_TDB", HOURS, zero, True) for word in barycentric.split()}
        taken = TAKEN_TDB.format(name=f"{name}_TDB")
        found |= {word: Clock(f"B{name}_TDB", HOURS, zero, True, taken) for word in (f"{prefix}jd_tdb",)}
        found |= {word: Clock(f"B{name}_UTC", HOURS, zero, True, UTC) for word in (f"b{prefix}jd_utc",)}
        other = f"{prefix}jd {prefix}jd_utc {prefix}jd_tt h{prefix}jd {prefix}hjd h{prefix}jd_utc h{prefix}jd_tdb"
        for word in other.split():
            name = word.upper()
            found[word] = Clock(name, HOURS, zero, False, NOT_BARYCENTRIC.format(name=name))
    found |= {word: Clock("BTJD", HOURS, BTJD, True) for word in ("btjd", "tjd", "btjd_tdb")}
    return found | {word: Clock("BKJD", HOURS, BKJD, True) for word in ("bkjd", "kjd", "bkjd_tdb")}


CLOCKS = _words()


def parse_clock(text: str) -> Clock | None:
    """The clock of a unit or a column's name, such as ``BMJD_TDB``, ``BJD - 2457000, days``, ``time_h``."""
    lower = text.strip().lower()
    offset = re.search(r"\b(?:time_)?((?:b|h)?m?jd(?:[_ ]?(?:tdb|utc))?)[\s_]*[-–][\s_]*(2\d{6}(?:\.\d*)?)", lower)
    if offset:
        clock = CLOCKS.get(offset[1].replace(" ", "_"))
        # its own name's zero is in the offset already
        return None if clock is None else replace(clock, name=f"{clock.name}-{offset[2]}", zero=float(offset[2]))
    word = re.sub(r"[^a-z0-9]+", "_", lower).strip("_")
    word = re.sub(r"^(?:int_)?(?:mid_)?(?:times?|t)_(?:mid_)?", "", word)
    return CLOCKS.get(word) or CLOCKS.get(re.sub(r"_(?:d|days?)$", "", word))


def is_time(name: str) -> bool:
    """Whether a column of this name has times."""
    bare = re.sub(r"[^a-z0-9]+", "_", name.strip().lower()).strip("_")
    if bare in ("time", "times", "t", "mid_time", "time_mid"):
        return True
    clock = parse_clock(name)
    return clock is not None and (clock.zero is not None or bare.startswith(("time", "t_", "hours")))


def clock_of(
    where: str, column: str, unit: str, times: Array, given: str | None = None, modified: bool = False
) -> Clock:
    """What ``times`` (n,) of a column count: as ``given``, by the unit, by the name, or by the numbers.

    ``modified``: a pipeline that writes BJD for BMJD. ObservationError where it can't be told, naming --time-unit.
    """
    subject = f"{where}: {column}"
    numbers = times[np.isfinite(times)]
    typical = float(np.median(numbers)) if numbers.size else np.nan
    span = float(np.ptp(numbers)) if numbers.size else np.nan
    if given:
        clock = parse_clock(given)
        if clock is None:
            raise ObservationError(f"{subject}: --time-unit: expected one of {WORDS}, found {given}")
        return _checked(subject, clock, typical, modified)
    by_unit, by_name = parse_clock(unit) if unit else None, parse_clock(column)
    absolute = next((one for one in (by_unit, by_name) if one is not None and one.zero is not None), None)
    if absolute is not None:
        return _checked(subject, absolute, typical, modified)
    relative = by_unit or by_name
    if relative is not None and relative.hours != HOURS:
        return relative
    if JULIAN[0] < typical < JULIAN[1]:
        return replace(CLOCKS["bjd"], note="times are days by their size, taken as BJD_TDB (otherwise --time-unit jd)")
    if MODIFIED[0] < typical < MODIFIED[1] and span < LONGEST:
        note = "times are MJD by their size, taken as BMJD_TDB (otherwise --time-unit mjd, or bjd-2400000)"
        return replace(CLOCKS["bmjd"], note=note)
    if relative is None:
        raise ObservationError(
            f"{subject}: expected a unit in the header, the name (time_h, bjd_tdb) or by --time-unit ({WORDS}), found "
            f"{unit or 'none'} and numbers about {typical:g} over {span:g}"
        )
    return relative


def _checked(subject: str, clock: Clock, typical: float, modified: bool) -> Clock:
    """A clock whose numbers are of its size; full and modified days told apart where nothing else is meant."""
    if clock.zero not in (0.0, MJD, BTJD, BKJD) or not np.isfinite(typical):
        return clock
    full, short = JULIAN[0] < typical < JULIAN[1], MODIFIED[0] < typical < MODIFIED[1]
    if clock.zero != 0 and full:
        note = f"numbers are full days, not {clock.name}"
        return replace(clock, zero=0.0, note="; ".join(filter(None, (clock.note, note))))
    if clock.zero == 0 and short and modified:
        return replace(clock, name=f"{clock.name}, modified", zero=MJD)
    expected = {0.0: full, MJD: short}.get(clock.zero, 0 <= typical < MODIFIED[0])
    if not expected:
        size = {0.0: "2.4 million", MJD: "40,000 to 80,000"}.get(clock.zero, "days below 40,000")
        raise ObservationError(
            f"{subject}: expected {clock.name} as numbers of {size}, found {typical:g}: give --time-unit "
            "(such as bmjd, btjd, bjd-2400000)"
        )
    return clock
