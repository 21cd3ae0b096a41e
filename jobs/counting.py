"""Numbers of things, in texts for people."""


def counted(count: int, noun: str) -> str:
    """Return a number with its noun, as "1 run" and "2,000 runs"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
