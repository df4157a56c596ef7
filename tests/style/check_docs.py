"""What the documents name exists.

Every back-quoted path and every relative link of every Markdown file, every `./dev`
sub-command, every program under build/, and one version number in all the places that
carry it. To exempt a word that only looks like a path, put it into NOT_PATHS with its
reason.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import tree

SUFFIXES = (".c", ".h", ".def", ".py", ".md", ".build", ".sh", ".toml", ".json")
NOT_PATHS = {
    "dwconv_avx2.c": "kernels/README.md's example of a file to add",
    "compare.py": "google-benchmark's program",
}
# Where commands of the documents put things; nothing of them is in the tree.
MADE = re.compile(r"^(build[\w-]*/|\.venv|/|~|\$|-|https?:|[a-z]+:)")


def path_problems(root: Path, name: str, text: str, commands: set[str]) -> list[str]:
    """Problems of one Markdown file."""
    found = []
    here = (root / name).parent
    tops = {p.name for p in root.iterdir() if p.is_dir()}
    fenced = re.sub(r"^```.*?^```", lambda m: tree.blank(m.group()), text, flags=re.M | re.S)
    for match in re.finditer(r"`([^`\n]+)`", fenced):
        line = text.count("\n", 0, match.start()) + 1
        word = match.group(1).split("#")[0].rstrip("/")
        if match.group(1) in NOT_PATHS or re.search(r"[\s*<>{}()|=,\"']", word) or not word:
            continue
        if word.startswith("build/"):
            if not made_by_build(root, word):
                found.append(f"{name}:{line}: no meson.build makes {word}")
            continue
        looks = word.split("/")[0] in tops if "/" in word else word.endswith(SUFFIXES)
        if MADE.match(word) or not looks:
            continue
        if not any((base / word).exists() for base in (here, root, root / "include")):
            found.append(f"{name}:{line}: {word} does not exist")
    for match in re.finditer(r"\]\(([^)#\s]+)[^)]*\)", fenced):
        target = match.group(1)
        line = text.count("\n", 0, match.start()) + 1
        if not re.match(r"[a-z]+:", target) and not (here / target).exists():
            found.append(f"{name}:{line}: links to {target}, which does not exist")
    for match in re.finditer(r"\./dev ([a-z]+)", text):
        line = text.count("\n", 0, match.start()) + 1
        if match.group(1) not in commands:
            found.append(f"{name}:{line}: ./dev has no command {match.group(1)}")
    return found


def made_by_build(root: Path, word: str) -> bool:
    """True if build/FOLDER/PROGRAM is named in FOLDER/meson.build."""
    folder, _, program = word.removeprefix("build/").rpartition("/")
    recipe = root / folder / "meson.build"
    stem = program.split(".")[0].removeprefix("lib")
    return recipe.exists() and f"'{stem}'" in recipe.read_text(encoding="utf-8")


def commands_of(dev: str) -> set[str]:
    """Sub-commands of ./dev: its functions cmd_NAME()."""
    return set(re.findall(r"^cmd_([a-z]+)\(\)", dev, re.MULTILINE))


def version_problems(texts: dict[str, str]) -> list[str]:
    """One version everywhere. texts: file name -> contents."""
    patterns = {
        "meson.build": r"version: '([\d.]+)'",
        "CHANGELOG.md": r"^## \[([\d.]+)\]",
        "weights_tools/pyproject.toml": r"^version = \"([\d.]+)\"",
        "pyproject.toml": r"^version = \"([\d.]+)\"",
    }
    found = {}
    for name, pattern in patterns.items():
        match = re.search(pattern, texts.get(name, ""), re.MULTILINE)
        if match:
            found[name] = match.group(1)
    macros = re.findall(
        r"#define EF_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", texts.get("include/dfnet/dfnet.h", "")
    )
    found["include/dfnet/dfnet.h"] = ".".join(macros)
    missing = [n for n in ("meson.build", "CHANGELOG.md") if n not in found]
    problems = [f"{name}: says no version" for name in missing]
    if len(set(found.values())) != 1:
        problems.append("versions differ: " + ", ".join(f"{n} {v}" for n, v in found.items()))
    return problems


def check(root: Path) -> int:
    """Checks the tree."""
    commands = commands_of((root / "dev").read_text(encoding="utf-8"))
    problems = []
    for file in tree.files(root, (".md",)):
        name = file.relative_to(root).as_posix()
        problems += path_problems(root, name, file.read_text(encoding="utf-8"), commands)
    versioned = ("meson.build", "CHANGELOG.md", "include/dfnet/dfnet.h", "pyproject.toml")
    versioned += ("weights_tools/pyproject.toml",)
    texts = {n: (root / n).read_text(encoding="utf-8") for n in versioned if (root / n).exists()}
    return tree.report(problems + version_problems(texts), "documents")


def self_test() -> int:
    """Each rule refuses what it must, in a tree made here."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "lib").mkdir()
        (root / "lib/a.c").write_text("x")
        (root / "lib/meson.build").write_text("executable('tool', 'a.c')")

        def paths(text: str) -> list[str]:
            return path_problems(root, "README.md", text, {"test"})

        def versions(header: str, log: str = "## [1.2.3] - x") -> list[str]:
            numbers = zip(("MAJOR", "MINOR", "PATCH"), header.split("."), strict=True)
            macros = "".join(f"#define EF_VERSION_{n} {v}\n" for n, v in numbers)
            texts = {"meson.build": "version: '1.2.3'", "CHANGELOG.md": log}
            return version_problems(texts | {"include/dfnet/dfnet.h": macros})

        return tree.expect(
            [
                ("there", False, paths("see `lib/a.c` and `lib/` and `stem.weight` and `a/b`")),
                ("not there", True, paths("see `lib/b.c`")),
                ("no folder", True, paths("see `b.c`")),
                ("fenced", False, paths("```\n`lib/b.c`\n```\n")),
                ("link", True, paths("[x](lib/b.c)")),
                ("good link", False, paths("[x](lib/a.c) [y](https://example.org/)")),
                ("command", True, paths("run `./dev tset`")),
                ("good command", False, paths("run `./dev test`")),
                ("program", True, paths("`build/lib/tol`")),
                ("good program", False, paths("`build/lib/tool`")),
                ("same version", False, versions("1.2.3")),
                ("other version", True, versions("1.2.4")),
                ("no version", True, versions("1.2.3", log="## Unreleased")),
                ("functions", False, [] if commands_of("cmd_a()\n{\n}") == {"a"} else ["cmd_a"]),
            ]
        )


if __name__ == "__main__":
    raise SystemExit(tree.main(check, self_test))
