"""The page of `ariel report`."""
