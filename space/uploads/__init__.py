"""Light curves and raw frames of users, read by a process of its own."""
