"""What can go wrong with the benchmark.

Exception
└── BenchError       one line for the user; `python -m bench` ends with exit code 2
    └── ProbeFailed  a probe raised; the line ends with its traceback's last line
"""


class BenchError(Exception):
    """A measurement could not be made, or what it measured was wrong."""


class ProbeFailed(BenchError):
    """A request to a probe ended in an exception there."""
