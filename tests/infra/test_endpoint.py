"""The endpoint can be updated by a new release alone, any number of times."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from infra import config as settings_files
from infra import release as releases
from tests.infra.synthesis import RELEASE, synthesize, text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.infra.synthesis import Assembly, Json

RELEASED = releases.load(RELEASE)
MODE = {"local": "real-time", "dev": "serverless", "prod": "real-time"}


def variant(assembly: Assembly) -> Json:
    (only,) = assembly.template("endpoint").properties("SageMaker::EndpointConfig")["ProductionVariants"]
    found: Json = only
    return found


def test_only_the_endpoint_and_its_variant_have_fixed_names(assembly: Assembly) -> None:
    template = assembly.template("endpoint")
    assert "ModelName" not in template.properties("SageMaker::Model")
    assert "EndpointConfigName" not in template.properties("SageMaker::EndpointConfig")
    mode = MODE[assembly.environment]
    name = template.properties("SageMaker::Endpoint")["EndpointName"]
    assert name == f"tumor-detector-{assembly.environment}-{mode}"
    assert variant(assembly)["VariantName"] == "champion"


def test_a_new_release_changes_the_model_resource_alone(
    tmp_path: Path, assemblies: Mapping[str, Assembly]
) -> None:
    # Given the same environment with another model released
    model = replace(RELEASED.model, sha256="e" * 64, version="4")
    record = tmp_path / "dev.json"
    releases.save(record, replace(RELEASED, environment="dev", model=model))
    releases.card_path(record, sha256=model.sha256).write_text("# Another card\n")
    # When both are synthesized
    before = assemblies["dev"].template("endpoint").content
    after = synthesize("dev", tmp_path / "out", release=record).template("endpoint").content
    # Then one resource differs, in its artifact and in the container's environment
    changed = {id_ for id_ in before["Resources"] if before["Resources"][id_] != after["Resources"].get(id_)}
    assert before["Resources"].keys() == after["Resources"].keys()
    (model_id,) = assemblies["dev"].template("endpoint").all("SageMaker::Model")
    assert changed == {model_id}
    assert {key: value for key, value in before.items() if key != "Resources"} == {
        key: value for key, value in after.items() if key != "Resources"
    }


def test_the_model_is_the_release(assembly: Assembly) -> None:
    container = assembly.template("endpoint").properties("SageMaker::Model")["PrimaryContainer"]
    released = RELEASED.model
    assert container["Environment"] == {
        "MODEL_NAME": released.name,
        "MODEL_VERSION": released.version,
        "MODEL_SHA256": released.sha256,
    }
    assert text(container["ModelDataUrl"]).endswith(f"/models/{released.sha256}/model.tar.gz")


def test_the_model_waits_for_its_roles_policy_and_is_isolated_if_real_time(assembly: Assembly) -> None:
    template = assembly.template("endpoint")
    (policy_id,) = (id_ for id_ in template.all("IAM::Policy") if id_.startswith("ExecutionRole"))
    model = template.only("SageMaker::Model")
    assert policy_id in model["DependsOn"]
    isolated = model["Properties"].get("EnableNetworkIsolation")
    assert isolated is (True if MODE[assembly.environment] == "real-time" else None)


def test_what_a_release_replaces_is_kept_and_a_deleted_stack_keeps_nothing(assembly: Assembly) -> None:
    template = assembly.template("endpoint")
    for kind in ("SageMaker::Model", "SageMaker::EndpointConfig"):
        assert template.only(kind)["UpdateReplacePolicy"] == "Retain"
        assert template.only(kind)["DeletionPolicy"] == "Delete"


def test_a_serverless_variant_has_none_of_what_serverless_refuses(dev: Assembly) -> None:
    assert variant(dev)["ServerlessConfig"] == {"MemorySizeInMB": 2048, "MaxConcurrency": 5}
    assert variant(dev).keys() == {"VariantName", "ModelName", "InitialVariantWeight", "ServerlessConfig"}
    config = dev.template("endpoint").properties("SageMaker::EndpointConfig")
    assert not {"DataCaptureConfig", "KmsKeyId", "VpcConfig"} & config.keys()
    assert "DeploymentConfig" not in dev.template("endpoint").properties("SageMaker::Endpoint")


def test_detailed_observability_is_off(assembly: Assembly) -> None:
    config = assembly.template("endpoint").properties("SageMaker::EndpointConfig")
    assert config["MetricsConfig"] == {"EnableDetailedObservability": False}


def test_the_image_is_built_for_the_endpoint_and_pushed_to_its_repository(assembly: Assembly) -> None:
    (image,) = assembly.assets("endpoint")["dockerImages"].values()
    assert image["source"]["platform"] == "linux/amd64"
    (output,) = image["source"]["dockerOutputs"]
    assert output.split(",") == ["type=docker", "oci-mediatypes=false"], "SageMaker refuses OCI manifests"
    built_from = assembly.folder / image["source"]["directory"]
    assert (built_from / "Dockerfile").is_file()
    assert not list(built_from.rglob("__pycache__")), "it would make the tag differ between machines"
    (destination,) = image["destinations"].values()
    prefix = f"tumor-detector-{assembly.environment}"
    assert destination["repositoryName"] == prefix
    region = settings_files.load(assembly.environment).region
    assert destination["assumeRoleArn"].endswith(f":role/{prefix}-image-publishing-{region}")
    container = assembly.template("endpoint").properties("SageMaker::Model")["PrimaryContainer"]
    assert container["Image"]["Fn::Sub"].endswith(f"/{prefix}:{destination['imageTag']}")


class TestGuardrails:
    """Prod's canary and the alarms that roll it back."""

    @pytest.fixture
    def alarms(self, prod: Assembly) -> dict[str, Json]:
        found = prod.template("endpoint").all("CloudWatch::Alarm")
        return {id_: alarm["Properties"] for id_, alarm in found.items()}

    def test_every_alarm_rolls_back(self, prod: Assembly, alarms: dict[str, Json]) -> None:
        deployment = prod.template("endpoint").properties("SageMaker::Endpoint")["DeploymentConfig"]
        named = [alarm["AlarmName"]["Ref"] for alarm in deployment["AutoRollbackConfiguration"]["Alarms"]]
        assert sorted(named) == sorted(alarms)

    def test_the_alarms_watch_the_endpoint_that_serves(self, prod: Assembly, alarms: dict[str, Json]) -> None:
        endpoint = prod.template("endpoint").properties("SageMaker::Endpoint")["EndpointName"]
        expected = {("EndpointName", endpoint), ("VariantName", "champion")}
        for alarm in alarms.values():
            assert alarm["TreatMissingData"] == "notBreaching"
            metrics = [
                query["MetricStat"]["Metric"] for query in alarm.get("Metrics", []) if "MetricStat" in query
            ] or [alarm]
            for metric in metrics:
                assert metric["Namespace"] == "AWS/SageMaker"
                assert {(item["Name"], item["Value"]) for item in metric["Dimensions"]} == expected

    def test_sagemaker_may_read_the_alarms(self, prod: Assembly, alarms: dict[str, Json]) -> None:
        template = prod.template("endpoint")
        (statement,) = [s for _, s in template.statements() if s["Action"] == "cloudwatch:DescribeAlarms"]
        assert {resource["Fn::GetAtt"][0] for resource in statement["Resource"]} == set(alarms)
