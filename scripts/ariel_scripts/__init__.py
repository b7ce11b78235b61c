"""The `ariel` command: one file a subcommand."""
