"""Pipelines of one Training step, which runs as a process: the training's own entry point, not its image.

The job gets a folder like ``/opt/ml``: source and images from S3, with its role's rights. **Unverified on
AWS**: the names of jobs, that they are tagged, the words of reasons, and an archive where nothing was kept.
"""

from __future__ import annotations

import json
import logging
import shutil
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

from infra.emulator.ministack_patches import iam
from infra.emulator.ministack_patches.app import account_id
from infra.emulator.sagemaker.endpoints import in_background
from infra.emulator.sagemaker.execution_role import ExecutionRole
from infra.emulator.sagemaker.resources import Resource, ResourceType, invalid
from infra.emulator.validation.shapes import validate
from infra.names import TRAINING_LOG_GROUP

if TYPE_CHECKING:
    from pathlib import Path

    from infra.emulator.sagemaker.launcher import Launcher
    from infra.emulator.sagemaker.model_server import ModelServer
    from infra.emulator.validation.rules import Json

PIPELINE = ResourceType("pipeline", "Pipeline", label="pipeline")
EXECUTION = ResourceType("pipeline", "PipelineExecution", label="pipeline execution")
TRAINING_JOB = ResourceType("training-job", "TrainingJob", label="training job")
_ENTRY = "code/scripts/training_job/entry.py"  # in the job's one channel


class Execution(Resource):
    """One execution, which runs on a thread of its own and is never removed."""

    def __init__(self, pipeline: Resource, request: Json, *, launcher: Launcher) -> None:
        id_ = uuid.uuid4().hex[:12]
        super().__init__(EXECUTION, {EXECUTION.name_member: f"{pipeline.name}/execution/{id_}"})
        self._pipeline, self._launcher = pipeline, launcher
        definition = json.loads(pipeline.properties["PipelineDefinition"])
        self._step, *others = definition["Steps"]
        if others or self._step["Type"] != "Training":
            raise invalid("The emulated SageMaker runs pipelines of one Training step.")
        self._request: Any = _resolved(self._step["Arguments"], _values(definition, request))
        self._job = f"pipelines-{id_}-{self._step['Name']}"
        self._status, self._more = "Executing", dict[str, object]()
        self._program: ModelServer | None = None
        self._lock = threading.Lock()

    def describe(self) -> dict[str, object]:
        """Answer DescribePipelineExecution."""
        arns = {"PipelineArn": self._pipeline.arn, "PipelineExecutionArn": self.arn}
        return {**arns, "PipelineExecutionStatus": self._status, "CreationTime": self.created, **self._more}

    def steps(self) -> dict[str, object]:
        """Answer ListPipelineExecutionSteps."""
        job = {"TrainingJob": {"Arn": TRAINING_JOB.arn(self._job)}}
        step = {"StepName": self._step["Name"], "StepStatus": self._status, "StartTime": self.created}
        return {"PipelineExecutionSteps": [{**step, "Metadata": job, **self._more}]}

    def stop(self) -> dict[str, object]:
        """Begin to stop: the job's program gets SIGTERM."""
        with self._lock:
            if self._status != "Executing":
                raise invalid(f"The execution cannot be stopped: its status is {self._status}.")
            self._status = "Stopping"
        if self._program:
            in_background(self._launcher.end, self._program)
        return {"PipelineExecutionArn": self.arn}

    def run(self) -> None:
        """Run to the end."""
        folder, ended = self._launcher.scratch / self._job, "Succeeded"
        try:
            self._train(folder)
        except Exception as error:  # whatever went wrong, the execution must end
            logging.getLogger("sagemaker").exception("%s", self.name)
            self._more["FailureReason"], ended = str(error), "Failed"
        shutil.rmtree(folder, ignore_errors=True)
        with self._lock:
            stopped = self._status == "Stopping" and ended == "Succeeded"
            self._more["LastModifiedTime"] = self._more["EndTime"] = time.time()
            self._status = "Stopped" if stopped else ended

    def _train(self, folder: Path) -> None:
        validate("sagemaker", "CreateTrainingJob", {"TrainingJobName": self._job, **self._request})
        job = TRAINING_JOB.arn(self._job)
        for each in ("CreateTrainingJob", "AddTags", "DescribeTrainingJob"):
            self._check(f"sagemaker:{each}", job)
        self._check("iam:PassRole", self._request["RoleArn"])
        role = ExecutionRole(self._request["RoleArn"], port=self._launcher.port)
        image = self._request["AlgorithmSpecification"]["TrainingImage"]
        if image.startswith(account_id()):  # there is no other account's ECR
            role.find_image(image)
        (channel,) = self._request["InputDataConfig"]
        data = folder / "input" / "data" / channel["ChannelName"]
        role.download(channel["DataSource"]["S3DataSource"]["S3Uri"], to=data)
        (folder / "model").mkdir(parents=True)
        (folder / "hyperparameters.json").write_text(json.dumps(self._request["HyperParameters"]))
        with self._lock:
            if self._status == "Executing":
                self._program = self._launcher.run(
                    str(data / _ENTRY),
                    label=self._job,
                    role=self._request["RoleArn"],
                    logs_to=(TRAINING_LOG_GROUP, self._job),
                    environment={
                        **self._request.get("Environment", {}),
                        "SM_INPUT_CONFIG_DIR": str(folder),
                        "SM_OUTPUT_FAILURE": str(folder / "failure"),
                    },
                )
        status = 0
        if self._program:
            status = self._program.wait()
            self._launcher.end(self._program)
        if self._status == "Stopping":
            self._check("sagemaker:StopTrainingJob", job)
        elif status:
            failure = folder / "failure"
            reason = failure.read_text() if failure.is_file() else "see the job's log"
            raise RuntimeError(f"AlgorithmError: {reason}, exit code: {status}")
        else:
            kept = shutil.make_archive(str(folder / "kept"), "gztar", folder / "model")
            output = self._request["OutputDataConfig"]["S3OutputPath"]
            role.write(f"{output}/{self._job}/output/model.tar.gz", (folder / kept).read_bytes(), key=None)

    def _check(self, action: str, resource: str) -> None:
        """Raise `AccessDenied` where the pipeline's role may not do what its execution needs."""
        passed = {"iam:PassedToService": "sagemaker.amazonaws.com"}
        iam.require(self._pipeline.properties["RoleArn"], action, resource, context=passed)


def _values(definition: Json, request: Json) -> dict[str, str]:
    """Return the values of a pipeline's parameters in a request to start it, or raise AWS's error."""
    declared = definition.get("Parameters", ())
    given = {each["Name"]: each["Value"] for each in request.get("PipelineParameters", ())}
    found = {each["Name"]: each.get("DefaultValue") for each in declared} | given
    if wrong := sorted(name for name in found if found[name] is None or len(found) > len(declared)):
        raise invalid(f"Pipeline parameters that are unknown or have no value: among {', '.join(wrong)}.")
    return found


def _resolved(value: Any, parameters: Json) -> Any:
    """Put the parameters' values in place of ``{"Get": "Parameters.NAME"}``."""
    match value:
        case {"Get": str(name)}:
            return parameters[name.removeprefix("Parameters.")]
        case dict():
            return {key: _resolved(item, parameters) for key, item in value.items()}
        case list():
            return [_resolved(item, parameters) for item in value]
    return value
