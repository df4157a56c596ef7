"""Each public header compiles alone, as C and as C++, without a warning.

    check_headers.py [ROOT] | --self-test

Tries gcc and clang, as far as they are installed, with C99, C11, C++11 and C++17. Exit
status 77 (skipped) if there is no compiler at all.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import tree

WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wundef", "-Wconversion", "-Wshadow", "-Werror"]
COMPILERS = {
    "c": (("gcc", "clang", "clang-14"), ("c99", "c11")),
    "c++": (("g++", "clang++", "clang++-14"), ("c++11", "c++17")),
}


def variants() -> list[tuple[str, str, str]]:
    """(compiler, language, standard) of everything that is installed."""
    return [
        (compiler, language, standard)
        for language, (compilers, standards) in COMPILERS.items()
        for compiler in compilers
        if works(compiler, language)
        for standard in standards
    ]


def works(compiler: str, language: str) -> bool:
    """True if the compiler is there and finds its own headers (clang++ needs g++'s)."""
    if not shutil.which(compiler):
        return False
    return not compile_text(compiler, language, f"{language}11", "#include <stdint.h>\n", Path())


def compile_text(
    compiler: str, language: str, standard: str, text: str, include: Path
) -> list[str]:
    """Compiles text; the compiler's complaints."""
    extra = ["-Wstrict-prototypes"] if language == "c" else ["-Wold-style-cast"]
    command = [compiler, f"-x{language}", f"-std={standard}", *WARNINGS, *extra]
    command += ["-fsyntax-only", f"-I{include}", "-"]
    done = subprocess.run(command, input=text, text=True, capture_output=True, check=False)
    return [] if done.returncode == 0 else [f"{compiler} {standard}: {done.stderr.strip()}"]


def check_folder(include: Path) -> tuple[list[str], int]:
    """Compiles each header below include twice in one unit: guards must hold too."""
    problems: list[str] = []
    tried = 0
    for header in sorted(include.rglob("*.h")):
        line = f"#include <{header.relative_to(include).as_posix()}>\n"
        for compiler, language, standard in variants():
            problems += compile_text(compiler, language, standard, line + line, include)
            tried += 1
    return problems, tried


def check(root: Path) -> int:
    """Checks the tree."""
    for language, (compilers, _) in COMPILERS.items():
        for compiler in compilers:
            if not works(compiler, language):
                print(f"not tried: {compiler} (not installed)")
    problems, tried = check_folder(root / "include")
    if not tried:
        print("skipped: no compiler")
        return 77
    return tree.report(problems, f"headers ({tried} compilations)")


def self_test() -> int:
    """Headers that some language does not take are found."""
    if not variants():
        print("skipped: no compiler")
        return 77
    texts = [
        ("good", False, "#ifndef A\n#define A\n#include <stddef.h>\nsize_t f(void);\n#endif\n"),
        ("incomplete", True, "size_t f(void);\n"),
        ("no guard", True, "struct a { int x; };\n"),
        ("not a prototype", True, "#ifndef A\n#define A\nint f();\n#endif\n"),
        ("extension", True, "#ifndef A\n#define A\nstruct a { int n; int x[0]; };\n#endif\n"),
    ]
    cases = []
    for name, bad, text in texts:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "probe.h").write_text(text)
            cases.append((name, bad, check_folder(Path(folder))[0]))
    return tree.expect(cases)


if __name__ == "__main__":
    raise SystemExit(tree.main(check, self_test))
