"""Training of the models of transients, on the loop that all models share."""
