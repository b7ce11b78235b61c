"""A small simulated study whose numbers may not fall (`make gate`).

    python .ci/gate.py dist/gate

Simulates light curves of 48 planets with a fixed seed, predicts them by the released model, scores and reports them.
Exits with a message where a score or the coverage is worse than in gate.json by more than its tolerance, or where a
file is missing. The tolerances allow for other versions of the libraries, not for another model: after a new release
of the model, `python .ci/gate.py dist/gate --accept` writes gate.json anew.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ariel_scripts.cli import call

EXPECTED = Path(__file__).with_name("gate.json")
TOLERANCE = {"score_2024": 0.005, "score_2025": 0.01, "log_likelihood": 0.02, "rmse_ppm": 1.0, "coverage_90": 0.01}
MORE_IS_BETTER = ("score_2024", "score_2025", "log_likelihood")
ARTEFACTS = ("predictions.parquet", "evaluation.json", "report.html", "report.run.json")


def main(out: Path, accept: bool = False) -> None:
    """Run the study, and compare it."""
    curves, predictions, evaluation = out / "curves", out / "predictions.parquet", out / "evaluation.json"
    call("simulate", curves, "--fast", "--planets", 48, "--test-planets", 2, "--seed", 23, "--quiet")
    call("predict", curves, "--model", "released", "--out", predictions, "--quiet")
    call("evaluate", predictions, curves, "--out", evaluation)
    call("report", curves, "--model", "released", "--out", out / "report.html", "--quiet")
    if missing := [name for name in ARTEFACTS if not (out / name).is_file()]:
        sys.exit(f"{out}: expected {', '.join(ARTEFACTS)}, missing {', '.join(missing)}")
    found = {name: json.loads(evaluation.read_text("utf-8"))[name] for name in TOLERANCE}
    if accept:
        EXPECTED.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if worse := fallen(found, json.loads(EXPECTED.read_text("utf-8"))):
        sys.exit("\n".join(worse))
    print(f"the study's numbers hold: {found}")


def fallen(found: dict[str, float], expected: dict[str, float]) -> list[str]:
    """A line for each number that is worse than expected by more than its tolerance; coverage may move neither way."""
    lines = []
    for name, tolerance in TOLERANCE.items():
        change = found[name] - expected[name]
        loss = -change if name in MORE_IS_BETTER else abs(change) if name == "coverage_90" else change
        if loss > tolerance:
            lines.append(f"{name}: expected {expected[name]:.4f} within {tolerance}, found {found[name]:.4f}")
    return lines


if __name__ == "__main__":
    main(Path(sys.argv[1]), "--accept" in sys.argv)
