"""Which dead letters: by reason, type, company and time."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import QuerySet

from subscriptions.ingest.reasons import Reason
from subscriptions.models import DeadLetter
from subscriptions.statements import fetch

MOST_COUNTED = 10_000

# Of each reason no more rows are looked at than are counted; by the index of open ones.
COUNTS = """
SELECT reason, count(*)
FROM unnest(%(reasons)s::text[]) AS known (reason) CROSS JOIN LATERAL (
    SELECT FROM event_system_dead_letter d
    WHERE d.status = 'open' AND d.reason = known.reason
        AND (%(company)s::text IS NULL OR d.company = %(company)s)
    LIMIT %(most)s) AS found
GROUP BY reason ORDER BY count(*) DESC, reason
"""


@dataclass(frozen=True)
class Choice:
    """Open dead letters that were first seen from `since` to before `until`; None: any."""

    reason: str | None = None
    type: str | None = None
    company: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def rows(self) -> QuerySet[DeadLetter]:
        given = {
            "reason": self.reason,
            "type": self.type,
            "company": self.company,
            "first_seen_at__gte": self.since,
            "first_seen_at__lt": self.until,
        }
        found = {name: value for name, value in given.items() if value is not None}
        return DeadLetter.objects.filter(status=DeadLetter.Status.OPEN, **found)

    def count(self) -> int:
        """Return how many they are, no more than 10,000."""
        return self.rows().order_by().values("pk")[:MOST_COUNTED].count()


def counts(company: str | None = None) -> list[tuple[str, int]]:
    """Return how many are open by reason, most first, each no more than 10,000. One query."""
    given = {"reasons": list(Reason), "company": company, "most": MOST_COUNTED}
    return [(str(reason), int(count)) for reason, count in fetch(COUNTS, given)]
