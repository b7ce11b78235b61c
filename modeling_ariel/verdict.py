"""Whether the fit of a visit can be believed: what white light and residuals say against its assumptions."""

import math

from torch import Tensor

from .residuals import bump, structure
from .status import DOUBTFUL, FAILED, NO_TRANSIT, OK, PARTIAL
from .transit_search import find_dips
from .visit_data import VisitData
from .white_light import ShapePrior, WhiteFit

_WORST_CHI2 = 5.0  # a point, against the scatter between neighbours: real curves have 0.9, lost fits above 10
_SLOWEST, _FASTEST = 0.03, 5.0  # stellar radii an hour: beyond them time is in another unit
_FAST = 2.5  # the closest orbits around the densest stars
_LONG_WINDOW = 200.0  # h
_SECOND_SNR, _SECOND_SHARE = 8.0, 0.25  # of a second dip: its signal-to-noise, and its depth over the first one's
_WIDENED = 1.5  # times by which correlated noise widens the white error: from there a note says so
# beyond the first, less than 1 % of good visits (docs/uncertainty.md), a note; beyond the second a doubt
_BUMP, _LARGE_BUMP = 5.0, 0.1  # sigma; of the transit's depth
_STRUCTURE, _MUCH_STRUCTURE = 1.4, 2.0  # chi2 a block
_FAINT = 5.0  # sigma of the white depth, correlated noise included


class Unanswered(Exception):
    """A visit without depths of its own, and the status that says so."""

    def __init__(self, status: str, note: str) -> None:
        super().__init__(note)
        self.status = status


def check_white(data: VisitData, white: WhiteFit, min_snr: float) -> None:
    """Go on only with a transit that the white curve shows; Unanswered where it does not."""
    depth, error, snr = float(white.depth[0, -1]), float(white.depth_err[0, -1]), float(white.snr[0])
    span = float(data.time[0, -1])
    unit = f"; the window is {span:.0f} h long: is time in hours?" if span > _LONG_WINDOW else ""
    grazing = _grazing(white.shape[0], 0.0, depth) and snr > 2.0 * min_snr  # there is a dip, of unknown depth
    if not (snr > min_snr and depth > (1.0 if grazing else min_snr) * error):
        raise Unanswered(
            NO_TRANSIT,
            f"no transit found: white depth {1e6 * depth:.0f} ± {1e6 * error:.0f} ppm, search signal-to-noise "
            f"{snr:.1f}{unit}",
        )
    speed = math.exp(float(white.shape[0, 2]))
    if not _SLOWEST < speed < _FASTEST:
        unit = "days" if speed > 1.0 else "minutes or seconds"
        raise Unanswered(
            FAILED,
            f"time: expected hours, found a planet that moves {speed:.2g} stellar radii an hour (0.1 to 3 in known "
            f"orbits): is time in {unit}?",
        )
    chi2 = float(white.chi2[0] / white.points[0])
    if chi2 > _WORST_CHI2:
        raise Unanswered(FAILED, f"white curves unlike a transit with drift: chi2 {chi2:.1f} a point{unit}")


def judge(
    data: VisitData,
    prior: ShapePrior,
    shape: Tensor,
    b2_err: Tensor,
    depth: Tensor,
    left: Tensor,
    residual: Tensor,
    weight: Tensor,
    short: bool = False,
) -> tuple[str, list[str]]:
    """Status and notes of a fitted visit.

    Args:
        shape: (1, 3) t0 [h from the first bin], b^2, ln speed; ``b2_err`` (1,) of b^2.
        depth: (1,) of the white curve.
        left: (1, C, T) data minus model, correlated noise not taken out; ``residual`` with it taken out, and its
            ``weight``, the inverse variance.
        short: as in :func:`bump`.
    """
    status, notes = OK, []
    if note := _cut(data, prior, shape[0], float(depth)):
        status = PARTIAL
        notes.append(note)
    speed = math.exp(float(shape[0, 2]))
    if speed > _FAST:
        notes.append(f"the planet moves {speed:.1f} stellar radii an hour, faster than known ones: is time in hours?")
    doubts = [
        _grazing(shape[0], float(b2_err), float(depth)),
        _second_dip(data, shape[0], float(depth), left),
    ]
    for seen, limit, note in (
        _bumpy(data, shape[0], float(depth), left, weight, short),
        _structured(structure(data, residual, weight)),
    ):
        (doubts if seen > limit else notes).append(note)
    doubts = [doubt for doubt in doubts if doubt]
    return DOUBTFUL if doubts else status, [*filter(None, notes), *doubts]


def _bumpy(
    data: VisitData, shape: Tensor, depth: float, left: Tensor, weight: Tensor, short: bool
) -> tuple[float, float, str]:
    """Height of the largest bump in transit, from which on it is a doubt, and what is noted of it."""
    size, height, time = bump(data, shape, _half_duration(shape, depth), left, weight, short)
    if size < _BUMP:
        return 0.0, depth, ""
    where = f"{'bump' if height > 0 else 'dip'} of {1e6 * abs(height):.0f} ppm in transit at {data.origin + time:.2f} h"
    return (
        abs(height),
        _LARGE_BUMP * depth,
        f"{where} ({size:.0f} sigma; a spot or facula?): without it, depths may differ",
    )


def _structured(size: float) -> tuple[float, float, str]:
    """The same of structure over time and wavelength."""
    note = f"residuals have structure over time and wavelength (chi2 {size:.1f} a block): errors may be too small"
    return size, _MUCH_STRUCTURE, note if size > _STRUCTURE else ""


def _half_duration(shape: Tensor, depth: float) -> float:
    """From mid-transit to the outer contacts [h]."""
    chord = (1.0 + math.sqrt(max(depth, 0.0))) ** 2 - float(shape[1])
    return math.sqrt(max(chord, 0.0)) * math.exp(-float(shape[2]))


def _cut(data: VisitData, prior: ShapePrior, shape: Tensor, depth: float) -> str:
    """Which contacts lie outside the window, where no transit lies in it whole."""
    t0, half, end = float(shape[0]), _half_duration(shape, depth), float(data.time[0, -1])
    middles = [t0]
    if bool(prior.repeats[0]):
        period = 2.0 * math.pi / float(prior.rate[0])
        middles = [t0 + n * period for n in range(math.floor(-t0 / period), math.ceil((end - t0) / period) + 1)]
    if any(middle - half >= 0.0 and middle + half <= end for middle in middles):
        return ""
    start = data.origin
    return (
        f"transit from {start + t0 - half:.2f} to {start + t0 + half:.2f} h, "
        f"window from {start:.2f} to {start + end:.2f} h"
    )


def _grazing(shape: Tensor, b2_err: float, depth: float) -> str:
    b2, k = float(shape[1]), math.sqrt(max(depth, 0.0))
    if math.sqrt(max(b2 + b2_err, 0.0)) < 1.0 - k:
        return ""
    b = math.sqrt(max(b2, 0.0))
    return f"grazing transit (impact parameter {b:.2f}, radius {k:.2f}): depth and impact parameter are not told apart"


def _second_dip(data: VisitData, shape: Tensor, depth: float, left: Tensor) -> str:
    """Another dip in what the fit leaves of the white curve."""
    weight = (data.weight > 0) * data.channel[..., None]
    seen = weight.sum(1)[0] > 0
    curve = (weight * left).sum(1)[0, seen] / weight.sum(1)[0, seen]
    half = _half_duration(shape, depth)
    for dip in find_dips(data.time[0, seen], curve, order=1, share=0.5):
        deep = dip.snr > _SECOND_SNR and dip.depth > _SECOND_SHARE * depth
        if deep and abs(dip.mid - float(shape[0])) > half + 0.5 * dip.duration:
            return (
                f"another dip at {data.origin + dip.mid:.2f} h, of {1e6 * dip.depth:.0f} ppm: give the period if it is "
                "a transit of the same planet"
            )
    return ""


def faint(depth: float, error: float) -> str:
    """Why a white depth may be noise; empty where it stands out."""
    if depth > _FAINT * error:
        return ""
    return f"the white depth is {depth / error:.1f} sigma, noise that channels share included"


def memory(beta: float, rms: float) -> str:
    """What correlated noise of this ``rms`` [relative flux] does to the white error; empty where that is little."""
    if beta < _WIDENED:
        return ""
    return (
        f"noise with memory, {1e6 * rms:.0f} ppm in the white curve, makes the error of the white depth {beta:.1f} "
        "times larger"
    )
