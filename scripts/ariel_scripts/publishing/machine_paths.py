"""Paths that tell of a machine and its people: found in what is to be published, and taken out of records.

Two readers, one rule. `machine_paths` finds absolute paths below folders that machines have (`/home`, `/lustre`,
`C:\\Users`, shares); cards, code and tables are held to it, so it must not see a path in an address, a fraction or a
date. `without_paths` cuts all of these out of a record's values, and more, as a record's value is hardly prose: any
absolute path that is a whole value, or has three names. Nothing that it returns is found again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

# /tmp/x is of a machine; of /data/x one cannot know, of /data/x/y hardly doubt
_CLEAR = (
    "root|tmp|mnt|media|scratch|pscratch|work|workspace|workspaces|private|var|lustre|gpfs|beegfs|nfs|afs|ceph|glade|"
    "Volumes|fsx|efs"
)
_WITH_TWO_NAMES = "data|opt|srv|storage|content|project|projects|cluster|global|shared|export|net|run|hpc"
_NAME = r"[^\s\"'`<>|,;)/\\]"  # characters of a name outside quotes
_FIRST = r"[\w.~@%+-]"  # of a name's first: neither a stand-in (<you>, {name}, $USER, …) nor a pattern (*)
_REST = rf"(?:{_NAME}|/)*"
# a person's folder: the name may have two parts if a slash or a quote ends it
_PERSON = rf"{_FIRST}{_NAME}*(?:(?:[ ]{_FIRST}{_NAME}*){{1,2}}(?=[/\"'`]))?"
_FOLDER = (
    rf"(?:(?:home|Users|users)/{_PERSON}{_REST}"
    rf"|(?:{_CLEAR})/{_FIRST}{_REST}"
    rf"|(?:{_WITH_TWO_NAMES})/{_FIRST}{_NAME}*/{_FIRST}{_REST})"
)
# not where it continues something: an address, {folder}/tmp/x, ~/home/x; but after \n of a text within quotes
_START = r"(?:(?<![\w.~/)\]}*$%-])|(?<=\\[nrt]))"
_SEPARATOR = r"(?:\\{1,2}|/)"
_MACHINE_PATH = re.compile(
    rf"(?:file://[\w.-]*|(?<![\w.-])[\w.-]+@[\w.-]+:)/{_FOLDER}"
    rf"|{_START}/{_FOLDER}"
    rf"|(?<![\w./])(?:\.\./)+(?:(?:home|Users|users)/{_PERSON}{_REST}|(?:{_CLEAR})/{_FIRST}{_REST})"
    rf"|(?<!\w)(?:file:/{{1,3}})?[A-Za-z]:{_SEPARATOR}(?:Users|Documents{' '}and{' '}Settings){_SEPARATOR}"
    rf"{_FIRST}{_NAME}*(?:(?:[ ]{_FIRST}{_NAME}*){{1,2}}(?=[\\/\"'`]))?(?:{_NAME}|[\\/])*"
    rf"|(?<!\w)[A-Za-z]:{_SEPARATOR}(?:Windows|Temp|Program{' '}Files)\b(?:{_NAME}|[\\/])*"
    r"|(?<![\w\\])(?:\\\\){1,2}[A-Za-z][\w.-]+(?:\\{1,2}[\w$][\w $.-]+){2,}"
)
_IN_A_RECORD = re.compile(
    rf"{_START}/{_FIRST}{_NAME}*/{_FIRST}{_NAME}*/{_FIRST}{_REST}|(?<!\w)[A-Za-z]:\\{_FIRST}(?:{_NAME}|\\)*"
)
_WHOLE = re.compile(
    r"(?:file://[\w.-]*|[\w.@-]+:)?(?:/[^\s/]+){2,}/?"  # also HOST:/a/b
    r"|(?:\.\./)+\S+|~[A-Za-z_][\w.-]*/\S+"
    r"|[A-Za-z]:[\\/][^\n]+|\\\\[\w.-]+\\[^\n]+"
)
_A_HOME = re.compile(r"(?:.*[/\\])?(?:home|Users|users|Documents and Settings)[/\\]+[^/\\]+", re.DOTALL)


def machine_paths(text: str) -> Iterator[re.Match[str]]:
    """Where a text names a folder or file of some machine."""
    return _MACHINE_PATH.finditer(text)


def without_paths(value: Any) -> Any:
    """A record in which only the last name of every path of a machine is left; `~` of a person's home."""
    if isinstance(value, dict):
        return {name: without_paths(item) for name, item in value.items()}
    if isinstance(value, list):
        return [without_paths(item) for item in value]
    return _without_paths(value) if isinstance(value, str) else value


def _without_paths(text: str) -> str:
    if _WHOLE.fullmatch(text) or ((found := _MACHINE_PATH.match(text)) and _is_a_path(text, found)):
        text = _last_name(text)
    while True:  # what is left of one may stand beside another
        shorter = _IN_A_RECORD.sub(_shortened, _MACHINE_PATH.sub(_shortened, text))
        if shorter == text:
            return text
        text = shorter


def _is_a_path(text: str, found: re.Match[str]) -> bool:
    """Whether a text that begins with a path is nothing else: names with spaces, as in /home/Jane Doe/first run."""
    rest = text[found.end() :]
    return not rest or (rest[0] == " " and not re.search(r"[\"'`<>|,;:]| -|\s/", rest))


def _shortened(found: re.Match[str]) -> str:
    path = found[0].rstrip(".:!?")
    return _last_name(path) + found[0][len(path) :]


def _last_name(path: str) -> str:
    path = path.rstrip("/\\")
    return "~" if _A_HOME.fullmatch(path) else re.split(r"[/\\]", path)[-1]
