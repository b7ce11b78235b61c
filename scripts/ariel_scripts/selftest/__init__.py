"""Checks of an installation for `ariel selftest --deep`."""
