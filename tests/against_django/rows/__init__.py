"""All rows, in the order they are played."""

from . import data, endings, ids, expiry, sign_in, headers, every_request, parallel  # noqa: F401
from .row import ROWS

__all__ = ["ROWS"]
