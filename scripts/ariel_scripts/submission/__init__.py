"""The submission: its columns, its JSON Schema, how it is written, and what is wrong with one."""
