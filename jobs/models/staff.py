"""Staff who belong to one company."""

from django.conf import settings
from django.db import models


class Membership(models.Model):
    """A member of staff sees and changes this company's rows only; without one, all of them.

    Of a superuser it means nothing: they see everything.
    """

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, models.CASCADE, primary_key=True, related_name="membership"
    )
    company = models.CharField(max_length=128)

    class Meta:
        verbose_name = "company of a staff member"
        verbose_name_plural = "companies of staff"
        constraints = [
            models.CheckConstraint(
                condition=~models.Q(company=""), name="membership_names_a_company"
            )
        ]

    def __str__(self) -> str:
        return f"{self.user} ({self.company})"
