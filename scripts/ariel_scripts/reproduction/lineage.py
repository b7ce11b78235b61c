"""From a result back to raw files: what made it of what, and whether that is still there and the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

from ariel_scripts.content import MANIFESTS, content_of, listed_at, together
from ariel_scripts.invocation import RELEASED, released_folder
from ariel_scripts.reproduction.command_text import command_text
from ariel_scripts.reproduction.records import Found, moved, reads_of, record_of
from ariel_scripts.versions import git_commit, versions
from hf_dataset.digests import file_hash
from hf_dataset.folders import files, folder, read_json
from hf_dataset.raw.fingerprints import fingerprint
from hf_dataset.words import number_of

SAME, MOVED, CHANGED, MISSING, UNKNOWN = "as recorded", "moved", "changed", "not here", "no hash recorded"
WRONG = (CHANGED, MISSING)
_SHOWN = 5


@dataclass
class Node:
    """A file, folder or repository of a lineage, and what it was made of.

    label: as what it was read. state: whether it is what was recorded; ``findings`` say what is not. made: the command,
    configuration, seed, versions and commit that left it; None where no record tells. again: listed before, with all
    that is below it.
    """

    label: str
    name: str
    kind: str
    state: str = UNKNOWN
    path: str | None = None
    sha256: str | None = None
    commit: str | None = None
    findings: list[str] = field(default_factory=list)
    made: dict[str, Any] | None = None
    inputs: list[Node] = field(default_factory=list)
    again: bool = False

    def every(self) -> Iterator[Node]:
        """This node and all below it."""
        yield self
        for one in self.inputs:
            yield from one.every()

    def wrong(self) -> list[str]:
        """What no longer matches, here and below, each once: what is the same of several is said of them together."""
        whose: dict[str, list[str]] = {}
        for one in self.every():
            for text in () if one.again else one.findings:
                whose.setdefault(text, []).append(one.name)
        return [f"{', '.join(dict.fromkeys(names))}: {text}" for text, names in whose.items()]


def lineage(path: Path, deep: bool = False) -> Node:
    """The lineage of a file or folder; ``deep``: raw files are hashed again, even those of the recorded size and time.

    ValueError where nothing is there, or no record tells what it was made of.
    """
    if not path.exists():
        raise ValueError(f"{path}: expected a file or folder that a command has left, found nothing there")
    node = _Walk(deep).of("file", {"given": str(path), "path": str(path.absolute())}, None)
    if node.made is None:
        raise ValueError(
            f"{path}: expected the record of the run that left it (run.json, *.run.json, *.manifest.json, "
            "training.json) in it, beside it or above it, found none"
        )
    return node


class _Walk:
    """Nodes by what was read; each path is looked at once."""

    def __init__(self, deep: bool) -> None:
        self.deep = deep
        self.seen: dict[str, Node] = {}

    def of(self, label: str, entry: Mapping[str, str], by: Found | None) -> Node:
        """The node of an ``entry`` of the record ``by``."""
        node = Node(label, entry["given"], entry.get("kind", "file"), commit=entry.get("commit"))
        path = _place(node, entry, by)
        if node.kind == "url":
            now = listed_at(node.name).get("sha256")
            _compare(node, entry.get("sha256"), now, "its manifests")
        if path is None:
            if label == "model" and by is not None and by.before is not None:
                self._add_run(node, by.before)
            return node
        node.path = str(path)
        if (key := f"{path} {entry.get('sha256')}") in self.seen:
            known = self.seen[key]
            return Node(label, node.name, known.kind, known.state, node.path, known.sha256, node.commit, again=True)
        self.seen[key] = node
        content = content_of(path)
        found = record_of(path)
        if content is not None:
            node.kind, node.sha256 = content["kind"], content["sha256"]
            expected = entry.get("sha256") or ((found and found.content) or {}).get("sha256")
            if node.kind == "folder":  # sizes and times: its files are checked by what was made of them
                node.state = UNKNOWN
            else:
                _compare(node, expected, node.sha256, "its content")
            made = ((found and found.content) or {}).get("sha256")
            if made and expected and made != expected and node.kind != "folder":
                node.findings.append(f"changed between being made ({made}) and being read ({expected})")
        if found is not None:
            self._add_run(node, found)
        if node.kind == "dataset":
            self._add_raw(node, path, found)
        return node

    def _add_run(self, node: Node, found: Found) -> None:
        """What made it, and what of."""
        node.made = _summary(found)
        node.findings += other_code(found.record)
        if found.record.get("status", "done") != "done":
            node.findings.append(f"left by a run whose status is {found.record['status']}")
        for label, entries in reads_of(found).items():
            if (node.made["command"], label) == ("build-dataset", "root"):
                continue  # the manifests say what of it was read
            for entry in entries:
                node.inputs.append(self.of(label, entry, found))

    def _add_raw(self, node: Node, path: Path, found: Found | None) -> None:
        """The raw files that a dataset was built from, by its manifests."""
        manifests = [one for one in map(read_json, files(folder(path) / MANIFESTS, ".json")) if one]
        for one in manifests:
            shard = path / one["shard"]
            if not shard.is_file() or file_hash(shard) != one["sha256"]:
                found_there = "others" if shard.is_file() else "nothing there"
                node.findings.append(f"{one['shard']}: expected the bytes of its manifest, found {found_there}")
        inputs = {name: state for one in manifests for name, state in one["inputs"].items()}
        if not inputs:
            return
        hashes = {name: digest for one in manifests for name, digest in one.get("input_sha256", {}).items()}
        config = {} if found is None else found.record.get("config") or {}
        root = Path(str(config.get("root", "")))
        if found is not None and not root.is_dir():
            root = moved(found, root) or root
        raw = Node(
            "root", str(config.get("root", "the raw folder")), "raw", sha256=together(hashes) if hashes else None
        )
        if not config.get("root") or not root.is_dir():
            raw.state = MISSING
            raw.findings.append(f"{number_of(len(inputs), 'raw file')}: expected in a folder that is not here")
        else:
            raw.path = str(root)
            raw.findings += self._changed_raw(root, inputs, hashes)
            raw.state = CHANGED if raw.findings else SAME if hashes else UNKNOWN
            if (made := record_of(root)) is not None:
                self._add_run(raw, made)
        raw.name += f" ({number_of(len(inputs), 'file')})"
        node.inputs.append(raw)

    def _changed_raw(self, root: Path, inputs: Mapping[str, Any], hashes: Mapping[str, str]) -> list[str]:
        """Raw files that are not as they were; those of the same size and time are hashed only if ``deep``."""
        wrong = []
        for name, then in sorted(inputs.items()):
            now = fingerprint(root / name)
            if now is None:
                wrong.append(f"{name}: not there")
            elif name in hashes and (now != then or self.deep):
                if file_hash(root / name) != hashes[name]:
                    wrong.append(f"{name}: expected sha256 {hashes[name]}, found another")
            elif now != then:
                wrong.append(f"{name}: expected another size or time, and no hash was recorded")
        more = [f"… and {len(wrong) - _SHOWN} more"] if len(wrong) > _SHOWN else []
        return wrong[:_SHOWN] + more


def _place(node: Node, entry: Mapping[str, str], by: Found | None) -> Path | None:
    """Where it is now: as recorded, moved with the record, beside it, in the Hub's cache; the node says how."""
    if node.kind == "hub" or (entry.get("commit") and "path" not in entry):
        return _cached(node)
    if node.kind == "url":
        return None
    given = entry["given"]
    if given == RELEASED:
        return released_folder()
    recorded = Path(entry.get("path", given))
    places = [recorded]
    if by is not None:
        near, together = by.place.parent, moved(by, recorded)
        places += [*([together] if together else []), near / given, near / recorded.name]
    there = [path.absolute() for path in dict.fromkeys(places) if path.exists()]
    wanted = entry.get("sha256")
    if wanted and len(there) > 1:
        there.sort(key=lambda path: (content_of(path) or {}).get("sha256") != wanted)
    if not there:
        node.state = MISSING
        node.path = str(recorded)
        digest = f", sha256 {wanted}" if wanted else ""
        node.findings.append(f"expected {'' if node.kind == 'file' else 'a '}{node.kind}{digest}, found nothing there")
        return None
    if there[0] != recorded.absolute():
        node.findings.append(f"moved: was {recorded}")
        node.state = MOVED
    return there[0]


def _cached(node: Node) -> Path | None:
    """The copy of a Hub repository in the cache."""
    kind = "dataset" if node.label in ("dataset", "truth") else "model"
    node.kind = f"{kind} on the Hub"
    try:
        where = snapshot_download(node.name, repo_type=kind, revision=node.commit, local_files_only=True)
    except (LocalEntryNotFoundError, HFValidationError):
        node.findings.append(f"commit {node.commit or 'unknown'}: not in the cache here, the Hub is not asked")
        return None
    return Path(where)


def _compare(node: Node, expected: str | None, found: str | None, what: str) -> None:
    """Say whether a hash is the recorded one."""
    if expected is None:
        node.state = node.state if node.state == MOVED else UNKNOWN
    elif found == expected:
        node.state = MOVED if node.state == MOVED else SAME
    else:
        node.state = CHANGED
        node.findings.append(f"changed: {what} had sha256 {expected}, has {found}")


def _summary(found: Found) -> dict[str, Any]:
    """What is known of a run."""
    record = found.record
    invocation = record.get("invocation") or {}
    command = invocation.get("command", record.get("command", "unknown"))
    code = record.get("versions") or {}
    return {
        "command": command,
        "line": command_text(command, invocation["options"]) if "options" in invocation else None,
        "config_hash": record.get("config_hash"),
        "seeds": record.get("seeds", []),
        "commit": record.get("git_commit"),
        "versions": code,
        "lock_hash": record.get("lock_hash"),
        "started": record.get("started"),
        "host": record.get("host"),
        "record": str(found.place),
    }


def short(commit: str) -> str:
    """The first digits of a commit, and whether there were changes beyond it."""
    return commit[:12] + ("+changes" if commit.endswith("+changes") else "")


def other_code(record: Mapping[str, Any]) -> list[str]:
    """How the code that is loaded differs from that of a run."""
    then, now = record.get("versions") or {}, versions()
    said = [f"{name} {text}, here {now[name]}" for name, text in then.items() if name in now and now[name] != text]
    commit, here = record.get("git_commit"), git_commit()
    if commit is not None and commit != here:
        said.append(f"commit {short(commit)}, here {short(here or 'none')}")
    if commit is not None and commit.endswith("+changes"):
        said.append(f"changes beyond commit {commit[:12]}")
    return ["made by other code: " + "; ".join(said)] if said else []
