"""The README's first C example compiles without a warning, links and runs.

    check_readme.py README.md INCLUDE_DIR LIBDFNET.SO WORKING_DIR COMPILER...
    check_readme.py --self-test

It runs in WORKING_DIR (the project's root, where its photo's path leads somewhere) and
must end with status 0 and print something.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import tree


def example(text: str) -> str | None:
    """The first fenced block marked c."""
    match = re.search(r"^```c\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return match.group(1) if match else None


def problems_of(code: str, flags: list[str], compiler: list[str], env: dict[str, str]) -> list[str]:
    """Compiles and runs code."""
    with tempfile.TemporaryDirectory() as folder:
        source, program = Path(folder) / "example.c", Path(folder) / "example"
        source.write_text(code, encoding="utf-8")
        command = [*compiler, "-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
        command += ["-o", str(program), str(source), *flags]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return [f"does not compile: {done.stderr}"]
        done = subprocess.run([program], capture_output=True, text=True, env=env, check=False)
    print(done.stdout, end="")
    if done.returncode:
        return [f"ends with status {done.returncode}: {done.stderr}"]
    return [] if done.stdout.strip() else ["prints nothing"]


def check(readme: str, include: str, library: str, where: str, compiler: list[str]) -> int:
    """Checks the README."""
    code = example(Path(readme).read_text(encoding="utf-8"))
    if code is None:
        return tree.report(["README has no C example"], "README example")
    folder = str(Path(library).resolve().parent)
    flags = [f"-I{Path(include).resolve()}", str(Path(library).resolve()), f"-Wl,-rpath,{folder}"]
    os.chdir(where)
    return tree.report(problems_of(code, flags, compiler, dict(os.environ)), "README example")


def self_test() -> int:
    """Examples that do not work are found."""
    env = dict(os.environ)

    def run(body: str) -> list[str]:
        code = f"#include <stdio.h>\nint main(void)\n{{\n{body}\n}}\n"
        return problems_of(code, [], ["cc"], env)

    found = example("a\n```sh\nx\n```\n```c\ny\n```\n```c\nz\n```\n")
    return tree.expect(
        [
            ("good", False, run('    puts("x");\n    return 0;')),
            ("warning", True, run('    int y;\n    puts("x");\n    return 0;')),
            ("not C", True, run("    retrun 0;")),
            ("fails", True, run('    puts("x");\n    return 3;')),
            ("silent", True, run("    return 0;")),
            ("first block", False, [] if found == "y\n" else [str(found)]),
            ("no block", False, [] if example("```sh\nx\n```\n") is None else ["found one"]),
        ]
    )


def main() -> int:
    """See the top of the file."""
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    if len(sys.argv) < 6:
        print(__doc__)
        return 2
    return check(*sys.argv[1:5], sys.argv[5:])


if __name__ == "__main__":
    raise SystemExit(main())
