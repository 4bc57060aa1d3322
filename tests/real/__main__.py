"""Runs every test of this directory: `python tests/real [WORD...]`; words restrict to tests whose name has one.

Prints one line per test and a closing line that `tests/run` reads. A skipped test counts as failed: these tests
exist to meet the real thing, so a missing one must be seen.
"""

import signal
import sys
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent


def interrupted(*_):
    # unittest takes SystemExit for a failed test and goes on; only this ends the run.
    raise KeyboardInterrupt


def name_of(test):
    """The test a failure belongs to: sub-tests count as their test."""
    return getattr(test, "test_case", test).id()


def main():
    signal.signal(signal.SIGTERM, interrupted)
    sys.path.insert(0, str(HERE))
    loader = unittest.TestLoader()
    loader.testNamePatterns = [f"*{word}*" for word in sys.argv[1:]] or None
    suite = loader.discover(str(HERE), top_level_dir=str(HERE))
    result = unittest.TextTestRunner(verbosity=2, warnings="default", stream=sys.stdout).run(suite)
    for test, reason in result.skipped:
        print(f"counted as failed, because it was skipped: {test.id()}: {reason}")
    bad = {name_of(test) for test, _ in [*result.failures, *result.errors, *result.skipped]}
    # A class whose set-up fails is one failure; its tests never ran and are in neither number.
    failed_tests = {name for name in bad if not name.startswith("setUp")}
    print(f"real apps: {result.testsRun - len(failed_tests)} passed, {len(bad)} failed")
    sys.exit(1 if bad or result.testsRun == 0 else 0)


main()
