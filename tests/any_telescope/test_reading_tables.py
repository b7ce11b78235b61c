"""Tables in text: names and units of columns, times that can and cannot be told, what is missing or repeated."""

from __future__ import annotations

from pathlib import Path

import curve_files as files
import numpy as np
import pytest

from ariel_scripts.light_curves.read import ReadOptions, read_observations
from modeling_ariel.any_telescope.observation import Observation, ObservationError

ROWS = 20
HOURS = np.arange(ROWS) * 0.25
DAY = 2_459_743.25


def table(head: str, times: np.ndarray, *more: np.ndarray, separator: str = ",", before: str = "") -> str:
    """A table of times, relative flux, errors and more."""
    flux = 1 - 0.01 * (np.abs(np.arange(ROWS) - 10) < 4)
    rows = zip(times, flux, np.full(ROWS, 1e-3), *more, strict=True)
    body = "\n".join(separator.join(repr(float(one)) for one in row) for row in rows)
    return f"{before}{head}\n{body}\n"


def read(tmp_path: Path, text: str, **options: object) -> Observation:
    (tmp_path / "mine.csv").write_text(text)
    (made,) = read_observations(tmp_path / "mine.csv", ReadOptions(**options))
    return made


@pytest.mark.parametrize(
    ("column", "zero", "bjd0"),
    [
        ("bjd_tdb", 0.0, DAY),
        ("BJD", 0.0, DAY),
        ("time [BJD_TDB]", 0.0, DAY),
        ("time (BJD)", 0.0, DAY),
        ("Time_BJD_TDB", 0.0, DAY),
        ("BMJD_TDB", 2_400_000.5, DAY),
        ("bmjd", 2_400_000.5, DAY),
        ("time [MJD_TDB]", 2_400_000.5, DAY),
        ("mjd_tdb", 2_400_000.5, DAY),
        ("btjd", 2_457_000.0, DAY),
        ("time [BTJD]", 2_457_000.0, DAY),
        ("bkjd", 2_454_833.0, DAY),
        ("BJD - 2457000", 2_457_000.0, DAY),
        ("time [BJD_TDB-2450000 d]", 2_450_000.0, DAY),
        ("time [d]", 0.0, DAY),
        ("time", 0.0, DAY),
        ("time", 2_400_000.5, DAY),
        ("btjd", 0.0, DAY),
        ("bjd_utc", 0.0, DAY),
        ("jd", 0.0, None),
        ("JD_UTC", 0.0, None),
        ("hjd", 0.0, None),
        ("mjd", 2_400_000.5, None),
        ("HJD-2450000", 2_450_000.0, None),
        ("time [MJD]", 2_400_000.5, None),
    ],
)
def test_days_by_name_unit_or_size_are_hours_from_a_day(
    tmp_path: Path, column: str, zero: float, bjd0: float | None
) -> None:
    made = read(tmp_path, table(f"{column},flux,flux_err", DAY - zero + HOURS / 24))
    assert (made.bjd0 is None) == (bjd0 is None)
    if bjd0 is None:
        assert any("off BJD_TDB" in note for note in made.notes)
        np.testing.assert_allclose(made.time - made.time[0], HOURS, atol=3e-7)
    else:
        np.testing.assert_allclose(24 * ((made.bjd0 or 0) - bjd0) + made.time, HOURS, atol=3e-7)
    assert made.shape == (ROWS, 1)
    np.testing.assert_allclose(made.exposure, 0.25, atol=1e-7)


@pytest.mark.parametrize(
    ("column", "per_hour"),
    [("time_h", 1.0), ("time [h]", 1.0), ("hours", 1.0), ("time (hr)", 1.0), ("time_min", 60.0), ("t [s]", 3600.0),
     ("time [d]", 1 / 24), ("time_days", 1 / 24), ("time (days)", 1 / 24)],
)  # fmt: skip
def test_times_from_an_unknown_zero_stay_as_they_are(tmp_path: Path, column: str, per_hour: float) -> None:
    made = read(tmp_path, table(f"{column},flux,flux_err", (5 + HOURS) * per_hour))
    assert made.bjd0 is None
    np.testing.assert_allclose(made.time, 5 + HOURS, rtol=1e-12)


@pytest.mark.parametrize(
    ("column", "start", "words"),
    [
        ("time", 0.0, r"mine.csv: time: expected a unit .* --time-unit \(h, min, s, d, bjd"),
        ("time", 1500.0, "--time-unit"),
        ("time", 3000.25, "--time-unit"),
        ("bjd", 59_743.0, "--time-unit .*bmjd"),
        ("bjd", 9_743.0, "--time-unit"),
        ("mjd", 12.0, "--time-unit"),
        ("btjd", 59_743.0, "--time-unit"),
        ("phase", 0.4, r"expected a column of times .*phases are no times"),
        ("frame", 0.4, "expected a column of times"),
    ],
)
def test_times_that_cannot_be_told_are_refused_naming_the_option(
    tmp_path: Path, column: str, start: float, words: str
) -> None:
    text = table(f"{column},flux,flux_err", start + HOURS / 24)
    with pytest.raises(ObservationError, match=words):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ("unit", "start", "bjd0"),
    [("h", 0.0, None), ("d", 0.0, None), ("btjd", 2743.0, 2_459_743.0), ("BJD-2450000", 9743.0, 2_459_743.0),
     ("bmjd", 59_743.0, 2_459_743.5), ("mjd", 59_743.0, None)],
)  # fmt: skip
def test_an_option_tells_times(tmp_path: Path, unit: str, start: float, bjd0: float | None) -> None:
    made = read(tmp_path, table("time,flux,flux_err", start + HOURS / 24), time_unit=unit)
    assert made.bjd0 == bjd0
    with pytest.raises(ObservationError, match="--time-unit: expected one of h, min"):
        read(tmp_path, table("time,flux,flux_err", start + HOURS / 24), time_unit="fortnight")


@pytest.mark.parametrize("flux", ["flux", "Flux", "raw_flux", "rel_flux", "normalized_flux"])
@pytest.mark.parametrize(
    "error", ["flux_err", "fluxerr", "error", "err", "Flux Error", "e_flux", "sigma", "uncertainty"]
)
def test_names_of_flux_and_errors(tmp_path: Path, flux: str, error: str) -> None:
    made = read(tmp_path, table(f"time_h,{flux},{error}", HOURS))
    assert (made.flux_err == 1e-3).all()
    assert made.flux.min() == 0.99


@pytest.mark.parametrize(
    ("separator", "before", "head"),
    [
        (",", "", "time_h,flux,flux_err"),
        (";", "", "time_h;flux;flux_err"),
        ("\t", "", "time_h\tflux\tflux_err"),
        (" ", "", "time_h flux flux_err"),
        ("   ", "", "  time_h   flux  flux_err"),
        (" ", "", "# time_h flux flux_err"),
        (",", "# made by hand\n# of 20 exposures\n", "# time_h,flux,flux_err"),
        (" ", "# Eine Datei\n\n", "#time_h, flux, flux_err"),
        (",", "\ufeff", "time_h,flux,flux_err"),
        (",", "", '"time_h","flux","flux_err"'),
        (" | ", "", "time_h | flux | flux_err"),
        (",", "", "time,flux,flux_err\nh,,"),
    ],
)
def test_separators_and_headers(tmp_path: Path, separator: str, before: str, head: str) -> None:
    made = read(tmp_path, table(head, HOURS, separator=separator, before=before))
    np.testing.assert_array_equal(made.time, HOURS)
    assert (made.flux_err == 1e-3).all()


def test_a_comma_is_a_decimal_point_between_semicolons(tmp_path: Path) -> None:
    made = read(tmp_path, table("time_h;flux;flux_err", HOURS, separator=";").replace(".", ","))
    np.testing.assert_array_equal(made.time, HOURS)
    assert made.flux.min() == 0.99


def test_a_table_without_names_needs_them(tmp_path: Path) -> None:
    text = table("", DAY + HOURS / 24).lstrip()
    with pytest.raises(ObservationError, match="--columns bjd_tdb,flux,flux_err"):
        read(tmp_path, text)
    assert read(tmp_path, text, columns=("bjd_tdb", "flux", "flux_err")).bjd0 == np.floor(DAY)
    with pytest.raises(ObservationError, match="--columns: expected 3 names, found 2"):
        read(tmp_path, text, columns=("bjd_tdb", "flux"))


@pytest.mark.parametrize(
    ("column", "factor", "options"),
    [
        ("wavelength", 1.0, {}),
        ("wave", 1.0, {}),
        ("wavelength_um", 1.0, {}),
        ("wavelength [micron]", 1.0, {}),
        ("wavelength_nm", 1000.0, {}),
        ("wavelength (nm)", 1000.0, {}),
        ("wave [Angstrom]", 10_000.0, {}),
        ("wavelength", 1000.0, {"wavelength_unit": "nm"}),
    ],
)
def test_a_long_table_has_its_wavelengths_in_um(tmp_path: Path, column: str, factor: float, options: dict) -> None:
    columns = files.long_columns(files.observation())
    columns[column] = columns.pop("wavelength") * factor
    columns["half_width"] = columns["half_width"] * factor
    made = read(tmp_path, files.text_of(columns), **options)
    np.testing.assert_allclose(made.wavelength, files.observation().wavelength)
    np.testing.assert_allclose(made.half_width, 0.125)


def test_wavelengths_without_a_unit_that_are_no_um_are_refused(tmp_path: Path) -> None:
    columns = files.long_columns(files.observation())
    columns["wavelength"] = columns["wavelength"] * 1000
    with pytest.raises(
        ObservationError, match=r"wavelength: expected um, .* --wavelength-unit .* found numbers of 1000"
    ):
        read(tmp_path, files.text_of(columns))


def test_order_of_rows_means_nothing(tmp_path: Path) -> None:
    columns = files.long_columns(files.observation())
    order = np.random.default_rng(0).permutation(len(columns["flux"]))
    first = read(tmp_path, files.text_of(columns))
    second = read(tmp_path, files.text_of({name: one[order] for name, one in columns.items()}))
    np.testing.assert_array_equal(first.flux, second.flux)
    np.testing.assert_array_equal(first.time, second.time)


@pytest.mark.parametrize(
    "names",
    [("1.40", "1.50"), ("flux_1.40", "flux_1.50"), ("flux_1400nm", "flux_1500nm"), ("1.40um", "1.50um"),
     ("flux_1.40_um", "flux_1.50_um")],
)  # fmt: skip
def test_a_column_a_channel(tmp_path: Path, names: tuple[str, str]) -> None:
    rows = "\n".join(f"{hour},{1 + hour / 1000},{1 - hour / 1000}" for hour in HOURS)
    made = read(tmp_path, f"time_h,{names[0]},{names[1]}\n{rows}\n")
    np.testing.assert_allclose(made.wavelength, [1.4, 1.5])
    np.testing.assert_allclose(made.flux, 1 + np.outer(HOURS, [1, -1]) / 1000)
    assert any("no errors in the file" in note for note in made.notes)


@pytest.mark.parametrize(
    ("head", "row", "words"),
    [
        ("time_h,flux,flux_1.40", "1,1", "name one by --flux"),
        ("time_h,flux_1400,flux_1500", "1,1", "--wavelength-unit"),
        ("time_h,flux_1.4,flux_1.5,flux_err_1.4", "1,1,1", "found none of flux_1.5"),
        ("time_h,magnitude,flux_ratio", "1,1", "expected a column of flux .* found time_h, magnitude"),
        ("time_h,flux,flux", "1,1", "expected each column once"),
        ("time_h,flux", "1,1", "expected 2 values a row, as the header has, found 3 in line 2"),
        ("time_h,flux", "bright", r"flux: expected numbers, found 'bright' in row 1"),
    ],
)
def test_tables_that_can_mean_two_things_are_refused(tmp_path: Path, head: str, row: str, words: str) -> None:
    rows = "\n".join(f"{hour},{row}" for hour in HOURS)
    with pytest.raises(ObservationError, match=words):
        read(tmp_path, f"{head}\n{rows}\n")


# --- nothing is lost silently -----------------------------------------------------------------------------------------


def test_what_is_missing_or_flagged_is_counted(tmp_path: Path) -> None:
    lines = table("time_h,flux,flux_err,quality", HOURS, np.zeros(ROWS)).splitlines()
    lines[3] = "0.5,,0.001,0"
    lines[4] = "0.75,1.0,nan,0"
    lines[5] = "1.0,1.0,-1,0"
    lines[6] = "1.25,1.0,0.001,128"
    lines[7] = "NaN,1.0,0.001,0"
    made = read(tmp_path, "\n".join(lines))
    assert made.shape == (ROWS - 1, 1)
    assert made.valid.sum() == ROWS - 5
    text = "; ".join(made.notes)
    for words in ("1 row of 20 without a time", "1 point of 19 without flux", "2 points of 19 without a positive error",
                  "1 point of 19 flagged"):  # fmt: skip
        assert words in text, text
    kept = read(tmp_path, "\n".join(lines), quality="none")
    assert kept.valid.sum() == ROWS - 4
    assert any("flagged by the file and kept" in note for note in kept.notes)


def test_of_a_repeated_time_the_first_is_kept_and_many_are_refused(tmp_path: Path) -> None:
    lines = table("time_h,flux,flux_err", HOURS).splitlines()
    made = read(tmp_path, "\n".join([*lines, "0.25,5.0,0.001"]))
    assert made.shape == (ROWS, 1)
    assert made.flux.max() == 1.0
    assert any("1 row of 21 with a repeated time left out, the first kept" in note for note in made.notes)
    with pytest.raises(ObservationError, match=r"found 20 of 40 repeated: several channels need a column wavelength"):
        read(tmp_path, "\n".join([*lines, *lines[1:]]))


def test_a_regressor_that_is_missing_costs_its_rows(tmp_path: Path) -> None:
    airmass = np.linspace(1, 2, ROWS)
    airmass[3] = np.nan
    made = read(tmp_path, table("time_h,flux,flux_err,airmass", HOURS, airmass), regressors=("airmass",))
    assert made.shape == (ROWS - 1, 1)
    assert any("1 row of 20 without airmass left out" in note for note in made.notes)
    assert read(tmp_path, table("time_h,flux,flux_err,airmass", HOURS, airmass)).shape == (ROWS, 1)


def test_combinations_that_a_long_table_lacks_are_invalid(tmp_path: Path) -> None:
    columns = files.long_columns(files.observation())
    keep = np.ones(len(columns["flux"]), bool)
    keep[[17, 40]] = False
    made = read(tmp_path, files.text_of({name: one[keep] for name, one in columns.items()}))
    assert made.shape == (60, 4)
    assert not made.valid[4, 1]
    columns["bjd_tdb"] = columns["bjd_tdb"] + np.tile(np.arange(4) * 1e-4, 60)  # each channel at its own times
    columns["wavelength"] = np.repeat(np.arange(60.0) / 10 + 1, 4)
    with pytest.raises(ObservationError, match="expected the same times for all wavelengths"):
        read(tmp_path, files.text_of(columns))


def test_channels_without_data_are_left_out_with_a_note(tmp_path: Path) -> None:
    columns = files.wide_columns(files.observation())
    columns["flux_1.000000"] = np.full(60, np.nan)
    made = read(tmp_path, files.text_of(columns))
    assert made.shape == (60, 3)
    assert any("1 channel of 4 without data left out" in note for note in made.notes)


def test_visits_and_instruments_of_a_table_are_observations(tmp_path: Path) -> None:
    head, both = "", []
    for visit in (1, 2):
        lines = table("time_h,flux,flux_err", HOURS + 100 * visit).splitlines()
        head = lines[0]
        both += [f"{line},{visit},{'NIRISS' if visit == 1 else 'TESS'}" for line in lines[1:]]
    (tmp_path / "two.csv").write_text("\n".join([f"{head},visit,instrument", *both]))
    made = read_observations(tmp_path / "two.csv")
    assert [(one.instrument, one.shape) for one in made] == [("NIRISS", (20, 1)), ("TESS", (20, 1))]
    assert [one.time[0] for one in made] == [100, 200]


def test_options_give_what_a_white_curve_lacks(tmp_path: Path) -> None:
    made = read(tmp_path, table("time_h,flux,flux_err", HOURS), wavelength=1.4, exposure=60.0)
    assert made.wavelength.tolist() == [1.4]
    np.testing.assert_allclose(made.exposure, 1 / 60)
    for column, factor in (("exptime", 3600), ("exposure_h", 1), ("exposure [min]", 60)):
        own = read(tmp_path, table(f"time_h,flux,flux_err,{column}", HOURS, np.full(ROWS, 0.1 * factor)))
        np.testing.assert_allclose(own.exposure, 0.1)
    vague = read(tmp_path, table("time_h,flux,flux_err,exposure", HOURS, np.full(ROWS, 0.1)))
    assert any("exposure without a unit is not used" in note for note in vague.notes)


def test_of_several_clocks_the_barycentric_one_is_taken(tmp_path: Path) -> None:
    text = table("jd_utc,flux,flux_err,bjd_tdb", DAY + HOURS / 24, DAY + 0.005 + HOURS / 24)
    made = read(tmp_path, text)
    assert made.bjd0 == np.floor(DAY)
    assert abs(made.time[0] - 24 * 0.255) < 1e-6
    assert any("not of jd_utc" in note for note in made.notes)


@pytest.mark.parametrize("column", ["wavelength_µm", "wavelength [μm]", "Wavelength (µm)"])
def test_a_micrometre_is_no_metre(tmp_path: Path, column: str) -> None:
    columns = files.long_columns(files.observation())
    columns[column] = columns.pop("wavelength")
    np.testing.assert_allclose(read(tmp_path, files.text_of(columns)).wavelength, files.observation().wavelength)


@pytest.mark.parametrize(
    ("head", "words"),
    [
        ("time_h,flux [mag],flux_err", "found magnitudes"),
        ("time_h,flux,bad_err,flag", "found none of 20: .*20 points of 20 flagged"),
    ],
)
def test_light_curves_without_flux_to_fit_say_why(tmp_path: Path, head: str, words: str) -> None:
    more = [np.ones(ROWS)] if "flag" in head else []
    with pytest.raises(ObservationError, match=words):
        read(tmp_path, table(head, HOURS, *more))


def test_constant_flux_without_errors_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ObservationError, match="expected errors, or flux with scatter"):
        read(tmp_path, "time_h,flux\n" + "\n".join(f"{hour},1.0" for hour in HOURS))


def test_juliets_table_needs_names_and_has_its_instruments(tmp_path: Path) -> None:
    """Rows of time, flux, error, instrument without a header."""
    text = "\n".join(f"{float(DAY + hour / 24)!r} 1.0 0.001 {name}" for name in ("TESS", "LCO") for hour in HOURS)
    with pytest.raises(ObservationError, match="expected names of the 4 columns in the first line"):
        read(tmp_path, text)
    (tmp_path / "lc.dat").write_text(text)
    made = read_observations(
        tmp_path / "lc.dat", ReadOptions(columns=("time", "flux", "flux_err", "instrument"), time_unit="bjd")
    )
    assert [(one.instrument, one.shape) for one in made] == [("TESS", (ROWS, 1)), ("LCO", (ROWS, 1))]
    assert [one.name for one in made] == ["lc, TESS", "lc, LCO"]
