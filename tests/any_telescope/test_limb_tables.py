"""Tables of limb darkening as people write them from ExoTiC-LD and LDTk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ariel_scripts.telescope_fit.choices import limb_of
from ariel_scripts.telescope_fit.limb_table import read_limb_table
from modeling_ariel.any_telescope.limb_darkening import LimbDarkening
from modeling_ariel.any_telescope.observation import ObservationError

WAVE, U, ERROR = np.array([1.1, 1.4, 1.7]), np.array([[0.2, 0.25], [0.15, 0.22], [0.1, 0.2]]), 0.02

TIBERIUS = """# Teff = 5500 +/- 50.00 K ; log(g) = 4.40 +/- 0.02 ; FeH = 0.00 +/- 0.10 ; u error inflation factor = 1.0
# quadratic law used
# LDTk used# Wavelength | Width | u1 | u1 error | u2 | u2 error | u3 | u3 error | u4 | u4 error |
# 3 wavelength bins
1.100000 0.300000 0.2000 0.0200 0.2500 0.0200 0.0000 0.0000 0.0000 0.0000
1.400000 0.300000 0.1500 0.0200 0.2200 0.0200 0.0000 0.0000 0.0000 0.0000
1.700000 0.300000 0.1000 0.0200 0.2000 0.0200 0.0000 0.0000 0.0000 0.0000
"""
WITH_ERRORS = {
    "tiberius": TIBERIUS,
    "csv": "wavelength,u1,u1_err,u2,u2_err\n1.1,.2,.02,.25,.02\n1.4,.15,.02,.22,.02\n1.7,.1,.02,.2,.02\n",
    "descending, others between": "name;u1;u2;wave (micron);e_u1;sigma_u2\n"
    + "3;.1;.2;1.7;.02;.02\n2;.15;.22;1.4;.02;.02\n1;.2;.25;1.1;.02;.02\n",
    "nm": "wavelength_nm u1 u1err u2 u2err\n1100 .2 .02 .25 .02\n1400 .15 .02 .22 .02\n1700 .1 .02 .2 .02\n",
}
WITHOUT = {
    "angstrom": "wavelength [Angstrom],c1,c2\n11000,.2,.25\n14000,.15,.22\n17000,.1,.2\n",
    "bare, nan": "1.1 .2 .25\n1.2 nan nan\n1.4 .15 .22\n1.7 .1 .2\n",
    "bare angstrom": "11000 .2 .25\n14000 .15 .22\n17000 .1 .2\n",
}


@pytest.mark.parametrize("name", [*WITH_ERRORS, *WITHOUT])
def test_a_table_is_read_in_order_and_in_microns(tmp_path: Path, name: str) -> None:
    path = tmp_path / "limb.txt"
    path.write_text((WITH_ERRORS | WITHOUT)[name])
    found = read_limb_table(path)
    np.testing.assert_allclose(found.wavelength, WAVE)
    np.testing.assert_allclose(found.u, U)
    np.testing.assert_allclose(found.u_err, ERROR if name in WITH_ERRORS else 0.0)


def test_an_astropy_table_of_ecsv_is_read(tmp_path: Path) -> None:
    table = pytest.importorskip("astropy.table").QTable
    from astropy import units

    made = table({"wavelength": WAVE * units.um, "u1": U[:, 0], "u2": U[:, 1], "u1_err": [ERROR] * 3})
    made.write(tmp_path / "limb.ecsv", format="ascii.ecsv")
    found = read_limb_table(tmp_path / "limb.ecsv")
    np.testing.assert_allclose(found.u, U)
    np.testing.assert_allclose(found.u_err, [[ERROR, 0.0]] * 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("wavelength,u1\n1.1,.2\n", "without u2"),
        ("wavelength,u1,u2\n1.1,.2,dark\n", "expected rows of numbers"),
        ("wavelength,u1,u2\n1.1,.2,.1\n1.2,.2\n", "expected rows of 3 cells"),
        ("1.1 .2\n", "found 2 columns"),
        ("# nothing\n", "found no rows"),
        ("wavelength,u1,u2\n1.1,3.2,.1\n", "within 2, found 3.2"),
        ("wavelength,u1,u2\n1.1,.2,.1\n1.1,.2,.1\n", "ascending"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused_with_its_name(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "limb.csv"
    path.write_text(text)
    with pytest.raises(ObservationError, match=message) as refused:
        read_limb_table(path)
    assert str(path) in str(refused.value)


def test_limb_darkening_of_an_option_is_a_pair_a_table_or_a_word(tmp_path: Path) -> None:
    path = tmp_path / "limb.csv"
    path.write_text(WITH_ERRORS["csv"])
    assert (limb_of("default", None), limb_of("free", None)) == (None, "free")
    pair, table = limb_of("0.2, 0.1", 0.05), limb_of(str(path), 0.0)
    assert isinstance(pair, LimbDarkening)
    assert isinstance(table, LimbDarkening)
    assert (pair.u.tolist(), pair.u_err.tolist()) == ([[0.2, 0.1]], [[0.05, 0.05]])
    assert not table.u_err.any()
    with pytest.raises(ObservationError, match="expected default, free, u1,u2 or a table, found 'fixed'"):
        limb_of("fixed", None)
    with pytest.raises(ObservationError, match="--limb-error"):
        limb_of("free", 0.1)
