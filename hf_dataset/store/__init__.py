"""A dataset on disk: shards, manifests, card, and checks that they agree."""
