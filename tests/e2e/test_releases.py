"""Two environments from their first release to their end: the usual course, and what goes wrong."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import mlflow
import pytest

from infra import names, release
from model.release import gates, registry
from tests.e2e.load import ConstantLoad, serving_model
from tests.e2e.releases import Environment, with_another_card, with_half_a_network, with_invalid_labels
from tests.emulator.cloud import wait_for
from tests.git import git

if TYPE_CHECKING:
    from tests.e2e.conftest import Demo

pytestmark = pytest.mark.slow

SERVERLESS = """\
mode = "serverless"
memory_mb = 2048
max_concurrency = 5
"""
# The emulator takes a minute for an hour of baking: long enough for another deploy to begin.
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
SHADOWED = """\
mode = "real-time"
instance_type = "ml.c7i.large"
instance_count = 1

[hosting.data_capture]
percent = 100
expire_days = 1

[hosting.shadow]
release = "infra/releases/shadowed.shadow.json"
"""
# A change of the hosting mode may interrupt: from the old endpoint's end until the Lambda knows the new one.
DOCUMENTED_INTERRUPTION_S = 30


def test_releases_follow_each_other_without_a_failed_request(demo: Demo) -> None:
    # Given a deployed environment
    environment = Environment(demo, "usual")
    environment.run("deploy")
    url, first = environment.url(), environment.first

    # A new record alone changes nothing, and the smoke test reports it
    second = environment.release(with_another_card, version="2")
    assert serving_model(url) == first
    smoke = environment.run("smoke", check=False)
    assert smoke.returncode != 0
    assert "another model answered" in smoke.stderr

    # An update under load fails no request
    with ConstantLoad(url) as load:
        environment.run("deploy")
    assert load.failures == []
    assert load.served[0] == first
    assert load.served[-1] == second

    # Deploying the same release again changes nothing
    assert "no changes" in environment.run("deploy").stderr
    assert serving_model(url) == second

    # A release whose network cannot be loaded fails to deploy, with the reason; no client notices
    record = environment.record.read_bytes()
    environment.release(with_half_a_network, version="3")
    with ConstantLoad(url) as load:
        refused = environment.run("deploy", check=False)
    assert refused.returncode == 1
    assert "model.tflite" in refused.stderr
    assert load.failures == []
    assert set(load.served) == {second}
    assert environment.endpoint_stack_status() == "UPDATE_ROLLBACK_COMPLETE"

    # A rollback serves the release before
    environment.record.write_bytes(record)
    environment.release(
        lambda name, content: with_another_card(name, with_another_card(name, content)), version="4"
    )
    environment.run("deploy")
    environment.run("rollback")
    assert serving_model(url) == second

    # Destroying leaves nothing
    destroyed = environment.run("destroy", "--yes")
    assert destroyed.stderr.splitlines()[-1] == "Nothing of usual is left."
    assert leftovers(environment) == []


def leftovers(environment: Environment) -> list[str]:
    """Return the names of all of an environment's resources, of the kinds that its stacks declare."""
    client = environment.demo.client
    sagemaker = client("sagemaker")
    found = [
        *environment.demo.stacks(),
        *(each["EndpointName"] for each in sagemaker.list_endpoints()["Endpoints"]),
        *(each["EndpointConfigName"] for each in sagemaker.list_endpoint_configs()["EndpointConfigs"]),
        *(each["ModelName"] for each in sagemaker.list_models()["Models"]),
        *(each["Name"] for each in client("s3").list_buckets()["Buckets"]),
        *(each["repositoryName"] for each in client("ecr").describe_repositories()["repositories"]),
        *(each["FunctionName"] for each in client("lambda").list_functions()["Functions"]),
        *(each["logGroupName"] for each in client("logs").describe_log_groups()["logGroups"]),
    ]
    return [name for name in found if environment.name in name.split("-")]


def test_each_failure_ends_with_a_working_environment(demo: Demo) -> None:
    # Given a serverless environment, whose files are in git
    environment = Environment(demo, "drill")
    environment.host(SERVERLESS)
    git(demo.root, "init", "--quiet")
    environment.commit("The first release, serverless")
    environment.run("deploy")

    # Real-time hosting comes up under its own name, with the interruption that is documented
    environment.host(CANARY)
    second = environment.release(with_another_card, version="2")
    environment.commit("The second release, real-time with a canary")
    with ConstantLoad(environment.url(), clients=1, pause_s=0.1) as load:
        environment.run("deploy")
    assert environment.serving()[0] == f"tumor-detector-{environment.name}-real-time"
    assert set(load.served) == {environment.first, second}
    assert_interrupted_as_documented(load)

    environment.release(with_invalid_labels, version="3")
    environment.commit("The third release")
    check_that_a_failing_canary_is_rolled_back(environment, second)
    check_that_a_deleted_endpoint_is_drift(environment, second)

    # What git reverts is deployed: the first release, serverless again
    git(demo.root, "revert", "--no-edit", "HEAD~2..HEAD")
    with ConstantLoad(environment.url(), clients=1, pause_s=0.1) as load:
        environment.run("deploy")
    assert environment.serving()[0] == f"tumor-detector-{environment.name}-serverless"
    assert load.served[-1] == environment.first
    assert_interrupted_as_documented(load)
    environment.run("destroy", "--yes")


def check_that_a_failing_canary_is_rolled_back(environment: Environment, before: str) -> None:
    endpoint, configuration = environment.serving()
    stack = names.stack(environment.name, "endpoint")
    sagemaker = environment.demo.client("sagemaker")
    with environment.start("deploy") as deploying:
        wait_for(
            lambda: sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointStatus"] == "Updating",
            timeout_s=600,
        )
        # While the canary bakes, a second deploy is refused
        refused = environment.run("deploy", check=False)
        assert refused.returncode == 75
        assert f"{stack} has been in UPDATE_IN_PROGRESS since" in refused.stderr
        assert deploying.poll() is None
        # When clients meet the canary, its alarm rolls the update back, and the command reports which
        with ConstantLoad(environment.url()) as load:
            output, _ = deploying.communicate(timeout=300)
    assert deploying.returncode == 1
    assert f"alarm {stack}-" in output
    assert f"{configuration} serves as before" in output
    assert load.failures
    assert all(failure.startswith("502") for failure in load.failures)
    assert set(load.served) == {before}
    assert environment.serving() == (endpoint, configuration)
    assert environment.endpoint_stack_status() == "UPDATE_ROLLBACK_COMPLETE"


def check_that_a_deleted_endpoint_is_drift(environment: Environment, before: str) -> None:
    endpoint, configuration = environment.serving()
    sagemaker = environment.demo.client("sagemaker")
    sagemaker.delete_endpoint(EndpointName=endpoint)
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName=endpoint, WaiterConfig={"Delay": 1})
    report = environment.run("drift", check=False)
    assert report.returncode == 1
    assert f"Endpoint {endpoint} was deleted" in report.stderr
    command = "aws sagemaker create-endpoint --endpoint-name"
    assert f"{command} {endpoint} --endpoint-config-name {configuration}" in report.stderr
    sagemaker.create_endpoint(EndpointName=endpoint, EndpointConfigName=configuration)
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=endpoint, WaiterConfig={"Delay": 1})
    assert serving_model(environment.url()) == before


def assert_interrupted_as_documented(load: ConstantLoad) -> None:
    assert load.longest_gap_s < DOCUMENTED_INTERRUPTION_S
    assert {failure[:3] for failure in load.failures} <= {"503"}, load.failures


def test_a_shadow_is_deployed_compared_and_recorded_and_a_broken_one_changes_nothing(demo: Demo) -> None:
    # Given a release, and as its shadow the same network in another artifact
    environment = Environment(demo, "shadowed")
    served, environment.record = environment.record, environment.record.with_name("shadowed.shadow.json")
    model = release.load(demo.root / "infra" / "releases" / "local.json").model
    environment.release(with_another_card, version=model.version)
    environment.record = served
    environment.host(SHADOWED)
    environment.run("deploy")
    # When callers get the served answers
    with ConstantLoad(environment.url(), clients=1, pause_s=0.2) as load:
        wait_for(lambda: len(load.served) >= 5, timeout_s=60)
    assert (load.failures, set(load.served)) == ([], {environment.first})
    # Then all pairs agree, and the registry's version says so
    found: dict[str, Any] = {}

    def paired() -> bool:
        done = environment.run("compare", "--shadow", "--json", check=False)
        found.update(json.loads(done.stdout or "{}"), said=done.stderr)
        # The smoke test's answers are pairs too.
        return bool(found.get("pairs", 0) > len(load.served) and found["alone"] == [0, 0])

    wait_for(paired, timeout_s=120)
    assert (found["agreement"]["value"], found["difference"]["value"]) == (1, 0), found
    assert found["traffic"]["shadow"]["failed"] == 0
    assert found["traffic"]["shadow"]["requests"] >= len(load.served)
    assert "✓ recording it with the version in MLflow" in found["said"]
    store = mlflow.MlflowClient(f"sqlite:///{demo.root}/mlruns/mlflow.db")
    recorded = json.loads(store.get_model_version(model.name, model.version).tags[registry.SHADOW])
    asked = {"environment": environment.name, "served": environment.first}
    assert gates.shadowed(recorded, asked, hours=1)["passed"]

    # And a shadow that cannot be loaded fails the deploy, and no caller notices
    environment.record = served.with_name("shadowed.shadow.json")
    environment.release(with_half_a_network, version=model.version)
    environment.record = served
    with ConstantLoad(environment.url()) as load:
        refused = environment.run("deploy", check=False)
    assert refused.returncode == 1
    assert "variant shadow did not pass the ping health check" in refused.stderr
    assert (load.failures, set(load.served)) == ([], {environment.first})
