"""The OpenAPI 3.1 document (https://spec.openapis.org/oas/v3.1.0), made from the route tables and the models."""

import re
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

Route = tuple[str, str, Callable[..., Any], dict[str, Any]]

_REFERENCE = "#/components/schemas/{model}"

_DESCRIPTION = (
    """The RealWorld ("Conduit") API. Errors are always `{"errors": {"<field or thing>": ["<what is wrong>"]}}`."""
)


class Errors(BaseModel):
    """What is wrong, by field or thing."""

    errors: dict[str, list[str]]


def build(routes: Iterable[Route], version: str, prefix: str = "") -> dict[str, Any]:
    """The document for these routes, as a dict that is JSON. `prefix` stands before the paths of the servers."""
    routes = list(routes)
    schemas = _Schemas(routes)
    paths: dict[str, dict[str, Any]] = {}
    for method, path, handler, options in routes:
        template = re.sub(r"<(\w+)>", r"{\1}", path)
        paths.setdefault(template, {})[method.lower()] = _operation(method, path, handler, options, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Rowboat",
            "version": version,
            "description": _DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": f"{prefix}/api/v1"}, {"url": f"{prefix}/api", "description": "The newest version."}],
        "paths": paths,
        "components": {
            "schemas": schemas.definitions,
            "securitySchemes": {
                "Token": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": "`Token <token>` or `Bearer <token>`, with the token of a registration or login.",
                }
            },
        },
    }


class _Plain(GenerateJsonSchema):
    """Leaves out what says nothing: titles made from names, and `default: null` (see handlers.fields.optional)."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def model_schema(self, schema: Any) -> dict[str, Any]:
        described = super().model_schema(schema)
        if self.mode == "validation" and not described.get("required"):  # all of it may be left out, but not at once
            described["minProperties"] = 1
        return described

    def default_schema(self, schema: Any) -> dict[str, Any]:
        described = super().default_schema(schema)
        if described.get("default", ...) is None:
            del described["default"]
        return described


class _Schemas:
    """The JSON schema of every model that a route names."""

    def __init__(self, routes: list[Route]) -> None:
        taken = {options["body"][1] for *_, options in routes if "body" in options}
        taken |= {options["query"] for *_, options in routes if "query" in options}
        given = {options["answers"] for *_, options in routes if "answers" in options} | {Errors}
        ordered = sorted(((model, "validation") for model in taken), key=str)
        ordered += sorted(((model, "serialization") for model in given), key=str)
        self._references, definitions = models_json_schema(
            ordered,  # type: ignore[arg-type]
            ref_template=_REFERENCE,
            schema_generator=_Plain,
        )
        self._all = definitions["$defs"]
        queries = {model.__name__ for *_, options in routes if (model := options.get("query"))}
        self.definitions = {name: schema for name, schema in self._all.items() if name not in queries}

    def taken(self, model: type[BaseModel]) -> dict[str, Any]:
        """A reference to the model as clients send it."""
        return self._references[model, "validation"]

    def given(self, model: type[BaseModel]) -> dict[str, Any]:
        """A reference to the model as clients get it."""
        return self._references[model, "serialization"]

    def fields(self, model: type[BaseModel]) -> dict[str, Any]:
        """The fields of a model, by name."""
        return self._all[model.__name__]["properties"]


def _operation(
    method: str, path: str, handler: Callable[..., Any], options: dict[str, Any], schemas: _Schemas
) -> dict[str, Any]:
    summary, _, details = (handler.__doc__ or "").partition("\n")
    resource = handler.__module__.rpartition(".")[2]
    operation: dict[str, Any] = {
        "operationId": f"{resource}_{handler.__name__}",
        "tags": [resource.capitalize()],
        "summary": summary,
        "parameters": _parameters(path, options, schemas),
        "responses": {
            str(status): _answer(status, options, schemas) for status in sorted(_statuses(method, path, options))
        },
    }
    if details.strip():
        operation["description"] = details.strip()
    if "body" in options:
        key, model = options["body"]
        body = {"type": "object", "required": [key], "properties": {key: schemas.taken(model)}}
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    if "auth" in options:
        operation["security"] = [{"Token": []}] if options["auth"] == "required" else [{}, {"Token": []}]
    return operation


def _parameters(path: str, options: dict[str, Any], schemas: _Schemas) -> list[dict[str, Any]]:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"<(\w+)>", path)
    ]
    if "query" in options:
        for name, schema in schemas.fields(options["query"]).items():
            schema = dict(schema)
            described = {"description": schema.pop("description")} if "description" in schema else {}
            parameters.append({"name": name, "in": "query", "required": False, **described, "schema": schema})
    if 412 in options.get("errors", ()):
        told = "The ETag of the article as you know it, or `*`; 412 when it was changed since."
        schema = {"type": "string"}
        parameters.append(
            {"name": "If-Match", "in": "header", "required": False, "description": told, "schema": schema}
        )
    return parameters


def _statuses(method: str, path: str, options: dict[str, Any]) -> set[int]:
    """Every status that a route can answer, as its options imply or name it."""
    statuses = {options.get("status", 200), 400, 500, 503, *options.get("errors", ())}
    if options.get("auth") == "required":
        statuses.add(401)
    if "<" in path:
        statuses.add(404)
    if "body" in options:
        statuses |= {413, 415, 422}
    if "query" in options:
        statuses.add(422)
    if method == "GET" and not options.get("secret"):
        statuses.add(304)
    return statuses


def _answer(status: int, options: dict[str, Any], schemas: _Schemas) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": HTTPStatus(status).phrase}
    model = Errors if status >= 400 else None if status == 304 else options.get("answers")
    if status in (429, 503):
        answer["headers"] = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
    if model:
        answer["content"] = {"application/json": {"schema": schemas.given(model)}}
    return answer
