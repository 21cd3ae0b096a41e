"""The booking tables: appointments, what was done about them, who was told, payments."""

from django.db import models
from django.db.models.functions import Now


class Appointment(models.Model):
    """An appointment as last told of. `changed_at` is when that was: what is older says nothing.

    `reminded_for` is the start that its customer was reminded of.
    """

    class Status(models.TextChoices):
        PLANNED = "planned"
        CANCELLED = "cancelled"

    id = models.BigAutoField(primary_key=True)
    company = models.CharField(max_length=128, null=True)
    appointment_id = models.UUIDField(db_index=True)
    status = models.CharField(max_length=16, choices=Status, default=Status.PLANNED)
    starts_at = models.DateTimeField(null=True)
    service = models.CharField(max_length=200, blank=True)
    user_id = models.CharField(max_length=128, blank=True)
    name = models.CharField(max_length=200, blank=True)
    email = models.CharField(max_length=320, blank=True)
    phone = models.CharField(max_length=32, blank=True)
    reminded_for = models.DateTimeField(null=True)
    changed_at = models.DateTimeField()

    class Meta:
        db_table = "bookings_appointment"
        constraints = [
            models.UniqueConstraint(
                fields=["company", "appointment_id"],
                name="unique_appointment_per_company",
                nulls_distinct=False,
            )
        ]

    def __str__(self) -> str:
        return f"appointment {self.appointment_id}: {self.status}"


class Activity(models.Model):
    """A line of a company's activity log; `key` is its step's idempotency key."""

    id = models.BigAutoField(primary_key=True)
    company = models.CharField(max_length=128, null=True)
    event_type = models.CharField(max_length=100)
    subject = models.CharField(max_length=200, db_index=True)
    text = models.TextField()
    key = models.CharField(max_length=300, unique=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "bookings_activity"
        verbose_name_plural = "activities"
        indexes = [
            models.Index(fields=["company", "-id"], name="bookings_activity_company"),
        ]

    def __str__(self) -> str:
        return f"{self.event_type}: {self.text}"


class Message(models.Model):
    """A mail or an SMS that was sent; `key` is its step's idempotency key."""

    class Channel(models.TextChoices):
        EMAIL = "email"
        SMS = "sms"

    id = models.BigAutoField(primary_key=True)
    company = models.CharField(max_length=128, null=True)
    channel = models.CharField(max_length=8, choices=Channel)
    user = models.CharField(max_length=320, db_index=True)
    address = models.CharField(max_length=320, db_index=True)
    template = models.CharField(max_length=64)
    key = models.CharField(max_length=300, unique=True)
    sent_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "bookings_message"
        indexes = [
            models.Index(fields=["company", "-id"], name="bookings_message_company"),
        ]

    def __str__(self) -> str:
        return f"{self.template} to {self.address}"


class Payment(models.Model):
    """A payment that failed, and what became of it; `amount` in the smallest unit.

    `run_id` is the run that has it in hand.
    """

    class Status(models.TextChoices):
        RETRYING = "retrying"
        PAID = "paid"
        GIVEN_UP = "given_up"
        FAILED = "failed"

    id = models.BigAutoField(primary_key=True)
    company = models.CharField(max_length=128, null=True)
    payment_id = models.CharField(max_length=128, db_index=True)
    status = models.CharField(max_length=16, choices=Status)
    amount = models.PositiveBigIntegerField()
    currency = models.CharField(max_length=3)
    reason = models.TextField(blank=True)
    last_answer = models.TextField(blank=True)
    tries = models.PositiveIntegerField(default=0)
    run_id = models.UUIDField(null=True, db_index=True)
    failed_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "bookings_payment"
        constraints = [
            models.UniqueConstraint(
                fields=["company", "payment_id"],
                name="unique_payment_per_company",
                nulls_distinct=False,
            )
        ]

    def __str__(self) -> str:
        return f"payment {self.payment_id}: {self.status}"
