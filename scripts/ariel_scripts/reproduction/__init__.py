"""What a result was made of, whether that is still so, and the same made again."""
