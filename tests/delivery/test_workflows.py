"""GitHub's workflows only call this project's scripts, with no more rights than each job needs."""

from __future__ import annotations

import importlib
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from infra import config, names
from infra.constructs.delivery.github_access import LONGEST_DELIVERY
from infra.paths import ROOT

FOLDER = ROOT / ".github" / "workflows"
ZIZMOR = ROOT / ".github" / "zizmor.yml"
Json = dict[Any, Any]

# (workflow, job) -> its rights besides reading this repository's content.
RIGHTS = {
    ("pull-request", "comment"): {"pull-requests": "write"},
    ("main", "dev"): {"id-token": "write"},
    ("main", "prod"): {"id-token": "write"},
    ("deploy", "deploy"): {"id-token": "write"},
    ("drift", "drift"): {"id-token": "write"},
    ("monitor", "monitor"): {"id-token": "write"},
    ("monitor", "retrain"): {"id-token": "write", "pull-requests": "write", "contents": "write"},
    ("rebuild", "rebuild"): {"pull-requests": "write", "contents": "write"},
    ("retrain", "retrain"): {"id-token": "write", "pull-requests": "write", "contents": "write"},
}
VARIABLES = {"AWS_ROLE_ARN", "AWS_SMOKE_ROLE_ARN", "AWS_MONITOR_ROLE_ARN", "MLFLOW_TRACKING_URI"}
# The first major version of each action that runs on Node 24; runners have no Node 20 since September 2026.
RUNS_NODE_24 = {
    "actions/checkout": 5,
    "actions/setup-python": 6,
    "actions/upload-artifact": 6,
    "actions/download-artifact": 7,
    "aws-actions/configure-aws-credentials": 6,
}
DEPLOYED = [name for name in config.known_environments() if not config.load(name).local]


TEXTS = {path.stem: path.read_text() for path in sorted(FOLDER.glob("*.yml"))}
WORKFLOWS: dict[str, Json] = {name: yaml.safe_load(text) for name, text in TEXTS.items()}
JOBS = [(name, id_, job) for name, workflow in WORKFLOWS.items() for id_, job in workflow["jobs"].items()]
STEPS = [(name, id_, step) for name, id_, job in JOBS for step in job.get("steps", [])]
RUNS = [step["run"] for *_, step in STEPS if "run" in step]
SCRIPTS = [command for command in RUNS if not command.startswith("gh pr comment ")]  # GitHub's own tool
OPTIONS = sorted({(line.split()[0], word) for line in SCRIPTS for word in line.split() if word[:2] == "--"})


def uses(job: Json) -> list[str]:
    return [step.get("uses", "") for step in job.get("steps", [])]


def test_every_step_calls_one_script_and_nothing_else() -> None:
    assert len(SCRIPTS) >= len(RUNS) - 1
    for command in SCRIPTS:
        path = ROOT / shlex.split(command)[0]
        assert path.parent == ROOT / "scripts", command
        assert os.access(path, os.X_OK), command
        assert not set(command) & set(";&|`\n"), command
    assert [command for command in RUNS if "${{" in command] == []  # pull requests could inject commands


@pytest.mark.parametrize(("script", "option"), OPTIONS)
def test_the_commands_have_the_options_of_the_workflows(
    script: str, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = importlib.import_module(f"scripts.commands.{Path(script).name}")
    with pytest.raises(SystemExit):
        command.main(["--help"])
    assert re.search(rf"{option}\b", capsys.readouterr().out)


def test_workflows_read_and_jobs_have_only_the_listed_rights() -> None:
    assert all(workflow["permissions"] == {"contents": "read"} for workflow in WORKFLOWS.values())
    given = [(name, id_, dict(job["permissions"])) for name, id_, job in JOBS if "permissions" in job]
    assert {
        (name, id_): {
            right: level for right, level in rights.items() if (right, level) != ("contents", "read")
        }
        for name, id_, rights in given
    } == RIGHTS


def test_a_retraining_follows_drift_alone_one_at_a_time_and_has_its_token_in_one_step() -> None:
    workflow = WORKFLOWS["retrain"]
    assert set(workflow[True]) == {"schedule", "workflow_dispatch", "workflow_call"}
    watching, follows = (WORKFLOWS["monitor"]["jobs"][name] for name in ("monitor", "retrain"))
    assert follows["uses"] == "./.github/workflows/retrain.yml"
    # Drift of an environment is an output of its name, which the step with its command sets
    assert follows["if"] == "${{ !cancelled() && contains(needs.monitor.outputs.*, 'drift') }}"
    [step] = [each for each in watching["steps"] if each.get("run", "").startswith("scripts/monitor ")]
    assert watching["outputs"] == {each: f"${{{{ steps.{step['id']}.outputs.{each} }}}}" for each in DEPLOYED}
    job = workflow["jobs"]["retrain"]
    assert workflow["concurrency"] == {"group": "retrain", "cancel-in-progress": False}
    assert (job["strategy"]["max-parallel"], job["needs"]) == (1, "pinned")
    assert sorted(job["strategy"]["matrix"]["environment"]) == DEPLOYED
    assert job["environment"] == names.retraining("${{ matrix.environment }}")
    with_token = [step.get("run", "") for step in job["steps"] if "github.token" in str(step)]
    assert [command.split()[0] for command in with_token] == ["scripts/retrain"]
    assert TEXTS["retrain"].count("github.token") == 1


def test_jobs_of_pull_requests_get_no_credentials_and_do_not_write_where_their_code_runs() -> None:
    workflow = WORKFLOWS["pull-request"]
    # YAML 1.1 reads the key `on` as true. On pull_request_target their code would run with our rights.
    assert set(workflow[True]) == {"pull_request"}
    for job in [*workflow["jobs"].values(), *WORKFLOWS["test"]["jobs"].values()]:
        assert not [action for action in uses(job) if "credentials" in action]
        if "pull-requests" in job.get("permissions", {}):
            assert not [action for action in uses(job) if action.startswith("actions/checkout")]


def test_jobs_with_credentials_name_an_environment_that_their_role_is_bound_to() -> None:
    for name, id_, job in JOBS:
        if any(action.startswith("aws-actions/configure-aws-credentials@") for action in uses(job)):
            assert job["environment"], (name, id_)
            assert job["permissions"]["id-token"] == "write"
            # Before it gets a token, a job without one has refused actions that their owners can change
            before = WORKFLOWS[name]["jobs"][job["needs"]]
            assert ([step.get("run") for step in before["steps"]][-1], "permissions" in before) == (
                "scripts/dev pin check",
                False,
            )
    assert WORKFLOWS["deploy"]["jobs"]["deploy"]["environment"] == "${{ inputs.environment }}"
    for name in ("drift", "monitor"):
        job = WORKFLOWS[name]["jobs"][name]
        assert sorted(job["strategy"]["matrix"]["environment"]) == DEPLOYED
        assert job["environment"] == names.watch("${{ matrix.environment }}")


def test_dev_is_deployed_before_prod_and_both_after_the_tests() -> None:
    jobs = WORKFLOWS["main"]["jobs"]
    assert sorted(job["with"]["environment"] for job in jobs.values() if "with" in job) == DEPLOYED
    assert (jobs["dev"]["needs"], jobs["prod"]["needs"]) == ("test", "dev")
    assert jobs["test"]["uses"] == "./.github/workflows/test.yml"
    assert WORKFLOWS["main"]["concurrency"]["cancel-in-progress"] is False


def test_a_deploy_ends_with_the_smoke_test_and_lasts_no_longer_than_its_role_allows() -> None:
    steps = WORKFLOWS["deploy"]["jobs"]["deploy"]["steps"]
    runs = [step for step in steps if "run" in step]
    assert [step["run"].split()[0] for step in runs] == ["scripts/deploy", "scripts/smoke"]
    assert {step["env"]["TUMOR_SMOKE_ROLE"] for step in runs} == {"${{ vars.AWS_SMOKE_ROLE_ARN }}"}
    for each in (steps, WORKFLOWS["retrain"]["jobs"]["retrain"]["steps"]):
        given = [step["with"] for step in each if "role-duration-seconds" in step.get("with", {})]
        assert [int(with_["role-duration-seconds"]) <= LONGEST_DELIVERY.to_seconds() for with_ in given] == [
            True
        ]


def test_no_secrets_are_stored_and_no_tokens_left_behind() -> None:
    for text in TEXTS.values():
        assert "secrets." not in text
        assert set(re.findall(r"vars\.(\w+)", text)) <= VARIABLES
    for name, id_, step in STEPS:
        if step.get("uses", "").startswith("actions/checkout"):
            assert step["with"]["persist-credentials"] is False, (name, id_)


def test_actions_are_official_and_pinned_to_a_version_or_commit() -> None:
    for text in TEXTS.values():
        for action, comment in re.findall(r"uses: (\S+)(.*)", text):
            if action.startswith("./"):
                assert (ROOT / action).is_file(), action
                continue
            name, _, version = action.partition("@")
            assert name.split("/")[0] in {"actions", "aws-actions"}, action
            by_commit = re.fullmatch(r"[0-9a-f]{40}", version) and re.match(r" # v[0-9]", comment)
            assert re.fullmatch(r"v[0-9]+", version) or by_commit, action
            major = int(re.findall(r"v([0-9]+)", version + comment)[0])
            assert major >= RUNS_NODE_24[name], action


@pytest.mark.parametrize(
    "linter",
    [
        ("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *map(str, FOLDER.glob("*.yml"))),
        ("zizmor", "--offline", "--no-progress", "--config", str(ZIZMOR), str(FOLDER)),
    ],
)
def test_the_workflows_have_no_finding(linter: tuple[str, ...]) -> None:
    command = [str(ROOT / ".venv" / "bin" / linter[0]), *linter[1:]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_job_has_a_time_limit() -> None:
    assert [id_ for _, id_, job in JOBS if "uses" not in job and "timeout-minutes" not in job] == []
