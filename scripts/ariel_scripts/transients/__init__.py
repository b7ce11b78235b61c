"""Libraries of `ariel transients`: tables of features, boosting in nested folds, what is predicted."""
