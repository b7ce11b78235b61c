"""What an inspected visit's page says first: is it sound, where is the transit, what should worry."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ariel_scripts.pages.inspection import NOT_FOUND, Band, Inspection

BADLY_FITTED = 1.5  # χ² a point, from which the fit of the models calls a white curve doubtful too
NOISY = 5.0  # standard errors of a channel's scatter above its stated error
SCATTER_ERROR = 1.4  # of `scatter_over_error` in white noise, over √bins: by simulation, 60 to 375 bins
INVALID = 0.01  # of all bins
SHORT = 0.05  # of the visit, of light before or after the transit, from which a drift can be told from it


@dataclass(frozen=True)
class Verdict:
    """`title` names the visit; `transit` is a sentence; `worries` are clauses, none where all is well."""

    title: str
    status: str
    transit: str
    worries: list[str]

    @property
    def sentence(self) -> str:
        """All of it."""
        after = "To worry about: " + "; ".join(self.worries) if self.worries else "Nothing to worry about"
        return f"{self.status[0].upper()}{self.status[1:]}. {self.transit} {after}."


def verdict(what: Inspection) -> Verdict:
    """Of everything that was gathered of a visit."""
    said = dict(what.parameters)
    title = f"{what.title[0].upper()}{what.title[1:]}"
    others = [*_channels(what), *_flagged(what)]
    if isinstance(what.bands, str):
        return Verdict(title, "no light curve", f"There is {what.bands}.", others)
    fitted = [worry for band in what.bands for worry in _badly_fitted(band)]
    if said.get("transit") == NOT_FOUND:
        return Verdict(title, "no transit", "No transit is found in the light of all channels.", fitted + others)
    band = what.bands[-1]
    bins = band.bins[band.inside]
    first, last, size = int(bins[0]), int(bins[-1]), len(what.time)
    transit = (
        f"The planet crosses its star at bins {first} to {last} of {size} ({what.time[first]:.2f} to "
        f"{what.time[last]:.2f} h after the first exposure) and hides {said['depth, AIRS']} of its light."
    )
    worries = [*_window(first, last, size), *fitted, *others]
    return Verdict(title, "needs a look" if worries else "ok", transit, worries)


def _window(first: int, last: int, size: int) -> list[str]:
    """Transits that the visit cuts, or nearly."""
    worries = []
    for bins, cut, side in ((first, "begins before the first bin", "before"), (size - 1 - last, "ends after the last "
                                                                              "bin", "after")):  # fmt: skip
        if not bins:
            worries.append(f"the transit {cut}: depth and drift are hard to tell apart")
        elif bins < SHORT * size:
            worries.append(f"only {bins} bins {side} the transit tell the drift")
    return worries


def _badly_fitted(band: Band) -> list[str]:
    good = band.good
    if not good.any():
        return [f"{band.name} has no valid bins"]
    chi2 = float(np.mean(((band.flux - band.model)[good] / band.error[good]) ** 2))
    return [f"{band.name} scatters {chi2**0.5:.1f} times its errors about the fit"] if chi2 > BADLY_FITTED else []


def _channels(what: Inspection) -> list[str]:
    """Noise above what is stated, and bins that are not valid."""
    worries = []
    bound = 1 + NOISY * SCATTER_ERROR / len(what.time) ** 0.5
    noisy = np.nan_to_num(what.noise_ratio) > bound
    if noisy.any():
        worst = int(np.nanargmax(what.noise_ratio))
        worries.append(
            f"{noisy.sum()} of {noisy.size} channels are noisier than {bound:.1f} times their errors, most at "
            f"{what.wavelengths[worst]:.2f} µm ({what.noise_ratio[worst]:.1f} times)"
        )
    lost = 1 - float(what.valid.mean())
    return [*worries, f"{100 * lost:.1f} % of all bins are not valid"] if lost > INVALID else worries


def _flagged(what: Inspection) -> list[str]:
    """Figures that stand out of the run: "drift [% of flux] of FGS1 is 3.00, of the run 0.100"."""
    return [
        f"{what.table[row][0]} of {what.table[0][column]} is {what.table[row][column]}, of the run "
        f"{what.table[row][column + 1]}"
        for row, column in sorted(what.flagged)
    ]
