"""The endpoint can be updated, for ever, by a new release alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from infra import release as releases
from tests.infra.synthesis import RELEASES, synthesize, text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.infra.synthesis import Assembly, Json

RELEASE = releases.load(RELEASES / "dev.json")
MODE = {"local": "real-time", "dev": "serverless", "prod": "real-time"}


def variant(assembly: Assembly) -> Json:
    (only,) = assembly.template("endpoint").properties("SageMaker::EndpointConfig")["ProductionVariants"]
    found: Json = only
    return found


def test_what_is_replaced_has_no_name_of_ours(assembly: Assembly) -> None:
    template = assembly.template("endpoint")
    assert "ModelName" not in template.properties("SageMaker::Model")
    assert "EndpointConfigName" not in template.properties("SageMaker::EndpointConfig")


def test_endpoint_and_variant_keep_their_names(assembly: Assembly) -> None:
    endpoint = assembly.template("endpoint").properties("SageMaker::Endpoint")
    mode = MODE[assembly.environment]
    assert endpoint["EndpointName"] == f"tumor-detector-{assembly.environment}-{mode}"
    assert variant(assembly)["VariantName"] == "champion"


def test_configuration_and_endpoint_follow_the_model_by_reference(assembly: Assembly) -> None:
    template = assembly.template("endpoint")
    (model_id,), (config_id,) = template.all("SageMaker::Model"), template.all("SageMaker::EndpointConfig")
    endpoint = template.properties("SageMaker::Endpoint")
    assert variant(assembly)["ModelName"] == {"Fn::GetAtt": [model_id, "ModelName"]}
    assert endpoint["EndpointConfigName"] == {"Fn::GetAtt": [config_id, "EndpointConfigName"]}


def test_a_new_release_changes_the_model_resource_alone(
    tmp_path: Path, assemblies: Mapping[str, Assembly]
) -> None:
    # Given the same environment with another model released
    model = replace(RELEASE.model, sha256="e" * 64, version="4")
    record = tmp_path / "dev.json"
    releases.save(record, replace(RELEASE, model=model))
    releases.card_path(record, sha256=model.sha256).write_text("# Another card\n")
    # When both are synthesized
    before = assemblies["dev"].template("endpoint").content
    after = synthesize("dev", tmp_path / "out", release=record).template("endpoint").content
    # Then one resource differs, in its artifact and in what it tells the container
    changed = {id_ for id_ in before["Resources"] if before["Resources"][id_] != after["Resources"].get(id_)}
    assert before["Resources"].keys() == after["Resources"].keys()
    (model_id,) = assemblies["dev"].template("endpoint").all("SageMaker::Model")
    assert changed == {model_id}
    assert {key: value for key, value in before.items() if key != "Resources"} == {
        key: value for key, value in after.items() if key != "Resources"
    }


def test_the_model_is_the_release(assembly: Assembly) -> None:
    container = assembly.template("endpoint").properties("SageMaker::Model")["PrimaryContainer"]
    released = releases.load(RELEASES / f"{assembly.environment}.json").model
    assert container["Environment"] == {
        "MODEL_NAME": released.name,
        "MODEL_VERSION": released.version,
        "MODEL_SHA256": released.sha256,
    }
    assert text(container["ModelDataUrl"]).endswith(f"/models/{released.sha256}/model.tar.gz")


def test_the_model_waits_for_its_roles_policy(assembly: Assembly) -> None:
    template = assembly.template("endpoint")
    (policy_id,) = template.all("IAM::Policy")
    assert policy_id in template.only("SageMaker::Model")["DependsOn"]


def test_only_a_real_time_model_is_isolated_from_the_network(assembly: Assembly) -> None:
    isolated = assembly.template("endpoint").properties("SageMaker::Model").get("EnableNetworkIsolation")
    assert isolated is (True if MODE[assembly.environment] == "real-time" else None)


def test_a_serverless_variant_has_none_of_what_serverless_refuses(dev: Assembly) -> None:
    assert variant(dev)["ServerlessConfig"] == {"MemorySizeInMB": 2048, "MaxConcurrency": 5}
    assert variant(dev).keys() == {"VariantName", "ModelName", "InitialVariantWeight", "ServerlessConfig"}
    config = dev.template("endpoint").properties("SageMaker::EndpointConfig")
    assert not {"DataCaptureConfig", "KmsKeyId", "VpcConfig"} & config.keys()
    assert "DeploymentConfig" not in dev.template("endpoint").properties("SageMaker::Endpoint")


def test_the_image_is_built_from_the_container_for_the_endpoints_platform(assembly: Assembly) -> None:
    (image,) = assembly.assets("endpoint")["dockerImages"].values()
    assert image["source"]["platform"] == "linux/amd64"
    built_from = assembly.folder / image["source"]["directory"]
    assert (built_from / "Dockerfile").is_file()
    assert not list(built_from.rglob("__pycache__")), "it would make the tag differ between machines"


def test_the_image_is_pushed_to_the_declared_repository_by_the_declared_role(assembly: Assembly) -> None:
    (image,) = assembly.assets("endpoint")["dockerImages"].values()
    (destination,) = image["destinations"].values()
    assert destination["repositoryName"] == f"tumor-detector-{assembly.environment}"
    assert destination["assumeRoleArn"].endswith(
        f":role/tumor-detector-{assembly.environment}-image-publishing"
    )
    container = assembly.template("endpoint").properties("SageMaker::Model")["PrimaryContainer"]
    served = f"/{destination['repositoryName']}:{destination['imageTag']}"
    assert container["Image"]["Fn::Sub"].endswith(served)


class TestGuardrails:
    """Prod's canary and what takes it back."""

    @pytest.fixture
    def alarms(self, prod: Assembly) -> dict[str, Json]:
        found = prod.template("endpoint").all("CloudWatch::Alarm")
        return {id_: alarm["Properties"] for id_, alarm in found.items()}

    @pytest.fixture
    def deployment(self, prod: Assembly) -> Json:
        config: Json = prod.template("endpoint").properties("SageMaker::Endpoint")["DeploymentConfig"]
        return config

    def test_every_alarm_rolls_back(self, deployment: Json, alarms: dict[str, Json]) -> None:
        named = [alarm["AlarmName"]["Ref"] for alarm in deployment["AutoRollbackConfiguration"]["Alarms"]]
        assert sorted(named) == sorted(alarms)

    def test_the_canary_is_within_sagemakers_limits(self, deployment: Json) -> None:
        policy = deployment["BlueGreenUpdatePolicy"]
        routing = policy["TrafficRoutingConfiguration"]
        assert routing["Type"] == "CANARY"
        assert routing["CanarySize"] == {"Type": "CAPACITY_PERCENT", "Value": 10}
        assert 600 <= policy["MaximumExecutionTimeoutInSeconds"] <= 28800
        needed = routing["WaitIntervalInSeconds"] + policy["TerminationWaitInSeconds"]
        assert needed < policy["MaximumExecutionTimeoutInSeconds"]

    def test_there_are_enough_instances_to_split(self, prod: Assembly) -> None:
        assert variant(prod)["InitialInstanceCount"] >= 2

    def test_no_data_is_no_alarm(self, alarms: dict[str, Json]) -> None:
        assert {alarm["TreatMissingData"] for alarm in alarms.values()} == {"notBreaching"}

    def test_the_alarms_watch_the_endpoint_that_serves(self, prod: Assembly, alarms: dict[str, Json]) -> None:
        endpoint = prod.template("endpoint").properties("SageMaker::Endpoint")["EndpointName"]
        expected = {("EndpointName", endpoint), ("VariantName", "champion")}
        for alarm in alarms.values():
            metrics = [
                query["MetricStat"]["Metric"] for query in alarm.get("Metrics", []) if "MetricStat" in query
            ] or [alarm]
            for metric in metrics:
                assert metric["Namespace"] == "AWS/SageMaker"
                assert {(item["Name"], item["Value"]) for item in metric["Dimensions"]} == expected

    def test_latency_is_compared_in_microseconds(self, alarms: dict[str, Json]) -> None:
        (latency,) = [alarm for alarm in alarms.values() if "ModelLatency" in str(alarm)]
        assert latency["Threshold"] == 1000 * 1000  # latency_alarm_ms = 1000

    def test_a_callers_broken_image_is_no_model_error(self, alarms: dict[str, Json]) -> None:
        (faults,) = [alarm for alarm in alarms.values() if "InvocationModelErrors" in str(alarm)]
        names = {
            query["Id"]: query["MetricStat"]["Metric"]["MetricName"]
            for query in faults["Metrics"]
            if "MetricStat" in query
        }
        assert names == {"failed": "InvocationModelErrors", "callers": "Invocation4XXErrors"}
        (expression,) = [query["Expression"] for query in faults["Metrics"] if "Expression" in query]
        assert expression == "FILL(failed, 0) - FILL(callers, 0)"

    def test_sagemaker_may_read_the_alarms(self, prod: Assembly, alarms: dict[str, Json]) -> None:
        template = prod.template("endpoint")
        (statement,) = [s for _, s in template.statements() if s["Action"] == "cloudwatch:DescribeAlarms"]
        assert {resource["Fn::GetAtt"][0] for resource in statement["Resource"]} == set(alarms)
