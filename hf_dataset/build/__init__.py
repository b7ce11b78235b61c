"""Many visits → shards: plan, workers, resuming, report."""
