"""An event type for messages from outside."""

import pytest
from pydantic import BaseModel, ConfigDict, Field

from subscriptions import contracts
from subscriptions.contracts import event


class Reminder(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    appointment_id: str = Field(alias="appointmentId")
    total: float = 0


class Strange(BaseModel):
    def __init__(self, **data: object) -> None:
        raise OSError("a validator that asks the network")


@pytest.fixture(autouse=True)
def visit_types(monkeypatch: pytest.MonkeyPatch) -> None:
    """Declare types for one test."""
    monkeypatch.setattr(contracts, "_types", dict(contracts._types))
    monkeypatch.setattr(contracts, "_by_model", dict(contracts._by_model))
    event("visit.reminder", version=1)(Reminder)
    event("visit.strange", version=1)(Strange)
