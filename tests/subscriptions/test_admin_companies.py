"""Staff of one company see and change what is its own, on every page that the admin has."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import NoReverseMatch, reverse
from pytest_httpserver import HTTPServer

from jobs.models import Membership
from subscriptions.deliveries import delivery
from subscriptions.models import Event, SearchEntry, Subscription
from subscriptions.relay import relay_all
from subscriptions.routing import Router
from tests.subscriptions.conftest import Messages, Sql
from tests.subscriptions.test_admin import ADD, FORM

pytestmark = pytest.mark.django_db(transaction=True)

# In every row of the other company and of the platform, and nowhere else.
FOREIGN = "not-for-acme"


@pytest.fixture
def rows(
    orders: str,
    sql: Sql,
    subscribe: Callable[..., int],
    messages: Messages,
    httpserver: HTTPServer,
    local_receivers: None,
) -> None:
    """Subscriptions of acme, of globex and of the platform, each with deliveries and attempts."""
    httpserver.expect_request("/own").respond_with_data("answered acme")
    httpserver.expect_request("/other").respond_with_data(FOREIGN)
    subscribe("acme", name="own", config=f'{{"url": "{httpserver.url_for("/own")}"}}')
    other = f'{{"url": "{httpserver.url_for("/other")}"}}'
    subscribe("globex", name=FOREIGN, config=other)
    subscribe(None, name=FOREIGN, config=other)
    subscribe(None, name="index", handler_type="SEARCH", config='{"title": "status"}')
    sql("INSERT INTO orders VALUES (1, 'acme', 'acme-data'), (2, 'globex', %s)", FOREIGN)
    relay_all(Router())
    assert delivery.deliver(messages.ids) == 6


@pytest.fixture
def member(client: Client, transactional_db: None) -> Client:
    """A client of acme's staff, who have every permission there is."""
    user = User.objects.create_user("member", is_staff=True)
    user.user_permissions.set(Permission.objects.all())
    Membership.objects.create(user=user, company="acme")
    client.force_login(user)
    return client


def admins() -> "Iterator[admin.ModelAdmin[Any]]":
    for model, found in admin.site._registry.items():
        if model._meta.app_label == "subscriptions":
            yield found


def addresses(model_admin: "admin.ModelAdmin[Any]", pk: object) -> Iterator[str]:
    """Yield every address of the admin of a model, for the row."""
    for pattern in model_admin.get_urls():
        if not pattern.name:
            continue
        for arguments in ({}, {"object_id": pk}):
            try:
                yield reverse(f"admin:{pattern.name}", kwargs=arguments)
            except NoReverseMatch:
                continue


def of_acme(row: Any) -> bool:
    return bool(row.company == "acme")


def foreign_rows(model_admin: "admin.ModelAdmin[Any]", member: Client) -> list[Any]:
    """Return the rows that acme's staff must not see, by the models themselves."""
    own = set(Subscription.objects.filter(company="acme").values_list("pk", flat=True))
    by_name: dict[str, Callable[[Any], bool]] = {
        "subscription": lambda row: row.pk in own,
        "event": lambda row: row.company == "acme",
        "delivery": lambda row: row.subscription_id in own,
        "deliveryattempt": lambda row: row.delivery.subscription_id in own,
        "relaycursor": lambda row: False,
    }
    is_own = by_name.get(str(model_admin.opts.model_name), of_acme)
    found: list[Any] = list(model_admin.model._default_manager.all())
    return [row for row in found if not is_own(row)]


def test_no_page_shows_or_takes_anything_of_another_company(rows: None, member: Client) -> None:
    visited = 0
    for model_admin in admins():
        for row in foreign_rows(model_admin, member):
            before = list(type(row)._default_manager.filter(pk=row.pk).values())
            for address in addresses(model_admin, row.pk):
                for answer in (member.get(address), member.post(address, {"post": "yes"})):
                    text = answer.content.decode() if not answer.streaming else ""
                    visited += 1
                    assert FOREIGN not in text, address
                    if str(row.pk) in address.split("/"):
                        assert answer.status_code in (302, 403, 404, 405), address
            assert list(type(row)._default_manager.filter(pk=row.pk).values()) == before
    assert visited > 50


def test_own_rows_are_listed_opened_and_changed(rows: None, member: Client) -> None:
    own = Subscription.objects.get(company="acme")
    listed = member.get(reverse("admin:subscriptions_subscription_changelist")).content.decode()
    url = reverse("admin:subscriptions_subscription_change", args=[own.pk])
    page = member.get(url)

    changed = member.post(url, {**FORM, "company": "globex", "config_url": own.config["url"]})

    assert ">own<" in listed
    assert (page.status_code, changed.status_code) == (200, 302)
    own.refresh_from_db()
    assert (own.company, own.filter) == ("acme", {"status": "confirmed"})


def test_what_they_make_is_their_company_s_whatever_is_sent(orders: str, member: Client) -> None:
    form = member.get(f"{ADD}?handler_type=WEBHOOK").content.decode()
    assert 'name="company"' not in form

    assert member.post(ADD, {**FORM, "company": "globex"}).status_code == 302
    again = member.post(ADD, {**FORM, "company": "globex"})

    assert Subscription.objects.get().company == "acme"
    assert "a subscription of this name already" in again.content.decode()


def test_a_filter_is_tried_on_their_company_s_events_only(rows: None, member: Client) -> None:
    for company in ("globex", ""):
        answer = member.post(ADD, {**FORM, "filter": "{}", "company": company, "_try": "1"})

        page = " ".join(answer.content.decode().split())
        assert "1 of 1 past event matches" in page
        assert FOREIGN not in page


def test_an_event_of_another_company_is_not_explained(rows: None, member: Client) -> None:
    own = Subscription.objects.get(company="acme")
    page = reverse("admin:subscriptions_subscription_why", args=[own.pk])
    events = {event.company: str(event.event_id) for event in Event.objects.all()}

    foreign = " ".join(member.get(page, {"event": events["globex"]}).content.decode().split())
    ours = " ".join(member.get(page, {"event": events["acme"]}).content.decode().split())

    assert "there is no event" in foreign
    assert FOREIGN not in foreign
    assert "It matches." in ours


def test_deleting_what_was_chosen_leaves_other_companies_rows(rows: None, member: Client) -> None:
    chosen = list(Subscription.objects.values_list("pk", flat=True))

    member.post(
        reverse("admin:subscriptions_subscription_changelist"),
        {"action": "delete_selected", "_selected_action": chosen, "post": "yes"},
    )

    assert {row.company for row in Subscription.objects.all()} == {"globex", None}


def test_only_superusers_say_who_belongs_where(member: Client, admin_client: Client) -> None:
    user = User.objects.get(username="member")
    pages = [
        reverse("admin:jobs_membership_changelist"),
        reverse("admin:jobs_membership_add"),
        reverse("admin:jobs_membership_change", args=[user.pk]),
        reverse("admin:jobs_membership_delete", args=[user.pk]),
    ]

    assert [member.get(page).status_code for page in pages] == [403] * 4
    assert [admin_client.get(page).status_code for page in pages] == [200] * 4


def test_the_search_index_shows_the_company_s_records(rows: None, member: Client) -> None:
    listed = member.get(reverse("admin:subscriptions_searchentry_changelist")).content.decode()
    own = SearchEntry.objects.get(company="acme")

    shown = member.get(reverse("admin:subscriptions_searchentry_change", args=[own.pk]))
    found = member.get(reverse("admin:subscriptions_searchentry_changelist"), {"q": "1"})
    other = member.get(reverse("admin:subscriptions_searchentry_changelist"), {"q": "2"})

    assert "acme-data" in found.content.decode()
    assert FOREIGN not in other.content.decode()
    assert "acme-data" in listed
    assert FOREIGN not in listed
    assert "acme-data" in shown.content.decode()


def test_staff_without_a_company_see_all(rows: None, member: Client) -> None:
    Membership.objects.all().delete()

    listed = member.get(reverse("admin:subscriptions_event_changelist")).content.decode()

    assert Event.objects.count() == 2
    assert "globex" in listed
