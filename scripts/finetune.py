"""Train a model of spectra, also on several processes: accelerate launch scripts/finetune.py."""

from ariel_scripts.command_line import run_script
from ariel_scripts.commands.finetune import main

if __name__ == "__main__":
    run_script(main)
