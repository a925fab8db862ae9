"""ministack's application, its table of services, and the request that it is answering."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ministack import app
from ministack.core import router
from ministack.core.responses import get_account_id as account_id
from ministack.core.responses import get_region as region
from ministack.services import tagging

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator


__all__ = ["Answer", "account_id", "add_service", "add_tags", "application", "region"]

Answer = tuple[int, dict[str, str], bytes]  # status, headers, body

application = app.app


def add_service(name: str, handler: Callable[..., Awaitable[Answer]], *, target_prefix: str) -> None:
    """Let a handler answer the requests that are signed for a service or whose X-Amz-Target begins so.

    The handler gets method, path, headers by their names in lower case, body and query.
    """
    app.SERVICE_HANDLERS[name] = handler
    router.SERVICE_PATTERNS[name] = {"target_prefixes": [target_prefix], "host_patterns": []}


def add_tags(name: str, collect: Callable[[], Iterator[tuple[str, object]]]) -> None:
    """Let a service's ARNs be found by their tags, and conditions of policies see them."""
    tagging._COLLECTORS[name] = tagging._RESOURCE_TAG_COLLECTORS[name] = collect
