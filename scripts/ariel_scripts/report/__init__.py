"""The page that says whether to trust a run."""
