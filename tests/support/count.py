"""Counts the tests in meson's testlog.json or pytest's junit XML; called by ./dev.

    count.py FILE          prints "PASSED FAILED SKIPPED"
    count.py --self-test

A Check suite counts as many tests as it says ("Checks: N, Failures: F, Errors: E");
another program as one. A program that failed counts at least one failure, whatever it
printed. Exit status 1, and one failure, if the file is not there or holds no test.
"""

from __future__ import annotations

import json
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

CHECK = re.compile(r"^\d+%: Checks: (\d+), Failures: (\d+), Errors: (\d+)", re.MULTILINE)
GOOD = {"OK", "EXPECTEDFAIL"}
SKIPPED = {"SKIP", "IGNORED"}


def count_meson(text: str) -> tuple[int, int, int]:
    """text: one JSON object a line, as meson writes them."""
    passed = failed = skipped = 0
    for line in text.splitlines():
        row = json.loads(line)
        if row["result"] in SKIPPED:
            skipped += 1
            continue
        good = row["result"] in GOOD
        checks, bad = 0, 0
        for total, failures, errors in CHECK.findall(row.get("stdout") or ""):
            checks += int(total)
            bad += int(failures) + int(errors)
        if good:
            passed += max(checks, 1)
        else:
            failed += max(bad, 1)
            passed += max(checks - max(bad, 1), 0)
    return passed, failed, skipped


def count_junit(text: str) -> tuple[int, int, int]:
    """text: pytest's --junitxml."""
    total = failed = skipped = 0
    for suite in ET.fromstring(text).iter("testsuite"):
        total += int(suite.get("tests", "0"))
        failed += int(suite.get("failures", "0")) + int(suite.get("errors", "0"))
        skipped += int(suite.get("skipped", "0"))
    return total - failed - skipped, failed, skipped


def self_test() -> int:
    """Counts results written here; 1 and the differences if any count is wrong."""

    def row(result: str, stdout: str = "") -> str:
        return json.dumps({"result": result, "stdout": stdout})

    suite = "Running suite(s): a\n100%: Checks: 7, Failures: 0, Errors: 0\n"
    broken = "Running suite(s): a\n71%: Checks: 7, Failures: 1, Errors: 1\n"
    junit = '<testsuites><testsuite tests="9" failures="1" errors="1" skipped="2"/></testsuites>'
    cases = [
        ("program", count_meson(row("OK")), (1, 0, 0)),
        ("suite", count_meson(row("OK", suite)), (7, 0, 0)),
        ("two suites", count_meson(row("OK", suite + suite)), (14, 0, 0)),
        ("failures", count_meson(row("FAIL", broken)), (5, 2, 0)),
        ("fine, then a leak", count_meson(row("FAIL", suite)), (6, 1, 0)),
        ("killed", count_meson(row("TIMEOUT")), (0, 1, 0)),
        ("skipped", count_meson(row("SKIP") + "\n" + row("OK")), (1, 0, 1)),
        ("junit", count_junit(junit), (5, 2, 2)),
    ]
    wrong = [f"{name}: {got}, expected {want}" for name, got, want in cases if got != want]
    print("\n".join(wrong) or f"self-test of {len(cases)} cases: fine")
    return 1 if wrong else 0


def main() -> int:
    """See the top of the file."""
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    path = Path(sys.argv[1])
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    counts = (0, 0, 0)
    if text.strip():
        counts = count_junit(text) if path.suffix == ".xml" else count_meson(text)
    if sum(counts) == 0:
        print("0 1 0")
        print(f"{path}: no results", file=sys.stderr)
        return 1
    print(*counts)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
