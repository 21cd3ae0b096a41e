"""What a log line holds."""

import json

import pytest
import structlog


def test_a_line_is_json_and_its_traceback_shows_no_local_variable(
    capsys: pytest.CaptureFixture[str],
) -> None:
    secret = "whsec_" + "c2VjcmV0" * 4

    def fail() -> None:
        hidden = secret  # what a traceback with locals would show
        raise LookupError(len(hidden))

    try:
        fail()
    except LookupError:
        structlog.get_logger().exception("it_failed", company="acme")

    line = json.loads(capsys.readouterr().out)
    assert (line["event"], line["level"], line["company"]) == ("it_failed", "error", "acme")
    assert "LookupError: 38" in line["exception"]
    assert secret not in line["exception"]
