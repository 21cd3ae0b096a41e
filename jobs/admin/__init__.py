"""A window on runs with a few levers: everything can be seen, nothing is edited by hand."""

from jobs.admin.companies import (
    CompanyScoped,
    MembershipAdmin,
    OwnedByCompany,
    RecordedOfCompany,
    RecordedOfRun,
)
from jobs.admin.keys import ApiKeyAdmin
from jobs.admin.platform import keep_from_companies
from jobs.admin.records import ActionAdmin, DefinitionAdmin, FiringAdmin, HoldAdmin, WaitAdmin
from jobs.admin.rows import ReadOnly, Recorded, SearchedByKey
from jobs.admin.runs import RunAdmin
from jobs.admin.steps import AttemptAdmin, JoinAdmin, StepRunAdmin

__all__ = [
    "ActionAdmin",
    "ApiKeyAdmin",
    "AttemptAdmin",
    "CompanyScoped",
    "DefinitionAdmin",
    "FiringAdmin",
    "HoldAdmin",
    "JoinAdmin",
    "MembershipAdmin",
    "OwnedByCompany",
    "ReadOnly",
    "Recorded",
    "RecordedOfCompany",
    "RecordedOfRun",
    "RunAdmin",
    "SearchedByKey",
    "StepRunAdmin",
    "WaitAdmin",
    "keep_from_companies",
]
