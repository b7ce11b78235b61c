"""Light curves of any telescope from files to a fit, and the fit as tables."""
