"""Writes the Python client of an OpenAPI document: one file of the standard library alone.

The generators that exist were tried. openapi-python-client makes a package of twenty files that wants httpx
and attrs, takes no body of image/jpeg or image/png, and knows neither retries nor Retry-After;
datamodel-code-generator makes the dataclasses alone, and no client.
"""

from __future__ import annotations

import keyword
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from problems import TITLES
from scripts.delivery.contract import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scripts.delivery.contract.schemas import Node

PATH = ROOT / "scripts" / "client.py"
TRANSPORT = Path(__file__).with_name("transport.py")

LINE = 110  # characters
OF_API_GATEWAY = {401: "Unauthorized", 403: "Forbidden"}  # statuses that the Lambda never gives
PLAIN = {
    "string": "str",
    "number": "float",
    "integer": "int",
    "boolean": "bool",
    "object": "dict[str, object]",
}
ABOUT = '''\
"""A client of the {title} API {version}, in one file that needs Python 3.11 and no package.

{summary} Not a medical device.

Written by `scripts/contract` from `infra/gateway/openapi.json`: change what that is made of, not this file.

    client = Client("https://example.org/v1", api_key=os.environ["TUMOR_API_KEY"])
    prediction = client.predict(Path("scan.jpg").read_bytes())
    print(prediction.label, prediction.probability)
"""
'''
ERRORS = '''
class ProblemError(ClientError):
    """The request was answered with a problem, which says why; there is a class for each status."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(f"{{problem.status}} {{problem.title}}: {{problem.detail}}")
        self.problem = problem


{classes}

PROBLEMS: Mapping[int, type[ProblemError]] = {{{table}}}
'''
CLIENT = '''
class Client(Transport):
    """{summary}

    Every method raises a `ProblemError` when it is answered with a problem, a `NoAnswerError` when it is not
    answered, and a `MalformedAnswerError` when what answers is not this API.

    Parameters
    ----------
    url
        Where the API is, with or without a slash at the end.
    api_key, access_token, sign
        What shows who you are, as the deployment asks for it: its document names the one or none.
    timeout_s
        For which the far end may be silent; API Gateway itself gives up after 29.
    attempts
        How often a request is sent that fails without a `Retry-After`.
    patience_s
        How long, in all, it is put off where there is one.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        access_token: str | None = None,
        sign: Sign | None = None,
        timeout_s: float = 30.0,
        attempts: int = 4,
        patience_s: float = 60.0,
    ) -> None:
        headers = {{{key}: api_key}} if api_key else {{}}
        if access_token:
            headers["Authorization"] = f"Bearer {{access_token}}"
        super().__init__(
            url, headers=headers, sign=sign, timeout_s=timeout_s, attempts=attempts, patience_s=patience_s
        )

{methods}

    def _get(
        self,
        method: str,
        path: str,
        *,
        accept: str,
        query: Mapping[str, str | None] | None = None,
        headers: Mapping[str, str | None] | None = None,
        body: bytes = b"",
    ) -> bytes:
        sent = {{"Accept": f"{{accept}}, application/problem+json", **(headers or {{}})}}
        reply = self.call(method, path, query=query or {{}}, headers=sent, body=body)
        media_type = reply.headers.get("content-type", "").partition(";")[0]
        if reply.status == OK and media_type == accept:
            return reply.body
        if reply.status in PROBLEMS and media_type == "application/problem+json":
            raise PROBLEMS[reply.status](parsed(Problem, reply.body))
        raise MalformedAnswerError(f"{{method}} {{path}} was answered with {{reply.status}} {{media_type}}.")
'''


def source(document: Node) -> str:
    """Return the client's source, formatted as all of the project's."""
    info, schemas = document["info"], document["components"]["schemas"]
    _, _, transport = TRANSPORT.read_text(encoding="utf-8").partition('"""\n\nfrom __future__')
    written = "\n".join(
        [
            ABOUT.format(title=info["title"], version=info["version"], summary=info["summary"]),
            f"from __future__{transport}",
            f"MAX_IMAGE_BYTES = {schemas['Image']['maxLength']}",
            *(_dataclass(name, schema) for name, schema in _objects(schemas)),
            _errors(document),
            _client(document),
        ]
    )
    formatted = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(PATH), "-"],
        input=written, capture_output=True, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    return formatted.stdout


def _objects(schemas: Node) -> Iterator[tuple[str, Node]]:
    """Yield the schemas of objects, each after those that it is made of."""
    left = {name: schema for name, schema in schemas.items() if schema["type"] == "object"}
    done: set[str] = set()
    while left:
        name = next(name for name, schema in left.items() if _references(schema) <= done)
        done.add(name)
        yield name, left.pop(name)


def _references(node: object) -> set[str]:
    if isinstance(node, dict):
        own = {_name(node)} if "$ref" in node else set()
        return own.union(*map(_references, node.values()))
    return set().union(*map(_references, node)) if isinstance(node, list) else set()


def _dataclass(name: str, schema: Node) -> str:
    base = f"({', '.join(map(_type, schema['allOf']))})" if "allOf" in schema else ""
    fields = [
        _field(member, described, required=member in schema["required"])
        for member, described in schema["properties"].items()
    ]
    about = _wrapped(schema["description"], 4)
    head = f'@dataclass(frozen=True, kw_only=True)\nclass {name}{base}:\n    """{about}"""\n\n'
    return "\n\n" + head + "\n".join(fields)


def _field(name: str, schema: Node, *, required: bool) -> str:
    kind = _type(schema)
    kind = kind if required else f"{kind.removesuffix(' | None')} | None = None"
    line, about = f"    {_identifier(name)}: {kind}", schema.get("description")
    if about and len(f"{line}  # {about}") <= LINE:
        return f"{line}  # {about}"
    return f"    # {_wrapped(about, 4, '# ')}\n{line}" if about else line


def _wrapped(text: str, indent: int, mark: str = "") -> str:
    """Return text for lines that begin after `indent` blanks and a mark, which the first one has already."""
    following = f"{' ' * indent}{mark}"
    lines = textwrap.wrap(
        text, LINE - 8, initial_indent=following, subsequent_indent=following, break_long_words=False
    )
    return "\n".join(lines).removeprefix(following)


def _type(schema: Node) -> str:
    if "$ref" in schema:
        return _name(schema)
    if "anyOf" in schema:
        return " | ".join(map(_type, schema["anyOf"]))
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        return f"Literal[{', '.join(map(repr, values))}]"
    if schema["type"] == "null":
        return "None"
    if schema["type"] == "array":
        return f"list[{_type(schema['items'])}]"
    return PLAIN[schema["type"]]


def _name(reference: Node) -> str:
    return str(reference["$ref"].rpartition("/")[2])


def _identifier(name: str) -> str:
    snake = re.sub(r"(?<=[a-z])(?=[A-Z])|\W", "_", name).lower()
    return f"{snake}_" if keyword.iskeyword(snake) else snake


def _errors(document: Node) -> str:
    titles = {**OF_API_GATEWAY, **TITLES}
    answered = {
        int(status)
        for methods in document["paths"].values()
        for operation in methods.values()
        for status in operation["responses"]
    }
    names = {
        status: f"{re.sub(r'[^A-Za-z]', '', titles[status])}Error" for status in sorted(answered - {200})
    }
    names = {status: re.sub("ErrorError$", "Error", name) for status, name in names.items()}
    classes = "\n\n\n".join(
        f'class {name}(ProblemError):\n    """{status} {titles[status]}."""' for status, name in names.items()
    )
    table = ", ".join(f"{status}: {name}" for status, name in names.items())
    return ERRORS.format(classes=classes, table=table)


def _client(document: Node) -> str:
    methods = [
        _method(method.upper(), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    key = document["components"]["securitySchemes"]["api_key"]["name"]
    summary = document["info"]["summary"]
    return CLIENT.format(summary=summary, key=repr(key), methods="\n".join(methods))


def _method(method: str, path: str, operation: Node) -> str:
    parameters = {each["name"]: each for each in operation.get("parameters", [])}
    takes, call = ["self"], [f'"{method}"', f'"{path}"']
    sends_image = "requestBody" in operation
    if sends_image:
        takes.append("image: bytes")
    if parameters:
        takes += ["*", *(_argument(each) for each in parameters.values())]
    accept, kind, give = _given(operation["responses"]["200"]["content"])
    call.append(f'accept="{accept}"')
    headers = [
        f'"{name}": {_identifier(name)}' for name, each in parameters.items() if each["in"] == "header"
    ]
    query = [f'"{name}": {_sent(each)}' for name, each in parameters.items() if each["in"] == "query"]
    if sends_image:  # among the image types the bytes decide: this one says so
        headers.insert(0, '"Content-Type": "application/octet-stream"')
    call += [f"query={{{', '.join(query)}}}"] if query else []
    call += [f"headers={{{', '.join(headers)}}}"] if headers else []
    call += ["body=image"] if sends_image else []
    about = [f"{operation['summary']}."]
    if "description" in operation:
        about.append(f"        {_wrapped(operation['description'], 8)}")
    if parameters:
        told = [
            f"        {_identifier(name)}\n            {_wrapped(each['description'], 12)}"
            for name, each in parameters.items()
        ]
        about.append("\n".join(["        Parameters", "        ----------", *told]))
    text = "\n\n".join(about)
    end = "\n        " if len(about) > 1 else ""
    got = f"self._get({', '.join(call)})"
    return (
        f"    def {_identifier(operation['operationId'])}({', '.join(takes)}) -> {kind}:\n"
        f'        """{text}{end}"""\n        return {give.format(got)}\n'
    )


def _argument(parameter: Node) -> str:
    name, schema = _identifier(parameter["name"]), parameter["schema"]
    if "default" in schema:
        return f"{name}: {_type(schema)} = {schema['default']!r}"
    return f"{name}: {_type(schema)} | None = None"


def _sent(parameter: Node) -> str:
    name = _identifier(parameter["name"])
    return f'"true" if {name} else "false"' if parameter["schema"]["type"] == "boolean" else name


def _given(content: Node) -> tuple[str, str, str]:
    """Return the media type to ask for, the one best to read, its type, and what makes it that."""
    for accept in ("application/json", "text/markdown", "text/html"):
        if accept in content and accept.endswith("json"):
            kind = _type(content[accept]["schema"])
            return accept, kind, f"parsed({kind.partition('[')[0]}, {{}})"
        if accept in content:
            return accept, "str", "{}.decode()"
    raise ValueError(f"no method can be written for an answer of {', '.join(content)}")
