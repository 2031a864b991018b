"""JSON Schemas (draft 2020-12) of all messages, for those who write the other side: docs/schemas/ has them as files."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter

from steerd.config.catalogue.entries import OF_PATH, OF_POP, POPS_MAX
from steerd.config.catalogue.signed import Body
from steerd.share.messages import GatewayState, Message, Name, PopReport, Rollup, Score, ServiceState, SwitchEvent
from steerd.share.signing import WantedState

_TOPICS: Final[Mapping[str, tuple[type[Message], str]]] = {
    "gateway-state": (GatewayState, "gw/REGION/GATEWAY/state"),
    "score": (Score, "gw/REGION/GATEWAY/score"),
    "event": (SwitchEvent, "gw/REGION/GATEWAY/event"),
    "pop-state": (PopReport, "pop/POP/state"),
    "rollup": (Rollup, "region/REGION/rollup"),
    "fleet-state": (ServiceState, "fleet/NAME/state"),
}


def schemas() -> Mapping[str, Mapping[str, Any]]:
    """By the name of its file, without the ending."""
    audience = "ctl/AUDIENCE/pop/POP, steer/v1/TENANT/ctl/AUDIENCE/policy/POLICY"
    return {name: _schema(model, topic) for name, (model, topic) in _TOPICS.items()} | {
        "order": _signed("order", _schema(WantedState, audience)),
        "catalogue": _signed("catalogue", _catalogue()),
    }


def _schema(model: type[BaseModel], topic: str) -> dict[str, Any]:
    schema = model.model_json_schema(by_alias=True)
    for one in (schema, *schema.get("$defs", {}).values()):
        for field in one.get("properties", {}).values():
            field.pop("title", None)  # its name again, with blanks
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": schema.pop("title"),
        "description": f"steer/v1/TENANT/{topic}",
        **{key: value for key, value in schema.items() if key != "description"},
    }


def _catalogue() -> dict[str, Any]:
    """What a PoP may say means what it means in the configuration file."""
    schema = _schema(Body, "catalogue/NAME")
    pop: dict[str, Any] = {"type": "object", "propertyNames": {"enum": [*OF_POP, *OF_PATH]}, "required": ["name"]}
    pop["maxProperties"] = len(OF_POP + OF_PATH)
    schema["properties"]["name"] = TypeAdapter(Name).json_schema()
    schema["properties"]["pops"] = {"type": "array", "maxItems": POPS_MAX, "items": pop}
    return schema


def _signed(member: str, signed: dict[str, Any]) -> dict[str, Any]:
    """What is signed is one member of the payload."""
    return {
        "$schema": signed.pop("$schema"),
        "title": f"Signed{member.capitalize()}",
        "description": signed.pop("description"),
        "type": "object",
        "properties": {
            "key": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
            "sig": {"type": "string", "pattern": "^[A-Za-z0-9_-]{86}$"},
            member: signed,
        },
        "required": ["key", "sig", member],
        "additionalProperties": False,
    }
