"""Every function of dfnet.h must be called wrongly by a test. Called by meson.

    check_misuse.py HEADER SYMBOLS TEST...    names the functions that are not
    check_misuse.py --self-test               shows that it can fail

SYMBOLS lists the exported names, one a line; the header must declare the same. TEST: the
suites that misuse functions, test_misuse.c and those of the parts that test their own.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
DECLARED = re.compile(r"\bEF_API\b[^;()]*?\b(ef_\w+)\s*\(")


def declared(header: str) -> set[str]:
    """Names that the header exports."""
    return set(DECLARED.findall(COMMENT.sub(" ", header)))


def missing(header: str, test: str) -> list[str]:
    """Names that the test does not call."""
    called = set(re.findall(r"\b(ef_\w+)\s*\(", COMMENT.sub(" ", test)))
    return sorted(declared(header) - called)


def self_test() -> int:
    """0 if each kind of gap is found."""
    header = "EF_API int ef_a(void);\n/* EF_API int ef_c(void); */\nEF_API const char *\nef_b(int);"
    good = declared(header) == {"ef_a", "ef_b"}
    good = good and missing(header, "x = ef_a(); ef_b (1);") == []
    good = good and missing(header, "x = ef_a(); /* ef_b(1) */ ef_bb(1);") == ["ef_b"]
    return 0 if good else 1


def main() -> int:
    """See the top of the file."""
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    header, symbols, *tests = (Path(name).read_text(encoding="utf-8") for name in sys.argv[1:])
    gaps = missing(header, "\n".join(tests))
    for name in gaps:
        print(f"no misuse test calls {name}()")
    if not declared(header):
        print("dfnet.h declares nothing: has the way it marks functions changed?")
        return 1
    if declared(header) != set(symbols.split()):
        print(f"dfnet.h and symbols.txt differ: {declared(header) ^ set(symbols.split())}")
        return 1
    return 1 if gaps else 0


if __name__ == "__main__":
    raise SystemExit(main())
