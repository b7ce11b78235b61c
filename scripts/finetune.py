"""Train a model of spectra, on several processes too: accelerate launch scripts/finetune.py (docs/training.md)."""

from ariel_scripts.command_line import run_script
from ariel_scripts.commands.finetune import main

if __name__ == "__main__":
    run_script(main)
