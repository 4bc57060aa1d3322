"""Where Cloakroom differs from Django on purpose: row, reason, and what Cloakroom's column must then be.

A row that is listed here and turns out equal is a failure, so the list stays true.
"""

DIFFERENCES = {}
