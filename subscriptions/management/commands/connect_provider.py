"""`manage.py connect_provider xero --company acme --tenant …`, tokens from standard input."""

import getpass
import json
import sys
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from jobs.counting import counted
from subscriptions.handlers.sync.connecting import InvalidConnection, connect
from subscriptions.handlers.sync.shipped import PROVIDERS
from subscriptions.models import ExternalMapping


class Command(BaseCommand):
    help = (
        "Store the OAuth 2 tokens that a company granted at an accounting provider. They are read"
        " from standard input, as the token endpoint's JSON or the refresh token alone; at a"
        " terminal they are asked for. They are never taken from the command line."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("provider", choices=sorted(PROVIDERS))
        parser.add_argument("--company", help="whose books; without it, the platform's own")
        parser.add_argument(
            "--tenant", required=True, help="Xero's tenant id, QuickBooks' realm id"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        tokens = _tokens()
        try:
            row = connect(
                company=options["company"],
                provider=options["provider"],
                tenant_id=options["tenant"],
                **tokens,
            )
        except InvalidConnection as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"connected: {row}")
        failed = ExternalMapping.objects.filter(
            company=row.company, provider=row.provider, status=ExternalMapping.Status.FAILED
        ).count()
        if failed:
            self.stdout.write(
                f"{counted(failed, 'record')} failed before: send them again in the admin, under"
                " external mappings"
            )


def _tokens() -> dict[str, Any]:
    """Return refresh token, access token and its life as `connect` takes them."""
    if sys.stdin.isatty():
        text = getpass.getpass("Refresh token: ").strip()
    else:
        text = sys.stdin.read().strip()
    if not text.startswith("{"):
        return {"refresh_token": text}
    try:
        answer = json.loads(text)
        return {
            "refresh_token": str(answer["refresh_token"]),
            "access_token": str(answer.get("access_token") or ""),
            "expires_in": timedelta(seconds=float(answer.get("expires_in") or 0)),
        }
    except (ValueError, KeyError, TypeError, OverflowError):
        raise CommandError(
            "standard input is not the token endpoint's answer: JSON with refresh_token, and"
            " access_token and expires_in if there are any"
        ) from None
