"""A lineage as a text tree, or as plain values."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ariel_scripts.reproduction.lineage import Node, short

_SHORT = 12


def as_text(root: Node) -> str:
    """The tree, and below it what no longer matches."""
    wrong = root.wrong()
    end = [f"no longer as recorded: {len(wrong)}", *(f"  {text}" for text in wrong)] if wrong else ["all as recorded"]
    return "\n".join([*_lines(root, "", ""), "", *end])


def as_values(root: Node) -> dict[str, Any]:
    """The tree with its findings, for JSON."""
    return asdict(root) | {"no longer as recorded": root.wrong()}


def _lines(node: Node, first: str, rest: str) -> list[str]:
    label = "" if node.label == "file" else f"{node.label}: "
    digest = f" {node.sha256[:_SHORT]}" if node.sha256 else f" {node.commit[:_SHORT]}" if node.commit else ""
    again = " (see above)" if node.again else ""
    lines = [f"{first}{label}{node.name}  [{node.kind}{digest}, {node.state}]{again}"]
    below = rest + ("│ " if node.inputs else "  ")
    if node.made is not None:
        lines += [f"{below}{text}" for text in _made(node.made)]
    lines += [f"{below}! {text}" for text in node.findings if not node.again]
    for number, one in enumerate(node.inputs, 1):
        last = number == len(node.inputs)
        lines += _lines(one, f"{rest}{'└─ ' if last else '├─ '}", f"{rest}{'   ' if last else '│  '}")
    return lines


def _made(made: dict[str, Any]) -> list[str]:
    """By which command, with which settings and code."""
    seeds = ", ".join(map(str, made["seeds"]))
    code = made["versions"].get("ariel-hf")
    facts = {
        "config": made["config_hash"],
        "seed": seeds or None,
        "ariel-hf": code,
        "commit": made["commit"] and short(made["commit"]),
        "lock": made["lock_hash"] and made["lock_hash"][:_SHORT],
    }
    known = " · ".join(f"{name} {value}" for name, value in facts.items() if value)
    when = f" · {made['started']}" if made["started"] else ""
    return [f"← {made['line'] or 'ariel ' + made['command']}", f"  {known}{when}"]
