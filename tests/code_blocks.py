"""Code blocks of a Markdown text, and running them: what documents show is what tests run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

FRONT_MATTER = re.compile(r"\A---\n.*?^---\n", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One block: ``language`` is the first word after the fence, ``line`` the first of its code, from 1.

    ``section`` is the text of the nearest heading above it, of the first or second level; "" before any.
    """

    language: str
    code: str
    line: int
    section: str

    @property
    def lines(self) -> list[str]:
        """Its commands: lines without their comments, those that end in a backslash joined to the next."""
        text = re.sub(r"(^|\s)#\s.*$", "", self.code.replace("\\\n", " "), flags=re.MULTILINE)
        return [line.strip() for line in text.splitlines() if line.strip()]

    def run(self, names: dict[str, Any], document: str | Path) -> None:
        """Execute Python code in the namespace ``names``; tracebacks show the line of ``document``."""
        exec(compile("\n" * (self.line - 1) + self.code, str(document), "exec"), names)


def code_blocks(text: str) -> list[Block]:
    """Fenced and indented blocks of a Markdown text in order; YAML front matter is not one."""
    text = FRONT_MATTER.sub(lambda found: "\n" * found[0].count("\n"), text)
    return list(_blocks(MarkdownIt("commonmark").parse(text)))


def _blocks(tokens: list[Token]) -> Iterator[Block]:
    section = ""
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        if token.type == "heading_open" and token.tag in ("h1", "h2") and following is not None:
            section = following.content
        elif token.type in ("fence", "code_block"):
            start = token.map[0] if token.map else 0
            first = start + 2 if token.type == "fence" else start + 1
            yield Block(token.info.split(" ")[0].strip(), token.content, first, section)
