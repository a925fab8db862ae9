"""The emulator with the real Lambda and the real server, and how the tests call and inspect them."""

from __future__ import annotations

import http.client
import json
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import psutil
import requests

from infra import config, names
from tests.container import processes
from tests.container.serving import answer_on
from tests.emulator.deployment import create_gateway
from tests.fuzz.contract import Contract

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.container.serving import Answer
    from tests.emulator.cloud import Cloud

SERVER = "container.__main__:main serve"  # in its command line
TIMEOUT_S = 35.0  # longer than API Gateway's
UNTHROTTLED = {"requests_per_second": 5_000, "burst": 5_000}


@dataclass(frozen=True)
class Gateway:
    """A deployed gateway; every response is checked against its contract."""

    url: str
    contract: Contract
    key: str

    def request(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send one request on a connection of its own."""
        stage = urlsplit(self.url)
        with closing(http.client.HTTPConnection(stage.netloc, timeout=TIMEOUT_S)) as connection:
            connection.request(method, stage.path + path, body, {"x-api-key": self.key, **headers})
            answer = answer_on(connection)
        self.contract.check(answer, method=method, path=unquote(urlsplit(path).path) or "/")
        return answer

    def predict(
        self, body: bytes, media_type: str = "application/octet-stream", *, query: str = ""
    ) -> Answer:
        return self.request("POST", f"/predict{query}", body, {"content-type": media_type})


@dataclass(frozen=True)
class Deployment:
    """A running emulator, whose endpoint is the serving image's own server, as a process."""

    cloud: Cloud
    log: Path

    def deploy(self, artifact: bytes, folder: Path) -> Gateway:
        """Deploy an endpoint, and before it a gateway with an API key, whose stack is written to a folder."""
        local = config.load("local")
        throttle = replace(local.throttle, **UNTHROTTLED)
        settings = replace(local, environment="fuzzed", auth="api_key", throttle=throttle)
        configuration = self.cloud.config(artifact=self.cloud.upload(artifact))
        self.cloud.endpoint(configuration, name=names.endpoint(settings.environment, mode="real-time"))
        outputs = create_gateway(self.cloud, settings, folder)
        url = self.cloud.gateway_url(outputs)
        document = requests.get(f"{url}/openapi.json", timeout=TIMEOUT_S).json()
        return Gateway(url, Contract(document), self.cloud.api_key(outputs))

    def server(self) -> list[int]:
        """Return the real server's processes: the one that listens first, then its workers."""
        [listening] = [
            pid for pid in processes.children(self.cloud.aws.process_id) if SERVER in _command(pid)
        ]
        return [listening, *sorted(processes.children(listening))]

    def first_lambda(self) -> int:
        """Return the first process of the first gateway's Lambda; others come and go with the load."""
        others = (pid for pid in processes.children(self.cloud.aws.process_id) if SERVER not in _command(pid))
        return min(others, key=lambda pid: psutil.Process(pid).create_time())  # process ids wrap around

    def logs(self) -> str:
        """Return all logs: the emulator's, the endpoints' and, from CloudWatch, the Lambdas'."""
        logs = self.cloud.client("logs")
        found = [self.log.read_text(errors="replace")]
        for group in logs.get_paginator("describe_log_groups").paginate().search("logGroups[].logGroupName"):
            for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group):
                found += [json.dumps(event["message"]) + event["message"] for event in page["events"]]
        return "\n".join(found)


def _command(pid: int) -> str:
    return " ".join(psutil.Process(pid).cmdline())
