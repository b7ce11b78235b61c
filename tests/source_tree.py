"""The project's modules and what they import, read from their sources: for tests of walls between rooms."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# folder of the checkout → the name that its modules are imported by
PACKAGES = {
    "hf_dataset": "hf_dataset",
    "modeling_ariel": "modeling_ariel",
    "scripts/ariel_scripts": "ariel_scripts",
    "space": "",
}


@dataclass(frozen=True)
class Module:
    """A source file, the dotted name it is imported by, and the dotted names that it imports, at any depth."""

    path: Path
    name: str
    imports: frozenset[str]

    @property
    def package(self) -> str:
        """The package it is in: the module itself for an ``__init__``."""
        return self.name if self.path.name == "__init__.py" else self.name.rpartition(".")[0]


def modules(repository: Path) -> dict[str, Module]:
    """Every module of the packages and of the Space, by name."""
    found = {}
    for folder, package in PACKAGES.items():
        for path in sorted((repository / folder).rglob("*.py")):
            parts = [package, *path.relative_to(repository / folder).with_suffix("").parts]
            name = ".".join(part for part in parts if part and part != "__init__")
            is_package = path.name == "__init__.py"
            imports = frozenset(_imported(ast.parse(path.read_text()), name if is_package else name.rpartition(".")[0]))
            found[name] = Module(path, name, imports)
    return found


def _imported(tree: ast.AST, package: str) -> Iterator[str]:
    """Dotted names that a source imports; of `from a import b` both a and a.b, as b may be a module."""
    for node in _running(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _running(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes of a tree but those under `if TYPE_CHECKING:`, which never run."""
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING")):
            yield child
            yield from _running(child)


def edges(found: dict[str, Module]) -> dict[str, set[str]]:
    """Module → the project's modules that it imports; the packages above them are left out, as they are empty."""
    known = set(found)
    return {name: {i for i in module.imports if i in known and i != name} for name, module in found.items()}


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Names of one circle of a graph, the first again at its end; empty where there is none."""
    done: set[str] = set()
    for start in graph:
        stack = [(start, iter(sorted(graph[start])))]
        path = [start]
        while stack:
            name, rest = stack[-1]
            for following in rest:
                if following in path:
                    return [*path[path.index(following) :], following]
                if following not in done:
                    path.append(following)
                    stack.append((following, iter(sorted(graph[following]))))
                    break
            else:
                done.add(name)
                path.pop()
                stack.pop()
    return []
