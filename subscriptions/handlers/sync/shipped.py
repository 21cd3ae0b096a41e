"""The providers that there are."""

from subscriptions.handlers.sync.providers import Provider
from subscriptions.handlers.sync.quickbooks import QuickBooks
from subscriptions.handlers.sync.xero import Xero

PROVIDERS: dict[str, Provider] = {"quickbooks": QuickBooks(), "xero": Xero()}
