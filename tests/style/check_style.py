"""The layout rules that neither compilers nor formatters know.

No dead code, no reminders, no allocation past lib/base/mem.c, no functions made by macros,
lines and files of bearable length, a comment at the top of each file. Prints the ten
longest files and functions, so that growth is seen before it hurts. To add a rule, append
to LINE_RULES, or write a function and call it in problems_of(), and add a case to
self_test().
"""

from __future__ import annotations

import re
from pathlib import Path

import tree

C = (".c", ".h", ".def")
TEXT = (*C, ".py", ".build", ".md", ".toml", ".txt", ".in", "dev", ".sh")
FILE_LINES, FUNCTION_LINES, KERNEL_LINES = 900, 120, 150
# The whole interface is one file, and most of it comments.
HEADER_LINES = 1200
# Of Python ruff checks the length.
LINE_LENGTH = {".c": 90, ".h": 90, ".def": 100}

# Spelled in two halves, so that this file does not find itself.
REMINDER = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
ALLOCATION = re.compile(
    r"\b(malloc|calloc|realloc|free|strdup|strndup|aligned_alloc|posix_memalign|alloca)\s*\("
)
# A macro that expands to a function cannot be stepped through.
MACRO_FUNCTION = re.compile(
    r"\b(static|void|int|float|double|bool|size_t|ef_status)\b[^;{}]*\([^;{}]*\)\s*\{"
)


def line_problems(name: str, text: str) -> list[str]:
    """Rules about single lines of any text file."""
    found = []
    limit = LINE_LENGTH.get(Path(name).suffix)
    for number, line in enumerate(text.split("\n"), 1):
        if "\t" in line:
            found.append(f"{name}:{number}: a tab")
        if line != line.rstrip():
            found.append(f"{name}:{number}: trailing space")
        if limit and len(line) > limit:
            found.append(f"{name}:{number}: {len(line)} columns, at most {limit}")
        if REMINDER.search(line):
            found.append(f"{name}:{number}: a reminder; do it or open an issue")
    if text and not text.endswith("\n"):
        found.append(f"{name}: no newline at the end")
    if text.endswith("\n\n"):
        found.append(f"{name}: empty lines at the end")
    return found


def opening_problems(name: str, text: str) -> list[str]:
    """Each file says at its top what it is."""
    if name.endswith(C):
        good = text.startswith("/*")
    elif name.endswith(".py"):
        good = text.lstrip().startswith(('"""', 'r"""')) or bool(re.match(r'#![^\n]*\n"""', text))
    else:
        good = True
    # An empty __init__.py has nothing to explain.
    return [] if good or not text.strip() else [f"{name}:1: does not begin with what the file is"]


def is_code(comment: str) -> bool:
    """True if every line of a comment reads as a statement: prose has at least one that
    does not."""
    inner = comment[2:-2] if comment.startswith("/*") else comment[2:]
    lines = [line.strip().lstrip("*").strip() for line in inner.split("\n")]
    lines = [line for line in lines if line]
    return bool(lines) and all(re.search(r"[;{}]$", line) for line in lines)


def c_problems(name: str, text: str) -> list[str]:
    """Rules about C."""
    found = []
    code = tree.without_comments(text)
    for number, line in enumerate(code.split("\n"), 1):
        if re.match(r"\s*#\s*(if|elif)\s+[01]\s*$", line):
            found.append(f"{name}:{number}: code that is switched off")
        if name.startswith(("lib/", "kernels/")) and name != "lib/base/mem.c":
            allocation = ALLOCATION.search(line)
            # A member of that name, as in allocator.free(), is the hook.
            if allocation and not re.search(r"(\.|->)$", line[: allocation.start()]):
                found.append(f"{name}:{number}: {allocation.group(1)}() outside lib/base/mem.c")
    for number, comment in tree.comments(text):
        if is_code(comment):
            found.append(f"{name}:{number}: code in a comment")
    for match in re.finditer(r"^[ \t]*#[ \t]*define\b(?:[^\n]*\\\n)*[^\n]*", code, re.MULTILINE):
        if MACRO_FUNCTION.search(match.group().replace("\\\n", " ")):
            number = code.count("\n", 0, match.start()) + 1
            found.append(f"{name}:{number}: a macro that makes a function")
    limit = KERNEL_LINES if name.startswith("kernels/") else FUNCTION_LINES
    for function in tree.functions(text):
        if function.length > limit:
            found.append(
                f"{name}:{function.line}: {function.name}() has {function.length} lines, "
                f"at most {limit}"
            )
    return found


def problems_of(name: str, text: str) -> list[str]:
    """All problems of one file."""
    found = line_problems(name, text) + opening_problems(name, text)
    if name.endswith(C):
        found += c_problems(name, text)
    most = HEADER_LINES if name == "include/dfnet/dfnet.h" else FILE_LINES
    if name.endswith((*C, ".py")) and text.count("\n") > most:
        found.append(f"{name}: {text.count(chr(10))} lines, at most {most}")
    return found


def print_longest(texts: dict[str, str]) -> None:
    """The ten longest C files and functions."""
    sizes = sorted(((t.count("\n"), n) for n, t in texts.items() if n.endswith(C)), reverse=True)
    bodies = sorted(
        (
            (f.length, f"{f.name} ({n}:{f.line})")
            for n, t in texts.items()
            if n.endswith(C)
            for f in tree.functions(t)
        ),
        reverse=True,
    )
    for title, rows in (("longest files", sizes), ("longest functions", bodies)):
        print(f"{title}:")
        for length, what in rows[:10]:
            print(f"  {length:5} {what}")


def check(root: Path) -> int:
    """Checks the tree."""
    texts = {
        file.relative_to(root).as_posix(): file.read_text(encoding="utf-8")
        for file in tree.files(root, TEXT)
        if "/corpus/" not in file.as_posix() and not file.is_symlink()
    }
    print_longest(texts)
    return tree.report([p for n, t in texts.items() for p in problems_of(n, t)], "style")


def self_test() -> int:
    """Each rule refuses what it must and lets the rest pass."""
    top = "/* x.c - what it is. */\n"
    long_body = top + "int f(void)\n{\n" + "    f();\n" * 130 + "}\n"
    kernel_body = top + "int f(void)\n{\n" + "    f();\n" * 140 + "}\n"
    cases = [
        ("good", False, "lib/a.c", top + "int f(void)\n{\n    return 1;\n}\n"),
        ("tab", True, "lib/a.c", top + "\tint x;\n"),
        ("trailing", True, "lib/a.c", top + "int x; \n"),
        ("newline", True, "lib/a.c", top + "int x;"),
        ("long line", True, "lib/a.c", top + "/* " + "x" * 100 + " */\n"),
        ("off", True, "lib/a.c", top + "#if 0\nint x;\n#endif\n"),
        ("old code", True, "lib/a.c", top + "/* x = 1; */\n"),
        ("old block", True, "lib/a.c", top + "/* if (x) {\n *     y();\n * }\n */\n"),
        ("prose", False, "lib/a.c", top + "/* Like this:\n *     y();\n */\n"),
        ("reminder", True, "lib/a.c", top + "/* TO" + "DO: more */\n"),
        ("malloc", True, "lib/a.c", top + "void *p = malloc(3);\n"),
        ("mem.c", False, "lib/base/mem.c", top + "void *p = malloc(3);\n"),
        ("hook", False, "lib/a.c", top + "int x = a->free(a->user, p);\n"),
        ("test malloc", False, "tests/a.c", top + "void *p = malloc(3);\n"),
        ("no opening", True, "lib/a.c", "int x;\n"),
        ("no docstring", True, "weights_tools/a.py", "import os\n"),
        ("macro", True, "lib/a.c", top + "#define F(n) static int n(int a) { return a; }\n"),
        ("cases", False, "lib/a.c", top + "#define F(n) case n: return 1;\n"),
        ("long function", True, "lib/a.c", long_body),
        ("long kernel", False, "kernels/a.c", kernel_body),
        ("long file", True, "lib/a.c", top + "int x;\n" * 901),
        ("sh", True, "dev", "#!/bin/sh\necho \n"),
    ]
    return tree.expect([(name, bad, problems_of(file, text)) for name, bad, file, text in cases])


if __name__ == "__main__":
    raise SystemExit(tree.main(check, self_test))
