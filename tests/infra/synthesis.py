"""Synthesized environments, by stack and by resource type."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import aws_cdk as cdk
from cdk_nag import AwsSolutionsChecks

from infra.app import declare
from infra.config import ENVIRONMENTS as OURS
from infra.config import known_environments
from infra.paths import ROOT
from infra.release import card_path, load, save
from infra.stacks.gateway import GatewayStack

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from infra.config import Settings
    from infra.release import Release

RELEASE = ROOT / "tests" / "fixtures" / "releases" / "prod.json"
SHADOW_SHA256 = "5a" * 32
ENVIRONMENTS = known_environments()
FIXTURE_ENVIRONMENTS = ROOT / "tests" / "fixtures" / "environments"
FULL = (FIXTURE_ENVIRONMENTS / "full.toml").read_text()  # has every optional part
QUEUED = (FIXTURE_ENVIRONMENTS / "queued.toml").read_text()  # the same with asynchronous hosting

# Names of assets, and the release's own artifact: 64 hexadecimal digits.
_HASH = re.compile(r"[0-9a-f]{64}")
# The CDK's ends of logical ids, which follow from the constructs' paths, stay: they decide what is replaced.
# One does not: an API's deployment carries a hash of the API itself.
_DEPLOYMENT = re.compile(r"(RestApiDeployment[0-9A-F]{8})[0-9a-f]{32}")

# JSON that AWS defines.
Json = dict[str, Any]


def cli_context() -> dict[str, object]:
    """The context that the CLI gives the app: the feature flags of cdk.json, and two switches of its own."""
    context: dict[str, object] = json.loads((ROOT / "cdk.json").read_text())["context"]
    return context | {"aws:cdk:enable-path-metadata": True, "aws:cdk:enable-asset-metadata": True}


@dataclass(frozen=True)
class Template:
    """One stack's template."""

    path: Path

    @cached_property
    def content(self) -> Json:
        content: Json = json.loads(self.path.read_text())
        return content

    def all(self, kind: str) -> dict[str, Json]:
        """Return the resources of type ``AWS::<kind>`` by their logical ids."""
        found = self.content["Resources"].items()
        return {id_: item for id_, item in found if item["Type"] == f"AWS::{kind}"}

    def only(self, kind: str, prefix: str = "") -> Json:
        """Return the one resource of type ``AWS::<kind>`` whose logical id begins with a prefix."""
        (resource,) = (item for id_, item in self.all(kind).items() if id_.startswith(prefix))
        return resource

    def properties(self, kind: str, prefix: str = "") -> Json:
        """Return the properties of what `only` returns."""
        properties: Json = self.only(kind, prefix)["Properties"]
        return properties

    def statements(self) -> list[tuple[str, Json]]:
        """Return every statement of every policy with the logical id of its resource."""
        documents = [
            (id_, resource["Properties"]["PolicyDocument"])
            for kind in ("IAM::Policy", "S3::BucketPolicy", "SNS::TopicPolicy")
            for id_, resource in self.all(kind).items()
        ]
        documents += [
            (id_, resource["Properties"]["KeyPolicy"]) for id_, resource in self.all("KMS::Key").items()
        ]
        return [(id_, statement) for id_, document in documents for statement in document["Statement"]]


@dataclass(frozen=True)
class Assembly:
    """The output of one synth."""

    environment: str
    folder: Path

    def template(self, stack: str) -> Template:
        """Return a stack's template, by the last part of its name."""
        return Template(self.folder / f"tumor-detector-{self.environment}-{stack}.template.json")

    def templates(self) -> list[Template]:
        return [Template(path) for path in sorted(self.folder.glob("*.template.json"))]

    def assets(self, stack: str) -> Json:
        return self.json(f"tumor-detector-{self.environment}-{stack}.assets.json")

    def json(self, name: str) -> Json:
        content: Json = json.loads((self.folder / name).read_text())
        return content

    def deployed_bytes(self) -> dict[str, bytes]:
        """Return the files that a deploy reads, by name."""
        paths = [*self.folder.glob("*.template.json"), *self.folder.glob("*.assets.json")]
        return {path.name: path.read_bytes() for path in paths}


def synthesize(
    environment: str, folder: Path, *, release: Path | None, environments: Path = OURS
) -> Assembly:
    """Synthesize as the CLI does, in this process."""
    app = cdk.App(context=cli_context(), outdir=str(folder), analytics_reporting=False)
    declare(app, environment=environment, record=release, environments=environments)
    app.synth()
    return Assembly(environment, folder)


def synthesize_stack(declare: Callable[[cdk.App], cdk.Stack], folder: Path) -> Template:
    """Synthesize one stack by itself, under cdk-nag."""
    app = cdk.App(context=cli_context(), outdir=str(folder), analytics_reporting=False)
    cdk.Validations.of(app).add_plugins(AwsSolutionsChecks())
    stack = declare(app)
    app.synth()
    return Template(folder / f"{stack.stack_name}.template.json")


def synthesize_gateway(settings: Settings, folder: Path, *, release: Release | None = None) -> Template:
    """Synthesize the gateway stack with these settings, by default with the fixture release."""
    released = release or load(RELEASE)
    card = card_path(RELEASE, sha256=released.model.sha256)
    return synthesize_stack(
        lambda app: GatewayStack(app, settings=settings, release=released, card=card), folder
    )


def copy_sources(to: Path) -> None:
    """Copy what synth reads of the repository, without releases, and link what is installed."""
    ignored = shutil.ignore_patterns("__pycache__", "releases")
    for folder in ("infra", "container"):
        shutil.copytree(ROOT / folder, to / folder, ignore=ignored)
    shutil.copy(ROOT / "cdk.json", to)
    for installed in (".venv", "node_modules"):
        (to / installed).symlink_to(ROOT / installed)


def record_for(environment: str, folder: Path) -> Path:
    """Write the fixture release as another environment's, with its card, and return its path."""
    released, record = load(RELEASE), folder / f"{environment}.json"
    save(record, replace(released, environment=environment))
    card, copy = (card_path(path, sha256=released.model.sha256) for path in (RELEASE, record))
    shutil.copy(card, copy)
    return record


def shadow_for(environment: str, folder: Path) -> str:
    """Write another release with its card, and return the settings that make it an environment's shadow."""
    released, record = load(RELEASE), folder / f"{environment}.shadow.json"
    model = replace(released.model, version="9", sha256=SHADOW_SHA256)
    save(record, replace(released, environment=environment, model=model))
    card = card_path(RELEASE, sha256=released.model.sha256)
    shutil.copy(card, card_path(record, sha256=SHADOW_SHA256))
    return f'\n[hosting.shadow]\nrelease = "{record}"\npercent = 25\n'


def synthesize_written(written: str, folder: Path) -> Assembly:
    """Synthesize an environment whose settings are given as text, with a release."""
    (folder / "stage.toml").write_text(written)
    return synthesize("stage", folder / "out", release=record_for("stage", folder), environments=folder)


def normalised(assembly: Assembly) -> str:
    """Every template of an environment as one text, without the hashes that any edit of a file changes."""
    templates = {template.path.name.split(".")[0]: template.content for template in assembly.templates()}
    written = json.dumps(templates, indent=1, sort_keys=True) + "\n"
    hashes: dict[str, str] = {}
    for found in _HASH.findall(written):
        hashes.setdefault(found, f"HASH-{len(hashes)}")
    written = _HASH.sub(lambda found: hashes[found.group()], written)
    return _DEPLOYMENT.sub(r"\1HASH", written)


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def resolve(value: Any, known: Mapping[str, str], *, unknown: str) -> Any:
    """Replace intrinsic functions by what is known of the names and attributes in them."""
    match value:
        case {"Ref": name} | {"Fn::GetAtt": [_, name]}:
            value = known.get(name, unknown)
        case {"Fn::Join": [separator, parts]}:
            value = separator.join(resolve(part, known, unknown=unknown) for part in parts)
        case {"Fn::Sub": str(written)}:
            value = re.sub(r"\$\{(.*?)\}", lambda found: known.get(found[1], unknown), written)
        case dict():
            assert not [key for key in value if key.startswith("Fn::")]
            value = {key: resolve(item, known, unknown=unknown) for key, item in value.items()}
        case list():
            value = [resolve(item, known, unknown=unknown) for item in value]
        case str():
            value = re.sub(r"\{\{resolve:.*?\}\}", unknown, value)
    return value


def text(value: object) -> str:
    """Write a template's value as one line, references in angle brackets."""
    match value:
        case {"Ref": name}:
            return f"<{name}>"
        case {"Fn::GetAtt": [name, attribute]}:
            return f"<{name}.{attribute}>"
        case {"Fn::Join": [separator, [*parts]]}:
            return str(separator).join(text(part) for part in parts)
        case _:
            return str(value)
