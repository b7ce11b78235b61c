"""What this package brings along: licences, an SBOM and known holes (`make audit`).

    python .ci/audit.py dist

Licences are those of all that the project needs at run time, with its extras for users, as installed here; none may be
GPL or AGPL, and none may be unknown. The SBOM is CycloneDX, of requirements.lock. pip-audit asks PyPI for known holes;
where no answer can be had that is said, and nothing is claimed.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT = "ariel-hf"
EXTRAS = ("fit", "kaggle", "report", "space", "transients")  # of users; ray and s3 are not installed by `make`
REFUSED = re.compile(r"(?<!L)\bA?GPL|(?<!Lesser )(?<!Library )General Public License|UNKNOWN", re.IGNORECASE)
CHOICE = re.compile(r"\bOR\b|;")  # one of several licences may be taken


def main(out: Path) -> None:
    """Write licences.json and sbom.json to ``out``; exit with a message where something is refused."""
    out.mkdir(parents=True, exist_ok=True)
    licences = licences_of(sorted(closure(PROJECT, EXTRAS) - {PROJECT}))
    (out / "licences.json").write_text(json.dumps(licences, indent=1), encoding="utf-8")
    write_sbom(out / "sbom.json")
    print(f"{len(licences)} packages needed at run time; {out / 'licences.json'}, {out / 'sbom.json'}")
    if bad := refused(licences):
        sys.exit("licences: expected permissive ones, found " + ", ".join(f"{k} ({v})" for k, v in bad.items()))
    if holes := known_holes():
        sys.exit("known holes: " + ", ".join(holes))


def closure(name: str, extras: tuple[str, ...] = ()) -> set[str]:
    """Canonical names of an installed distribution and of all that it needs here, at any depth."""
    found: set[tuple[str, str]] = set()
    waiting = [(canonicalize_name(name), extra) for extra in ("", *extras)]
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += _needs(*one)
    return {name for name, _ in found}


def _needs(name: str, extra: str) -> Iterator[tuple[str, str]]:
    for line in importlib.metadata.requires(name) or ():
        need = Requirement(line)
        if need.marker is None or need.marker.evaluate({"extra": extra}):
            yield from ((canonicalize_name(need.name), one) for one in ("", *need.extras))


def licences_of(names: list[str]) -> dict[str, str]:
    """Name → licence by pip-licenses, from an expression, else classifiers, else the licence field."""
    listed = _output("piplicenses", "--format=json", "--from=all", "--packages", *names)
    fields = ("License-Expression", "License-Classifier", "License-Metadata")

    def licence(row: dict[str, str]) -> str:
        stated = (row[field].strip() for field in fields)
        return next((one.splitlines()[0] for one in stated if one and one != "UNKNOWN"), "UNKNOWN")

    return {canonicalize_name(row["Name"]): licence(row) for row in json.loads(listed)}


def refused(licences: dict[str, str]) -> dict[str, str]:
    """Those of which every choice is GPL, AGPL or unknown."""
    return {
        name: text for name, text in licences.items() if all(REFUSED.search(choice) for choice in CHOICE.split(text))
    }


def write_sbom(path: Path) -> None:
    """CycloneDX of all packages in the lock, with the project as what they are parts of."""
    arguments = ("requirements", "requirements.lock", "--pyproject", "pyproject.toml", "--output-reproducible")
    path.write_text(_output("cyclonedx_py", *arguments), encoding="utf-8")


def known_holes() -> list[str]:
    """Known holes of the locked versions; none, said aloud, where no vulnerability service answers."""
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--no-deps", "-r", "requirements.lock", "-f", "json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        print(f"known holes: not looked for, no service answers: {done.stderr.strip().splitlines()[-1:]}")
        return []
    asked = [one for one in packages if "skip_reason" not in one]
    skipped = len(packages) - len(asked)
    if not asked:
        print(f"known holes: not looked for, no service knows any of the {skipped} packages")
        return []
    print(f"known holes: {len(asked)} packages asked for, {skipped} not known to the service")
    return [f"{one['name']} {one['version']} {hole['id']}" for one in asked for hole in one["vulns"]]


def _output(module: str, *arguments: str) -> str:
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, text=True, stdout=subprocess.PIPE).stdout


if __name__ == "__main__":
    main(Path(sys.argv[1]))
