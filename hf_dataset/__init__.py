"""Raw Ariel frames in, a Hugging Face dataset of light curves out."""
