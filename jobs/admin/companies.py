"""Staff who belong to one company see and change what is that company's, on every page."""

from typing import Any

from django.contrib import admin
from django.db.models import Model, QuerySet, Subquery
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from jobs.admin.rows import MOST_COUNTED, Recorded
from jobs.models import Membership, Run


def company_of(request: HttpRequest) -> str | None:
    """Return the company that the request's user is held to; None sees everything."""
    user = request.user
    if user.is_superuser:
        return None
    # Cached on the user: one query a request.
    membership: Membership | None = getattr(user, "membership", None)
    return None if membership is None else membership.company


class CompanyScoped:
    """Rows of a company: list, page by URL, actions and autocomplete all start from `get_queryset`.

    Put it before `ModelAdmin`. `company_field` leads to the company of a row; None says that the
    rows are the platform's own, and such staff see none. A company of NULL is the platform's too.
    """

    company_field: str | None = "company"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)  # type: ignore[misc]  # ModelAdmin's
        company = company_of(request)
        return rows if company is None else self.of_company(rows, company)

    def of_company(self, rows: QuerySet[Any], company: str) -> QuerySet[Any]:
        """Return those of the rows that are the company's."""
        if self.company_field is None:
            return rows.none()
        return rows.filter(**{self.company_field: company})

    def is_visible(self, request: HttpRequest, obj: Model | str | None) -> bool:
        """Whether the row (or its key, or any row at all) may be seen. A query for such staff."""
        if company_of(request) is None:
            return True
        if obj is None:
            return self.company_field is not None
        key = obj.pk if isinstance(obj, Model) else obj
        return self.get_queryset(request).filter(pk=key).exists()

    def has_module_permission(self, request: HttpRequest) -> bool:
        allowed: bool = super().has_module_permission(request)  # type: ignore[misc]  # as above
        return allowed and self.is_visible(request, None)

    def has_add_permission(self, request: HttpRequest, *_: Any) -> bool:
        allowed: bool = super().has_add_permission(request, *_)  # type: ignore[misc]  # as above
        return allowed and self.is_visible(request, None)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        allowed: bool = super().has_view_permission(request, obj)  # type: ignore[misc]  # as above
        return allowed and self.is_visible(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        allowed: bool = super().has_change_permission(request, obj)  # type: ignore[misc]  # as above
        return allowed and self.is_visible(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        allowed: bool = super().has_delete_permission(request, obj)  # type: ignore[misc]  # as above
        return allowed and self.is_visible(request, obj)


class RecordedOfCompany(CompanyScoped, Recorded):  # type: ignore[misc]  # as Recorded's own
    """Rows that only the platform writes, of companies."""


class OwnedByCompany(CompanyScoped):
    """Rows that people make, with a column `company`: such staff's are their own company's."""

    def get_exclude(self, request: HttpRequest, obj: Any = None) -> Any:
        excluded = super().get_exclude(request, obj) or ()  # type: ignore[misc]  # ModelAdmin's
        return excluded if company_of(request) is None else (*excluded, "company")

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        obj.company = company_of(request) or obj.company
        super().save_model(request, obj, form, change)  # type: ignore[misc]  # ModelAdmin's


class RecordedOfRun(RecordedOfCompany):
    """Rows that belong to a run, and so to its company; `run_field` leads to it."""

    run_field = "run"

    def of_company(self, rows: QuerySet[Any], company: str) -> QuerySet[Any]:
        return rows.filter(**{f"{self.run_field}__company": company})

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Of a company, list those of its newest runs: to find all would read every run's."""
        rows = super().get_queryset(request)
        company, route = company_of(request), request.resolver_match
        if company is None or route is None or not str(route.url_name).endswith("_changelist"):
            return rows
        if {"run", "q"} & set(request.GET):  # of one run, however old
            return rows
        newest = Run.objects.filter(company=company).order_by("-pk").values("pk")
        return rows.filter(**{f"{self.run_field}__in": Subquery(newest[:MOST_COUNTED])})


@admin.register(Membership)
class MembershipAdmin(ModelAdmin):
    """Superusers' alone, whatever permissions others were given."""

    list_display = ("user", "company")
    list_select_related = ("user",)
    search_fields = ("user__username", "company__exact")
    ordering = ("company", "user__username")
    show_full_result_count = False

    def has_module_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_superuser)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_superuser)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_superuser)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_superuser)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_superuser)
