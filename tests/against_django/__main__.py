"""The same script against Django and against Cloakroom: `python tests/against_django [WORD...]`.

Prints both columns side by side and a closing line that `tests/run` reads; words restrict to rows and programs
whose name has one. A row passes when both columns are equal, or when it differs exactly as `differences` says.
"""

import signal
import sys
import traceback
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "real"))

from columns import SETTINGS, Scene, cloakroom, django  # noqa: E402
from differences import DIFFERENCES  # noqa: E402
from dumb_app import DumbApp  # noqa: E402
from programs import PROGRAMS, compare  # noqa: E402
from rows import ROWS  # noqa: E402

WIDE = 52


def interrupted(*_):
    raise KeyboardInterrupt


def start(stack, settings):
    """Both columns for each of the settings, to be ended with the stack."""
    app = DumbApp()
    stack.callback(app.stop)
    pairs = {name: (django(name), cloakroom(name, app.port)) for name in settings}
    for column in (column for pair in pairs.values() for column in pair):
        stack.callback(column.stop)
    return pairs


def played(row, column):
    """What the row shows on this server; a failure is shown in its place."""
    try:
        return row.play(Scene(column))
    except Exception as failure:
        return [*traceback.format_exception_only(failure)[-1].strip().splitlines()[:3]]


def verdict(row, theirs, ours):
    """Whether the row passes, and the words for it."""
    known = DIFFERENCES.get(row.name)
    if known is None:
        return (True, "equal") if theirs == ours else (False, "DIFFERENT")
    if theirs == ours:
        return False, "EQUAL, but listed as a difference"
    if ours != known.ours:
        return False, f"DIFFERENT, and not as listed: {known.ours}"
    return True, f"deliberate: {known.reason}"


def show(row, theirs, ours, words):
    """The row: its name and verdict, then both columns side by side."""
    print(f"{row.name}: {words}")
    for number in range(max(len(theirs), len(ours))):
        left = theirs[number] if number < len(theirs) else ""
        right = ours[number] if number < len(ours) else ""
        print(f"    {shortened(left):{WIDE}}  {shortened(right)}")


def shortened(text):
    text = text.encode("ascii", "backslashreplace").decode()
    return text if len(text) <= WIDE + 48 else text[:WIDE] + "..."


def compare_rows(rows):
    """Plays all rows on both; how many passed and failed."""
    passed, failed = 0, []
    with ExitStack() as stack:
        pairs = start(stack, [name for name in SETTINGS if any(row.settings == name for row in rows)])
        print(f"    {'Django':{WIDE}}  Cloakroom")
        for row in rows:
            theirs, ours = (played(row, column) for column in pairs[row.settings])
            good, words = verdict(row, theirs, ours)
            show(row, theirs, ours, words)
            passed += good
            failed += [] if good else [row.name]
    return passed, failed


def main():
    signal.signal(signal.SIGTERM, interrupted)
    words = sys.argv[1:]
    wanted = [row for row in ROWS if not words or any(word in row.name for word in words)]
    programs = [name for name in PROGRAMS if not words or any(word in name for word in words)]
    passed, failed = compare_rows(wanted) if wanted else (0, [])
    for name in programs:
        good = compare(name)
        passed += good
        failed += [] if good else [name]
    # A difference whose row is gone hides nothing, but it is not true either.
    failed += [f"no such row: {name}" for name in DIFFERENCES.keys() - {row.name for row in ROWS}]
    for name in failed:
        print(f"FAILED {name}")
    print(f"against Django: {passed} passed, {len(failed)} failed")
    sys.exit(1 if failed or passed == 0 else 0)


main()
