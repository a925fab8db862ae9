"""GitHub's workflows do nothing but call this project's scripts, with no more rights than each job needs."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from infra import config, names
from infra.constructs.github_access import LONGEST_DELIVERY

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".github" / "workflows"
Json = dict[str, Any]

# Beside the scripts: GitHub's own tool, which puts a file under a pull request.
COMMENT = 'gh pr comment "$NUMBER" --repo "$REPOSITORY" --edit-last --create-if-none --body-file diff.md'
# (workflow, job) -> what it may beyond reading this repository's content.
RIGHTS = {
    ("pull-request", "comment"): {"pull-requests": "write"},
    ("main", "dev"): {"id-token": "write"},
    ("main", "prod"): {"id-token": "write"},
    ("deploy", "deploy"): {"id-token": "write"},
    ("drift", "drift"): {"id-token": "write"},
}
DEPLOYED = [name for name in config.known_environments() if not config.load(name).local]
WORKFLOW_KEYS = {"name", "on", "permissions", "concurrency", "jobs"}
JOB_KEYS = {
    "concurrency", "environment", "if", "needs", "permissions", "runs-on", "steps", "strategy",
    "timeout-minutes", "uses", "with",
}  # fmt: skip
STEP_KEYS = {"env", "run", "uses", "with"}


class Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Reads `on` as the word that it is for GitHub; YAML 1.1 takes it for a truth value."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read(name: str) -> Json:
    content: Json = yaml.load((FOLDER / f"{name}.yml").read_text(), Loader=Loader)
    return content


WORKFLOWS = {path.stem: read(path.stem) for path in sorted(FOLDER.glob("*.yml"))}
JOBS = [(name, id_, job) for name, workflow in WORKFLOWS.items() for id_, job in workflow["jobs"].items()]
STEPS = [(name, id_, step) for name, id_, job in JOBS for step in job.get("steps", [])]
RUNS = [(name, id_, step["run"]) for name, id_, step in STEPS if "run" in step]


def test_the_workflows_are_these() -> None:
    assert set(WORKFLOWS) == {"test", "pull-request", "main", "deploy", "drift"}
    assert not list(FOLDER.glob("*.yaml"))


def test_every_key_is_one_that_github_knows() -> None:
    for workflow in WORKFLOWS.values():
        assert workflow.keys() <= WORKFLOW_KEYS
        assert workflow.keys() >= {"name", "on", "permissions", "jobs"}
    for name, id_, job in JOBS:
        assert job.keys() <= JOB_KEYS, (name, id_)
        assert ("uses" in job) != ("runs-on" in job), (name, id_)
    for name, id_, step in STEPS:
        assert step.keys() <= STEP_KEYS, (name, id_)
        assert ("uses" in step) != ("run" in step), (name, id_)


def test_every_run_calls_one_of_our_scripts_and_nothing_else() -> None:
    assert RUNS
    for name, id_, command in RUNS:
        if (name, id_) == ("pull-request", "comment"):
            assert command == COMMENT
            continue
        script, *arguments = shlex.split(command)
        path = ROOT / script
        assert path.parent == ROOT / "scripts", command
        assert path.is_file(), command
        assert os.access(path, os.X_OK), command
        assert not set(command) & set(";&|`\n"), command
        assert arguments.count(">") <= 1


def options() -> list[tuple[str, str]]:
    """Every (script, option) that a workflow uses."""
    return sorted(
        {
            (shlex.split(command)[0], word)
            for _, _, command in RUNS
            if command != COMMENT
            for word in shlex.split(command)
            if word.startswith("--")
        }
    )


@pytest.mark.parametrize(("script", "option"), options())
def test_the_scripts_know_the_options_that_they_are_called_with(
    script: str, option: str, tmp_path: Path
) -> None:
    # Beside a set-up that does nothing: the real one would install into the environment that is in use.
    copy = tmp_path / script
    copy.parent.mkdir()
    shutil.copy(ROOT / script, copy)
    copy.with_name("_setup.py").write_text("def ensure(): pass\n")
    done = subprocess.run(
        [sys.executable, copy, "--help"],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert re.search(rf"{option}\b", done.stdout)


def test_nothing_that_others_wrote_becomes_part_of_a_command() -> None:
    assert [command for _, _, command in RUNS if "${{" in command] == []


def test_a_workflow_may_read_and_a_job_only_what_is_listed_beside() -> None:
    assert {name: workflow["permissions"] for name, workflow in WORKFLOWS.items()} == {
        name: {"contents": "read"} for name in WORKFLOWS
    }
    given = {
        (name, id_): {right: level for right, level in job["permissions"].items() if right != "contents"}
        for name, id_, job in JOBS
        if "permissions" in job
    }
    assert given == RIGHTS
    assert all(
        job["permissions"].get("contents", "read") == "read" for _, _, job in JOBS if "permissions" in job
    )


def test_no_job_of_a_pull_request_gets_aws_or_writes_while_it_runs_its_code() -> None:
    workflow = WORKFLOWS["pull-request"]
    assert set(workflow["on"]) == {"pull_request"}  # pull_request_target would run it with our rights
    for job in [*workflow["jobs"].values(), *WORKFLOWS["test"]["jobs"].values()]:
        uses = [step.get("uses", "") for step in job.get("steps", [])]
        assert not [action for action in uses if "credentials" in action]
        if "pull-requests" in job.get("permissions", {}):
            assert not [action for action in uses if action.startswith("actions/checkout")]


def test_whoever_gets_a_role_names_an_environment_that_it_is_bound_to() -> None:
    for name, id_, job in JOBS:
        uses = [step.get("uses", "") for step in job.get("steps", [])]
        asks = any(action.startswith("aws-actions/configure-aws-credentials@") for action in uses)
        if asks:
            assert job["environment"], (name, id_)
            assert job["permissions"]["id-token"] == "write"
    assert WORKFLOWS["deploy"]["jobs"]["deploy"]["environment"] == "${{ inputs.environment }}"
    watched = WORKFLOWS["drift"]["jobs"]["drift"]
    assert sorted(watched["strategy"]["matrix"]["environment"]) == DEPLOYED
    assert watched["environment"] == names.watch("${{ matrix.environment }}")


def test_dev_comes_before_prod_and_the_tests_before_both() -> None:
    jobs = WORKFLOWS["main"]["jobs"]
    assert sorted(job["with"]["environment"] for job in jobs.values() if "with" in job) == DEPLOYED
    assert (jobs["dev"]["needs"], jobs["prod"]["needs"]) == ("test", "dev")
    assert jobs["test"]["uses"] == "./.github/workflows/test.yml"
    assert WORKFLOWS["main"]["concurrency"]["cancel-in-progress"] is False or (
        WORKFLOWS["main"]["concurrency"]["cancel-in-progress"] == "false"
    )


def test_a_deploy_ends_with_the_smoke_test_by_the_smoke_role() -> None:
    steps = [step for step in WORKFLOWS["deploy"]["jobs"]["deploy"]["steps"] if "run" in step]
    assert [step["run"].split()[0] for step in steps] == ["scripts/deploy", "scripts/smoke"]
    for step in steps:
        assert step["env"]["TUMOR_SMOKE_ROLE"] == "${{ vars.AWS_SMOKE_ROLE_ARN }}"


def test_a_session_is_no_longer_than_its_role_allows() -> None:
    (asked,) = (
        int(step["with"]["role-duration-seconds"])
        for _, _, step in STEPS
        if "role-duration-seconds" in step.get("with", {})
    )
    assert asked <= LONGEST_DELIVERY.to_seconds()


def test_github_keeps_no_secret_of_ours_but_names_of_roles() -> None:
    for path in FOLDER.glob("*.yml"):
        text = path.read_text()
        assert "secrets." not in text
        assert set(re.findall(r"vars\.(\w+)", text)) <= {"AWS_ROLE_ARN", "AWS_SMOKE_ROLE_ARN"}


def test_actions_are_official_and_named_by_major_version_or_commit() -> None:
    for path in FOLDER.glob("*.yml"):
        for action, comment in re.findall(r"uses: (\S+)(.*)", path.read_text()):
            if action.startswith("./"):
                assert (ROOT / action).is_file(), action
                continue
            name, _, version = action.partition("@")
            assert name.split("/")[0] in {"actions", "aws-actions"}, action
            by_commit = re.fullmatch(r"[0-9a-f]{40}", version) and re.match(r" # v[0-9]", comment)
            assert re.fullmatch(r"v[0-9]+", version) or by_commit, action


def test_every_job_ends_in_a_time_that_was_thought_of() -> None:
    assert [
        (name, id_) for name, id_, job in JOBS if "uses" not in job and "timeout-minutes" not in job
    ] == []


def test_checkouts_leave_no_token_behind() -> None:
    for name, id_, step in STEPS:
        if step.get("uses", "").startswith("actions/checkout"):
            assert step["with"]["persist-credentials"] in (False, "false"), (name, id_)


def test_dependabot_watches_the_actions() -> None:
    (watched,) = yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text())["updates"]
    assert watched["package-ecosystem"] == "github-actions"
