"""Rules that involve several settings.

Each is checked if the settings that it reads are valid by themselves, whatever else is wrong with the file.
So one report holds every problem.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from infra import local_aws
from infra.config.file_errors import Problem
from infra.config.hosting import has_local_disks
from infra.config.rollout import (
    LONGEST_UPDATE_S,
    MINIMUM_TO_SPLIT,
    OLD_FLEET_WAIT_S,
    SHORTEST_BAKE_S,
    START_ALLOWANCE_S,
    linear_steps,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    Finding = tuple[str, str]  # a dotted key, and what is wrong with its value and what to write instead
    Rule = Callable[["Values"], Iterator[Finding]]


_OF_THIS_MACHINE = re.compile(
    r"https://([^/:]*\.)?(localhost|127\.[\d.]+|0\.0\.0\.0|\[::1?\]|host\.docker\.internal)(?![\w.-])"
)


class UnknownError(Exception):
    """A setting that a rule needs is absent or invalid; if that is an error, it is reported already."""


class Values:
    """A file's settings by dotted key, except those that are `invalid` by themselves."""

    def __init__(self, written: Mapping[str, Any], *, invalid: Collection[str]) -> None:
        self._written = written
        self._invalid = {tuple(key.split(".")) for key in invalid}

    def __getitem__(self, key: str) -> Any:
        """Return the value at `key`; raise where there is no valid one."""
        value = self.get(key)
        if value is None:
            raise UnknownError
        return value

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value at `key`, or `default` where the file has none; raise where it is invalid."""
        value: Any = self._written
        steps = tuple(key.split("."))
        for number, step in enumerate(steps, start=1):
            if steps[:number] in self._invalid:
                raise UnknownError
            if step not in value:
                return default
            value = value[step]
        return value


def broken_rules(written: Mapping[str, Any], *, invalid: Collection[str]) -> list[Problem]:
    """Return a problem for each rule that the settings break."""
    values = Values(written, invalid=invalid)
    found = []
    for rule in RULES:
        with suppress(UnknownError):
            for key, remedy in rule(values):
                found.append(Problem(key, f"{key} = {values.get(key)!r}: {remedy}"))
    return found


def _only_a_local_api_is_open(values: Values) -> Iterator[Finding]:
    if values["auth"] == "none" and not values.get("local", False):
        yield "auth", "open to everyone, which only local = true may be; write api_key, iam or cognito"


def _local_means_the_emulator(values: Values) -> Iterator[Finding]:
    if values.get("local", False) and values["account"] != local_aws.ACCOUNT:
        yield (
            "account",
            f"local = true is for the emulator, whose account is {local_aws.ACCOUNT}; leave it out",
        )


def _china_has_no_serverless(values: Values) -> Iterator[Finding]:
    if values["region"].startswith("cn-") and values["hosting.mode"] == "serverless":
        yield "hosting.mode", f"SageMaker does not offer it in {values['region']}; write real-time"


def _nothing_keeps_a_queue_awake(values: Values) -> Iterator[Finding]:
    if values["hosting.mode"] == "async" and values["monitoring.golden_canary"]:
        yield "monitoring.golden_canary", "wakes an instance each time; leave it out with async hosting"


def _the_smoke_test_needs_a_way_in(values: Values) -> Iterator[Finding]:
    if values["hosting.mode"] == "async" and values["auth"] == "cognito":
        yield "auth", "no script can sign in for a prediction that is answered later; write api_key or iam"


def _sign_in_needs_cognito(values: Values) -> Iterator[Finding]:
    if values.get("sign_in") is not None and values["auth"] != "cognito":
        yield "sign_in", 'only for auth = "cognito"; leave the table out'


def _local_address_needs_local(values: Values) -> Iterator[Finding]:
    if values["sign_in.local_address"] and not values.get("local", False):
        yield "sign_in.local_address", "only for local = true; AWS has an address of its own"


def _local_disks_take_no_key(values: Values) -> Iterator[Finding]:
    instance_type = values["hosting.instance_type"]
    if values.get("customer_key", False) and has_local_disks(instance_type):
        remedy = "choose a family without, like ml.c7i, or write false"
        yield "customer_key", f"SageMaker cannot encrypt the local disks of {instance_type} with it; {remedy}"


def _a_job_on_aws_reaches_mlflow(values: Values) -> Iterator[Finding]:
    mlflow = values["training.mlflow"]
    reached = mlflow.startswith(("https://", "arn:")) and not _OF_THIS_MACHINE.match(mlflow)
    if not reached and not values.get("local", False):
        yield "training.mlflow", "a job on AWS needs https://HOST or an ARN"


def _off_hours_have_two_times(values: Values) -> Iterator[Finding]:
    if values["hosting.scaling.off_hours.begin"] == values["hosting.scaling.off_hours.end"]:
        yield "hosting.scaling.off_hours.end", "off hours end when they begin; write two times"


def _an_alarm_has_time_to_go_off(values: Values) -> Iterator[Finding]:
    if (
        values.get("hosting.rollout.strategy") != "all-at-once"
        or not values["hosting.rollout.latency_alarm_ms"]
    ):
        return
    if values["hosting.rollout.old_fleet_wait_seconds"] < SHORTEST_BAKE_S:
        yield (
            "hosting.rollout.old_fleet_wait_seconds",
            f"latency_alarm_ms needs {SHORTEST_BAKE_S} seconds to go off: wait as long, or leave it out",
        )


def _a_linear_rollout_ends_in_time(values: Values) -> Iterator[Finding]:
    if values["hosting.rollout.strategy"] != "linear":
        return
    steps = linear_steps(values["hosting.rollout.step_percent"])
    wait_s = values.get("hosting.rollout.old_fleet_wait_seconds", OLD_FLEET_WAIT_S)
    longest_s = (LONGEST_UPDATE_S - START_ALLOWANCE_S - wait_s) // steps
    if values["hosting.rollout.bake_seconds"] > longest_s:
        too_long = f"{steps} steps of it exceed the {LONGEST_UPDATE_S} s that SageMaker gives an update"
        yield "hosting.rollout.bake_seconds", f"{too_long}; write at most {longest_s}, or larger steps"


def _a_split_needs_two_instances(values: Values) -> Iterator[Finding]:
    strategy = values["hosting.rollout.strategy"]
    if strategy == "all-at-once":
        return
    needs = f"a {strategy} rollout needs at least {MINIMUM_TO_SPLIT} instances"
    if values["hosting.instance_count"] < MINIMUM_TO_SPLIT:
        yield "hosting.instance_count", f"{needs}; or write all-at-once"
    if values["hosting.scaling.off_hours.instances"] < MINIMUM_TO_SPLIT:
        yield "hosting.scaling.off_hours.instances", f"{needs} at all times"


def _scaling_starts_at_the_count(values: Values) -> Iterator[Finding]:
    count = values["hosting.instance_count"]
    if values["hosting.scaling.max_instances"] < count:
        yield "hosting.scaling.max_instances", f"below instance_count = {count}"
    if values["hosting.scaling.off_hours.instances"] >= count:
        yield (
            "hosting.scaling.off_hours.instances",
            f"saves nothing; write less than instance_count = {count}",
        )


def _a_shadow_is_compared_by_captured_answers(values: Values) -> Iterator[Finding]:
    captured = (
        values.get("hosting.data_capture.what", ("output",)) if values.get("hosting.data_capture") else ()
    )
    for key in ("hosting.shadow.release", "gates.shadow_hours"):
        if values.get(key) and "output" not in captured:
            yield key, 'no answer of a shadow would be kept; add real-time [hosting.data_capture] of "output"'
    days = values["hosting.data_capture.expire_days"]
    if values["gates.shadow_hours"] > days * 24:
        yield "gates.shadow_hours", f"captured answers expire after {days} days; write at most {days * 24}"


RULES: tuple[Rule, ...] = (
    _only_a_local_api_is_open,
    _local_means_the_emulator,
    _china_has_no_serverless,
    _nothing_keeps_a_queue_awake,
    _the_smoke_test_needs_a_way_in,
    _sign_in_needs_cognito,
    _local_address_needs_local,
    _local_disks_take_no_key,
    _a_job_on_aws_reaches_mlflow,
    _off_hours_have_two_times,
    _an_alarm_has_time_to_go_off,
    _a_linear_rollout_ends_in_time,
    _a_split_needs_two_instances,
    _scaling_starts_at_the_count,
    _a_shadow_is_compared_by_captured_answers,
)
