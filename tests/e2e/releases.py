"""Releases that the tests derive from a promoted one, and an environment of its own to deploy them to."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import subprocess
import tarfile
from dataclasses import replace
from typing import TYPE_CHECKING

from infra import names, release
from infra.local_aws import gateway_url
from infra.paths import ENVIRONMENTS
from tests.git import git

if TYPE_CHECKING:
    from collections.abc import Callable

    from infra.release import Model
    from tests.e2e.conftest import Demo

    Change = Callable[[str, bytes], bytes]
    """From the name and content of an artifact's member to its new content."""


def with_another_card(name: str, content: bytes) -> bytes:
    """Change the artifact's hash, and none of its predictions."""
    return content + b"\nReleased again.\n" if name.endswith(".md") else content


def with_half_a_network(name: str, content: bytes) -> bytes:
    """Make a model that cannot be loaded."""
    return content[: len(content) // 2] if name == "model.tflite" else content


def with_invalid_labels(name: str, content: bytes) -> bytes:
    """Make a model that loads and passes its self-test, and fails at each image: its labels are no text."""
    if name != "metadata.json":
        return content
    return json.dumps(json.loads(content) | {"labels": ["\ud800", "\ud800"]}).encode()


class Environment:
    """An environment of a test's own on the demo's emulator, which starts with the demo's release."""

    def __init__(self, demo: Demo, name: str) -> None:
        self.demo = demo
        self.name = name
        self.record = demo.root / "infra" / "releases" / f"{name}.json"
        self._settings = demo.root / "infra" / "environments" / f"{name}.toml"
        self._source = release.load(demo.root / "infra" / "releases" / "local.json")
        self.first = self._source.model.sha256
        self.host(None)
        self._write_record(replace(self._source.model, version="1"))

    def host(self, hosting: str | None) -> None:
        """Write the environment's file: `local`'s, with another [hosting] table unless None is given."""
        settings = (ENVIRONMENTS / "local.toml").read_text()
        if hosting is not None:
            before, _, rest = settings.partition("[hosting]\n")
            settings = f"{before}[hosting]\n{hosting}\n[throttle]{rest.partition('[throttle]')[2]}"
        # The demo's own environment has set the region's role for API Gateway's logs.
        self._settings.write_text(f'api_log_role = "existing"\n{settings}')

    def release(self, change: Change, *, version: str) -> str:
        """Release a changed copy of the first model; return its hash."""
        store = self.demo.root / ".local" / "artifacts"
        buffer = io.BytesIO()
        with (
            tarfile.open(store / self.first / "model.tar.gz") as source,
            gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as compressed,
            tarfile.open(fileobj=compressed, mode="w") as target,
        ):
            for member in source.getmembers():
                content = change(member.name, source.extractfile(member).read())  # type: ignore[union-attr]
                member.size = len(content)
                target.addfile(member, io.BytesIO(content))
        packed = buffer.getvalue()
        sha256 = hashlib.sha256(packed).hexdigest()
        (store / sha256).mkdir(exist_ok=True)
        (store / sha256 / "model.tar.gz").write_bytes(packed)
        self._write_record(replace(self._source.model, sha256=sha256, version=version, bytes=len(packed)))
        return sha256

    def _write_record(self, model: Model) -> None:
        """Release a model, with everything else as in the demo's record."""
        derived = replace(self._source, environment=self.name, model=model)
        release.replace(self.record, derived, card="# A model made for a test\n")

    def run(self, command: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `scripts/COMMAND --env NAME`."""
        return self.demo.run(f"scripts/{command}", "--env", self.name, *arguments, check=check)

    def start(self, command: str) -> subprocess.Popen[str]:
        """Start `scripts/COMMAND --env NAME`, its output in one stream."""
        return subprocess.Popen(
            [f"scripts/{command}", "--env", self.name],
            cwd=self.demo.root, env=self.demo.environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def commit(self, subject: str) -> None:
        git(self.demo.root, "add", "infra/environments", f"infra/releases/{self.name}*")
        git(self.demo.root, "commit", "--quiet", "--message", subject)

    def url(self) -> str:
        api_id = self.demo.outputs(names.stack(self.name, "gateway"))["ApiId"]
        return gateway_url(api_id, names.STAGE_NAME, port=self.demo.port)

    def endpoint_stack_status(self) -> str:
        [stack] = self.demo.client("cloudformation").describe_stacks(
            StackName=names.stack(self.name, "endpoint")
        )["Stacks"]
        status: str = stack["StackStatus"]
        return status

    def serving(self) -> tuple[str, str]:
        """Return the names of the one endpoint and of the configuration that serves."""
        sagemaker = self.demo.client("sagemaker")
        [endpoint] = sagemaker.list_endpoints(NameContains=f"-{self.name}-")["Endpoints"]
        described = sagemaker.describe_endpoint(EndpointName=endpoint["EndpointName"])
        return described["EndpointName"], described["EndpointConfigName"]
