"""`manage.py ensure_queues`."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from counterpoint import provision, sqs


class Command(BaseCommand):
    """Create every declared SQS queue with its dead-letter queue; run it as often as you like."""

    help = (
        "Create every declared SQS queue and its dead-letter queue. Existing queues are left as "
        "they are; one with other attributes than declared is reported, and the command fails."
    )
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        with sqs.reachable():
            report = provision.ensure(sqs.client(), settings.QUEUES)
        if options["verbosity"]:
            for name in report.created:
                self.stdout.write(f"created {name}")
            self.stdout.write(f"{len(report.created)} created, {len(report.unchanged)} as declared")
        if report.refused:
            raise CommandError(
                "\n".join(report.refused)
                + "\nNothing that exists was changed, for others may use it: run the commands "
                "above, delete the queue, or name another SQS_QUEUE_PREFIX.",
                returncode=1,
            )
