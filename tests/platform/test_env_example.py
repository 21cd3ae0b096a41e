"""`.env.example` lists the variables that are read: all of them, and no others."""

import re
from pathlib import Path

import counterpoint
from counterpoint.embedded import ports

ROOT = Path(__file__).parents[2]
# Read by boto3 and gunicorn, not by us.
READ_BY_OTHERS = {
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "FLOWER_BASIC_AUTH",
    "WEB_CONCURRENCY",
}
PARSED = re.compile(
    r"""\benv\.(?:text|flag|number|names|url|mail_address|networks|pairs)\(\s*"([A-Z_]+)\""""
)
EXPANDED = re.compile(r"\$\{([A-Z_]+)")
LISTED = re.compile(r"^(?:# )?([A-Z_]+)=", re.MULTILINE)


def variables_read() -> set[str]:
    package = Path(counterpoint.__file__).parent
    parsed = {name for path in package.rglob("*.py") for name in PARSED.findall(path.read_text())}
    expanded = set(EXPANDED.findall((ROOT / "Procfile").read_text()))
    return parsed | expanded | set(ports.SETTINGS.values()) | READ_BY_OTHERS


def test_env_example_lists_exactly_the_variables_that_are_read() -> None:
    listed = LISTED.findall((ROOT / ".env.example").read_text())

    assert sorted(listed) == sorted(variables_read())


def test_env_example_holds_no_secret() -> None:
    text = (ROOT / ".env.example").read_text()

    secrets = re.findall(
        r"^(?:# )?\w*(?:KEY|SECRET|PASSWORD|AUTH|URL)\w*=(.*)$", text, re.MULTILINE
    )
    assert set(secrets) <= {"", "http://localhost:8000"}
