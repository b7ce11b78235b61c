"""What must not be in a published file: secrets and paths of a machine, in text and in the strings of Parquet files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ariel_scripts.publishing.machine_paths import machine_paths
from ariel_scripts.publishing.release import Item

TEXT_SUFFIXES = (
    *(".css", ".html", ".js", ".md", ".py", ".sh", ".svg", ".txt"),
    *(".cfg", ".ini", ".toml", ".yaml", ".yml"),
    *(".csv", ".ipynb", ".json", ".jsonl", ".tsv"),
)
CODE_SUFFIXES = (".js", ".py")  # where what follows `token =` may be a variable's name

# values that are plainly stand-ins (<password>, ${PASSWORD}, your-password, ***) pass
_STAND_IN = r"(?!your|example|changeme|xxx|none|null|true|false|\*|\.\.\.|…|<|\$|\{|\[)"
_PASSWORD = r"\w*(?:password|passwd|passphrase|secret)"
_KEY = r"\w*(?:(?:api|access|secret|account|private|auth|signing|encryption|kaggle)_?key|token|credential)"
_MIXED = r"(?=[^\s\"']*\d)(?=[^\s\"']*[A-Za-z])"  # letters and digits: no word, no number
_IS = r"[\"'\]]{0,2}\s*[:=]\s*"

SECRETS = {
    "a Hugging Face token": re.compile(r"\b(?:hf|api_org)_[A-Za-z0-9]{30,}"),
    "an AWS access key": re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "a private key": re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----"),
    "a GitHub token": re.compile(r"\b(?:gh[oprsu]_[A-Za-z0-9]{36}|github_pat_\w{40,})"),
    "a GitLab token": re.compile(r"\bglpat-[\w-]{20,}"),
    "a Google API key": re.compile(r"\bAIza[\w-]{35}\b"),
    "an OpenAI or Anthropic key": re.compile(r"\bsk-(?:proj-|ant-|svcacct-)?[\w-]{32,}"),
    "a Slack token": re.compile(r"\bxox[abeoprs]-[\w-]{10,}"),
    "a PyPI token": re.compile(r"\bpypi-AgE[\w-]{50,}"),
    # kaggle.json; a "key" alone is 32 hex digits wherever something is known by its MD5
    "a Kaggle key": re.compile(
        r"\bKGAT_[0-9a-f]{32}\b"
        r"|[\"']username[\"']\s*:\s*[\"'][^\"']{1,80}[\"']\s*,\s*[\"']key[\"']\s*:\s*[\"'][0-9a-f]{32}[\"']"
        r"|[\"']key[\"']\s*:\s*[\"'][0-9a-f]{32}[\"']\s*,\s*[\"']username[\"']"
    ),
    "a JSON web token": re.compile(r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}"),
    "a bearer token": re.compile(rf"(?i)\bbearer\s+{_MIXED}[\w.~+/=-]{{20,}}"),
    "a password in an address": re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s/:@\"'<>{}$]+:[^\s/:@\"'<>{}$]+@[\w.]"),
    "a password": re.compile(rf"(?i)\b{_PASSWORD}{_IS}([\"']){_STAND_IN}[^\s\"']{{8,}}\1"),
    "a key or token": re.compile(rf"(?i)\b{_KEY}{_IS}([\"']){_STAND_IN}{_MIXED}[^\s\"']{{16,}}\1"),
}
# without quotes, a line to itself: YAML, .env, `export NAME=value`
_LINE = r"(?im)^[ \t>$-]*(?:export[ \t]+|set[ \t]+)?"
UNQUOTED = {
    "a password": re.compile(rf"{_LINE}{_PASSWORD}[ \t]*[:=][ \t]*{_STAND_IN}{_MIXED}[^\s\"'(]{{8,}}[ \t]*(?:#.*)?$"),
    "a key or token": re.compile(rf"{_LINE}{_KEY}[ \t]*[:=][ \t]*{_STAND_IN}{_MIXED}[\w+/=.-]{{16,}}[ \t]*(?:#.*)?$"),
}


def is_text(path: str) -> bool:
    """Whether a file of this name is read as text."""
    return path.endswith(TEXT_SUFFIXES) or path == ".gitattributes"


def content_problems(item: Item) -> Iterator[str]:
    """Reasons not to publish what a file holds, by file and place; a secret itself is never named."""
    if isinstance(item.content, Path) and not item.content.is_file():
        return
    if item.path.endswith(".parquet"):
        yield from _parquet_problems(item)
    elif is_text(item.path):
        yield from _text_problems(item)


def _text_problems(item: Item) -> Iterator[str]:
    try:
        text = item.read().decode()
    except UnicodeDecodeError as error:
        yield f"{item.path}: expected text in UTF-8, found byte 0x{error.object[error.start]:02x} at {error.start}"
        return
    for start, problem in _found_in(text, code=item.path.endswith(CODE_SUFFIXES)):
        yield f"{item.path}, line {text.count(chr(10), 0, start) + 1}: {problem}"


def _parquet_problems(item: Item) -> Iterator[str]:
    """Held to the same: every different string of every column, and what the footer says beside the schema."""
    try:
        source = item.content if isinstance(item.content, Path) else pa.BufferReader(item.content)
        with pq.ParquetFile(source) as file:
            texts = {"metadata": _texts_of_footer(file)} | dict(_strings(file))
    except (pa.ArrowException, OSError) as error:
        yield f"{item.path}: expected a Parquet file, found {type(error).__name__}: {error}"
        return
    for where, found in texts.items():
        problems = {problem for text in found for _, problem in _found_in(text)}
        yield from (f"{item.path}, {where}: {problem}" for problem in sorted(problems))


def _texts_of_footer(file: pq.ParquetFile) -> set[str]:
    metadata = file.metadata.metadata or {}
    return {value.decode(errors="replace") for name, value in metadata.items() if name != b"ARROW:schema"}


def _strings(file: pq.ParquetFile) -> Iterator[tuple[str, set[str]]]:
    """(column, its different strings), nested ones too, a row group at a time."""
    leaves = [file.schema.column(number) for number in range(len(file.schema))]
    for leaf in leaves:
        if leaf.physical_type != "BYTE_ARRAY":
            continue
        found: set[str] = set()
        for group in range(file.num_row_groups):
            for column in file.read_row_group(group, columns=[leaf.path]).columns:
                for chunk in column.chunks:
                    found |= _distinct(chunk)
        yield f"column {leaf.path}", found


def _distinct(values: pa.Array) -> set[str]:
    """The different strings in an array, at any depth; bytes as far as they are text."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        return _distinct(values.dictionary)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _distinct(values.flatten())
    if pa.types.is_struct(kind):
        return set().union(*(_distinct(part) for part in values.flatten()))
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return {text for text in pc.unique(values).to_pylist() if text is not None}
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return {text for value in pc.unique(values).to_pylist() if (text := _decoded(value)) is not None}
    return set()


def _decoded(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None  # an image, say


def _found_in(text: str, code: bool = False) -> Iterator[tuple[int, str]]:
    """(place, problem) of every secret and path in a text."""
    for patterns in (SECRETS, {} if code else UNQUOTED):
        for what, pattern in patterns.items():
            for found in pattern.finditer(text):
                yield found.start(), f"expected no secret, found {what}"
    for found in machine_paths(text):
        yield found.start(), f"expected no absolute path of a machine, found {found[0]}"
