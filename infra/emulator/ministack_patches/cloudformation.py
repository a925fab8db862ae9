"""CloudFormation: a function that adds resource types, and a correction for the CDK CLI.

ministack's engine replaces resources, cleans up after an update and rolls back; a resource type only creates,
updates and deletes. A handler that raises must have changed nothing.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import TYPE_CHECKING, Any

from ministack.services import ecr, kms
from ministack.services.cloudformation import changesets, handlers, provisioners, stacks

from infra.emulator.ministack_patches.app import account_id

if TYPE_CHECKING:
    from collections.abc import Callable

CONTRACT = """
services.cloudformation.changesets._IMPORT_LOOKUPS: dict
services.cloudformation.handlers._ACTION_HANDLERS: dict
services.cloudformation.provisioners._REPLACING_PROPERTIES: dict
services.cloudformation.provisioners._RESOURCE_HANDLERS: dict
services.cloudformation.provisioners._STACK_TAG_PROPERTY: dict
services.cloudformation.provisioners._physical_name(stack_name, logical_id, lowercase, max_len, seeded)
services.cloudformation.stacks._runs_on_worker_thread(resource_type)
services.ecr._repositories: AccountRegionScopedDict
services.kms._alias_arn(alias_name)
services.kms._aliases: AccountRegionScopedDict
"""

Properties = Mapping[str, object]
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
    _refuse_taken("AWS::ECR::Repository", "RepositoryName", _taken_repository)
    _refuse_taken("AWS::KMS::Alias", "AliasName", _taken_alias)
    changesets._IMPORT_LOOKUPS["AWS::ECR::Repository"] = (
        ("RepositoryName",),
        lambda name: None if name in ecr._repositories else f"Repository {name} was not found.",
    )
    provisioners._RESOURCE_HANDLERS["AWS::ECR::Repository"]["import"] = _imported_repository


def _refuse_taken(kind: str, member: str, refusal: Callable[[str], str | None]) -> None:
    """Refuse to create what exists; ministack would take it over."""
    create = provisioners._RESOURCE_HANDLERS[kind]["create"]

    def create_new(logical_id: str, properties: Properties, stack: str) -> Created:
        if reason := refusal(str(properties.get(member))):
            raise ResourceError(reason)
        created: Created = create(logical_id, properties, stack)
        return created

    provisioners._RESOURCE_HANDLERS[kind]["create"] = create_new


def _taken_repository(name: str) -> str | None:
    if name not in ecr._repositories:
        return None
    registry = f"the registry with id '{account_id()}'"
    return f"RepositoryAlreadyExistsException: The repository with name '{name}' already exists in {registry}"


def _taken_alias(name: str) -> str | None:
    arn = kms._alias_arn(name)
    taken = arn in kms._aliases
    return f"AlreadyExistsException: An alias with the name {arn} already exists" if taken else None


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


def refuse_taken_names(name: str, member: str, existing: Container[object]) -> None:
    """Refuse to create a resource whose name another has; ministack would overwrite that one."""

    def check(properties: Properties) -> None:
        if properties.get(member) in existing:
            taken = properties[member]
            raise ResourceError(f"Resource of type '{name}' with identifier '{taken}' already exists.")

    check_type(name, check, on_update=False)


def physical_name(stack: str, logical_id: str, *, longest: int = 128) -> str:
    """Return the name that CloudFormation generates where a template gives none."""
    return str(provisioners._physical_name(stack, logical_id, max_len=longest))
