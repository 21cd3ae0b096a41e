"""The part of the OpenAPI document that follows from the registered handler types."""

from typing import Any

from subscriptions.api.bodies import Definition, body_name
from subscriptions.handlers.configs import config_schema, description
from subscriptions.handlers.contract import Handler, registered

COMPONENTS = "#/components/schemas/"


def document(schema: dict[str, Any]) -> None:
    """Describe the body of `save_subscription`: one of the handler types, by `handler_type`."""
    components = schema["components"].setdefault("schemas", {})
    for handler in registered().values():
        components.update(_components(handler))
    refs = {name: f"{COMPONENTS}{body_name(kind)}" for name, kind in registered().items()}
    body = {
        "oneOf": [{"$ref": ref} for ref in refs.values()],
        "discriminator": {"propertyName": "handler_type", "mapping": refs},
    }
    for operations in schema["paths"].values():
        for operation in operations.values():
            if operation.get("operationId") == "save_subscription":
                content = {"application/json": {"schema": body}}
                operation["requestBody"] = {"required": True, "content": content}


def _components(handler: Handler) -> dict[str, Any]:
    """Return the body of a type and what it refers to, each name with the type's before it."""
    config_name = f"{handler.name}.Config"
    config = config_schema(handler, ref_template=f"{COMPONENTS}{handler.name}.{{model}}")
    inner = {f"{handler.name}.{name}": one for name, one in config.pop("$defs", {}).items()}
    body = Definition.model_json_schema(ref_template=f"{COMPONENTS}{handler.name}.{{model}}")
    inner |= {f"{handler.name}.{name}": one for name, one in body.pop("$defs", {}).items()}
    is_needed = bool(config.get("required"))
    body |= {"title": body_name(handler), "description": description(handler)}
    body["properties"] |= {
        "handler_type": {"const": handler.name, "type": "string"},
        "config": {"$ref": COMPONENTS + config_name},
    }
    body["required"] = [*body["required"], "handler_type", *(["config"] if is_needed else [])]
    return {**inner, config_name: config, body_name(handler): body}
