"""`scripts/doctor`: each planted fault is found by name and with its remedy, and nothing is changed."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import namedtuple
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import boto3
import jsonschema  # type: ignore[import-untyped]
import pytest

from infra import config
from infra.config.environment import Batch
from infra.config.hosting import Async, RealTime, Shadow
from infra.emulator.process.local_aws import SCRATCH_PREFIX
from infra.paths import ROOT
from scripts import _setup
from scripts.commands import common, deploy, doctor
from scripts.diagnosis import account
from scripts.diagnosis.finding import FAULTS
from tests.delivery.aws_answers import Answers, product, refusal
from tests.delivery.conftest import set_account

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SCHEMA = json.loads((ROOT / "scripts" / "diagnosis" / "report.schema.json").read_text())
CALLER = {"UserId": "AIDAEXAMPLE", "Account": "123456789012", "Arn": "arn:aws:iam::123456789012:user/someone"}
LOOKUP = {"AccessKeyId": "A" * 20, "SecretAccessKey": "s", "SessionToken": "t", "Expiration": "2026-12-01"}
SERVERLESS, CONCURRENT = "L-96300102", "L-B99A9384"
KEPT = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
DOCKER = """
case "$1" in
  info) [ "$(cat "$HOME/status")" = 0 ] || { echo "Cannot connect to the Docker daemon" >&2; exit 1; }
        cat "$HOME/info.json" ;;
  buildx) exit 1 ;;
  ps) cat "$HOME/containers" ;;
esac
"""
Usage = namedtuple("Usage", "total used free")


def quota(service: str, name: str, value: float, *, code: str = "L-12345678") -> dict[str, Any]:
    return {"ServiceCode": service, "QuotaName": name, "QuotaCode": code, "Value": value}


def registry(status: str = "CREATE_COMPLETE", **more: object) -> dict[str, Any]:
    return {"Stacks": [{"StackName": "s", "CreationTime": "2026-11-01", "StackStatus": status, **more}]}


@dataclass
class World:
    """A machine and an account without a fault."""

    home: Path
    monkeypatch: pytest.MonkeyPatch
    port: int
    answers: Answers
    open: list[socket.socket] = field(default_factory=list)

    def docker(self, status: int = 0, **information: object) -> None:
        (self.home / "info.json").write_text(json.dumps(information))
        (self.home / "status").write_text(str(status))

    def listen(self, family: int, host: str) -> None:
        self.open.append(listener := socket.socket(family, socket.SOCK_STREAM))
        listener.bind((host, self.port))
        listener.listen()

    def answer(self, operation: str, answer: object) -> None:
        self.answers.by_operation[operation] = answer  # type: ignore[assignment]

    def quotas(self, *, instances: float = 12, serverless: float = 10, functions: float = 1000) -> None:
        """Answer with one quota a page; Lambda's was never changed, so that only its default is known."""
        pages = [
            quota("sagemaker", "Total serverless concurrency", serverless, code=SERVERLESS),
            quota("sagemaker", "ml.c7i.large for endpoint usage", instances),
        ]

        def page(sent: dict[str, Any]) -> dict[str, Any]:
            if sent["ServiceCode"] == "lambda":
                return {"Quotas": []}
            number = int(sent.get("NextToken", 0))
            return {"Quotas": [pages[number]]} | ({} if number else {"NextToken": "1"})

        self.answer("ListServiceQuotas", page)
        defaults = [quota("lambda", "Concurrent executions", functions, code=CONCURRENT)]
        self.answer("ListAWSDefaultServiceQuotas", {"Quotas": defaults})


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    for name in os.environ:
        if name.startswith("DOCKER_") or name.endswith(("CA_BUNDLE", "_CERTS", "_OPTIONS", "CERT_FILE")):
            monkeypatch.delenv(name)
    set_account(monkeypatch)  # of which `connect` sets the region again, and monkeypatch restores it
    monkeypatch.delenv("TUMOR_DATA", raising=False)
    (tmp_path / "temporary").mkdir()
    (tmp_path / "docker").write_text(f"#!/bin/sh{DOCKER}")
    (tmp_path / "docker").chmod(0o755)
    (tmp_path / "containers").touch()
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.setattr(_setup, "is_current", lambda _layer: True)
    monkeypatch.setattr(_setup, "_version", lambda *_: _setup.SUPPORTED[0])
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    made = World(tmp_path, monkeypatch, port, Answers({}))
    made.docker(DriverStatus=[["Backing Filesystem", "extfs"]], DockerRootDir=str(tmp_path))
    made.quotas()
    made.answer("GetCallerIdentity", CALLER)
    made.answer("AssumeRole", {"Credentials": LOOKUP})
    made.answer("GetRegionOptStatus", {"RegionName": "eu-west-1", "RegionOptStatus": "ENABLED_BY_DEFAULT"})
    made.answer("GetParameter", {"Parameter": {"Value": "28"}})
    made.answer("GetProducts", {"PriceList": [product("AmazonSageMaker", "EU-Host:ml.c7i.large", 0.11)]})
    made.answer("DescribeStacks", registry())
    made.answer("GetResources", {"ResourceTagMappingList": []})
    made.answers.install(monkeypatch)
    yield made
    for listener in made.open:
        listener.close()


def no_bootstrap(world: World) -> None:
    world.answer("GetParameter", refusal("ParameterNotFound"))
    parameter = {"ParameterKey": "Qualifier", "ParameterValue": "platform"}
    world.answer("DescribeStacks", registry(Parameters=[parameter]))


def retained(world: World) -> None:
    missing = refusal("ValidationError", "Stack with id s does not exist")
    world.answer("DescribeStacks", missing)
    world.answer("GetResources", {"ResourceTagMappingList": [{"ResourceARN": KEPT}]})


def killed_demo(world: World) -> None:
    owner = f"{platform.node()}/{999_999_999}"
    (world.home / "containers").write_text(f"0123abcd {owner}\n")


def credential_helper(world: World) -> None:
    (world.home / ".docker").mkdir()
    (world.home / ".docker" / "config.json").write_text('{"credsStore": "desktop.exe"}')


def two_identities(world: World) -> None:
    (world.home / ".aws").mkdir()
    (world.home / ".aws" / "config").write_text("[profile work]\nregion = eu-west-1\n")
    world.monkeypatch.setenv("AWS_PROFILE", "work")


# A name of faults.toml, what to add where it is planted twice, and the environment that is looked at.
PLANTED: dict[str, Callable[[World], object]] = {
    "python-absent": lambda w: w.monkeypatch.setattr(_setup, "_candidates", list),
    "docker-absent prod": lambda w: w.docker(1),
    "docker-unused": lambda w: w.docker(1),
    "image-store prod": lambda w: w.docker(DriverStatus=[["driver-type", "io.containerd.snapshotter.v1"]]),
    "disk-full": lambda w: w.monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(9, 9, 2**29)),
    "port-taken": lambda w: w.listen(socket.AF_INET, "127.0.0.1"),
    "port-of-ipv6": lambda w: w.listen(socket.AF_INET6, "::1"),
    "packages-absent": lambda w: w.monkeypatch.setattr(_setup, "is_current", lambda _layer: False),
    "variable-names-nothing": lambda w: w.monkeypatch.setenv("AWS_CA_BUNDLE", "/no/ca.pem"),
    "variable-redirects prod": lambda w: w.monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://x"),
    "variable-redirects": lambda w: w.monkeypatch.setenv("DOCKER_HOST", "tcp://x"),
    "two-identities prod": two_identities,
    "credential-helper": credential_helper,
    "cdk-configuration prod": lambda w: (w.home / ".cdk.json").write_text('{"profile": "work"}'),
    "folder-left": lambda w: (w.home / "temporary" / "tumor-detector-aws-x").mkdir(),
    "container-left": killed_demo,
    "settings-wrong nowhere": lambda w: None,
    "identity-absent prod": lambda w: w.answer("GetCallerIdentity", refusal("ExpiredToken", "expired")),
    "identity-root prod": lambda w: w.answer(
        "GetCallerIdentity", CALLER | {"Arn": "arn:aws:iam::12345:root"}
    ),
    "region-disabled prod": lambda w: w.answer("GetRegionOptStatus", {"RegionOptStatus": "DISABLED"}),
    "bootstrap-absent prod": lambda w: w.answer("GetParameter", refusal("ParameterNotFound")),
    "bootstrap-other prod": no_bootstrap,
    "bootstrap-old dev": lambda w: w.answer("GetParameter", {"Parameter": {"Value": "7"}}),
    "not-offered prod": lambda w: w.answer("GetProducts", {"PriceList": []}),
    "quota-low prod": lambda w: w.quotas(instances=3),
    "quota-low dev": lambda w: w.quotas(serverless=4),
    "quota-tight prod": lambda w: w.quotas(instances=11),
    "quota-tight dev": lambda w: w.quotas(functions=10),
    "retained prod": retained,
    "not-readable prod": lambda w: w.answer("GetProducts", refusal("AccessDenied", "not authorized")),
}
WORDS = {
    "docker-absent prod": "Cannot connect to the Docker daemon",
    "bootstrap-other prod": 'bootstrap_qualifier = "platform"',
    "container-left": "docker container rm --force 0123abcd",
    "quota-low prod": "large for endpoint usage: 3; 4 are needed",
    "quota-low dev": "4; 5 are needed",
    "quota-tight prod": "--desired-value 12",
    "quota-tight dev": "10; 20 are needed",
    "retained prod": KEPT,
    "not-readable prod": "Allow pricing:GetProducts",
}


def report(world: World, environment: str | None, capsys: pytest.CaptureFixture[str]) -> list[dict[str, str]]:
    if environment == "dev":
        usage = "EU-ServerlessInf:Mem-1GB"
        world.answer("GetProducts", {"PriceList": [product("AmazonSageMaker", usage, 0.00002)]})
    chosen = ["--env", environment] if environment else []
    began = time.monotonic()
    status = doctor.main(["--json", "--port", str(world.port), *chosen])
    assert time.monotonic() - began < 5
    found = json.loads(capsys.readouterr().out)
    jsonschema.validate(found, SCHEMA)
    assert found["environment"] == environment
    assert found["faults"] == sum(each["status"] == "fault" for each in found["findings"])
    assert status == (1 if found["faults"] else 0)
    return [each for each in found["findings"] if each["status"] != "ok"]


@pytest.mark.parametrize("environment", [None, "dev", "prod"])
def test_nothing_is_found_where_nothing_is_wrong(
    world: World, environment: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    (world.home / "temporary" / f"{SCRATCH_PREFIX}{os.getpid()}-x").mkdir()  # of an emulator that runs
    assert report(world, environment, capsys) == []
    made = {operation for operation, _ in world.answers.requests} - {"GetCallerIdentity", "AssumeRole"}
    permissions = {each for _, some in account.CHECKS.values() for each in some}
    assert made <= {each.partition(":")[2] for each in permissions}
    documented = (ROOT / "docs" / "operations.md").read_text()
    assert all(f"`{each}`" in documented for each in permissions)


@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_fault_is_found_by_name_and_with_its_remedy(
    world: World, planted: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name, _, environment = planted.partition(" ")
    PLANTED[planted](world)
    found = report(world, environment or None, capsys)
    assert {each["name"] for each in found} == {name}
    assert all(each["status"] == FAULTS[name]["status"] for each in found)
    assert WORDS.get(planted, "") in f"{found[0]['detail']} {found[0]['remedy']}"


def test_an_update_needs_a_quota_for_twice_the_instances_of_a_queue_or_beside_a_shadow(world: World) -> None:
    prod = config.load("prod")
    assert isinstance(prod.hosting, RealTime)
    shadowed = replace(prod.hosting, shadow=Shadow(release="any.json"))  # 2 serve, and as many again
    queued = Async(mode="async", instance_type="ml.c7i.large", max_instances=3, expire_days=1)
    low, tight = ["quota-low"], ["quota-tight"]
    cases: list[tuple[RealTime | Async, int, list[str]]]
    cases = [(shadowed, 7, low), (shadowed, 8, tight), (queued, 1, low), (queued, 5, tight), (queued, 6, [])]
    for hosting, value, expected in cases:
        world.quotas(instances=value)
        found = account._endpoint_quota(replace(prod, hosting=hosting), boto3.Session())
        assert [name for name, _ in found] == expected


def test_a_batch_needs_a_quota_for_transform_jobs(world: World) -> None:
    settings = replace(config.load("prod"), batch=Batch(expire_days=1))
    for value, expected in ((0, ["quota-tight"]), (1, [])):
        found = {"Quotas": [quota("sagemaker", "ml.c7i.large for transform job usage", value)]}
        world.answer("ListServiceQuotas", found)
        assert [name for name, _ in account._job_quotas(settings, boto3.Session())] == expected


def test_every_fault_is_planted() -> None:
    assert {name.partition(" ")[0] for name in PLANTED} == FAULTS.keys()


@pytest.mark.parametrize(
    ("environment", "options", "deployed"),
    [("prod", [], False), ("prod", ["--skip-checks"], True), ("local", [], True)],
)
def test_deploy_refuses_a_fault_of_the_account_unless_told_not_to_check(
    world: World, environment: str, options: list[str], deployed: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    PLANTED["quota-low prod"](world)
    PLANTED["not-readable prod"](world)
    ran: list[str] = []
    world.monkeypatch.setattr(common, "connect", lambda _settings: None)
    world.monkeypatch.setattr(deploy, "deploy", lambda settings, record: ran.append(settings.environment))
    with contextlib.nullcontext() if deployed else pytest.raises(SystemExit):
        deploy.main(["--env", environment, *options])
    assert ran == [environment] * deployed
    shown = capsys.readouterr().err
    assert ("--desired-value 4" in shown) == ("Allow pricing:GetProducts" in shown) == (not deployed)


def test_it_runs_before_anything_is_installed_and_installs_nothing(tmp_path: Path) -> None:
    ignored = shutil.ignore_patterns("benchmark", "lambdas", "__pycache__")
    for folder in ("scripts", "infra", "requirements"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignored)
    command = [sys.executable, "-S", str(tmp_path / "scripts" / "doctor"), "--json", "--env", "prod"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = {each["check"]: each["status"] for each in json.loads(done.stdout)["findings"]}
    assert found["packages"] == "warning"
    assert found["python"] == "ok"
    assert not {".venv", ".local"} & {each.name for each in tmp_path.iterdir()}
