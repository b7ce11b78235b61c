"""Train a model by masking, also on several processes: accelerate launch scripts/pretrain.py."""

from ariel_scripts.command_line import run_script
from ariel_scripts.commands.pretrain import main

if __name__ == "__main__":
    run_script(main)
