"""Train a model by masking, on several processes too: accelerate launch scripts/pretrain.py (docs/training.md)."""

from ariel_scripts.command_line import run_script
from ariel_scripts.commands.pretrain import main

if __name__ == "__main__":
    run_script(main)
