"""Options of `ariel transients COMMAND`."""
