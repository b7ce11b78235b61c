"""Light curves and raw frames of users, read in a separate process."""
