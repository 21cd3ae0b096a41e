"""What can go wrong with the embedded services.

Exception
└── EmbeddedError    one line for the user; `python -m counterpoint.embedded` ends with exit code 2
    └── ProcessEnded a process was needed and is gone; the line ends with the last of its log
"""


class EmbeddedError(Exception):
    """Say in one line why the embedded services cannot run and what to do."""


class ProcessEnded(EmbeddedError):
    """A process under the guard ended although somebody waited for it to work."""

    def __init__(self, name: str, code: int, last_line: str) -> None:
        super().__init__(f"{name} ended with code {code}: {last_line or 'its log is empty'}")
        self.name = name
        self.code = code
