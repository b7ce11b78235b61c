"""Numbers of things in messages."""


def number_of(count: int, thing: str) -> str:
    """`1 planet`, `1,100 planets`."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"
