"""The laptop's AWS with the real Lambda and the real server, and what a test asks of it."""

from __future__ import annotations

import http.client
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3

from infra import config, names
from infra.local import LocalAws
from tests.container import processes
from tests.container.serving import Answer
from tests.fuzz.contract import Contract
from tests.local import gateway_stack

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.config import Throttle
    from infra.settings.access import Auth
    from tests.fuzz.figures import Figures
    from tests.local.cloud import Cloud

PROGRAM = Path(__file__).with_name("program.py")
PATIENCE_S = 35.0  # longer than API Gateway has
WIDE = {"requests_per_second": 5_000, "burst": 5_000}


@dataclass(frozen=True)
class Gateway:
    """A deployed gateway, asked as any program may ask it; every answer is held against the contract."""

    url: str
    figures: Figures
    contract: Contract
    key: str | None = None

    @property
    def netloc(self) -> str:
        return urlsplit(self.url).netloc

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.netloc, timeout=PATIENCE_S)

    def target(self, path: str) -> str:
        return urlsplit(self.url).path + path

    def headers(self, **more: str) -> dict[str, str]:
        """The headers that every request needs, and more."""
        return {**({"x-api-key": self.key} if self.key else {}), **more}

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        kind: str,
    ) -> Answer:
        """Send one request on a connection of its own, and count its answer among a kind's."""
        connection = self.connect()
        began = time.monotonic()
        try:
            connection.request(method, self.target(path), body, {**self.headers(), **(headers or {})})
            response = connection.getresponse()
            answer = Answer(response.status, lower(response.getheaders()), response.read())
        finally:
            connection.close()
        self.figures.count(kind, answer.status, time.monotonic() - began)
        self.contract.hold(answer, method=method, path=path)
        return answer

    def predict(
        self, body: bytes, media_type: str = "application/octet-stream", *, kind: str, query: str = ""
    ) -> Answer:
        return self.ask("POST", f"/predict{query}", body, {"content-type": media_type}, kind=kind)


def lower(headers: list[tuple[str, str]]) -> dict[str, str]:
    """Headers by their names in lower case; one that comes twice fails the test."""
    named = {name.lower(): value for name, value in headers}
    assert len(named) == len(headers), headers
    return named


@dataclass(frozen=True)
class Laptop:
    """A running laptop's AWS with two endpoints: the real server's, and one that fails as it is told."""

    cloud: Cloud
    log: Path
    figures: Figures
    scratch: Path

    def deploy(self, name: str, *, auth: Auth = "none", throttle: Throttle | None = None) -> Gateway:
        """Deploy the gateway before the endpoint of an environment's name."""
        usual = config.load("local")
        settings = replace(usual, environment=name, auth=auth)
        settings = replace(settings, throttle=throttle or replace(usual.throttle, **WIDE))
        folder = self.scratch / name
        gateway_stack.synthesize(settings, folder)
        outputs = gateway_stack.create(self.cloud, f"gateway-{name}", folder)
        url = self.cloud.aws.gateway_url(outputs["ApiId"], outputs["StageName"])
        key = self._key(outputs["ApiKeyId"]) if "ApiKeyId" in outputs else None
        return Gateway(url, self.figures, Contract.at(url), key)

    def serve(self, name: str, artifact: bytes) -> None:
        """Bring up the endpoint of an environment's name."""
        cloud = self.cloud
        config_name = cloud.config(artifact=cloud.upload(artifact))
        endpoint = names.endpoint(name, mode="real-time")
        cloud.sagemaker.create_endpoint(EndpointName=endpoint, EndpointConfigName=config_name)
        cloud.wait(endpoint)

    def client(self, service: str) -> Any:
        environment = self.cloud.aws.environment
        return boto3.client(
            service,  # type: ignore[call-overload]
            endpoint_url=self.cloud.aws.endpoint_url,
            region_name=environment["AWS_REGION"],
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        )

    def _key(self, key_id: str) -> str:
        key: str = self.client("apigateway").get_api_key(apiKey=key_id, includeValue=True)["value"]
        return key

    def server(self) -> list[int]:
        """The real server's processes: the front first, then its workers."""
        fronts = [
            pid
            for pid in processes.children(self.cloud.aws.process_id)
            if str(PROGRAM) in command(pid) and len(processes.children(pid)) > 0
        ]
        (front,) = fronts
        return [front, *sorted(processes.children(front))]

    def first_lambda(self) -> int:
        """The process that serves the first gateway's Lambda; further ones come and go with the load."""
        others = processes.children(self.cloud.aws.process_id)
        return min((pid for pid in others if str(PROGRAM) not in command(pid)), key=begun_at)

    def logs(self) -> str:
        """All that was logged: by the emulator, the endpoints and, as CloudWatch has it, the Lambdas."""
        logs = self.client("logs")
        said = [self.log.read_text(errors="replace")]
        for group in logs.get_paginator("describe_log_groups").paginate().search("logGroups[].logGroupName"):
            for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group):
                said += [json.dumps(event["message"]) + event["message"] for event in page["events"]]
        return "\n".join(said)


def command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")


def begun_at(pid: int) -> int:
    """When a process was started, in ticks: ids wrap around."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


def start(log: Path) -> LocalAws:
    return LocalAws(port=0, engine="process", log=log, program=[str(PROGRAM)])
