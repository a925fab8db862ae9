"""CloudFormation: a function that adds resource types, and a correction for the CDK CLI.

ministack's engine replaces resources, cleans up after an update and rolls back; a resource type only creates,
updates and deletes. A handler that raises must have changed nothing.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import TYPE_CHECKING, Any

from ministack.services.cloudformation import handlers, provisioners, stacks

if TYPE_CHECKING:
    from collections.abc import Callable

CONTRACT = """
services.cloudformation.handlers._ACTION_HANDLERS: dict
services.cloudformation.provisioners._REPLACING_PROPERTIES: dict
services.cloudformation.provisioners._RESOURCE_HANDLERS: dict
services.cloudformation.provisioners._physical_name(stack_name, logical_id, lowercase, max_len, seeded)
services.cloudformation.stacks._runs_on_worker_thread(resource_type)
"""

Properties = Mapping[str, object]
Created = tuple[str, dict[str, str]]  # the physical id, and the attributes for Fn::GetAtt


class ResourceError(Exception):
    """A resource was not created or updated; the message becomes the stack event's reason."""


def patch() -> None:
    """Treat the list of one empty name, which the CDK CLI sends to continue a rollback, as an empty list."""
    action = "ContinueUpdateRollback"
    answer = handlers._ACTION_HANDLERS[action]
    handlers._ACTION_HANDLERS[action] = lambda parameters: answer(
        {key: value for key, value in parameters.items() if value != [""]}
    )


def add_type(
    name: str,
    *,
    create: Callable[[str, Properties, str], Created],
    update: Callable[[str, Properties], Created],
    delete: Callable[[str, Properties], None] = lambda _id, _properties: None,
    replacing: tuple[str, ...] = (),
    waits: bool = False,
) -> None:
    """Add a resource type to CloudFormation.

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
