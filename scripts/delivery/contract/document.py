"""The OpenAPI document, of the code's own routes, media types, limits and members."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

import routes
from access import Access
from scripts.delivery.contract import GATEWAY, operations
from scripts.delivery.contract.schemas import ContractError, Node, schemas
from settings import Model

if TYPE_CHECKING:
    from endpoint import Endpoint

PATH = GATEWAY / "openapi.json"
CALL = "-H 'Content-Type: image/jpeg' --data-binary @scan.jpg \"$URL/predict\""


def document() -> Node:
    """Return the OpenAPI 3.1 document with every way in that a deployment may choose.

    Raises
    ------
    ContractError
        If the gateway has routes or members that are not described, or lacks some that are.
    """
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "tumor-detector",
            "version": "1.0.0",
            "summary": "Does this brain MRI show a tumour? A research demonstration.",
            "description": operations.in_short(),
        },
        "servers": [{"url": "./", "description": "The stage that this document was read from"}],
        "tags": [
            {"name": "prediction", "description": "Ask the model."},
            {"name": "about", "description": "What serves, and how to use it."},
        ],
        "paths": _paths(),
        "components": {
            "securitySchemes": _ways_in(),
            "schemas": schemas(),
            "headers": operations.headers(),
            "responses": operations.shared_answers(),
        },
    }


def rendered(found: Node) -> str:
    """Return the document as it is committed."""
    return json.dumps(found, ensure_ascii=False, indent=2) + "\n"


def _paths() -> Node:
    # Neither the model nor the endpoint is asked: the table alone is looked at.
    unasked = cast("Endpoint", None)
    model = Model(name="", version="", sha256="", kind="images", gates_failed=())
    table = routes.table(model=model, endpoint=unasked, access=Access("none", region=""))
    routed = {(path, method) for path, methods in table.items() for method in methods}
    described = operations.operations()
    if routed != described.keys():
        differ = ", ".join(f"{method} {path}" for path, method in sorted(routed ^ described.keys()))
        raise ContractError(f"Routes and described operations differ in {differ}.")
    paths: Node = {}
    for (path, method), operation in described.items():
        paths.setdefault(path, {})[method.lower()] = operation
    return paths


def _ways_in() -> Node:
    """Return how callers may have to show who they are; a deployment asks for one of these at most."""
    return {
        "api_key": {
            "type": "apiKey",
            "in": "header",
            "name": "x-api-key",
            "description": "A key, which the service's owner gives out. The page asks for it and keeps it in "
            f'its tab alone.\n\n```\ncurl -H "x-api-key: $KEY" {CALL}\n```',
        },
        "iam": {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "x-amazon-apigateway-authtype": "awsSigv4",
            "description": "A Signature Version 4 of the service `execute-api`, by whom IAM allows "
            "`execute-api:Invoke` on this path. The page cannot sign.\n\n```\n"
            'curl --aws-sigv4 "aws:amz:$AWS_REGION:execute-api" --user '
            '"$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" \\\n'
            '  ${AWS_SESSION_TOKEN:+"-Hx-amz-security-token: $AWS_SESSION_TOKEN"} '
            "-H 'Content-Type: image/jpeg' \\\n"
            '  --data-binary @scan.jpg "$URL/predict"\n```',
        },
        "cognito": {
            "type": "oauth2",
            "description": "An access token of who has signed in, as `Authorization: Bearer ...`. The page "
            "signs people in by itself; a program uses the authorization code flow with PKCE (S256). A token "
            f'lasts an hour.\n\n```\ncurl -H "Authorization: Bearer $TOKEN" {CALL}\n```',
            "flows": {
                "authorizationCode": {
                    "authorizationUrl": "https://sign-in.example/oauth2/authorize",
                    "tokenUrl": "https://sign-in.example/oauth2/token",
                    "scopes": {"tumor-detector/predict": "Ask the model"},
                }
            },
        },
    }
