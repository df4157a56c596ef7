"""Counts the tests in meson's testlog.json or pytest's junit XML; called by ./dev.

    count.py FILE        prints "PASSED FAILED SKIPPED"

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


def main() -> int:
    """See the top of the file."""
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
