"""The OpenAPI document as HTML to read: no script, no outside resource, every text escaped."""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING, Any

import prose

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Node = dict[str, Any]  # an object of the document


def to_html(document: Node) -> str:
    """Return the HTML of an OpenAPI 3.1 document, for the inside of a page's body."""
    info = document["info"]
    about = f'<p>{escape(info["summary"])} <a href="openapi.json">OpenAPI document</a>.</p>'
    return "\n".join(
        [
            f"<h1>{escape(info['title'])} API</h1>",
            about,
            prose.to_html(info["description"]),
            *(
                _operation(method, path, operation, document)
                for path, methods in document["paths"].items()
                for method, operation in methods.items()
            ),
            "<h2>Headers of answers</h2>",
            _table("", ("Name", "Type", "Meaning"), map(_header, document["components"]["headers"].items())),
            "<h2>Schemas</h2>",
            *(_schema(name, schema) for name, schema in document["components"]["schemas"].items()),
        ]
    )


def _operation(method: str, path: str, operation: Node, document: Node) -> str:
    parameters = operation.get("parameters", [])
    body = operation.get("requestBody", {}).get("content", {})
    call = f"<code>{escape(method.upper())} {escape(path)}</code>"
    answers = {status: _resolved(answer, document) for status, answer in operation["responses"].items()}
    return "\n".join(
        [
            f"<section><h2>{call} {escape(operation['summary'])}</h2>",
            prose.to_html(operation.get("description", "")),
            *(_way_in(name, document) for needed in operation.get("security", []) for name in needed),
            _table("Parameters", ("Name", "In", "Type", "Meaning"), map(_parameter, parameters)),
            _table(
                "Body",
                ("Content-Type", "Content"),
                ((_code(kind), _type(body[kind]["schema"])) for kind in body),
            ),
            _table("Answers", ("Status", "Content-Type", "Meaning"), map(_answer, answers.items())),
            *_examples(answers),
            "</section>",
        ]
    )


def _way_in(name: str, document: Node) -> str:
    return f"<h3>Access</h3>{prose.to_html(document['components']['securitySchemes'][name]['description'])}"


def _parameter(parameter: Node) -> Iterable[str]:
    return (
        _code(parameter["name"]),
        escape(parameter["in"]),
        _type(parameter["schema"]),
        prose.inline(parameter["description"]),
    )


def _answer(status_and_answer: tuple[str, Node]) -> Iterable[str]:
    status, answer = status_and_answer
    headers = "".join(f" Sends {_code(name)}." for name in answer.get("headers", {}))
    kinds = "<br>".join(_code(kind) for kind in answer.get("content", {}))
    return _code(status), kinds, prose.inline(answer["description"]) + headers


def _header(name_and_header: tuple[str, Node]) -> Iterable[str]:
    name, header = name_and_header
    return _code(name), _type(header["schema"]), prose.inline(header["description"])


def _examples(answers: dict[str, Node]) -> Iterator[str]:
    for status, answer in answers.items():
        for content in answer.get("content", {}).values():
            named = content.get("examples") or {"": {"value": content.get("example")}}
            for example in named.values():
                if example["value"] is not None:
                    yield _example(
                        " ".join(filter(None, (f"Example {status}:", example.get("summary")))), example
                    )


def _example(title: str, example: Node) -> str:
    text = escape(json.dumps(example["value"], indent=2))
    return f"<details><summary>{escape(title.rstrip(':'))}</summary><pre><code>{text}</code></pre></details>"


def _schema(name: str, schema: Node) -> str:
    rows = (
        (
            _member(key, schema),
            _type(value),
            prose.inline(value.get("description", "")),
        )
        for key, value in schema.get("properties", {}).items()
    )
    return "\n".join(
        [
            f'<h3 id="{_anchor(name)}">{escape(name)}</h3>',
            f"<p>{prose.inline(schema['description'])} {_limits(schema)}{_based(schema)}</p>",
            _table("", ("Member", "Type", "Meaning"), rows),
        ]
    )


def _based(schema: Node) -> str:
    return f"All of {' and '.join(map(_type, schema['allOf']))}, and:" if "allOf" in schema else ""


def _type(schema: Node) -> str:
    """Return what a schema allows, in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f'<a href="#{_anchor(name)}">{escape(name)}</a>'
    if "anyOf" in schema:
        return " or ".join(map(_type, schema["anyOf"]))
    if "enum" in schema or "const" in schema:
        return " or ".join(_code(json.dumps(value)) for value in schema.get("enum", [schema.get("const")]))
    return _plain_type(schema)


def _plain_type(schema: Node) -> str:
    if schema["type"] == "array":
        return f"list of {_type(schema['items'])}"
    if "properties" in schema:
        return f"object of {_members(schema)}"
    return f"{escape(schema['type'])} {_limits(schema)}".rstrip()


def _members(schema: Node) -> str:
    members = schema["properties"].items()
    return ", ".join(f"{_member(key, schema)}: {_type(value)}" for key, value in members)


def _member(key: str, schema: Node) -> str:
    return _code(key) + ("" if key in schema.get("required", ()) else " (optional)")


def _limits(schema: Node) -> str:
    unit = " bytes" if schema.get("format") == "binary" else ""
    for least, most in (("minimum", "maximum"), ("minLength", "maxLength")):
        if least in schema and most in schema:
            return f"({schema[least]:,} to {schema[most]:,}{unit})"
    return ""


def _table(title: str, head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table of cells that are HTML already, or nothing when there is no row."""
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    if not body:
        return ""
    heading = f"<h3>{title}</h3>" if title else ""
    cells = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    return f"{heading}<table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>"


def _resolved(node: Node, document: Node) -> Node:
    if "$ref" not in node:
        return node
    for key in node["$ref"].removeprefix("#/").split("/"):
        document = document[key]
    return document


def _code(text: str) -> str:
    return f"<code>{escape(str(text))}</code>"


def _anchor(name: str) -> str:
    return f"schema-{escape(name)}"
