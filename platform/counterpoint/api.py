"""The HTTP API, version 1; its OpenAPI document is at `/api/v1/openapi.json`."""

from typing import Any

from django.http import HttpRequest
from ninja import NinjaAPI
from ninja.openapi.schema import OpenAPISchema
from ninja.parser import Parser
from pydantic_core import from_json

from jobs.api import levers, problems, runs, starting
from subscriptions.api import definitions, deliveries, documents, events, searching
from subscriptions.api import levers as subscription_levers
from subscriptions.api import problems as subscription_problems


class StrictParser(Parser):
    """JSON without NaN and lone surrogates, which Postgres could not hold."""

    def parse_body(self, request: HttpRequest) -> Any:
        return from_json(request.body, allow_inf_nan=False)


class CounterpointAPI(NinjaAPI):
    """All errors are problem details, and documented as such."""

    def get_openapi_schema(self, **options: Any) -> OpenAPISchema:
        schema = super().get_openapi_schema(**options)
        documents.document(schema)
        problems.document(schema)
        return schema


api = CounterpointAPI(
    title="Counterpoint",
    version="1",
    description="Workflows, and subscriptions to events. Errors are problem details (RFC 9457).",
    urls_namespace="api-v1",
    parser=StrictParser(),
)
problems.install(api)
subscription_problems.install(api)
for module in (
    starting,
    runs,
    levers,
    definitions,
    subscription_levers,
    deliveries,
    events,
    searching,
):
    api.add_router("", module.router)
