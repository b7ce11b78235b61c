"""`ariel transients report`'s page: predicted transients, mistakes first."""
