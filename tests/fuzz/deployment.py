"""The emulator with the real Lambda and the real server, and how the tests call and inspect them."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from infra import config, names
from tests.container import processes
from tests.container.serving import Answer
from tests.emulator.deployment import create_gateway
from tests.fuzz.contract import Contract

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.config.environment import Auth
    from tests.emulator.cloud import Cloud

SERVER = "container.__main__:main serve"  # in its command line
TIMEOUT_S = 35.0  # longer than API Gateway's
UNTHROTTLED = {"requests_per_second": 5_000, "burst": 5_000}


@dataclass(frozen=True)
class Gateway:
    """A deployed gateway; every response is checked against its contract."""

    url: str
    contract: Contract
    key: str | None = None

    @property
    def netloc(self) -> str:
        return urlsplit(self.url).netloc

    def target(self, path: str) -> str:
        return urlsplit(self.url).path + path

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request on a connection of its own."""
        connection = http.client.HTTPConnection(self.netloc, timeout=TIMEOUT_S)
        key = {"x-api-key": self.key} if self.key else {}
        try:
            connection.request(method, self.target(path), body, {**key, **(headers or {})})
            response = connection.getresponse()
            answer = Answer(response.status, _lower(response.getheaders()), response.read())
        finally:
            connection.close()
        self.contract.check(answer, method=method, path=path)
        return answer

    def predict(
        self, body: bytes, media_type: str = "application/octet-stream", *, query: str = ""
    ) -> Answer:
        return self.request("POST", f"/predict{query}", body, {"content-type": media_type})


def _lower(headers: list[tuple[str, str]]) -> dict[str, str]:
    """Map headers by their names in lower case; one that comes twice fails the test."""
    named = {name.lower(): value for name, value in headers}
    assert len(named) == len(headers), headers
    return named


@dataclass(frozen=True)
class Deployment:
    """A running emulator, whose endpoint is the serving image's own server, as a process."""

    cloud: Cloud
    log: Path
    scratch: Path

    def deploy(self, name: str, *, auth: Auth = "none") -> Gateway:
        """Deploy the gateway of an environment, before the endpoint that `serve` created."""
        local = config.load("local")
        throttle = replace(local.throttle, **UNTHROTTLED)
        settings = replace(local, environment=name, auth=auth, throttle=throttle)
        folder = self.scratch / name
        outputs = create_gateway(self.cloud, settings, folder)
        url = self.cloud.gateway_url(outputs["ApiId"], outputs["StageName"])
        key = None
        if key_id := outputs.get("ApiKeyId"):
            key = self.cloud.client("apigateway").get_api_key(apiKey=key_id, includeValue=True)["value"]
        return Gateway(url, Contract.of(url), key)

    def serve(self, name: str, artifact: bytes) -> None:
        """Create the endpoint of an environment."""
        configuration = self.cloud.config(artifact=self.cloud.upload(artifact))
        endpoint = names.endpoint(name, mode="real-time")
        self.cloud.sagemaker.create_endpoint(EndpointName=endpoint, EndpointConfigName=configuration)
        self.cloud.wait(endpoint)

    def server(self) -> list[int]:
        """Return the real server's processes: the one that listens first, then its workers."""
        [listening] = [
            pid for pid in processes.children(self.cloud.aws.process_id) if SERVER in _command(pid)
        ]
        return [listening, *sorted(processes.children(listening))]

    def first_lambda(self) -> int:
        """Return the first process of the first gateway's Lambda; others come and go with the load."""
        others = (pid for pid in processes.children(self.cloud.aws.process_id) if SERVER not in _command(pid))
        return min(others, key=_started_at)

    def logs(self) -> str:
        """Return all logs: the emulator's, the endpoints' and, from CloudWatch, the Lambdas'."""
        logs = self.cloud.client("logs")
        found = [self.log.read_text(errors="replace")]
        for group in logs.get_paginator("describe_log_groups").paginate().search("logGroups[].logGroupName"):
            for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group):
                found += [json.dumps(event["message"]) + event["message"] for event in page["events"]]
        return "\n".join(found)


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")


def _started_at(pid: int) -> int:
    """When a process was started, in ticks: process ids wrap around."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
