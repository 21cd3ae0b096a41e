"""Logs: one JSON object a line on standard output, tracebacks as plain text.

A traceback never shows local variables: they hold secrets, and rendering them can take minutes.
"""

import structlog


def configure() -> None:
    """Set structlog up for this process; settings do it once."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        cache_logger_on_first_use=False,  # tests capture logs of modules already imported
    )
