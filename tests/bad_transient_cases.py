"""Bad inputs: raw folders of transients, each with the one thing that is wrong and what becomes of it."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hf_dataset.transients import raw

TRAIN_LOG = "object_id,Z,Z_err,EBV,SpecType,English Translation,split,target"
TEST_LOG = "object_id,Z,Z_err,EBV,SpecType,English Translation,split"
CURVE = "object_id,Time (MJD),Flux,Flux_err,Filter"
TRAIN_CURVES, TEST_CURVES = "train_full_lightcurves.csv", "test_full_lightcurves.csv"
OTHERS = ("bel", "cor", "dol")  # objects that every case but the refused folders keeps


def write_folder(root: Path) -> Path:
    """A folder of four objects: ann and bel (split_01) and cor (split_02) to train on, dol (split_01) to test."""
    for part in ("split_01", "split_02"):
        (root / part).mkdir(parents=True)
    log = ["ann,0.3,,0.02,TDE,,split_01,1", "bel,1.1,,0.03,AGN,x + y,split_01,0", "cor,0.2,,0.1,SN Ia,,split_02,0"]
    put(root / "train_log.csv", TRAIN_LOG, *log)
    put(root / "test_log.csv", TEST_LOG, "dol,0.5,0.03,0.05,,,split_01")
    curves = {
        name: [f"{name},{61000 + day}.5,{day}.25,0.5,{band}" for day, band in enumerate("rgi")]
        for name in ("ann", "bel", "cor", "dol")
    }
    put(root / "split_01" / TRAIN_CURVES, CURVE, *curves["ann"], *curves["bel"])
    put(root / "split_02" / TRAIN_CURVES, CURVE, *curves["cor"])
    put(root / "split_01" / TEST_CURVES, CURVE, *curves["dol"])
    put(root / "split_02" / TEST_CURVES, CURVE)
    return root


def put(path: Path, *lines: str) -> None:
    """Write lines to a file."""
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


@dataclass(frozen=True)
class Case:
    """A change of the folder above, and what is found then.

    refused: the message of the whole folder's refusal. left_out: object → reason. kinds: kind → measurements left out.
    notes: kind of note on an object that is kept. n: measurements that ann keeps.
    """

    name: str
    change: Callable[[Path], object]
    refused: str = ""
    left_out: dict[str, str] = field(default_factory=dict)
    kinds: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    n: int = 3


def _replaced(name: str, old: str, new: str) -> Callable[[Path], object]:
    def change(root: Path) -> None:
        text = (root / name).read_text()
        if old not in text:
            raise ValueError(f"{name} has no {old!r}")
        (root / name).write_text(text.replace(old, new, 1))

    return change


def _added(name: str, *lines: str) -> Callable[[Path], object]:
    return lambda root: put(root / name, *(root / name).read_text().splitlines(), *lines)


def _packed(name: str) -> Callable[[Path], object]:
    def change(root: Path) -> None:
        (root / f"{name}.gz").write_bytes(gzip.compress((root / name).read_bytes()))
        (root / name).unlink()

    return change


LOG, CURVES = "train_log.csv", f"split_01/{TRAIN_CURVES}"
FIRST = "ann,61000.5,0.25,0.5,r"


def _log(name: str, old: str, new: str, reason: str) -> Case:
    return Case(f"log: {name}", _replaced(LOG, old, new), left_out={"ann": reason}, kinds={raw.UNLISTED: 3})


def _measured(name: str, new: str, kind: str, n: int = 2, count: int = 1) -> Case:
    return Case(f"light curve: {name}", _replaced(CURVES, FIRST, new), kinds={kind: count}, n=n)


CASES = [
    # the folder as a whole
    Case("no folder", shutil.rmtree, "expected a folder with train_log.csv or test_log.csv, found neither"),
    Case("log packed", _packed(LOG), "train_log.csv: expected a CSV table, found train_log.csv.gz: unpack it"),
    Case("log with semicolons", lambda p: put(p / LOG, TRAIN_LOG.replace(",", ";")), "found semicolons"),
    Case("log without target", _replaced(LOG, ",target", ",goal"), "train_log.csv: expected the columns target"),
    Case("log with a column twice", _replaced(LOG, "Z_err", "Z"), "expected every column once, found Z more than once"),
    Case("log empty", lambda p: (p / LOG).write_text(""), "train_log.csv: expected a CSV table, found an empty file"),
    Case(
        "logs without objects",
        lambda p: (put(p / LOG, TRAIN_LOG), put(p / "test_log.csv", TEST_LOG)),
        "expected objects, found none",
    ),
    Case("light curves packed", _packed(CURVES), f"found {TRAIN_CURVES}.gz: unpack it"),
    Case("light curves without errors", _replaced(CURVES, "Flux_err", "Sigma"), "expected the columns Flux_err"),
    Case("light curves in UTF-16", lambda p: (p / CURVES).write_text(CURVE, "utf-16"), "expected a CSV table in UTF-8"),
    # an object's row of the log
    _log("redshift a text", "ann,0.3", "ann,far", "expected a number in Z, found 'far'"),
    _log("redshift negative", "ann,0.3", "ann,-9", "expected Z from 0 to 20, found -9; an empty field"),
    _log("redshift infinite", "ann,0.3", "ann,inf", "expected Z from 0 to 20, found inf"),
    _log("redshift error negative", "ann,0.3,", "ann,0.3,-1", "expected Z_err from 0 to 10, found -1"),
    _log("dust absurd", "0.02,TDE", "99,TDE", "expected EBV from 0 to 10, found 99"),
    _log("target empty", "split_01,1", "split_01,", "expected 0 or 1 in target, found ''"),
    _log("target 2", "split_01,1", "split_01,2", "expected 0 or 1 in target, found '2'"),
    _log("target unlike the type", "split_01,1", "split_01,0", "a target that fits SpecType TDE, found 0"),
    _log("folder elsewhere", "TDE,,split_01", "TDE,,../split_01", "expected split_NN in split, found '../split_01'"),
    _log("a decimal comma", "ann,0.3", "ann,0,3", "expected 8 fields as in the header, found 9"),
    Case(
        "log: object twice, alike",
        _added(LOG, "ann,0.3,,0.02,TDE,,split_01,1"),
        notes=("listed more than once, alike",),
    ),
    Case(
        "log: object twice, unlike",
        _added(LOG, "ann,0.4,,0.02,TDE,,split_01,1"),
        left_out={"ann": "expected one row, found 2 that differ"},
        kinds={raw.UNLISTED: 3},
    ),
    Case(
        "log: object in both",
        _added("test_log.csv", "ann,0.3,0.02,0.02,,,split_01"),
        left_out={"ann": "expected in one log, found in both"},
        kinds={raw.UNLISTED: 3},
    ),
    Case(
        "log: a row without a name",
        _added(LOG, ",0.4,,0.02,TDE,,split_01,1"),
        left_out={"train_log.csv, row 4": "expected a name in object_id"},
    ),
    Case("log: no redshift", _replaced(LOG, "ann,0.3", "ann,"), notes=("without a redshift",)),
    Case(
        "log: columns in another order",
        lambda p: put(p / "test_log.csv", "split,object_id,EBV,Z,Z_err,SpecType", "split_01,dol,0.05,0.5,0.03,"),
    ),
    Case("log: a byte order mark", lambda p: (p / LOG).write_text("\ufeff" + (p / LOG).read_text())),
    # objects in one table only
    Case(
        "object without a light curve",
        lambda p: put(p / CURVES, CURVE, *(p / CURVES).read_text().splitlines()[4:]),
        left_out={"ann": f"expected its light curve in {CURVES}, found none"},
    ),
    Case(
        "object without a row in the logs",
        _added(CURVES, "eve,61000.5,1,1,r", "eve,61001.5,1,1,r"),
        left_out={"eve": "expected a row in the logs, found 2 measurements alone"},
        kinds={raw.UNLISTED: 2},
    ),
    Case(
        "object in another file",
        _added(f"split_02/{TRAIN_CURVES}", "ann,61009.5,1,1,r"),
        left_out={"ann": f"expected its light curve in {CURVES} alone, found it in split_02/{TRAIN_CURVES}"},
        kinds={raw.MISPLACED: 4},
    ),
    Case("file of light curves missing", lambda p: (p / f"split_02/{TEST_CURVES}").unlink()),
    Case(
        "file of light curves of an object missing",
        lambda p: (_moved(p), (p / "split_03").rmdir()),
        left_out={"ann": "found no such file"},
        kinds={raw.UNLISTED: 3},
    ),
    # measurements
    _measured("flux empty", FIRST.replace("0.25", ""), raw.NO_FLUX),
    _measured("flux NaN", FIRST.replace("0.25", "NaN"), raw.NO_FLUX),
    _measured("flux infinite", FIRST.replace("0.25", "-inf"), raw.NO_NUMBER),
    _measured("flux a text", FIRST.replace("0.25", "faint"), raw.NO_NUMBER),
    _measured("error zero", FIRST.replace("0.5,r", "0,r"), raw.NO_ERROR),
    _measured("error negative", FIRST.replace("0.5,r", "-0.5,r"), raw.NO_ERROR),
    _measured("flux that no float32 has", FIRST.replace("0.25", "1e39"), raw.NO_SIZE),
    _measured("error that float32 has as 0", FIRST.replace("0.5,r", "1e-50,r"), raw.NO_SIZE),
    _measured("error empty", FIRST.replace("0.5,r", ",r"), raw.NO_NUMBER),
    _measured("error NaN", FIRST.replace("0.5,r", "nan,r"), raw.NO_NUMBER),
    _measured("time a Julian date", FIRST.replace("61000.5", "2461001.0"), raw.NO_TIME),
    _measured("time empty", FIRST.replace("61000.5", ""), raw.NO_NUMBER),
    _measured("band of another survey", FIRST.replace(",r", ",V"), "unknown band 'V'"),
    _measured("band in capitals", FIRST.replace(",r", ",Y"), "unknown band 'Y'"),
    _measured("two bands", FIRST.replace(",r", ",gr"), "unknown band 'gr'"),
    _measured("band empty", FIRST.replace(",r", ","), "unknown band ''"),
    _measured("a line cut short", FIRST[:-2], raw.SHORT_LINE),
    _measured("an epoch repeated", f"{FIRST}\n{FIRST}", raw.REPEATED, n=3),
    _measured("an epoch contradicted", f"{FIRST}\n{FIRST.replace('0.25', '7')}", raw.CONTRADICTORY, count=2),
    Case(
        "light curve: in another order", lambda p: put(p / CURVES, CURVE, *(p / CURVES).read_text().splitlines()[:0:-1])
    ),
    Case(
        "light curve: nothing left",
        lambda p: (p / CURVES).write_text((p / CURVES).read_text().replace(",0.5,", ",0,", 3)),
        left_out={"ann": "expected measurements that can be used"},
        kinds={raw.NO_ERROR: 3},
    ),
]


def _moved(root: Path) -> None:
    """ann's row names a folder that is there, without its table."""
    (root / "split_03").mkdir()
    _replaced(LOG, "TDE,,split_01", "TDE,,split_03")(root)
