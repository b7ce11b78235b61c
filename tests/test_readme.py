"""Every code block of README.md and of docs/loading.md runs, in its order, each document in one folder.

- Python: word for word, one namespace a section; a block with an id `you/…` in a process of its own that talks to the
  local Hub (tests/local_hub.py) and cannot import this project's packages, unless it does so itself.
- bash: each line word for word through a shell, `ariel …` and `accelerate …` in a fork of a Python that has its
  libraries (tests/warm_python.py), with these exceptions. `make …`: `make -n` shows what it would call (the quickstart
  and the tests have tests of their own). `ariel simulate` and training get the small settings of `SMALL` appended.
  `kaggle` is a stand-in that serves simulated frames (tests/document_runner.py). `you` is logged in.
  Two simulated planets in the cache stand for the sample that travels with the Space, whose ranking takes minutes.
- text: nothing that runs. The quickstart's output must begin lines that its own code prints of these numbers; the flow
  must name packages that are there.

A block of another kind fails.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from code_blocks import Block, code_blocks
from document_runner import Machine, make_machine, simulated_raw
from local_hub import LocalHub
from push_scenes import UNCHECKED

from ariel_scripts.commands import quickstart
from engine import sample
from modeling_ariel.predictions import read_predictions

REPOSITORY = Path(__file__).resolve().parents[1]
README, LOADING = REPOSITORY / "README.md", REPOSITORY / "docs/loading.md"
BLOCKS = code_blocks(README.read_text())
SMALL = {
    "ariel simulate curves": "--planets 10 --test-planets 2 --bins 60",
    "ariel adapt curves": "--workers 1",
    "ariel report light-curves": "--attributions 0 --embed pca",
    "accelerate launch scripts/finetune.py": "--steps 2 --batch-size 2 --draws 1 --fold 0 --validation 0.7 "
    "--prior checkpoint --tracker none",
}
UNCHECKED_PUSH = f"""
from ariel_scripts import cli
from ariel_scripts.publishing import model_release
{UNCHECKED}
raise SystemExit(cli.call("push", "model", "you/ariel-spectra"))
"""
TARGETS = {"quickstart": "ariel quickstart", "test": "pytest", "space": "space/app.py"}


@pytest.fixture
def machine(tmp_path: Path, repository: Path, hub: LocalHub) -> Machine:
    return make_machine(tmp_path, repository, hub, SMALL)


def test_every_block_says_what_it_is() -> None:
    assert {block.language for block in BLOCKS} == {"python", "bash", "text"}
    assert len([block for block in BLOCKS if block.language == "text"]) == 3  # flow, output; how to cite it
    assert {block.language for block in code_blocks(LOADING.read_text())} == {"python", "bash"}


def test_make_has_the_targets_that_the_readme_names(machine: Machine) -> None:
    named = re.findall(r"\bmake ([a-z-]+)", "\n".join(line for block in BLOCKS for line in block.lines))
    assert {"quickstart", "test"} <= set(named)
    for target in named:
        assert TARGETS[target] in machine.shell(f"make -n -C {REPOSITORY} {target}")


def test_the_readmes_blocks_run_in_order(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    simulated_raw(machine.folder.parent / "served")
    monkeypatch.setenv("XDG_CACHE_HOME", str(machine.home))
    kept = sample.cache_folder()
    machine.shell(f"ariel simulate {kept} --fast --planets 2 --quiet")
    (kept / "run.json").unlink()  # the sample has none: it names this machine's folders
    for name in (sample.RECORD, sample.SCORES):
        (kept / name).write_text("{}\n")
    monkeypatch.chdir(machine.folder)
    for section, blocks in sections(BLOCKS):
        names: dict[str, Any] = {}
        for block in blocks:
            machine.run(block, names, README)
        check(section, names, machine)


def test_the_blocks_on_loading_run_in_order(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.shell("ariel simulate light-curves --fast --planets 3 --test-planets 1 --bins 60")
    machine.shell("ariel push dataset you/ariel-2024 light-curves")
    machine.hub.run(UNCHECKED_PUSH, machine.home)
    monkeypatch.chdir(machine.folder)
    for _, blocks in sections(code_blocks(LOADING.read_text())):
        names: dict[str, Any] = {}
        for block in blocks:
            machine.run(block, names, LOADING)
    folder, hub, offline = (read_predictions(machine.folder / f"run/{name}.parquet") for name in
                            ("folder", "hub", "offline"))  # fmt: skip
    np.testing.assert_array_equal(hub.mu, folder.mu)
    np.testing.assert_array_equal(offline.sigma, folder.sigma)


def sections(blocks: list[Block]) -> Iterator[tuple[str, list[Block]]]:
    """Blocks by the section that they stand in."""
    for section in dict.fromkeys(block.section for block in blocks):
        yield section, [block for block in blocks if block.section == section]


def check(section: str, names: dict[str, Any], machine: Machine) -> None:
    """What the section's comments promise of its names and files."""
    folder = machine.folder
    if section.startswith("For ML practitioners"):
        assert names["rows"][0]["flux"].shape == (375, 283)
        assert {"flux_err", "valid", "time", "centroid", "star", "spectrum"} <= set(names["rows"].column_names)
        for made in ("run/report.html", "run/submission.csv", "run/predictions.evaluation.json"):
            assert (folder / made).is_file(), made
        assert json.loads((folder / "runs/labelled/fold-0/model/training.json").read_text())["config"]["folds"] == 5
    if section.startswith("For astronomers"):
        result, spectrum = names["result"], names["spectrum"]
        assert result.depth.shape == (2, 283)
        assert result.covariance.shape == (2, 283, 283)
        assert spectrum.mean.shape == spectrum.sigma.shape == spectrum.classical_mean.shape == (1, 283)
        assert list(result.status) == ["ok", "ok"]
        assert list(spectrum.status) == ["ok"]
    if section.startswith("Publish and load"):
        assert {"README.md", "app.py"} <= set(machine.hub.files("space", "you/ariel-space"))


def text_block(start: str) -> Block:
    (block,) = [block for block in BLOCKS if block.language == "text" and block.code.startswith(start)]
    return block


def test_the_quickstarts_output_begins_lines_that_it_prints_of_these_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = text_block("12 planets with").code.splitlines()
    monkeypatch.chdir(tmp_path)
    out = Path("quickstart")
    (out / "run").mkdir(parents=True)
    rows = [line.split() for line in shown[2:]]
    for column, kind in ((1, "reduced"), (2, "reduced-classical")):
        shown_numbers = {row[0]: float(row[column]) for row in rows}
        numbers = dict.fromkeys(quickstart.MEANING, 1.0) | shown_numbers
        (out / "run" / f"{kind}.evaluation.json").write_text(json.dumps(numbers))
    quickstart._say_where(out, out / "index.html", out / "run", 129.0, {"reduced": shown[0]})
    printed = capsys.readouterr().out
    assert all(f"\n{line}" in printed for line in shown)


def test_the_flow_names_packages_that_are_there(repository: Path) -> None:
    named = re.findall(r"→ (\w+_\w+) ", text_block("raw challenge folder").code)
    assert named == ["hf_dataset", "modeling_ariel"]
    for package in named:
        assert (repository / package).is_dir(), package


def test_links_and_pictures_lead_to_files_of_the_repository(repository: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", README.read_text()):
        assert "://" in target or (repository / target).exists(), target
