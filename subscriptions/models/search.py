"""The search index."""

from django.contrib.postgres.search import SearchVectorField
from django.db import models
from django.db.models.functions import Now

from subscriptions.models.definitions import Subscription


class SearchEntry(models.Model):
    """What the search index says of one record, as of event `seq`: see `subscriptions.search`.

    A removed record keeps its row, empty, until no older event can come any more. The row whose
    `record_key` is empty says as of when the table was emptied.
    """

    id = models.BigAutoField(primary_key=True)
    subscription = models.ForeignKey(
        Subscription, models.DO_NOTHING, db_constraint=False, related_name="search_entries"
    )
    company = models.TextField(null=True)
    table = models.TextField()
    record_key = models.TextField()
    record_id = models.JSONField(null=True)
    seq = models.BigIntegerField()
    is_removed = models.BooleanField(default=False)
    title = models.TextField(default="")
    body = models.TextField(default="")
    fields = models.JSONField(default=dict)
    link = models.TextField(default="")
    folded = models.TextField(default="")
    document = SearchVectorField(default="")
    changed_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "event_system_search_entry"
        verbose_name_plural = "search entries"
        constraints = [
            models.UniqueConstraint(
                fields=["subscription", "table", "record_key"],
                name="unique_search_entry_per_record",
            )
        ]

    def __str__(self) -> str:
        return f"{self.title} ({self.table} {self.record_key})"
