"""`manage.py subscribe_bookings`."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from jobs.workflows.bookings.subscribing import STARTS, SubscribedTwice, subscribe
from subscriptions.errors import InvalidSubscription


class Command(BaseCommand):
    help = (
        "Have the booking events start their workflows: create the subscriptions that are missing,"
        " for all companies or for one. Those that are there are left as they are."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--company", help="for this company's events only; default: all")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            made = subscribe(company=options["company"])
        except (SubscribedTwice, InvalidSubscription) as error:
            raise CommandError(str(error)) from error
        for name in made:
            self.stdout.write(f"created {name}")
        self.stdout.write(f"{len(made)} created, {len(STARTS) - len(made)} there before")
