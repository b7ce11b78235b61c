"""What every command is asked: options, defaults, help. Imports typer and YAML alone."""
