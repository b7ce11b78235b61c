"""What a dataset is on disk: shards, manifests, card, and whether they agree."""
