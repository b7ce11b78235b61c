"""--config and --print-config: files of option values, one above another, and what is refused in them."""

from __future__ import annotations

import gzip
from inspect import Parameter
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ariel_scripts.cli import COMMANDS, app
from ariel_scripts.options.fields import parameters_of
from ariel_scripts.options.yaml_values import read_yaml, write_yaml


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "1000")  # messages in one line


def call(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def printed(*words: object) -> dict[str, Any]:
    done = call(*words, "--print-config")
    assert done.exit_code == 0, done.output
    return read_yaml(done.stdout)


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(text: str | bytes, name: str = "a.yaml") -> Path:
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_prints_its_defaults_and_reads_them_back(command: str, write: Any) -> None:
    defaults = {one.name: one.default for one in parameters_of(COMMANDS[command])}
    given = {name: default for name, default in defaults.items() if default is not Parameter.empty}
    words = command.split()
    values = printed(*words)
    assert values == {name: str(one) if isinstance(one, Path) else one for name, one in given.items()}
    assert printed(*words, "--config", write(write_yaml(values))) == values


def test_a_printed_config_gives_the_same_options_and_runs_nothing(write: Any, tmp_path: Path) -> None:
    words = ("build-dataset", tmp_path / "raw", tmp_path / "out", "--planets", "7,8", "--strict")
    values = printed(*words, "--reduction", "{n_bins: 187, sigma: 1e-3, name: '1e3'}", "--log-json", tmp_path / "log")
    assert values["reduction"] == {"n_bins": 187, "sigma": 0.001, "name": "1e3"}
    assert (values["root"], values["planets"], values["strict"]) == (str(tmp_path / "raw"), [7, 8], True)
    assert printed("build-dataset", "--config", write(write_yaml(values))) == values
    assert [path.name for path in tmp_path.iterdir()] == ["a.yaml"]


def test_what_a_printed_config_lacks_to_be_run_is_said(write: Any) -> None:
    done = call("predict", "--print-config")
    assert "dataset" not in read_yaml(done.stdout)
    assert done.stderr == "not complete: expected dataset, out too, found none\n"
    assert "expected a dataset or --simulate N, and not both" in call("finetune", "--print-config").stderr
    assert call("finetune", "curves", "--print-config").stderr == ""


def test_later_files_win_key_by_key_and_the_command_line_over_all(write: Any) -> None:
    one = write("workers: 3\nbins: 5\nengine_options: {time: 02:00:00, deep: {a: 1, b: 2}}\nplanets: [1, 2]\n")
    two = write("workers: 4\nengine_options: {partition: gpu, deep: {b: 3}}\nplanets: 9\n", "b.yaml")
    both = ("build-dataset", "raw", "out", "--config", one, "--config", two)
    values = printed(*both)
    assert (values["workers"], values["bins"], values["planets"]) == (4, 5, [9])
    assert values["engine_options"] == {"time": "02:00:00", "deep": {"a": 1, "b": 3}, "partition": "gpu"}
    assert printed(*both, "--workers", 8, "--bins", 6)["bins"] == 6
    swapped = printed("build-dataset", "raw", "out", "--config", two, "--config", one)
    assert (swapped["workers"], swapped["engine_options"]["deep"]) == (3, {"b": 2, "a": 1})


def test_numbers_that_are_names_and_a_single_value_of_a_list_are_taken_as_meant(write: Any) -> None:
    config = write("population: 2024\nlearning-rate: 1e-4\nsettings: hidden_size=8\nvalidation: 0\n")
    values = printed("finetune", "curves", "--config", config)
    assert (values["population"], values["learning_rate"]) == ("2024", 1e-4)
    assert (values["settings"], values["validation"]) == (["hidden_size=8"], 0.0)


REFUSED = {
    "unknown key": ("stepps: 5", "unknown option stepps; known: accumulation"),
    "a file in a file": ("config: other.yaml", "unknown option config"),
    "text for a number": ("steps: many", "steps: expected a whole number, found 'many'"),
    "a number in quotes": ("steps: '5'", "steps: expected a whole number, found '5'"),
    "a fraction of a step": ("steps: 2.5", "steps: expected a whole number, found 2.5"),
    "true as a number": ("steps: true", "steps: expected a whole number, found true"),
    "true as a share": ("warmup: true", "warmup: expected a finite number, found true"),
    "not a number": ("warmup: .nan", "warmup: expected a finite number, found nan"),
    "infinite": ("clip: .inf", "clip: expected a finite number, found inf"),
    "a list for one": ("steps: [5]", "steps: expected a whole number, found a list of 1"),
    "a mapping for text": ("prior: {a: 1}", "prior: expected text, found a mapping"),
    "YAML's no": ("precision: no", "precision: expected text, found false; in quotes it is text"),
    "a switch by number": ("restart: 1", "restart: expected true or false, found 1"),
    "a date": ("split: 2024-01-01", "split: expected text, found 2024-01-01"),
    "a number as a list's": ("settings: [1.5]", "settings: expected text, found 1.5"),
    "no value": ("steps:", "steps: expected a whole number, found nothing"),
    "out of range": ("steps: 0", "steps: found 0: "),
    "twice": ("steps: 5\nseed: 1\nsteps: 5", "steps: expected once, found twice, line 3"),
    "twice, spelt otherwise": ("batch_size: 5\nbatch-size: 5", "batch_size: expected once, found also as batch-size"),
    "empty": ("", "found nothing"),
    "comments alone": ("# steps: 5\n", "found nothing"),
    "a list": ("- steps\n- 5\n", "expected a mapping of option names to values, found a list of 2"),
    "text": ("steps 5", "expected a mapping of option names to values, found 'steps 5'"),
    "two documents": ("steps: 5\n---\nseed: 1\n", "expected YAML, found: "),
    "not YAML": ("steps: [5", "expected YAML, found: "),
    "a tab": ("steps:\n\t5", "line 2"),
    "too deep": ("[" * 5000, "expected YAML, found: "),
    "an impossible date": ("split: 2024-13-01", "expected YAML, found: month must be in 1..12"),
    "a Python object": ("split: !!python/object/apply:os.getcwd []", "expected YAML, found: could not determine"),
    "gzip": (gzip.compress(b"steps: 5"), "expected YAML, found a gzip file: unpack it"),
    "UTF-16": ("steps: 5".encode("utf-16"), "expected YAML as UTF-8 text, found other bytes"),
    "binary": (bytes(range(32)), "expected YAML, found: "),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_cannot_be_meant_is_refused_by_name_and_key(case: str, write: Any) -> None:
    text, words = REFUSED[case]
    path = write(text)
    done = call("finetune", "curves", "--config", path, "--print-config")
    assert done.exit_code == 2, done.output
    assert f"{path}: " in done.stderr
    assert words in done.stderr
    assert done.stdout == ""


def test_keys_given_twice_in_a_nested_mapping_are_refused(write: Any) -> None:
    config = write("engine_options:\n  time: 1\n  time: 2\n")
    said = call("build-dataset", "raw", "out", "--config", config).stderr
    assert f"{config}: expected YAML, found: time: expected once, found twice, line 3" in said


@pytest.mark.parametrize("ids", ["[1.5]", "[true]", "3.7", "[]", "[[1]]"])
def test_planets_that_are_no_ids_are_refused(ids: str, write: Any) -> None:
    config = write(f"planets: {ids}\n")
    said = call("build-dataset", "raw", "out", "--config", config, "--print-config")
    assert said.exit_code == 2, said.output
    assert f"{config}: planets: expected" in said.stderr


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path, words in ((tmp_path / "none.yaml", "No such file"), (tmp_path, "Is a directory")):
        done = call("finetune", "curves", "--config", path)
        assert done.exit_code == 2
        assert f"{path}: expected a YAML file of option values, found: {words}" in done.stderr


def test_a_number_that_is_none_is_refused_on_the_command_line_too() -> None:
    done = call("finetune", "curves", "--swap-width", "nan")
    assert done.exit_code == 2
    assert "--swap-width: expected a finite number, found nan" in done.stderr
