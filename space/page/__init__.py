"""What is shown: handlers, figures, words, theme."""
