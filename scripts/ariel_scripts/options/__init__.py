"""Options of every command with defaults and help. Imports only typer and YAML."""
