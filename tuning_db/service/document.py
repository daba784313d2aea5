"""The OpenAPI document of the service: what FastAPI knows of the routes, and what holds for all of them."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from tuning_db.reasons import Reason

TAGS = {
    "releases": "Models that are not public yet: when they open for whom, and how the race for them stands.",
    "claims": "Trials that vendors say went like this, and what referees say of them.",
    "submissions": "Signed batches of claims.",
    "keys and tokens": "What vendors sign with, and what opens the service.",
    "boards": "Who is ahead, how ready each chip is, and what being early was worth.",
    "misses": "What deployments wanted and had no kernel for.",
    "accounts": "Who asks.",
    "operation": "For the operator of the service.",
    "repositories": "Signed artifacts to pull, as The Update Framework has them.",
    "ledgers": "Logs that are only added to, with proofs.",
}
ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {
                "code": {"type": "string", "description": "what went wrong, for programs"},
                "message": {"type": "string", "description": "the same in one line, for people"},
                "reasons": {
                    "type": "array",
                    "description": "of a submission: everything that is wrong with it",
                    "items": {
                        "type": "object",
                        "required": ["code", "entry", "message"],
                        "properties": {
                            "code": {"type": "string", "enum": sorted(reason.value for reason in Reason)},
                            "entry": {"type": ["integer", "null"], "description": "of the batch, counted from 1"},
                            "message": {"type": "string"},
                        },
                    },
                },
            },
        }
    },
}
# What any route may answer, whatever it is about.
ALWAYS = {
    "400": "a parameter or a field of the body is not as it must be",
    "401": "no token where one is needed, or one that opens nothing",
    "403": "the token has not the scope",
    "404": "it is not there, or not open to you: the same bytes for both",
    "429": "too many requests",
    "500": "something went wrong here",
    "503": "this cannot be done now",
}
WITH_BODY = {"413": "the body is over its limit", "422": "what is in the body is refused"}


def documented(app: FastAPI) -> None:
    """Have an app answer with a document that says all of this."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _document(app: FastAPI) -> dict[str, Any]:
    made = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        tags=[{"name": name, "description": text} for name, text in TAGS.items()],
    )
    parts = made.setdefault("components", {})
    parts["schemas"] = {"Error": ERROR}
    parts["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "description": "a token of an account; many routes need none"}
    }
    for path in made["paths"].values():
        for operation in path.values():
            operation.setdefault("tags", ["operation"])
            # Parameters that are not as documented get 400 here, and not the 422 that FastAPI speaks of.
            operation["responses"].pop("422", None)
            errors = ALWAYS | (WITH_BODY if "requestBody" in operation else {})
            for status, text in errors.items():
                operation["responses"].setdefault(status, _error(text))
            operation["responses"] = dict(sorted(operation["responses"].items()))
            _bare(operation)
            operation["security"] = [{"token": []}, {}]
    return made


def _bare(operation: dict[str, Any]) -> None:
    """Leave out the titles that FastAPI makes of names, other ones in each of its versions."""
    shown = [one for response in operation["responses"].values() for one in response.get("content", {}).values()]
    for one in [*operation.get("parameters", ()), *shown]:
        one.get("schema", {}).pop("title", None)


def _error(text: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Error"}
    return {"description": text, "content": {"application/json": {"schema": schema}}}
