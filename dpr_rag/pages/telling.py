"""Shows errors of event handlers as notifications on the page."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, TypeVar

import gradio as gr

from dpr_rag.errors import DprRagError
from dpr_rag.pages.highlighting import plain_html
from dpr_rag.pages.places import on_the_page

_Handler = TypeVar("_Handler", bound=Callable[..., Any])


def told(handler: _Handler) -> _Handler:
    """A function that a page calls, with its errors in the page's words; what else goes wrong is told by the log alone."""

    @wraps(handler)
    def called(*given: Any, **named: Any) -> Any:
        try:
            return handler(*given, **named)
        except DprRagError as error:
            raise _shown(error) from error

    @wraps(handler)
    def growing(*given: Any, **named: Any) -> Iterator[Any]:
        try:
            yield from handler(*given, **named)
        except DprRagError as error:
            raise _shown(error) from error

    return growing if inspect.isgeneratorfunction(handler) else called  # type: ignore[return-value]


def _shown(error: DprRagError) -> gr.Error:
    return gr.Error(plain_html(on_the_page(error)), title="That did not work", print_exception=False)
