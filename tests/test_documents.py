"""Links of all documents lead somewhere: files that exist, headings that are there, pages that the site lists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import pytest
from markdown_it import MarkdownIt

import hf_dataset
import modeling_ariel
import modeling_ariel.any_telescope
import modeling_ariel.transients

REPOSITORY = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted(
    path
    for place in ("*.md", "docs/**/*.md", ".github/*.md", "space/*.md", "modeling_ariel/**/README.md")
    for path in REPOSITORY.glob(place)
)
API = {"hf_dataset": hf_dataset, "modeling_ariel": modeling_ariel} | {
    name: getattr(modeling_ariel, name) for name in ("any_telescope", "transients")
}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(REPOSITORY).as_posix())
def test_links_of_a_document_lead_somewhere(path: Path) -> None:
    for target in links(path.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, heading = unquote(target).partition("#")
        found = (path.parent / file).resolve() if file else path
        assert found.exists(), f"{path.name}: {target}"
        if heading and found.suffix == ".md":
            assert heading in headings(found), f"{path.name}: {target}"


def test_the_site_lists_every_page_of_docs_once() -> None:
    index = (REPOSITORY / "docs/index.md").read_text()
    listed = [line for block in re.findall(r"```\{toctree\}(.*?)```", index, re.DOTALL) for line in block.split()]
    pages = [str(path.relative_to(REPOSITORY / "docs").with_suffix("")) for path in DOCUMENTS if "docs" in path.parts]
    assert sorted(name for name in listed if not name.startswith(":") and name in pages) == sorted({*pages} - {"index"})


@pytest.mark.parametrize("name", API)
def test_public_names_are_on_a_page(name: str) -> None:
    page = (REPOSITORY / f"docs/api/{name}.md").read_text()
    written = set(re.findall(r"^\.\. auto\w+:: [\w.]+\.(\w+)$", page, re.MULTILINE))
    module = API[name]
    public = next(getattr(module, one) for one in ("__all__", "_HOME_OF", "_HOMES") if hasattr(module, one))
    assert written == set(public)


def links(text: str) -> Iterator[str]:
    """Targets of links and pictures in Markdown."""
    for token in MarkdownIt().parse(text):
        for child in token.children or ():
            if child.type in ("link_open", "image"):
                yield str(child.attrs.get("href") or child.attrs["src"])


@cache
def headings(path: Path) -> set[str]:
    """Anchors of the headings of a document, as GitHub makes them."""
    tokens = MarkdownIt().parse(path.read_text(encoding="utf-8"))
    titles = [one.content for before, one in pairwise(tokens) if before.type == "heading_open"]
    plain = (re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title) for title in titles)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in plain}
