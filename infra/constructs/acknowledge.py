"""Why a rule of cdk-nag's AwsSolutions does not apply: said beside the construct that breaks it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Acknowledgment, Stack, Validations

if TYPE_CHECKING:
    from constructs import IConstruct


def acknowledge(scope: IConstruct, rule: str, *, reason: str) -> None:
    """Acknowledge one finding at `scope`.

    Parameters
    ----------
    scope
        The construct with the finding, or one around it.
    rule
        The finding's own id, such as ``AwsSolutions-IAM5[Resource::*]``. Prefixed with the pack's name, as
        here, it keeps a row with its reason in the validation report; without, it would vanish from it.
    reason
        Why it is right as it is.
    """
    Validations.of(scope).acknowledge(Acknowledgment(id=f"AwsSolutions::{rule}", reason=reason))


def acknowledge_wildcard(scope: IConstruct, resource: str, *, reason: str) -> None:
    """Acknowledge that a policy at `scope` allows `resource`, an ARN with a wildcard or ``*`` itself."""
    resolved = _spelled_out(Stack.of(scope).resolve(resource))
    acknowledge(scope, f"AwsSolutions-IAM5[Resource::{resolved}]", reason=reason)


def _spelled_out(value: object) -> str:
    """Write a resolved value as cdk-nag does in its ids: references in angle brackets."""
    match value:
        case {"Ref": name}:
            return f"<{name}>"
        case {"Fn::Join": ["", [*parts]]}:
            return "".join(_spelled_out(part) for part in parts)
        case _:
            return str(value)
