"""Bad inputs: folders of planets and visits."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import spoiled_folders as spoil
from spoiled_folders import AIRS, EVERYTHING, FGS1, SAME, WHOLE, Case, signal


def folder_cases() -> Iterator[Case]:
    """What goes wrong with folders."""
    yield from _planets()
    yield from _visits()
    yield from _layouts()


def _case(what: str, how: Callable[[Path], Any], *found: str, outcome: str | None = None, **more: Any) -> Case:
    return Case("folders", what, how, outcome or found, **{"visits": ((7, 0),), **more})


def _planets() -> Iterator[Case]:
    folder, of_7 = Path("train/7"), "expected the folder of planet 7, found "

    def instead(make: Callable[[Path], Any]) -> Callable[[Path], None]:
        return lambda root: spoil.replace_by(root / folder, make)

    def beside(name: str) -> Callable[[Path], None]:
        return lambda root: spoil.copy_of(root / folder, root / "train" / name)

    def moved_out(root: Path) -> None:
        shutil.move(root / folder, root.parent / "store")
        (root / folder).symlink_to(root.parent / "store")

    def deeper(root: Path) -> None:
        (root / folder).rename(root / "inner")
        (root / folder).mkdir()
        (root / "inner").rename(root / folder / "7")

    gone = ((7, 1),)
    yield _case("a planet's is empty", instead(Path.mkdir), "train/7/", "found none", gone=gone)
    yield _case("a planet's is a file", instead(Path.touch), of_7 + "a file", gone=gone)
    yield _case(
        "a planet's is a broken link", instead(lambda p: p.symlink_to("nowhere")), of_7 + "a broken link", gone=gone
    )
    yield _case("a planet's is a link to a store elsewhere", moved_out, outcome=SAME, visits=WHOLE)
    yield _case("a planet's has its files a level deeper", deeper, "train/7/", "found none", gone=gone)
    yield _case(
        "a planet's has leading zeros", lambda r: (r / folder).rename(r / "train/007"), of_7 + "none 007", gone=gone
    )
    yield _case("no number", beside("planet_9"), outcome=SAME, visits=(), log="planet_9")
    yield _case(
        "a planet in both splits",
        lambda r: spoil.copy_of(r / folder, r / "test/7"),
        "planet 7: expected in one split",
        visits=(*WHOLE, *WHOLE),
    )


def _visits() -> Iterator[Case]:
    planet = Path("train/7")

    def numbered(old: int, new: str) -> Callable[[Path], None]:
        def rename(root: Path) -> None:
            for path in list((root / planet).glob(f"*_{old}*")):
                path.rename(path.with_name(path.name.replace(f"_{old}", f"_{new}")))

        return rename

    yield _case(
        "hidden files", lambda r: [spoil.put(r / p / ".DS_Store", "x") for p in ("", "train", planet)], outcome=SAME
    )
    yield _case(
        "a copier's ._ files", lambda r: spoil.put(r / planet / "._AIRS-CH0_signal_5.parquet", "x"), outcome=SAME
    )
    yield _case("a folder of something else", lambda r: (r / planet / "notes").mkdir(), outcome=SAME)
    yield _case("a gap in the visits", numbered(1, "3"), outcome=SAME, gone=((7, 1),), new=((7, 3),))
    yield _case(
        "a visit of calibration only",
        lambda r: [signal(r, name, visit=1).unlink() for name in (AIRS, FGS1)],
        "planet 7 visit 1",
        "found none",
        visits=((7, 1),),
    )
    yield _case(
        "a visit of one instrument only",
        lambda r: spoil.link(signal(r), signal(r, visit=2)),
        "planet 7 visit 2",
        "expected",
        visits=((7, 2),),
    )


def _layouts() -> Iterator[Case]:
    def to_2024(root: Path) -> None:
        for path in list((root / "train/7").glob("*_1*")):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for path in list((root / "train/7").glob("*_0*")):
            path.rename(path.with_name(path.name.replace("_0", "")))

    def to_2025(root: Path) -> None:
        for path in list((root / "train/7").iterdir()):
            path.rename(path.with_name(path.stem + "_0" + path.suffix))

    def both_tables(root: Path) -> None:
        spoil.put(root / "train_adc_info.csv", (root / "adc_info.csv").read_bytes())

    mixed = ("planet 7 visit 0", "AIRS-CH0_signal", "expected a Parquet file, found none (there: AIRS-CH0_signal")
    yield _case("a planet of the 2024 layout among 2025's", to_2024, *mixed, gone=((7, 1),))
    yield _case("a planet of the 2025 layout among 2024's", to_2025, *mixed, layout="2024")
    yield _case("the ADC tables of both layouts", both_tables, outcome=SAME)
    everything = {"visits": EVERYTHING}
    yield _case(
        "no planets",
        lambda r: [shutil.rmtree(r / s) or (r / s).mkdir() for s in ("train", "test")],
        "expected planets in train or test, found none",
        **everything,
    )
    yield _case(
        "neither train nor test",
        lambda r: [(r / s).rename(r / f"{s}_data") for s in ("train", "test")],
        "expected a folder train/ or test/ of planets, found",
        **everything,
    )
    yield _case("an unknown layout", _unknown, "expected planets with …_signal.parquet (2024)", **everything)
    yield _case(
        "packed labels",
        lambda r: (r / "train.csv").rename(r / "train.csv.gz"),
        "expected train.csv, found train.csv.gz: unpack it",
        **everything,
    )
    for name, other, what in (
        ("train_star_info.csv", "train_star_info.csv.zip", "unpack it"),
        ("axis_info.parquet", "axis_info.csv", "save it as parquet"),
        ("train.csv", "train.parquet", "save it as csv"),
        ("train.csv", "Train.CSV", "rename it"),
    ):
        yield _case(
            f"{other} in place of {name}",
            lambda r, name=name, other=other: (r / name).rename(r / other),
            f"expected {name}, found {other}: {what}",
            **everything,
        )
    yield _case(
        "a file",
        lambda r: spoil.replace_by(r, Path.touch),
        "expected a raw challenge folder, found a file",
        **everything,
    )
    yield _case("none", shutil.rmtree, "expected a raw challenge folder, found nothing", **everything)


def _unknown(root: Path) -> None:
    (root / "adc_info.csv").unlink()
    for planet in ("train/11", "test/100"):
        (root / planet).unlink()
    for path in list(root.glob("*/*/*")):
        path.rename(path.with_name(path.name.replace("signal", "frames").replace("calibration", "frames_of")))
