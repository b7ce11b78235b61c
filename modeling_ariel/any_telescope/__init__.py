"""Light curves of any telescope: from arrays or files to a spectrum with its covariance."""
