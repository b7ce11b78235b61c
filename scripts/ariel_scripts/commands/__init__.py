"""One file a command; `main` is what `ariel NAME` runs."""
