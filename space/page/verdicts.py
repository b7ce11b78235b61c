"""A verdict in words: the sentence above the figure, and a name that says what kind of planet was seen."""

from __future__ import annotations

from collections.abc import Sequence

from engine.spectrum import Spectrum
from engine.verdict import HINTED, STANDS_OUT, Verdict
from modeling_ariel.status import FITTED
from page.words import STATUS, literal

FORMULAS = {"H2O": "H₂O", "CO2": "CO₂", "CH4": "CH₄", "CO": "CO", "NH3": "NH₃"}
NAMES = {"H2O": "water", "CO2": "carbon dioxide", "CH4": "methane", "CO": "carbon monoxide", "NH3": "ammonia"}
WARMTH = ((800.0, "temperate"), (1300.0, "warm"), (1800.0, "hot"), (float("inf"), "very hot"))  # below [K]
CLEAR = 3.0  # scale heights of the features of a clear sky
TOO_WIDE = 1.0  # scale heights of σ that hide any features
NOISY = 60.0  # [ppm] σ of noisy data; where less is still wider than a scale height, the air is a thin shell


def sentence(found: Spectrum, verdict: Verdict, brief: bool = False) -> str:
    """What stands out, what cannot be told, how far to trust it; where there is no fit, that and why.

    ``brief``: without offset and shape.
    """
    if found.status not in FITTED:
        return f"**⚠ {_status(found)}.** {_reasons(found)}".strip()
    parts = [*_molecules(verdict), f"trust ±{verdict.sigma:.0f} ppm"]
    if not brief:
        parts.append(f"offset common to all channels ±{verdict.offset:.0f} ppm, shape ±{verdict.shape:.0f} ppm")
    text = "; ".join(parts)
    text = text[:1].upper() + text[1:] + "."
    return text if found.status == "ok" else f"**⚠ {_status(found)}.** {_reasons(found)} {text}"


def told(verdict: Verdict) -> str:
    """The sentence without its marks and without the parts of the error."""
    text = "; ".join([*_molecules(verdict), f"trust ±{verdict.sigma:.0f} ppm"]).replace("**", "")
    return f"{text[:1].upper()}{text[1:]}."


def plain_sentence(found: Spectrum, verdict: Verdict) -> str:
    """The same of a good fit; of another its status alone."""
    return told(verdict) if found.status == "ok" else f"{_status(found)}."


def _molecules(verdict: Verdict) -> list[str]:
    """What is sure, what is perhaps there, what cannot be told."""
    parts = [
        f"**{listed([FORMULAS[name]])} stands {verdict.molecules[name]:.0f} σ out**"
        for name in verdict.between(STANDS_OUT)
    ]
    if hinted := verdict.between(HINTED, STANDS_OUT):
        parts.append(listed([f"{FORMULAS[name]} ({verdict.molecules[name]:.1f} σ)" for name in hinted]) + " perhaps")
    if hidden := [name for name in verdict.molecules if verdict.molecules[name] < HINTED]:
        which = "no molecule" if len(hidden) == len(FORMULAS) else listed([FORMULAS[name] for name in hidden])
        parts.append(f"{which} can be told" if len(hidden) == len(FORMULAS) else f"{which} cannot be told")
    return parts


def name(verdict: Verdict | None) -> str:
    """`hot, methane-rich, clear`: from the data alone, never from the truth; empty before they were looked at."""
    if verdict is None:
        return ""
    warmth = [word for limit, word in WARMTH if verdict.temperature is not None and verdict.temperature < limit][:1]
    return ", ".join([*warmth, *_air(verdict)])


def _air(verdict: Verdict) -> list[str]:
    sure, perhaps = verdict.between(STANDS_OUT), verdict.between(HINTED, STANDS_OUT)
    if sure or perhaps:
        if sure:
            words = [f"{NAMES[sure[0]]}-rich" if len(sure) == 1 else listed([NAMES[one] for one in sure])]
        else:
            words = [f"perhaps {NAMES[perhaps[0]]}"]
        if verdict.height is not None:
            words.append("clear" if verdict.features >= CLEAR * verdict.height else "hazy")
        return words
    if verdict.shape >= NOISY / 2 or verdict.sigma >= NOISY:
        return ["noisy"]
    if verdict.height is not None and verdict.shape > TOO_WIDE * verdict.height:
        return ["compact air"]
    return ["cloudy"]


def _status(found: Spectrum) -> str:
    text = STATUS.get(found.status, found.status)
    return text[:1].upper() + text[1:]


def _reasons(found: Spectrum) -> str:
    return " ".join(f"{literal(note[:1].upper() + note[1:]).rstrip('.')}." for note in found.notes if note)


def listed(words: Sequence[str]) -> str:
    """`a, b and c`; empty for none."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
