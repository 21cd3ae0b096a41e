"""Staff of one company see and change what is its own, on every page that the admin has."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group, Permission, User
from django.db.models import Model
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_httpserver import HTTPServer

from jobs import keys
from jobs.controls import LEVERS
from jobs.models import (
    Action,
    ApiKey,
    Attempt,
    Definition,
    Firing,
    Hold,
    Join,
    Membership,
    Run,
    StepRun,
    Wait,
)
from subscriptions.deliveries import delivery
from subscriptions.models import (
    Event,
    ExternalConnection,
    ExternalMapping,
    SearchEntry,
    Subscription,
)
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


def engine_rows(company: str, text: str) -> Run:
    """Make a run of the company with a row of everything that hangs on one; `text` is in each."""
    definition = Definition.objects.create(
        hash=f"{company}-hash", workflow=text, plan={"nodes": [], "edges": []}
    )
    run = Run.objects.create(
        workflow=text, definition=definition, company=company, queue="default", input={"a": text}
    )
    step = StepRun.objects.create(run=run, node=text, step=text, queue="default")
    now = timezone.now()
    Attempt.objects.create(
        step_run=step, number=1, outcome="failed", worker=text, started_at=now, finished_at=now
    )
    Join.objects.create(run=run, name=text, live=1)
    Wait.objects.create(step_run=step, run=run, company=company, event_type=text)
    Hold.objects.create(run=run, step_run=step, name=text, key="")
    Firing.objects.create(workflow=text, slot=now, outcome="started", run=run)
    Action.objects.create(run=run, name="cancel", by=text, reason=text)
    keys.create(company=company, name=text, scopes=["runs:read"])
    return run


@pytest.fixture
def more_rows(rows: None) -> None:
    """Of both companies what the engine, the shipped workflows and the providers keep."""
    for company, text in (("acme", "acme-data"), ("globex", FOREIGN)):
        engine_rows(company, text)
        ExternalConnection.objects.create(company=company, provider="xero", tenant_id=text)
        ExternalMapping.objects.create(
            company=company, provider="xero", entity="customer", record_id=text
        )
        model("subscriptions", "ScheduledEvent").create(
            id=uuid4(), company=company, type=text, payload={"a": text}, due_at=timezone.now()
        )
        model("bookings", "Appointment").create(
            company=company, appointment_id=uuid4(), name=text, changed_at=timezone.now()
        )
        model("bookings", "Activity").create(company=company, subject=text, text=text, key=text)
        model("bookings", "Message").create(company=company, user=text, address=text, key=text)
        model("bookings", "Payment").create(
            company=company, payment_id=text, status="failed", amount=1, currency="EUR"
        )
        came = {"company": company, "source": "sqs", "source_id": text, "queue": text}
        model("subscriptions", "Inbox").create(**came, message_id=text, event_id=uuid4())
        model("subscriptions", "DeadLetter").create(
            **came, message_id=text, reason="not_json", body=text.encode(), sent_at=timezone.now()
        )
        customer = model("billing", "Customer").create(company=company, customer_id=text)
        model("billing", "CustomerProduct").create(
            customer=customer, customer_product_id=text, product_id=text
        )
        supplier = model("restock", "Supplier").create(id=company, name="one of all's")
        model("restock", "RestockRequest").create(company=company, supplier_id=text, items=[])
        model("restock", "RestockOrder").create(
            company=company, supplier=supplier, total_items=1, total_cost=1, notes=text, key=text
        )
        model("restock", "SupplierNotice").create(
            supplier=supplier, order_number=1, kind="placed", key=text
        )
    model("counterpoint", "Incident").create(
        rule="failures",
        subject=FOREIGN,
        text=FOREIGN,
        value=1,
        began_at=timezone.now(),
        seen_at=timezone.now(),
    )
    every = model("django_celery_beat", "IntervalSchedule").create(every=1, period="days")
    model("django_celery_beat", "PeriodicTask").create(name=FOREIGN, task="x", interval=every)
    model("django_celery_beat", "CrontabSchedule").create()
    model("django_celery_beat", "ClockedSchedule").create(clocked_time=timezone.now())
    model("django_celery_beat", "SolarSchedule").create(event="sunset", latitude=1, longitude=1)
    model("django_celery_results", "TaskResult").create(task_id=FOREIGN)
    model("django_celery_results", "GroupResult").create(group_id=FOREIGN)
    Group.objects.create(name=FOREIGN)
    stranger = User.objects.create_user(FOREIGN, is_staff=True)
    Membership.objects.create(user=stranger, company="globex")


def model(app: str, name: str) -> Any:
    return apps.get_model(app, name)._default_manager


# What stands in the addresses of the admin beside a row's key; a new page says here what it takes.
PARTS: dict[str, list[str]] = {"name": list(LEVERS)}
THE_PLATFORM_S = {
    *("relaycursor", "definition", "supplier", "suppliernotice", "membership", "user", "group"),
    *("periodictask", "crontabschedule", "intervalschedule", "solarschedule", "clockedschedule"),
    *("taskresult", "groupresult", "incident"),
}


def admins() -> "Iterator[admin.ModelAdmin[Any]]":
    yield from admin.site._registry.values()


def addresses(model_admin: "admin.ModelAdmin[Any]", pk: object) -> Iterator[str]:
    """Yield every address of the admin of a model, for the row."""
    for pattern in model_admin.get_urls():
        if not pattern.name:  # an old form of the change page, which leads there
            continue
        asked = [*pattern.pattern.converters]
        values = {**PARTS, "object_id": [str(pk)], "id": [str(pk)]}
        if not asked:
            yield reverse(f"admin:{pattern.name}")
        for name in asked:
            assert len(asked) == 1, pattern
            assert name in values, f"{pattern}: PARTS names no {name}"
            yield from (reverse(f"admin:{pattern.name}", args=[one]) for one in values[name])


def is_acme_s(row: Any) -> bool:
    """Whether the row is acme's, by the models themselves."""
    name = row._meta.model_name
    if name in THE_PLATFORM_S:
        return False
    if name == "delivery":
        return bool(Subscription.objects.filter(pk=row.subscription_id, company="acme"))
    for relation in ("delivery", "step_run", "run", "customer"):
        if relation in {field.name for field in row._meta.fields}:
            return is_acme_s(getattr(row, relation))
    return bool(row.company == "acme")


def foreign_rows(model_admin: "admin.ModelAdmin[Any]") -> list[Any]:
    """Return the rows that acme's staff must not see."""
    found: list[Any] = list(model_admin.model._default_manager.order_by("-pk"))
    return [row for row in found if not is_acme_s(row)]


def everything() -> dict[type[Model], list[Any]]:
    """Return every row there is that acme's staff must not change."""
    return {
        found.model: [
            next(iter(type(row)._default_manager.filter(pk=row.pk).values()))
            for row in foreign_rows(found)
        ]
        for found in admins()
    }


def test_no_page_shows_or_takes_anything_of_another_company(
    more_rows: None, member: Client
) -> None:
    before = everything()
    visited: set[str] = set()
    for model_admin in admins():
        foreign = foreign_rows(model_admin)
        assert foreign, f"the test makes no {model_admin.opts.model_name} of another company"
        for row in foreign[:2]:  # each a page of its own: seconds
            form = {"post": "yes", "run": str(row.pk), "reason": "r", "node": "n"}
            for address in {*addresses(model_admin, row.pk)} - visited:
                visited.add(address)
                for answer in (member.get(address), member.post(address, form)):
                    text = answer.content.decode() if not answer.streaming else ""
                    assert FOREIGN not in text, address
                    if str(row.pk) in address.split("/") or "/levers/" in address:
                        assert answer.status_code in (302, 403, 404, 405), address
    assert everything() == before


def test_no_action_touches_anything_of_another_company(more_rows: None, member: Client) -> None:
    before, tried = everything(), 0
    for model_admin in admins():
        request = member.get("/admin/").wsgi_request
        chosen = [str(row.pk) for row in foreign_rows(model_admin)]
        for action in model_admin.get_actions(request):
            tried += 1
            form = {"action": action, "_selected_action": chosen, "post": "yes"}
            name = f"{model_admin.opts.app_label}_{model_admin.opts.model_name}"
            answer = member.post(reverse(f"admin:{name}_changelist"), form, follow=True)
            assert FOREIGN not in answer.content.decode(), (name, action)
    assert everything() == before
    assert tried > 8


def test_staff_of_a_company_pull_levers_on_its_runs_and_make_its_keys(
    more_rows: None, member: Client
) -> None:
    run = Run.objects.get(company="acme")
    listed = member.get(reverse("admin:jobs_run_changelist")).content.decode()
    steps = member.get(reverse("admin:jobs_steprun_changelist")).content.decode()
    pulled = {"run": [str(one.pk) for one in Run.objects.all()], "reason": "ordered twice"}
    member.post(reverse("admin:jobs_run_pull", args=["cancel"]), pulled)
    form = member.get(reverse("admin:jobs_apikey_add")).content.decode()
    key = {"company": "globex", "name": "shop", "scopes": ["runs:read"]}
    member.post(reverse("admin:jobs_apikey_add"), key)

    assert str(run.pk) in listed
    assert "acme-data" in steps
    assert [one.run.company for one in Action.objects.filter(reason="ordered twice")] == ["acme"]
    assert 'name="company"' not in form
    assert ApiKey.objects.get(name="shop").company == "acme"


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
