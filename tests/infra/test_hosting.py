"""The optional parts of an endpoint: guardrails, scaling, capture, a network, a key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.infra.synthesis import FULL, synthesize_written, text

if TYPE_CHECKING:
    from pathlib import Path

    from tests.infra.synthesis import Assembly, Json

LINEAR = FULL[FULL.index("[hosting.rollout]") : FULL.index("[hosting.scaling]")]


def endpoint(assembly: Assembly) -> Json:
    return assembly.template("endpoint").properties("SageMaker::Endpoint")


def config(assembly: Assembly) -> Json:
    return assembly.template("endpoint").properties("SageMaker::EndpointConfig")


def policy(assembly: Assembly) -> Json:
    found: Json = endpoint(assembly)["DeploymentConfig"]["BlueGreenUpdatePolicy"]
    return found


class TestRollout:
    """The three strategies, each with the alarms that roll it back."""

    def test_a_linear_rollout_moves_in_steps_and_has_time_for_all_of_them(self, full: Assembly) -> None:
        assert endpoint(full)["RetainDeploymentConfig"] is True, "for an update from outside"
        routing = policy(full)["TrafficRoutingConfiguration"]
        assert routing == {
            "Type": "LINEAR",
            "LinearStepSize": {"Type": "CAPACITY_PERCENT", "Value": 25},
            "WaitIntervalInSeconds": 300,
        }
        assert policy(full)["TerminationWaitInSeconds"] == 120
        assert policy(full)["MaximumExecutionTimeoutInSeconds"] > 4 * 300 + 120

    def test_all_at_once_with_a_latency_alarm_is_rolled_back_too(self, tmp_path: Path) -> None:
        rollout = '[hosting.rollout]\nstrategy = "all-at-once"\nlatency_alarm_ms = 500\n\n'
        made = synthesize_written(FULL.replace(LINEAR, rollout), tmp_path)
        assert policy(made)["TrafficRoutingConfiguration"] == {
            "Type": "ALL_AT_ONCE",
            "WaitIntervalInSeconds": 0,
        }
        assert len(endpoint(made)["DeploymentConfig"]["AutoRollbackConfiguration"]["Alarms"]) == 3
        alarms = made.template("endpoint").all("CloudWatch::Alarm").values()
        (latency,) = [a["Properties"] for a in alarms if "ModelLatency" in str(a)]
        assert latency["Threshold"] == 500_000

    def test_all_at_once_without_one_has_no_guardrails(self, local: Assembly) -> None:
        assert not {"DeploymentConfig", "RetainDeploymentConfig"} & endpoint(local).keys()
        assert local.template("endpoint").all("CloudWatch::Alarm") == {}

    @pytest.mark.parametrize("percent", [10, 15, 33, 50])
    def test_the_longest_bake_that_is_allowed_ends_in_time(self, tmp_path: Path, percent: int) -> None:
        steps = -(-100 // percent)
        longest = min((28_800 - 1800 - 120) // steps, 3600)
        written = FULL.replace("step_percent = 25", f"step_percent = {percent}")
        made = synthesize_written(
            written.replace("bake_seconds = 300", f"bake_seconds = {longest}"), tmp_path
        )
        timeout = policy(made)["MaximumExecutionTimeoutInSeconds"]
        assert steps * longest + 120 < timeout <= 28_800


class TestScaling:
    """The number of instances."""

    @pytest.fixture
    def target(self, full: Assembly) -> Json:
        return full.template("endpoint").properties("ApplicationAutoScaling::ScalableTarget")

    def test_the_variant_of_the_endpoint_scales_between_the_settings(
        self, full: Assembly, target: Json
    ) -> None:
        (endpoint_id,) = full.template("endpoint").all("SageMaker::Endpoint")
        assert text(target["ResourceId"]) == f"endpoint/<{endpoint_id}.EndpointName>/variant/champion"
        assert (target["MinCapacity"], target["MaxCapacity"]) == (4, 8)
        assert target["ScalableDimension"] == "sagemaker:variant:DesiredInstanceCount"
        assert "RoleARN" not in target, "the service-linked role acts"

    def test_off_hours_keep_fewer_and_may_still_grow(self, target: Json) -> None:
        off, on = target["ScheduledActions"]
        assert off["Schedule"] == "cron(30 20 ? * MON,TUE,WED,THU,FRI *)"
        assert on["Schedule"] == "cron(0 6 ? * MON,TUE,WED,THU,FRI *)"
        assert off["Timezone"] == on["Timezone"] == "Europe/Dublin"
        assert off["ScalableTargetAction"] == {"MinCapacity": 2, "MaxCapacity": 8}
        assert on["ScalableTargetAction"] == {"MinCapacity": 4, "MaxCapacity": 8}

    def test_a_deploy_keeps_the_scaled_count_alone(self, full: Assembly, prod: Assembly) -> None:
        for assembly in (full, prod):
            assert endpoint(assembly)["RetainAllVariantProperties"] is True
            excluded = endpoint(assembly)["ExcludeRetainedVariantProperties"]
            kinds = {each["VariantPropertyType"] for each in excluded}
            assert kinds == {"DesiredWeight", "DataCaptureConfig"}

    def test_without_the_table_nothing_scales(self, local: Assembly, dev: Assembly) -> None:
        for assembly in (local, dev):
            assert "RetainAllVariantProperties" not in endpoint(assembly)
            assert assembly.template("endpoint").all("ApplicationAutoScaling::ScalableTarget") == {}


class TestDataCapture:
    """Captured requests and responses."""

    def test_only_responses_are_captured_unless_images_are_configured(
        self, full: Assembly, tmp_path: Path
    ) -> None:
        assert config(full)["DataCaptureConfig"]["CaptureOptions"] == [{"CaptureMode": "Output"}]
        written = FULL.replace("expire_days = 30", 'expire_days = 30\nwhat = ["input", "output"]')
        made = synthesize_written(written, tmp_path)
        modes = [each["CaptureMode"] for each in config(made)["DataCaptureConfig"]["CaptureOptions"]]
        assert modes == ["Input", "Output"]

    def test_it_goes_encrypted_into_a_bucket_of_its_own(self, full: Assembly) -> None:
        capture = config(full)["DataCaptureConfig"]
        bucket_name = "tumor-detector-full-sample-123456789012-eu-west-1"
        assert capture["DestinationS3Uri"].startswith(f"s3://{bucket_name}/")
        assert capture["InitialSamplingPercentage"] == 20
        assert capture["KmsKeyId"] == config(full)["KmsKeyId"]
        bucket = full.template("registry").properties("S3::Bucket", "Captured")
        assert bucket["BucketName"] == bucket_name

    def test_nothing_is_captured_by_default(self, local: Assembly) -> None:
        assert "DataCaptureConfig" not in config(local)
        assert "-sample-" not in str(local.template("registry").all("S3::Bucket"))

    def test_none_of_our_environments_captures_images(self, assembly: Assembly) -> None:
        capture = config(assembly).get("DataCaptureConfig", {"CaptureOptions": []})
        assert {"CaptureMode": "Input"} not in capture["CaptureOptions"]


def test_a_network_is_the_models_and_isolation_stays(full: Assembly) -> None:
    for name in ("EndpointModel", "EndpointShadowModel"):
        model = full.template("endpoint").properties("SageMaker::Model", name)
        assert model["VpcConfig"] == {
            "Subnets": ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"],
            "SecurityGroupIds": ["sg-0123456789abcdef0"],
        }
        assert model["EnableNetworkIsolation"] is True


class TestCustomerKey:
    """One key of the environment's own, referenced by a parameter and never by an export."""

    def key_in(self, assembly: Assembly, stack: str) -> str:
        """Return a stack's reference to the key, whose ARN it reads from a parameter.

        A parameter of the template would be read as the bootstrap's deploy role, which may not.
        """
        assert assembly.template(stack).content["Parameters"].keys() == {"BootstrapVersion"}
        return f"{{{{resolve:ssm:/tumor-detector/{assembly.environment}/key-arn}}}}"

    def test_it_rotates_is_retained_and_encrypts_artifacts_and_images(self, prod: Assembly) -> None:
        registry = prod.template("registry")
        ((key_id, key),) = registry.all("KMS::Key").items()
        assert key["Properties"]["EnableKeyRotation"] is True
        assert key["DeletionPolicy"] == "Retain"
        arn = {"Fn::GetAtt": [key_id, "Arn"]}
        (rule,) = registry.properties("S3::Bucket", "Models")["BucketEncryption"][
            "ServerSideEncryptionConfiguration"
        ]
        assert rule["BucketKeyEnabled"] is True
        assert rule["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": arn}
        encryption = registry.properties("ECR::Repository")["EncryptionConfiguration"]
        assert encryption == {"EncryptionType": "KMS", "KmsKey": arn}
        assert registry.properties("SSM::Parameter")["Value"] == arn

    def test_it_encrypts_volumes_and_lets_the_role_read_artifacts(self, prod: Assembly) -> None:
        arn = self.key_in(prod, "endpoint")
        assert config(prod)["KmsKeyId"] == arn
        use, grant = (s for _, s in prod.template("endpoint").statements() if "kms:" in str(s["Action"]))
        assert {"kms:Decrypt", "kms:GenerateDataKeyWithoutPlaintext"} < set(use["Action"])
        assert (grant["Action"], use["Resource"], grant["Resource"]) == ("kms:CreateGrant", arn, arn)
        assert grant["Condition"] == {"Bool": {"kms:GrantIsForAWSResource": "true"}}

    @pytest.mark.parametrize("stack", ["registry", "gateway", "monitoring"])
    def test_it_encrypts_every_log_group(self, prod: Assembly, stack: str) -> None:
        (key_id,) = prod.template("registry").all("KMS::Key")
        arn = {"Fn::GetAtt": [key_id, "Arn"]} if stack == "registry" else self.key_in(prod, stack)
        groups = prod.template(stack).all("Logs::LogGroup")
        assert groups
        assert all(group["Properties"]["KmsKeyId"] == arn for group in groups.values())

    def test_logs_may_use_it_for_our_groups_alone(self, prod: Assembly) -> None:
        statements = [s for _, s in prod.template("registry").statements() if "Principal" in s]
        (logs,) = [s for s in statements if "logs." in str(s["Principal"].get("Service"))]
        for group in logs["Condition"]["ArnLike"]["kms:EncryptionContext:aws:logs:arn"]:
            name = text(group).split(":log-group:")[1]
            assert "tumor-detector-prod-" in name or name == "API-Gateway-Execution-Logs_*/v1"

    def test_without_it_the_keys_of_aws_encrypt(self, dev: Assembly) -> None:
        registry = dev.template("registry")
        assert registry.all("KMS::Key") == {}
        (rule,) = registry.properties("S3::Bucket", "Models")["BucketEncryption"][
            "ServerSideEncryptionConfiguration"
        ]
        assert rule["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
        assert "KmsKeyId" not in config(dev)


class TestQueue:
    """Asynchronous hosting: where images and answers lie, who is told, and instances by the backlog."""

    def test_what_is_queued_lies_in_a_bucket_of_its_own_that_takes_uploads(self, queued: Assembly) -> None:
        found = config(queued)
        output, key = found["AsyncInferenceConfig"]["OutputConfig"], found["KmsKeyId"]
        bucket = "tumor-detector-queued-async-<AWS::AccountId>-us-east-1"
        paths = [text(output[name]) for name in ("S3OutputPath", "S3FailurePath")]
        assert paths == [f"s3://{bucket}/answers", f"s3://{bucket}/failures"]
        assert output["KmsKeyId"] == key
        made = queued.template("registry").properties("S3::Bucket", "Async")
        assert text(made["BucketName"]) == bucket
        (rule,) = made["CorsConfiguration"]["CorsRules"]
        assert (rule["AllowedMethods"], rule["AllowedOrigins"]) == (["POST"], ["*"])

    def test_failures_are_mailed_to_whom_alarms_are(self, queued: Assembly) -> None:
        endpoint_stack = queued.template("endpoint")
        told = config(queued)["AsyncInferenceConfig"]["OutputConfig"]["NotificationConfig"]
        (subscribed,) = endpoint_stack.all("SNS::Subscription").values()
        assert subscribed["Properties"]["Endpoint"] == "on-call@example.org"
        assert subscribed["Properties"]["TopicArn"] == told["ErrorTopic"] != told["SuccessTopic"]

    def test_instances_follow_the_backlog_from_none(self, queued: Assembly) -> None:
        template = queued.template("endpoint")
        target = template.properties("ApplicationAutoScaling::ScalableTarget")
        assert (target["MinCapacity"], target["MaxCapacity"]) == (0, 3)
        assert "RoleARN" not in target, "the service-linked role acts"
        policies = template.all("ApplicationAutoScaling::ScalingPolicy")
        ((wake, stepping),) = [each for each in policies.items() if "Wake" in each[0]]
        (tracking,) = [each["Properties"] for id_, each in policies.items() if id_ != wake]
        tracked = tracking["TargetTrackingScalingPolicyConfiguration"]
        assert tracked["CustomizedMetricSpecification"]["MetricName"] == "ApproximateBacklogSizePerInstance"
        waking = stepping["Properties"]["StepScalingPolicyConfiguration"]
        assert waking["StepAdjustments"] == [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}]
        assert waking["AdjustmentType"] == "ChangeInCapacity"
        alarm = template.properties("CloudWatch::Alarm")
        assert (alarm["MetricName"], alarm["AlarmActions"]) == ("HasBacklogWithoutCapacity", [{"Ref": wake}])
        assert endpoint(queued)["RetainAllVariantProperties"] is True
