"""The description of the API, derived from the endpoints that answer it, so that the two cannot differ."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from airflow_provider_avala.emulator.endpoints import Endpoint
from airflow_provider_avala.emulator.envelopes import Dialect, Json
from airflow_provider_avala.emulator.schema import Field, Resource, Shape

if TYPE_CHECKING:
    from airflow_provider_avala.emulator.emulator import Emulator

TYPES: Mapping[type, str] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    list: "array",
    dict: "object",
}
REFUSALS = {
    "400": "The request is invalid.",
    "401": "The API key is missing or wrong.",
    "403": "Not allowed.",
    "404": "Not found.",
    "409": "In conflict with what there is.",
    "413": "Too large.",
    "415": "Not the media type that is expected.",
    "429": "Throttled.",
}
PLACEHOLDER = re.compile(r"\{(\w+)\}")
URL = {"type": ["string", "null"]}


def describe(emulator: Emulator) -> Json:
    """Write the OpenAPI document of an emulator."""
    dialect = emulator.dialect
    paths: dict[str, Json] = {}
    schemas: dict[str, Json] = {"error": error_schema(dialect)}
    for endpoint in emulator.endpoints:
        path = endpoint.path + ("/" if dialect.trailing_slash else "")
        paths.setdefault(path, {})[endpoint.method.lower()] = operation(endpoint, dialect)
        if endpoint.gives is not None:
            schemas[endpoint.gives.name] = shown_schema(endpoint.gives, dialect)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Avala (emulated)",
            "version": "1",
            "description": f"What the local emulator answers in its {dialect.name} dialect.",
        },
        "servers": [{"url": emulator.base_url}],
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-Avala-Api-Key"}},
        },
    }


def operation(endpoint: Endpoint, dialect: Dialect) -> Json:
    """Describe one endpoint."""
    refusals = {
        status: _json({"$ref": "#/components/schemas/error"}, text) for status, text in REFUSALS.items()
    }
    if dialect.name == "legacy":
        refusals["422"] = _json({"$ref": "#/components/schemas/error"}, "The body is invalid.")
    described: Json = {
        "summary": endpoint.summary,
        "operationId": operation_id(endpoint),
        "parameters": [*path_parameters(endpoint), *query_parameters(endpoint)],
        "responses": {str(endpoint.status_shown): answer(endpoint, dialect), **refusals},
    }
    if endpoint.scope:
        described["x-scope"] = endpoint.scope
    if endpoint.anonymous:
        described["security"] = []
    if endpoint.raw:
        form = {
            "type": "object",
            "required": ["file"],
            "properties": {"file": {"type": "string", "format": "binary"}},
        }
        described["requestBody"] = {"required": True, "content": {"multipart/form-data": {"schema": form}}}
    elif endpoint.body is not None:
        schema = body_schema(endpoint.body, partial=endpoint.partial)
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    elif endpoint.items is not None:
        schema = {"type": "array", "items": body_schema(endpoint.items, partial=False)}
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return described


def operation_id(endpoint: Endpoint) -> str:
    """Name an operation after its method and path."""
    words = PLACEHOLDER.sub(r"by-\1", endpoint.path).replace("/", "-").strip("-")
    return f"{endpoint.method.lower()}-{words}"


def path_parameters(endpoint: Endpoint) -> list[Json]:
    """List the placeholders of a path."""
    shape = {"type": "string", "minLength": 1}
    return [
        {"name": name, "in": "path", "required": True, "schema": shape}
        for name in PLACEHOLDER.findall(endpoint.path)
    ]


def query_parameters(endpoint: Endpoint) -> list[Json]:
    """List what a list can be asked for: filters, ordering, size and place of the page."""
    found: dict[str, Json] = {name: field_schema(rule, null=False) for name, rule in endpoint.query.items()}
    row = endpoint.gives
    if isinstance(row, Resource) and endpoint.form in ("cursor", "numbered", "array"):
        for name in row.filters:
            rule = row.fields.get(name, Field())
            found[name] = {"type": "string", **({"enum": list(rule.choices)} if rule.choices else {})}
        if row.orderings:
            found["ordering"] = {"enum": [sign + name for name in row.orderings for sign in ("", "-")]}
    if endpoint.form in ("cursor", "numbered"):
        found["limit"] = {"type": "integer", "minimum": 1}
        found["cursor" if endpoint.form == "cursor" else "page"] = (
            {"type": "string"} if endpoint.form == "cursor" else {"type": "integer", "minimum": 1}
        )
    return [{"name": name, "in": "query", "schema": schema} for name, schema in found.items()]


def answer(endpoint: Endpoint, dialect: Dialect) -> Json:
    """Describe the answer of success."""
    if endpoint.form == "nothing":
        return {"description": "Done."}
    if endpoint.file is not None:
        return {"description": "The file.", "content": {endpoint.file: {}}}
    if endpoint.gives is None:
        return _json({}, "Done.")
    one: Json = {"$ref": f"#/components/schemas/{endpoint.gives.name}"}
    if endpoint.form == "array":
        return _json({"type": "array", "items": one}, "All of them.")
    if endpoint.form in ("cursor", "numbered"):
        return _json(page_schema(one, dialect, numbered=endpoint.form == "numbered"), "One page.")
    return _json(one, "The resource as it is now.")


def page_schema(one: Json, dialect: Dialect, *, numbered: bool) -> Json:
    """Describe a page."""
    rows: Json = {"type": "array", "items": one}
    if dialect.name == "legacy":
        fields = {
            "items": rows,
            "total": {"type": "integer"},
            "has_more": {"type": "boolean"},
            "cursor": URL,
        }
    else:
        fields = {"next": URL, "previous": URL, "results": rows}
        if numbered:
            fields["count"] = {"type": "integer", "minimum": 0}
    return {"type": "object", "required": list(fields), "properties": fields, "additionalProperties": False}


def error_schema(dialect: Dialect) -> Json:
    """Describe a refusal."""
    if dialect.name == "legacy":
        texts = {"code": {"type": "string"}, "message": {"type": "string"}}
        inner = {
            "type": "object",
            "required": [*texts, "details"],
            "properties": {**texts, "details": {"type": "array"}},
        }
        return {"type": "object", "required": ["error"], "properties": {"error": inner}}
    messages = {"type": "array", "items": {"type": "string"}}
    detail = {"anyOf": [{"type": "string"}, {"type": "object", "additionalProperties": messages}]}
    texts = {"code": {"type": "string"}, "doc_url": {"type": "string", "format": "uri"}}
    return {"type": "object", "required": ["detail"], "properties": {"detail": detail, **texts}}


def field_schema(rule: Field, *, null: bool = True) -> Json:
    """Describe the values of a field."""
    if rule.kind is object:
        return {}
    kinds: list[str] = [TYPES[rule.kind], *(["null"] if null and rule.nullable else [])]
    schema: Json = {"type": kinds if len(kinds) > 1 else kinds[0]}
    if rule.format:
        schema["format"] = rule.format
    for name, bound in (("maxLength", rule.max_length), ("minimum", rule.minimum), ("maximum", rule.maximum)):
        if bound is not None:
            schema[name] = bound
    inner: Json = {"type": TYPES[rule.of]} if rule.of is not None else {}
    if rule.kind is list:
        schema["items"] = {**inner, "enum": list(rule.choices)} if rule.choices else inner
        if rule.required and rule.choices:
            schema["minItems"] = 1
    elif rule.choices:
        schema["enum"] = [*rule.choices, *([None] if null and rule.nullable else [])]
    elif rule.kind is str and rule.required:
        schema["minLength"] = 1
    return schema


def body_schema(shape: Shape, *, partial: bool) -> Json:
    """Describe a body; what else it holds is ignored."""
    fields = {name: rule for name, rule in shape.fields.items() if rule.access != "read"}
    required = [name for name, rule in fields.items() if rule.required and not partial]
    schema: Json = {
        "type": "object",
        "properties": {name: field_schema(rule) for name, rule in fields.items()},
    }
    return {**schema, "required": required} if required else schema


def shown_schema(shape: Shape, dialect: Dialect) -> Json:
    """Describe how a resource is shown."""
    shown = {name: rule for name, rule in shape.fields.items() if rule.access not in ("write", "once")}
    properties = {name: field_schema(rule) for name, rule in shown.items()}
    required = [name for name, rule in shown.items() if rule.required]
    for name, rule in shape.fields.items():
        if rule.access == "once":
            properties[name] = field_schema(rule)
    if isinstance(shape, Resource):
        moment = {"type": "string", "format": "date-time"}
        key = dialect.id_key
        properties |= {key: {"type": "string", "minLength": 1}, "created_at": moment, "updated_at": moment}
        required += [key, "created_at", "updated_at"]
    elif dialect.id_key != "uid" and "uid" in properties:
        properties[dialect.id_key] = properties.pop("uid")
        required = [dialect.id_key if name == "uid" else name for name in required]
    return {"type": "object", "required": required, "properties": properties}


def _json(schema: Json, text: str) -> Json:
    return {"description": text, "content": {"application/json": {"schema": schema}}}
