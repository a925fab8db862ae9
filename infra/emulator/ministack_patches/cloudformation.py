"""CloudFormation: a function that adds resource types, and a correction for the CDK CLI.

ministack's engine replaces resources, cleans up after an update and rolls back; a resource type only creates,
updates and deletes. A handler that raises must have changed nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from ministack.services import cloudwatch, cloudwatch_logs, ecr, iam, kms
from ministack.services.cloudformation import changesets, handlers, provisioners, stacks

# What cannot be created twice: the property with its name, and whether there is one of that name already.
# ministack would take it over, overwrite or empty it.
_TAKEN: Mapping[str, tuple[str, Callable[[str], bool]]] = {
    "AWS::CloudWatch::Dashboard": ("DashboardName", lambda name: name in cloudwatch._dashboards),
    "AWS::ECR::Repository": ("RepositoryName", lambda name: name in ecr._repositories),
    "AWS::IAM::Role": ("RoleName", lambda name: name in iam._roles),
    "AWS::KMS::Alias": ("AliasName", lambda name: kms._alias_arn(name) in kms._aliases),
    "AWS::Logs::LogGroup": ("LogGroupName", lambda name: name in cloudwatch_logs._log_groups),
}

Properties = Mapping[str, Any]
Created = tuple[str, dict[str, str]]  # the physical id, and the attributes for Fn::GetAtt


class ResourceError(Exception):
    """A resource was not created or updated; the message becomes the stack event's reason."""


def patch() -> None:
    """Let repositories be imported, refuse names that are taken, and mend a request of the CDK CLI.

    It sends a list of one empty name to continue a rollback: that is an empty list.
    """
    action = "ContinueUpdateRollback"
    answer = handlers._ACTION_HANDLERS[action]
    handlers._ACTION_HANDLERS[action] = lambda parameters: answer(
        {key: value for key, value in parameters.items() if value != [""]}
    )
    for kind, (member, is_taken) in _TAKEN.items():
        check_type(kind, partial(_refuse_taken_name, kind, member, is_taken), on_update=False)
    changesets._IMPORT_LOOKUPS["AWS::ECR::Repository"] = (
        ("RepositoryName",),
        lambda name: None if name in ecr._repositories else f"Repository {name} was not found.",
    )
    provisioners._RESOURCE_HANDLERS["AWS::ECR::Repository"]["import"] = _imported_repository


def _refuse_taken_name(
    kind: str, member: str, is_taken: Callable[[str], bool], properties: Properties
) -> None:
    name = str(properties.get(member))
    if is_taken(name):
        raise ResourceError(f"Resource of type '{kind}' with identifier '{name}' already exists.")


def _imported_repository(identifier: Mapping[str, str]) -> Created:
    name = identifier["RepositoryName"]
    repository = ecr._repositories[name]
    return name, {"Arn": repository["repositoryArn"], "RepositoryUri": repository["repositoryUri"]}


def add_type(
    name: str,
    *,
    create: Callable[[str, Properties, str], Created],
    update: Callable[[str, Properties], Created],
    delete: Callable[[str, Properties], None] = lambda _id, _properties: None,
    replacing: tuple[str, ...] = (),
    waits: bool = False,
    tagged: bool = False,
) -> None:
    """Add a resource type to CloudFormation, which adds the stack's tags to its `Tags` if it is `tagged`.

    `create` takes logical id, properties and the stack's name; `update` and `delete` take physical id and
    properties, for an update the new ones. A change of a `replacing` property replaces the resource. Handlers
    with `waits` run on a thread: they wait for this very process, and would never return on its event loop.
    """
    provisioners._RESOURCE_HANDLERS[name] = {
        "create": create,
        "update": lambda physical_id, _old, new, _stack: update(physical_id, new),
        "delete": delete,
    }
    if replacing:
        provisioners._REPLACING_PROPERTIES[name] = replacing
    if tagged:
        provisioners._STACK_TAG_PROPERTY[name] = ("Tags", "list")
    if waits:
        known = stacks._runs_on_worker_thread
        stacks._runs_on_worker_thread = lambda kind: kind == name or known(kind)


def check_type(name: str, check: Callable[[Properties], None], *, on_update: bool = True) -> None:
    """Have `check` raise ResourceError for properties that the service refuses."""
    handlers = provisioners._RESOURCE_HANDLERS[name]
    for action, position in (("create", 1), ("update", 2)) if on_update else (("create", 1),):
        handlers[action] = _checked(handlers[action], check, position)


def _checked(
    handle: Callable[..., object], check: Callable[[Properties], None], position: int
) -> Callable[..., object]:
    def checked(*call: Any) -> object:
        check(call[position])
        return handle(*call)

    return checked


def physical_name(stack: str, logical_id: str, *, longest: int = 128) -> str:
    """Return the name that CloudFormation generates where a template gives none."""
    return str(provisioners._physical_name(stack, logical_id, max_len=longest))
