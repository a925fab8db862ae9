"""What goes wrong in an environment's life, as a person meets it: each drill ends with the environment well.

The tests of this file build on each other, in this order. Their environment is its own, on the demo's laptop.
"""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from infra import names
from infra.local import gateway_url
from infra.release import card_path
from tests.e2e.callers import ConstantLoad, served
from tests.e2e.releases import Artifact, repackage, with_unspeakable_labels, write_record
from tests.local.cloud import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.conftest import Laptop

ENVIRONMENT = "drill"
SERVERLESS = """\
mode = "serverless"
memory_mb = 2048
max_concurrency = 5
"""
# An hour to bake is a minute on the laptop: long enough for another deploy to begin.
CANARY = """\
mode = "real-time"
instance_type = "ml.c7i.large"
instance_count = 2

[hosting.rollout]
strategy = "canary"
percent = 25
bake_seconds = 3600
latency_alarm_ms = 20000
old_fleet_wait_seconds = 60
"""
PATIENT = 3600  # seconds to bake, a minute of the laptop's
QUICK = 180
# What a change of mode may cost: from when the old endpoint is gone to when the Lambda knows the new one.
DOCUMENTED_INTERRUPTION_S = 30


class Drill:
    """The environment: its files in git, as they are reviewed, and what is deployed of it."""

    def __init__(self, laptop: Laptop) -> None:
        self.laptop = laptop
        self.record = laptop.root / "infra" / "releases" / f"{ENVIRONMENT}.json"
        self.first = json.loads((laptop.root / "infra/releases/local.json").read_text())["model"]["sha256"]

    def git(self, *arguments: str) -> str:
        identity = ("-c", "user.name=drill", "-c", "user.email=drill@localhost")
        command = ["git", *identity, *arguments]
        done = subprocess.run(command, cwd=self.laptop.root, check=True, capture_output=True, text=True)
        return done.stdout

    def released(self, commit: str) -> str:
        """Return the hash of the model that a commit's record releases."""
        record = json.loads(self.git("show", f"{commit}:infra/releases/{ENVIRONMENT}.json"))
        sha256: str = record["model"]["sha256"]
        return sha256

    def commit(self, what: str) -> None:
        self.git("add", "infra/environments", f"infra/releases/{ENVIRONMENT}*")
        self.git("commit", "--quiet", "--message", what)

    def host(self, hosting: str) -> None:
        """Write the environment's file."""
        written = (self.laptop.root / "infra/environments/local.toml").read_text()
        before, rest = written.split("[hosting]")
        after = rest.partition("[throttle]")
        path = self.laptop.root / "infra" / "environments" / f"{ENVIRONMENT}.toml"
        path.write_text(f"{before}[hosting]\n{hosting}\n{after[1]}{after[2]}")

    def release(self, artifact: Artifact, *, version: str) -> None:
        described = json.loads((self.laptop.root / "infra/releases/local.json").read_text())
        write_record(self.record, described | {"environment": ENVIRONMENT}, artifact, version=version)

    def deploy(self, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.laptop.run("scripts/deploy", "--env", ENVIRONMENT, check=check)

    def url(self) -> str:
        (gateway,) = self.laptop.client("cloudformation").describe_stacks(
            StackName=names.gateway_stack(ENVIRONMENT)
        )["Stacks"]
        api = next(each["OutputValue"] for each in gateway["Outputs"] if each["OutputKey"] == "ApiId")
        return gateway_url(api, names.STAGE_NAME, port=self.laptop.port)

    def status(self) -> str:
        (stack,) = self.laptop.client("cloudformation").describe_stacks(
            StackName=names.endpoint_stack(ENVIRONMENT)
        )["Stacks"]
        status: str = stack["StackStatus"]
        return status

    def serving(self) -> tuple[str, str]:
        """Return the names of the one endpoint and of the configuration that serves."""
        sagemaker = self.laptop.client("sagemaker")
        (endpoint,) = sagemaker.list_endpoints(NameContains=f"-{ENVIRONMENT}-")["Endpoints"]
        described = sagemaker.describe_endpoint(EndpointName=endpoint["EndpointName"])
        return described["EndpointName"], described["EndpointConfigName"]


@pytest.fixture(scope="module")
def drill(laptop: Laptop) -> Iterator[Drill]:
    """The environment, deployed serverless with the demo's release; taken down at the end."""
    made = Drill(laptop)
    made.host(SERVERLESS)
    local = laptop.root / "infra" / "releases" / "local.json"
    described = json.loads(local.read_text())
    made.record.write_text(json.dumps(described | {"environment": ENVIRONMENT}))
    card_path(made.record, sha256=made.first).write_text(card_path(local, sha256=made.first).read_text())
    made.git("init", "--quiet")
    made.commit("The first release, serverless")
    made.deploy()
    yield made
    laptop.run("scripts/destroy", "--env", ENVIRONMENT, "--yes")
    made.record.unlink()


def with_another_card(name: str, held: bytes) -> bytes:
    """Change an artifact, and nothing of what it answers."""
    return held + b"\nReleased again.\n" if name.endswith(".md") else held


def test_real_time_comes_under_its_own_name(drill: Drill) -> None:
    drill.host(CANARY)
    drill.commit("Real-time, with a canary")
    second = repackage(drill.laptop, drill.first, with_another_card)
    drill.release(second, version="2")
    drill.commit("The second release")
    with one_caller(drill) as load:
        drill.deploy()
    assert drill.serving()[0] == f"tumor-detector-{ENVIRONMENT}-real-time"
    assert set(load.served) == {drill.first, second.sha256}
    interrupted(load)


def one_caller(drill: Drill) -> ConstantLoad:
    return ConstantLoad(drill.url(), callers=1, pause_s=0.1)


def interrupted(load: ConstantLoad) -> None:
    """Hold a change of the hosting mode to what is documented of it."""
    print(f"longest wait {load.longest_wait_s:.1f} s, {len(load.failures)} of {len(load.served)} failed")
    assert load.longest_wait_s < DOCUMENTED_INTERRUPTION_S
    assert {failure[:3] for failure in load.failures} <= {"503"}


@pytest.fixture(scope="module")
def baking(drill: Drill) -> Iterator[subprocess.Popen[str]]:
    """A deploy whose canary bakes: of a release that comes up, and fails at each image."""
    broken = repackage(drill.laptop, drill.first, with_unspeakable_labels)
    drill.release(broken, version="3")
    drill.commit("The third release")
    endpoint, _ = drill.serving()
    with subprocess.Popen(
        ["scripts/deploy", "--env", ENVIRONMENT],
        cwd=drill.laptop.root, env=drill.laptop.environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as deploying:  # fmt: skip
        sagemaker = drill.laptop.client("sagemaker")
        wait_for(
            lambda: sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointStatus"] == "Updating",
            timeout_s=600,
        )
        yield deploying


def test_a_second_deploy_is_told_that_one_is_running(drill: Drill, baking: subprocess.Popen[str]) -> None:
    refused = drill.deploy(check=False)
    assert refused.returncode == 75
    assert f"{names.endpoint_stack(ENVIRONMENT)} is in UPDATE_IN_PROGRESS since" in refused.stderr
    assert "run the same command again" in refused.stderr
    assert baking.poll() is None
    assert drill.status() == "UPDATE_IN_PROGRESS"


def test_an_alarm_during_the_canary_takes_the_release_back_and_says_so(
    drill: Drill, baking: subprocess.Popen[str]
) -> None:
    # Given what serves beside the canary
    endpoint, config = drill.serving()
    second = drill.released("HEAD~1")
    # When people call, and a quarter of them meets the canary
    with ConstantLoad(drill.url()) as load:
        output, _ = baking.communicate(timeout=300)
    # Then the deploy fails, and names alarm, old and new configuration
    assert baking.returncode == 1
    said = next(line for line in output.splitlines() if line.startswith("✗ The update was taken back"))
    assert f"alarm {names.endpoint_stack(ENVIRONMENT)}-" in said
    assert f"{config} serves as before" in said
    assert f"{names.endpoint_stack(ENVIRONMENT)}-endpointconfig" in said.split("serves as before")[1]
    # And only the canary's callers have seen a failure; the old release serves, for everybody
    assert load.failures
    assert all(failure.startswith("502") for failure in load.failures)
    assert set(load.served) == {second}
    assert drill.serving() == (endpoint, config)
    assert drill.status() == "UPDATE_ROLLBACK_COMPLETE"


def test_an_endpoint_deleted_by_hand_is_drift_and_the_report_says_how_to_mend_it(drill: Drill) -> None:
    endpoint, config = drill.serving()
    second = served(drill.url())
    sagemaker = drill.laptop.client("sagemaker")
    sagemaker.delete_endpoint(EndpointName=endpoint)
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName=endpoint, WaiterConfig={"Delay": 1})

    report = drill.laptop.run("scripts/drift", "--env", ENVIRONMENT, check=False)

    assert report.returncode == 1
    assert f"Endpoint {endpoint} is gone" in report.stderr
    command = f"aws sagemaker create-endpoint --endpoint-name {endpoint} --endpoint-config-name {config}"
    assert command in report.stderr
    sagemaker.create_endpoint(EndpointName=endpoint, EndpointConfigName=config)  # as that command does
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=endpoint, WaiterConfig={"Delay": 1})
    assert served(drill.url()) == second


def test_what_git_reverts_is_deployed_and_serverless_is_its_own_endpoint_again(drill: Drill) -> None:
    drill.git("revert", "--no-edit", "HEAD~3..HEAD")  # the third release, the second, and real-time
    with one_caller(drill) as load:
        drill.deploy()
    assert drill.serving()[0] == f"tumor-detector-{ENVIRONMENT}-serverless"
    assert load.served[-1] == drill.first
    interrupted(load)
