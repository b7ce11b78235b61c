"""What pretraining and fine-tuning share: options, fits, examples, the loop, its folder."""
