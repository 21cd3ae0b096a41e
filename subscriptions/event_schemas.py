"""The declared event types as documents: a JSON Schema of each version, and one AsyncAPI document
(3.0) of them all.

    {"booking.created/1.json": {...}, "asyncapi.json": {...}}
"""

import json
import re
from typing import Any

from subscriptions.contracts import FIRST_VERSION, EventType, declared_versions

DIALECT = "https://json-schema.org/draft/2020-12/schema"
SCHEMA_FORMAT = "application/schema+json;version=draft-2020-12"
ASYNCAPI = "asyncapi.json"
CHANNEL = "events"


def documents() -> dict[str, dict[str, Any]]:
    """Return every document by its path below the schemas' directory."""
    versions = declared_versions()
    found = {path_of(declared): schema(declared) for declared in versions}
    return {**found, ASYNCAPI: asyncapi(versions)}


def text(document: dict[str, Any]) -> str:
    """Return the document as it stands in a file: the same for the same declarations."""
    return json.dumps(document, indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def path_of(declared: EventType) -> str:
    return f"{declared.name}/{declared.version}.json"


def schema(declared: EventType) -> dict[str, Any]:
    """Return the JSON Schema of the version's payload, as a producer writes it."""
    return {
        "$schema": DIALECT,
        "$id": f"urn:event:{declared.name}:{declared.version}",
        **declared.model.model_json_schema(by_alias=True, mode="validation"),
    }


def asyncapi(versions: list[EventType]) -> dict[str, Any]:
    """Return the document of the queue: what a producer may send to it."""
    names = {_message_name(declared): declared for declared in versions}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Counterpoint events",
            "version": "1",
            "description": "What other services may send to the queue, and what each event holds.",
        },
        "defaultContentType": "application/json",
        "channels": {
            CHANNEL: {
                "address": CHANNEL,
                "description": "An Amazon SQS queue; its name has the deployment's prefix.",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
            }
        },
        "operations": {
            "receiveEvent": {
                "action": "receive",
                "channel": {"$ref": f"#/channels/{CHANNEL}"},
                "summary": "Record an event and route it to those who subscribe.",
            }
        },
        "components": {
            "messages": {name: _message(declared, name) for name, declared in names.items()},
            "schemas": {
                f"{name}.{part}": found
                for name, declared in names.items()
                for part, found in _payload(declared, name).get("$defs", {}).items()
            },
        },
    }


def _message_name(declared: EventType) -> str:
    """Return a name that AsyncAPI takes as the key of a component."""
    return re.sub(r"[^A-Za-z0-9.\-_]", "_", f"{declared.name}.v{declared.version}")


def _message(declared: EventType, name: str) -> dict[str, Any]:
    summary = (declared.model.__doc__ or "").strip().split("\n")[0]
    return {
        "name": declared.name,
        "title": name,
        **({"summary": summary} if summary else {}),
        "payload": {"schemaFormat": SCHEMA_FORMAT, "schema": _envelope(declared, name)},
    }


def _envelope(declared: EventType, name: str) -> dict[str, Any]:
    """Return the short envelope's schema with this payload in it."""
    payload = _payload(declared, name)
    payload.pop("$defs", None)
    versioned = set() if declared.version == FIRST_VERSION else {"version"}
    return {
        "type": "object",
        "required": sorted({"type", "payload"} | versioned),
        "properties": {
            "id": {"type": "string", "description": "The producer's own: an event is taken once."},
            "type": {"const": declared.name},
            "version": {"const": declared.version},
            "companyId": {"type": "string"},
            "payload": payload,
            "timestamp": {"type": "string", "format": "date-time"},
            "attempts": {"type": "integer", "minimum": 0},
        },
    }


def _payload(declared: EventType, name: str) -> dict[str, Any]:
    """Return the payload's schema, whose parts the document keeps among its components."""
    return declared.model.model_json_schema(
        by_alias=True, mode="validation", ref_template=f"#/components/schemas/{name}.{{model}}"
    )
