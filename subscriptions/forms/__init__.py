"""Forms of the admin."""

from subscriptions.forms.subscription import SubscriptionForm, form_for

__all__ = ["SubscriptionForm", "form_for"]
