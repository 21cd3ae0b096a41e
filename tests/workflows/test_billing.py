"""`billing/send-products-updated`: from the trigger to the company's webhook."""

import json
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from jobs.errors import InvalidInput
from jobs.models import Run
from jobs.testing import run_inline
from jobs.workflows.billing.models import Customer, CustomerProduct
from jobs.workflows.billing.triggers import BillingContext, trigger_send_products_updated
from jobs.workflows.billing.workflows import SendProductsUpdated, send_products_updated
from subscriptions.deliveries import delivery
from subscriptions.models import Delivery, Event
from subscriptions.relay import relay_all
from subscriptions.routing import Router
from subscriptions.services import create_subscription
from tests.subscriptions.conftest import local_receivers
from tests.workflows.conftest import Messages, Post

__all__ = ["local_receivers"]

pytestmark = pytest.mark.django_db


def make_product(company: str = "acme", env: str = "live") -> CustomerProduct:
    customer = Customer.objects.create(
        company=company, env=env, customer_id="cus-1", name="Ada", email="ada@example.com"
    )
    return CustomerProduct.objects.create(
        customer=customer, customer_product_id="cp-1", product_id="pro", name="Pro"
    )


def send(company: str = "acme", env: str = "live", **fields: Any) -> Run:
    given = {"customer_id": "cus-1", "customer_product_id": "cp-1", "scenario": "upgrade"}
    payload = SendProductsUpdated(**{**given, **fields})
    return run_inline(send_products_updated, payload, company=company, env=env)


def test_what_is_told_is_the_customer_with_its_products_as_they_are_now() -> None:
    changed = make_product()
    CustomerProduct.objects.create(
        customer=changed.customer, customer_product_id="cp-0", product_id="free", status="expired"
    )

    assert send().status == "succeeded"

    told = Event.objects.get()
    assert (told.type, told.company, told.key) == ("customer.products.updated", "acme", "cus-1")
    assert told.payload.keys() == {"scenario", "customer", "updated_product"}
    assert told.payload["scenario"] == "upgrade"
    assert told.payload["customer"]["env"] == "live"
    assert [product["id"] for product in told.payload["customer"]["products"]] == ["cp-1", "cp-0"]
    assert told.payload["updated_product"] == told.payload["customer"]["products"][0]
    assert told.payload["updated_product"]["product_id"] == "pro"


@pytest.mark.parametrize(
    "wrong",
    [
        {"company": "globex"},
        {"env": "sandbox"},
        {"customer_id": "cus-2"},
        {"customer_product_id": "cp-2"},
    ],
)
def test_a_customer_of_another_company_or_environment_is_not_found(wrong: dict[str, str]) -> None:
    make_product()

    run = send(**wrong)

    assert run.status == "failed"
    assert run.steps.get().attempts == 1
    assert not Event.objects.exists()


def test_the_skip_option_works_outside_production_only(post: Post) -> None:
    live, sandbox = make_product(), make_product(env="sandbox")

    skipped = trigger_send_products_updated(
        BillingContext("acme", env="sandbox", skip_webhooks=True),
        customer_product=sandbox,
        scenario="new",
    )
    sent = trigger_send_products_updated(
        BillingContext("acme", skip_webhooks=True), customer_product=live, scenario="new"
    )

    assert skipped is None
    assert sent is not None
    run = Run.objects.get()
    assert (run.pk, run.company, run.env) == (sent.pk, "acme", "live")


def test_the_trigger_refuses_what_is_not_the_context_s_and_what_cannot_be(post: Post) -> None:
    product = make_product()

    for context in (BillingContext("globex"), BillingContext("acme", env="sandbox")):
        with pytest.raises(ValueError, match="is of acme in live"):
            trigger_send_products_updated(context, customer_product=product, scenario="new")
    with pytest.raises(ValueError, match="scenario"):
        trigger_send_products_updated(BillingContext("acme"), customer_product=product, scenario="")
    with pytest.raises(InvalidInput, match="customer_id"):
        send_products_updated.start({"scenario": "new"}, company="acme")  # type: ignore[arg-type]
    assert not Run.objects.exists()


def test_the_company_s_webhook_gets_it_and_no_other_s(
    post: Post,
    messages: Messages,
    httpserver: HTTPServer,
    local_receivers: None,
) -> None:
    got: list[Any] = []

    def answer(request: Request) -> Response:
        got.append((request.path, json.loads(request.data)))
        return Response("", 204)

    for company in ("acme", "globex"):
        httpserver.expect_request(f"/{company}", method="POST").respond_with_handler(answer)
        create_subscription(
            name="products",
            company=company,
            event_type="customer.*",
            handler_type="WEBHOOK",
            config={"url": httpserver.url_for(f"/{company}")},
        )
    trigger_send_products_updated(
        BillingContext("acme"), customer_product=make_product(), scenario="upgrade"
    )
    post.deliver_all()

    relay_all(Router())
    delivery.deliver(messages.ids)

    assert Delivery.objects.get().status == "delivered"
    [(path, body)] = got
    assert path == "/acme"
    assert body["type"] == "customer.products.updated"
    assert body["payload"].keys() == {"scenario", "customer", "updated_product"}
