"""Who knocks: a paying program, a bot that proves to be it or only says so, a browser, or nobody
knows. A request is never kept waiting for it: what has to be fetched, the worker fetches."""

from .recognition import of
from .visitor import Kind, Visitor

__all__ = ["Kind", "Visitor", "of"]
