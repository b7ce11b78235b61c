"""What `ariel push` refuses inside files: secrets and paths of a machine; and how records are rid of the paths."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ariel_scripts.publishing.checks import check
from ariel_scripts.publishing.machine_paths import machine_paths, without_paths
from ariel_scripts.publishing.release import Item, Release

MENDED = {
    "/home/jane/run": "run",
    "/home/jane": "~",
    "/home/jane/": "~",
    "/home/Jane Doe": "~",
    "/home/Jane Doe/first run": "first run",
    "../../home/jane/run": "run",
    "file:///home/jane/run": "run",
    "host:/home/jane/run": "run",
    "jane@host:/data/run/1": "1",
    "/data/jane/run": "run",
    "/lustre/run": "run",
    "/Volumes/Disk/run": "run",
    "C:\\Users\\jane doe\\run": "run",
    "C:/Users/jane/run": "run",
    "C:\\Users\\jane": "~",
    "\\\\server\\share\\jane\\run": "run",
    "ariel predict /home/jane/a /scratch/b --out ../c": "ariel predict a b --out ../c",
    "[Errno 2] No such file: '/home/Jane Doe/raw/axis.parquet'": "[Errno 2] No such file: 'axis.parquet'",
    "stopped in /gpfs/jane/x: no space left on device": "stopped in x: no space left on device",
    "lines\n/tmp/x/y.log\nmore": "lines\ny.log\nmore",
    "cp jane@host:/home/jane/x .": "cp x .",
}
ONLY_MENDED = {  # of no folder that all machines have: records lose it, cards may hold it
    "/somewhere/else/run": "run",
    "~jane/run": "run",
    "D:\\runs\\1": "1",
    "--out /somewhere/else/run": "--out run",
}
ORDINARY = (
    "https://huggingface.co/home/x", "http://host:80/home/x", "s3://bucket/home/x", "hf://datasets/a/b", "1/2", "m/s",
    "2024/01/02", "~/curves", "runs/curves", "../curves and more", "{folder}/tmp/x", "data/tmp/x", "//div/a/b",
    "and/or/not", "erg/s/cm2/um", "#!/bin/sh", "`/home/<you>/x`", "`/data/…`", "/home/$USER/x", "a: b",
    "refs/heads/main", "x:\\n", "$\\alpha \\\\ \\beta$", "^\\d+\\w*$", "/tree/main", "~5/3", "per planet /visit/bin",
)  # fmt: skip


def refused(name: str, text: str | bytes) -> list[str]:
    """The reasons not to publish one file."""
    content = text.encode() if isinstance(text, str) else text
    try:
        check(Release("model", "observer/x", (Item(name, content),), ()))
    except ValueError as error:
        return str(error).splitlines()[1:]
    return []


@pytest.mark.parametrize("text", MENDED)
def test_a_path_of_a_machine_is_refused_in_every_kind_of_text_and_cut_out_of_a_record(text: str) -> None:
    for written in (text, f"see {text}", f'"{text}"', json.dumps(text), json.dumps({"a": [text]}), f"x: '{text}'"):
        assert refused("a.md", written), written
    assert without_paths(text) == MENDED[text]
    assert without_paths({"a": [text, 1, None]}) == {"a": [MENDED[text], 1, None]}


@pytest.mark.parametrize("text", [*MENDED, *ONLY_MENDED, *ORDINARY])
def test_nothing_that_a_mended_record_holds_is_refused(text: str) -> None:
    for written in (text, f"see {text} and {text}", f'"{text}"', f"{text}:{text}", f"({text}, {text})", f"a={text}"):
        mended = without_paths({"a": [written]})
        assert not any(machine_paths(mended["a"][0])), mended
        assert not refused("a.json", json.dumps(mended)), mended
        assert without_paths(mended) == mended


@pytest.mark.parametrize("text", ORDINARY)
def test_addresses_fractions_dates_patterns_and_stand_ins_are_no_paths_of_a_machine(text: str) -> None:
    for written in (text, f"see {text}", f'"{text}"', json.dumps(text)):
        assert not refused("a.md", written), written


@pytest.mark.parametrize("text", [*ORDINARY[:15]])
def test_ordinary_values_of_a_record_stay_as_they_are(text: str) -> None:
    assert without_paths(text) == text


def test_paths_that_may_stand_in_a_card_are_cut_out_of_a_record_too() -> None:
    for text, mended in ONLY_MENDED.items():
        assert without_paths(text) == mended
        assert not refused("a.md", text)


# --- secrets -------------------------------------------------------------------------------------------------------

MIXED = "Zx9" + "aB3dE5gH7jK9mN1pQ3sT" * 2
MD5 = "0123456789abcdef" * 2
SECRETS = {
    "AWS's secret half": f'aws_secret_access_key = "{MIXED[:40]}"',
    "AWS's secret half, as in its own file": f"aws_secret_access_key = {MIXED[:40]}",
    "storage options": '{"key": "minio", "secret": "minio-of-the-lab"}',
    "YAML": "password: Tr0ub4dor&3",
    "a list in YAML": f"- api_key: {MIXED}",
    "the environment": f"WANDB_API_KEY={MIXED[:40]}",
    "an exported variable": f"export SERVICE_TOKEN={MIXED}",
    "code": f'token = "{MIXED}"',
    "a header": f"Authorization: Bearer {MIXED}",
    "a dictionary": f'headers["token"] = "{MIXED}"',
    "a JSON web token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJqYW5lIn0.c2lnbmF0dXJlLW9m",
    "kaggle.json": json.dumps({"username": "jane", "key": MD5}),
    "kaggle.json, turned": json.dumps({"key": MD5, "username": "jane"}),
    "Kaggle's variable": f"KAGGLE_KEY={MD5}",
}
NO_SECRETS = {
    "an MD5": json.dumps({"key": MD5, "size": 3}),
    "an MD5 in YAML": f"key: {MD5}",
    "a special token": json.dumps({"pad_token": "<|endoftext|>", "eos_token": "[SEPARATOR_OF_2_PARTS]"}),
    "the environment": 'token = os.environ["HF_TOKEN"]; api_key=api_key2_of_the_settings',
    "stand-ins": 'password: <yours1234>\napi_key: ${API_KEY_1234567890}\ntoken = "your-token-1234567890"',
    "asterisks": "password: ********1a",
    "an annotation": "password: str | None = None\ntoken: Optional[str] = None",
    "prose": "token: the first of each sequence\nsecret: none\nBearer of the token is whoever holds it",
    "numbers": "max_token = 1234567890123456\ntoken: 2",
    "a name": 'token = "mask_token_of_the_model"',
    "a hash": f"sha256: {MD5}{MD5}",
}


@pytest.mark.parametrize("case", SECRETS)
def test_a_secret_is_refused_by_line_and_not_repeated(case: str) -> None:
    (found, *_) = refused("a.yaml", f"# first\n{SECRETS[case]}\n")
    assert found.strip().startswith("a.yaml, line 2: expected no secret, found a")
    assert not any(part in found for part in (MIXED[:20], MD5, "minio-of", "Tr0ub"))


@pytest.mark.parametrize("case", NO_SECRETS)
@pytest.mark.parametrize("name", ["a.json", "a.md", "a.py"])
def test_hashes_stand_ins_names_and_prose_are_no_secrets(case: str, name: str) -> None:
    assert not refused(name, NO_SECRETS[case])


# --- Parquet -------------------------------------------------------------------------------------------------------


def parquet(path: Path, **columns: pa.Array) -> Item:
    """A Parquet file of these columns."""
    pq.write_table(pa.table(columns), path)
    return Item("data/train-00000-of-00001.parquet", path)


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.binary(), pa.dictionary(pa.int32(), pa.string())])
def test_the_strings_of_a_parquet_file_are_held_to_the_same(tmp_path: Path, kind: pa.DataType) -> None:
    texts = ["linear", None, "dark frame of /home/jane/raw/dark.parquet"]
    item = parquet(tmp_path / "a.parquet", calibration=pa.array(texts).cast(kind), number=pa.array([1, 2, 3]))
    with pytest.raises(ValueError, match=r"train-0.*, column calibration: .* found /home/jane/raw/dark.parquet"):
        check(Release("dataset", "observer/x", (item,), ()))


def test_strings_deep_inside_and_in_the_footer_of_a_parquet_file_are_seen(tmp_path: Path) -> None:
    nested = pa.array([[{"step": "flat", "note": f"password: {MIXED}"}], None, []])
    item = parquet(tmp_path / "a.parquet", steps=nested, image=pa.array([b"\xff\xfe", b"", None]))
    with pytest.raises(ValueError, match=r"column steps\S*note: expected no secret, found a password") as caught:
        check(Release("dataset", "observer/x", (item,), ()))
    assert MIXED not in str(caught.value)
    table = pa.table({"a": [1]}).replace_schema_metadata({"made in": "/home/jane/run"})
    pq.write_table(table, tmp_path / "b.parquet")
    with pytest.raises(ValueError, match=r"metadata: .* found /home/jane/run"):
        check(Release("dataset", "observer/x", (Item("b.parquet", tmp_path / "b.parquet"),), ()))
    assert refused("b.parquet", b"PAR1 broken")[0].strip().startswith("b.parquet: expected a Parquet file")


def test_the_strings_of_a_thousand_planets_are_looked_through_in_a_moment(tmp_path: Path) -> None:
    flux = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(1100 * 10_000, np.float32)), 10_000)
    item = parquet(tmp_path / "a.parquet", flux=flux, calibration=pa.array([f"linear, {n % 7}" for n in range(1100)]))
    before = time.process_time()
    check(Release("dataset", "observer/x", (item,), ()))
    assert time.process_time() - before < 2
