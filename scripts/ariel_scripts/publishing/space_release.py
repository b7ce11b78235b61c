"""The Space's folder → what its repository holds: the app, modules of this package, the checkpoint and the sample.

A Space installs from PyPI only, and this package is not there. So the modules of `hf_dataset`, `modeling_ariel` and
`ariel_scripts` that the app imports, directly or by one another, go with it by the names that they are imported by,
with the templates beside them; nothing else of the package does.
"""

from __future__ import annotations

import ast
import importlib.metadata
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import SpaceCard, metadata_load
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

import ariel_scripts
import hf_dataset
from ariel_scripts.opening.provenance import licence_of
from ariel_scripts.publishing.release import Related, Release
from ariel_scripts.shipped import licence_text
from hf_dataset.store.contents import read_contents

PACKAGES = ("hf_dataset", "modeling_ariel", "ariel_scripts")
TEMPLATES = "templates"  # a folder of what is no module
ROOMS = ("engine", "uploads", "page")  # folders of the Space's own modules, beside app.py
THUMBNAIL = "thumbnail.png"
ALLOWED = (
    *("README.md", "LICENSE", "requirements.txt", THUMBNAIL, "*.py", "sample_data/**"),
    *(f"{package}/**" for package in PACKAGES),
    *(f"{room}/**" for room in ROOMS),
)
CHECKPOINTS = ("modeling_ariel/released", "modeling_ariel/transients/released")
HEADER = ("title", "emoji", "colorFrom", "colorTo", "sdk", "sdk_version", "python_version", "app_file", "license")
NAMELESS = "USER/SPACE"  # of the README's example; the repository's name takes its place
SAMPLE = "engine/__main__.py"
SAMPLE_SECONDS = 900  # simulating and scoring the sample takes about two minutes on two cores


def space_release(folder: str | Path, repo_id: str, related: Related = Related()) -> Release:
    """Files of a Space: those of `folder`, the package's modules that they import, the checkpoint and the sample.

    Raises ValueError naming the file, what was expected and what was found, where the Space would not start.
    """
    folder = Path(folder).resolve()
    rooms = (path for room in ROOMS for path in sorted((folder / room).rglob("*.py")))
    sources = [*sorted(folder.glob("*.py")), *rooms]
    header = _header(folder)
    if not (folder / str(header["app_file"])).is_file():
        raise ValueError(f"{folder / 'README.md'}: app_file: expected a file of the folder, found {header['app_file']}")
    modules = import_closure(sources, _package_root(), _scripts_root())
    _check_requirements(folder / "requirements.txt", [*sources, *modules.values()], header)
    assets = (path for suffix in ("css", "js") for path in sorted(folder.glob(f"page/*.{suffix}")))
    own = (folder / "requirements.txt", folder / THUMBNAIL, *sources, *assets)
    files: dict[str, Path | bytes] = {path.relative_to(folder).as_posix(): path for path in own}
    files["README.md"] = _readme(folder, repo_id, related).encode()
    files |= modules | templates_beside(modules)
    files |= {f"{name}/{path.name}": path for name in CHECKPOINTS for path in _checkpoint(name)}
    sample = sample_folder(folder)
    _check_licence(folder / "README.md", str(header["license"]), sample)
    files["LICENSE"] = licence_text().encode()
    files |= {
        f"sample_data/{path.relative_to(sample).as_posix()}": path
        for path in sorted(sample.rglob("*"))
        if path.is_file()
    }
    return Release("space", repo_id, files, ALLOWED)


# --- the package's modules -----------------------------------------------------------------------------------------


def import_closure(sources: list[Path], *roots: Path) -> dict[str, Path]:
    """Modules of the packages in `roots` that `sources` import, at any depth and in any function: their path → file."""
    found: dict[str, Path] = {}
    waiting = [(path, "") for path in sources]
    while waiting:
        path, package = waiting.pop()
        for name in _imported(path, package):
            for relative, file in _files(name, roots):
                if relative not in found:
                    found[relative] = file
                    waiting.append((file, relative.rsplit("/", 1)[0].replace("/", ".")))
    return found


def _imported(path: Path, package: str) -> Iterator[str]:
    """Dotted names that a source imports; of `from a import b` both a and a.b, as b may be a module.

    What stands under `if TYPE_CHECKING:` is never imported.
    """
    for node in _running(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _running(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a tree that may run."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            for other in child.orelse:
                yield other
                yield from _running(other)
        else:
            yield child
            yield from _running(child)


def templates_beside(modules: dict[str, Path]) -> dict[str, Path]:
    """What lies in the folders of templates beside modules: its path → file."""
    folders = {relative.rpartition("/")[0]: file.parent / TEMPLATES for relative, file in modules.items()}
    return {
        f"{package}/{TEMPLATES}/{file.relative_to(folder).as_posix()}": file
        for package, folder in folders.items()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def _files(name: str, roots: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    """Path and file of a module of the package, and of the `__init__.py` of every package above it.

    ValueError for a public name of a package, which its `__init__.py` imports when it is asked for: where it comes from
    cannot be read there.
    """
    parts = name.split(".")
    if parts[0] not in PACKAGES:
        return
    root = next((one for one in roots if (one / parts[0]).is_dir()), roots[0])
    place = root.joinpath(*parts)
    if len(parts) == 2 and not place.is_dir() and not place.with_suffix(".py").is_file():
        raise ValueError(f"{name}: expected an import from the module that defines it, in what a Space carries")
    for depth in range(1, len(parts) + 1):
        place = root.joinpath(*parts[:depth])
        for file in (place / "__init__.py", place.with_suffix(".py")):
            if file.is_file():
                yield file.relative_to(root).as_posix(), file


def _package_root() -> Path:
    """The folder in which the package's modules lie: of the checkout, or of the installation."""
    return Path(str(hf_dataset.__file__)).resolve().parents[1]


def _scripts_root() -> Path:
    """The folder in which `ariel_scripts` lies, which is another one in a checkout."""
    return Path(str(ariel_scripts.__file__)).resolve().parents[1]


def _checkpoint(name: str) -> list[Path]:
    folder = _package_root() / name
    files = sorted(path for path in folder.glob("*") if path.is_file() and path.suffix != ".py")
    if not any(path.suffix == ".safetensors" for path in files):
        raise ValueError(f"{folder}: expected the released checkpoint, found {[path.name for path in files]}")
    return files


def sample_folder(folder: Path) -> Path:
    """The bundled sample with its scores, made by the Space's own engine where it is not in the cache yet."""
    if not (folder / SAMPLE).is_file():
        raise ValueError(f"{folder}: expected {SAMPLE}, which makes the Space's sample, found none")
    try:
        result = subprocess.run(
            [sys.executable, "-m", "engine"],
            cwd=folder,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
            capture_output=True,
            text=True,
            timeout=SAMPLE_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise ValueError(
            f"{folder / SAMPLE}: expected the Space's sample in {SAMPLE_SECONDS} s (two minutes on two free "
            "cores), found it unfinished: push again when this machine is less busy"
        ) from None
    if result.returncode:
        raise ValueError(f"{folder / SAMPLE}: expected it to make the sample, found\n{result.stderr[-2000:]}")
    return Path(result.stdout.splitlines()[-1])


# --- what a Space is told ------------------------------------------------------------------------------------------


def _header(folder: Path) -> dict[str, Any]:
    """The YAML header of the Space's README, complete."""
    path = folder / "README.md"
    if not path.is_file():
        raise ValueError(f"{path}: expected the Space's README with its YAML header, found no file")
    header = metadata_load(path) or {}
    if missing := [name for name in HEADER if not header.get(name)]:
        raise ValueError(f"{path}: expected {', '.join(HEADER)} in the header, missing {', '.join(missing)}")
    if header["sdk"] != "gradio":
        raise ValueError(f"{path}: sdk: expected gradio, found {header['sdk']}")
    return header


def _readme(folder: Path, repo_id: str, related: Related) -> str:
    """The README with the repository's name in it, and in its header those of its model and dataset."""
    text = (folder / "README.md").read_text("utf-8").replace(NAMELESS, repo_id)
    named = {"models": related.model, "datasets": related.dataset}
    if not any(named.values()):
        return text
    card = SpaceCard(text)
    for name, one in named.items():
        if one:
            card.data[name] = [one]
    return str(card)


def _check_licence(path: Path, stated: str, sample: Path) -> None:
    """The header's licence is the one that the checkpoint and the rows of the sample have."""
    for what, needed in (
        *(("the checkpoint", licence_of(_package_root() / name)) for name in CHECKPOINTS),
        ("the sample", read_contents(sample).licence),
    ):
        if stated != needed:
            raise ValueError(f"{path}: license: expected {needed}, which {what} has, found {stated}")


def _check_requirements(path: Path, sources: list[Path], header: dict[str, Any]) -> None:
    """Every requirement is pinned and from PyPI; everything that is imported is among them or comes with Gradio."""
    if not path.is_file():
        raise ValueError(f"{path}: expected the Space's pinned requirements, found no file")
    pinned = {"gradio": str(header["sdk_version"])}
    for line in path.read_text(encoding="utf-8").splitlines():
        text = line.split("#")[0].strip()
        if not text:
            continue
        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            raise ValueError(f"{path}: expected NAME==VERSION in each line, found {text!r}") from error
        exact = re.fullmatch(r"==[^*,]+", str(requirement.specifier))
        if requirement.url or not exact:
            raise ValueError(f"{path}: expected an exact version from PyPI, found {text!r}")
        pinned[canonicalize_name(requirement.name)] = str(requirement.specifier)[2:]
    known = importlib.metadata.packages_distributions()
    for source in sources:
        for name in sorted(_third_party(source)):
            names = {canonicalize_name(distribution) for distribution in known.get(name, [name])}
            if not names & set(pinned):
                wanted = " or ".join(sorted(names))
                raise ValueError(f"{path}: expected a version of {wanted}, which {source.name} imports, found none")


def _third_party(source: Path) -> set[str]:
    """Top-level names imported from neither the standard library, the package nor the Space's own folder."""
    names = {name.split(".")[0] for name in _imported(source, "_") if not name.startswith("_")}
    return names - set(sys.stdlib_module_names) - {*PACKAGES, *ROOMS, ""}
