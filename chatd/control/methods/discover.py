"""`rpc.discover`: the table of methods as an OpenRPC document, with JSON schemas of parameters, results and events.

The docstrings of structs are the descriptions in these schemas: they are part of the documentation of the API.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from chatd.api.errors import TABLE
from chatd.api.events import AnyEvent
from chatd.api.params import Nothing
from chatd.control.methods.method import Method
from chatd.control.session import Session
from chatd.node import Node

REF = "#/components/schemas/{name}"


class EventNote(msgspec.Struct):
    """The parameters of the notification `event`."""

    subscription: int
    replay: bool
    event: AnyEvent


class ErrorObject(msgspec.Struct):
    """The error in a response. `data` contains kind, hint, retryable, and for some kinds more."""

    code: int
    message: str
    data: dict[str, Any]


class EndedNote(msgspec.Struct):
    """The parameters of the notification `ended`: why the daemon ended a subscription."""

    subscription: int
    error: ErrorObject


NOTIFICATIONS: dict[str, type[msgspec.Struct]] = {"event": EventNote, "ended": EndedNote}


class Discovery(msgspec.Struct):
    """Result of `rpc.discover`."""

    openrpc: str
    info: dict[str, str]
    methods: list[dict[str, Any]]
    components: dict[str, dict[str, Any]]
    notifications: list[dict[str, Any]] = msgspec.field(name="x-notifications")
    errors: dict[str, int] = msgspec.field(name="x-errors")  # kind -> code


def discover(node: Node, session: Session, _params: Nothing) -> Discovery:
    """Generate the document from the table that the sessions use."""
    return describe(session.methods, node.version)


def describe(methods: Mapping[str, Method], version: str) -> Discovery:
    types: list[type] = [type_ for method in methods.values() for type_ in (method.params, method.result)]
    _, schemas = msgspec.json.schema_components([*types, *NOTIFICATIONS.values()], ref_template=REF)
    return Discovery(
        openrpc="1.2.6",
        info={"title": "chatd", "version": version},
        methods=[_method(name, method, schemas) for name, method in methods.items()],
        components={"schemas": schemas},
        notifications=[{"name": name, "params": _params(note, schemas)} for name, note in NOTIFICATIONS.items()],
        errors={kind: row[0] for kind, row in TABLE.items()},
    )


def _method(name: str, method: Method, schemas: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "summary": method.summary,
        "paramStructure": "by-name",
        "params": _params(method.params, schemas),
        "result": {"name": method.result.__name__, "schema": {"$ref": REF.format(name=method.result.__name__)}},
    }


def _params(struct: type[msgspec.Struct], schemas: Mapping[str, Any]) -> list[dict[str, Any]]:
    schema = schemas[struct.__name__]
    required = schema.get("required", [])
    return [{"name": name, "required": name in required, "schema": part} for name, part in schema["properties"].items()]
