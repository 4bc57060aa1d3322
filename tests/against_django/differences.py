"""Where Cloakroom differs from Django on purpose: row, reason, and what Cloakroom's column must then be.

A row that is listed here and turns out equal is a failure, and so is one that differs in another way than this,
so the list stays true.
"""

from dataclasses import dataclass


@dataclass
class Difference:
    """Why a row differs, and what it shows on Cloakroom."""

    reason: str
    ours: list


DIFFERENCES = {}
