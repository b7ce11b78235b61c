"""`ariel transients COMMAND`: one file a command, as in the folder above."""
