"""Tables of limb darkening as people have them: of ExoTiC-LD and LDTk, which return arrays that others write.

Read are tables with a header (CSV, ECSV: wavelength, u1, u2 or c1, c2, and errors under any usual name), and tables of
numbers as Tiberius writes for both (# Wavelength | Width | u1 | u1 error | u2 | u2 error | …).
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from modeling_ariel.any_telescope.limb_darkening import LimbDarkening
from modeling_ariel.any_telescope.observation import Array, ObservationError

_WAVELENGTH = re.compile(r"(wavelengths?|waves?|wl|lambda|w)(_cent(er|re|ral))?(_(um|microns?|nm|angstroms?|a|aa))?")
_WORD = "e|err|error|sigma|sd|std|unc|uncertainty"
_COEFFICIENT = re.compile(rf"(?P<before>(?:{_WORD})_)?[uc](?P<number>[12])(?P<after>_?(?:{_WORD}))?")
_UNITS = {"n": 1e-3, "a": 1e-4, "å": 1e-4}  # by their first letter; others are um
_LONGEST = 100.0  # um: more is nm, or Å as ExoTiC-LD counts
_NANOMETERS = 5e3  # more, or more of a longer wavelength than 5 um, is Å
_BARE = (0, 2, 3, 4, 5)  # places of wavelength, u1, its error, u2, its error in Tiberius's tables


def read_limb_table(path: Path) -> LimbDarkening:
    """Coefficients of a table's channels; ObservationError with the file, what was expected and found."""
    names, rows = _cells(path)
    try:
        numbers = np.array([[float(cell) for cell in row] for row in rows])
    except ValueError:
        raise ObservationError(f"{path}: limb darkening: expected rows of numbers, found others") from None
    columns = _named(path, names, numbers) if names else _bare(path, numbers)
    known = np.isfinite(columns).all(0)
    wavelength, u1, u2, e1, e2 = columns[:, known]
    if not len(wavelength):
        raise ObservationError(f"{path}: limb darkening: expected finite coefficients, found none")
    order = np.argsort(wavelength)
    try:
        return LimbDarkening(wavelength[order], np.stack([u1, u2], 1)[order], np.stack([e1, e2], 1)[order])
    except ObservationError as error:
        raise ObservationError(f"{path}: {error}") from None


def _cells(path: Path) -> tuple[list[str], list[list[str]]]:
    """Names of the columns, none where there is no header, and the rows."""
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ObservationError(f"{path}: limb darkening: expected a table as text, found: {error}") from None
    body = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not body:
        raise ObservationError(f"{path}: limb darkening: expected a table, found no rows")
    separator = next((one for one in (",", ";", "\t") if one in body[0]), None)
    rows = [[cell.strip().strip('"') for cell in line.split(separator)] for line in body]
    names = rows.pop(0) if any(re.match(r"[A-Za-zλ]", cell) and cell.lower() != "nan" for cell in rows[0]) else []
    width = len(names or rows[0])
    if any(len(row) != width for row in rows) or not rows:
        raise ObservationError(f"{path}: limb darkening: expected rows of {width} cells, found others")
    return names, rows


def _named(path: Path, names: list[str], numbers: Array) -> Array:
    """(5, N): wavelength [um], u1, u2 and their errors, by the columns' names."""
    where: dict[str, int] = {}
    for place, name in enumerate(names):
        plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
        if _WAVELENGTH.fullmatch(plain):
            where.setdefault("wavelength", place)
        elif match := _COEFFICIENT.fullmatch(plain):
            where.setdefault(("e" if match["before"] or match["after"] else "u") + match["number"], place)
    if missing := [name for name in ("wavelength", "u1", "u2") if name not in where]:
        raise ObservationError(
            f"{path}: limb darkening: expected columns wavelength, u1, u2, found {', '.join(names)} without "
            f"{', '.join(missing)}"
        )
    zero = np.zeros(len(numbers))
    errors = [numbers[:, where[name]] if name in where else zero for name in ("e1", "e2")]
    unit = re.search(r"[(\[_ ](um|µm|microns?|nm|angstroms?|a|aa|å)[)\]]?$", names[where["wavelength"]].lower())
    wavelength = numbers[:, where["wavelength"]]
    wavelength = _microns(wavelength) if unit is None else wavelength * _UNITS.get(unit[1][0], 1.0)
    return np.stack([wavelength, numbers[:, where["u1"]], numbers[:, where["u2"]], *errors])


def _bare(path: Path, numbers: Array) -> Array:
    """The same of a table without a header: of 3, 5 or, as Tiberius's, 6 or more columns."""
    width = numbers.shape[1]
    zero = np.zeros(len(numbers))
    if width == 3:
        wavelength, u1, u2, e1, e2 = *numbers.T, zero, zero
    elif width == 5:
        wavelength, u1, e1, u2, e2 = numbers.T
    elif width >= 6:
        wavelength, u1, e1, u2, e2 = numbers[:, list(_BARE)].T
    else:
        raise ObservationError(f"{path}: limb darkening: expected wavelength, u1, u2, found {width} columns")
    return np.stack([_microns(wavelength), u1, u2, e1, e2])


def _microns(wavelength: Array) -> Array:
    """Bare numbers as um: those of some 500 to 5,000 are nm, larger ones Å."""
    largest = float(np.nanmax(wavelength)) if np.isfinite(wavelength).any() else 1.0
    if largest < _LONGEST:
        return wavelength
    return wavelength * (1e-3 if largest < _NANOMETERS else 1e-4)
