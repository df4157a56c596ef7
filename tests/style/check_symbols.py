"""What the built library exports, needs and can write to.

    check_symbols.py libdfnet.so libdfnet.a        check
    check_symbols.py libdfnet.so --update          rewrite tests/style/symbols.txt
    check_symbols.py --self-test

* the shared library exports exactly tests/style/symbols.txt, all of it ef_*, and exactly
  what dfnet.h declares
* the static library defines ef_* and dfn_* names only
* neither calls what ends, prints for, or changes the settings of the host's process
* nothing is writable but what WRITABLE lists
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import tree

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LIST = HERE / "symbols.txt"

# What a library must leave to the program that uses it. __stack_chk_fail and the other
# *_chk functions stay allowed: they stop a process whose memory is overrun already.
BANNED = {
    "ends the process": "abort exit _exit _Exit quick_exit __assert_fail __assert raise kill "
    "err errx verr verrx",
    "prints": "printf vprintf puts putchar putc perror psignal __printf_chk __vprintf_chk "
    "stdout stderr warn warnx syslog",
    "changes the process": "signal sigaction sigprocmask setlocale srand rand srandom random "
    "setenv putenv unsetenv chdir fchdir umask atexit on_exit fesetround feenableexcept "
    "fesetenv setrlimit openblas_set_num_threads goto_set_num_threads",
    "starts a process": "system popen fork vfork posix_spawn execv execve execvp execl execlp",
    "cannot be bounded": "gets strcpy strcat sprintf vsprintf alloca",
}
# Sections that stay writable after loading; .data.rel.ro is made read-only by the loader.
WRITABLE_SECTION = re.compile(r"\.(data|bss|tdata|tbss)(?!\.rel\.ro)(\.|$)")
# Symbol -> why it may be written to.
WRITABLE = {
    r"__dso_handle|completed\.\d+|_edata|_end|__bss_start|__data_start|data_start|__TMC_END__": (
        "the C runtime's"
    ),
    r"(dfn_)?cpu_\w+|__cpu_model|__cpu_features2": (
        "what the CPU offers (ours, libgcc's): found out once, the same whoever writes it"
    ),
    r"budget": "thread-local: stb_image's allocation hook has no argument to pass it through",
}


def run(*command: str) -> str:
    """Output of a binutils program."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def names(text: str) -> list[tuple[str, str]]:
    """(type letter, name without version) of each line of nm."""
    rows = (line.split() for line in text.splitlines())
    return [(r[-2], r[-1].split("@")[0]) for r in rows if len(r) >= 2 and len(r[-2]) == 1]


def declared() -> set[str]:
    """The functions of dfnet.h."""
    text = tree.without_comments((ROOT / "include/dfnet/dfnet.h").read_text(encoding="utf-8"))
    return set(re.findall(r"\bEF_API\b[^;(]*?\b(ef_\w+)\s*\(", text))


def export_problems(exported: set[str], listed: set[str], header: set[str]) -> list[str]:
    """The three lists must be one."""
    found = [f"exports {n}, which is not ef_*" for n in sorted(exported) if n[:3] != "ef_"]
    for name in sorted(exported ^ listed):
        where = "exported but not in symbols.txt" if name in exported else "no longer exported"
        found.append(f"{name}: {where} (./dev symbols updates the list)")
    for name in sorted(exported ^ header):
        where = "not declared in dfnet.h" if name in exported else "declared but not exported"
        found.append(f"{name}: {where}")
    return found


def archive_problems(defined: set[str]) -> list[str]:
    """Names that a static library puts into its user's program."""
    return [
        f"the static library defines {n}, which is neither ef_* nor dfn_*"
        for n in sorted(defined)
        if not n.startswith(("ef_", "dfn_"))
    ]


def need_problems(needed: set[str]) -> list[str]:
    """Functions that the library must not call."""
    return [
        f"calls {n}, which {why}"
        for why, words in BANNED.items()
        for n in sorted(needed & set(words.split()))
    ]


def writable_problems(objdump: str) -> list[str]:
    """Objects of `objdump -t` that anybody could write to."""
    found = []
    for line in objdump.splitlines():
        match = re.match(r"[0-9a-f]+ (.{7}) (\S+)\s+([0-9a-f]+)\s+(?:\.\w+ )?(\S+)$", line)
        if not match or not WRITABLE_SECTION.match(match.group(2)):
            continue
        flags, section, size, name = match.groups()
        if "d" in flags or int(size, 16) == 0:
            continue
        if not any(re.fullmatch(pattern, name) for pattern in WRITABLE):
            found.append(f"{name}: {int(size, 16)} writable bytes in {section}")
    return found


def check(shared: str, static: str) -> int:
    """Checks a pair of libraries."""
    exported = {n for t, n in names(run("nm", "-D", "--defined-only", shared)) if t != "A"}
    archived = {n for _, n in names(run("nm", "-g", "--defined-only", static))}
    needed = {n for _, n in names(run("nm", "-D", "-u", shared))}
    needed |= {n for _, n in names(run("nm", "-u", static))}
    found = export_problems(exported, set(LIST.read_text().split()), declared())
    found += archive_problems(archived) + need_problems(needed)
    found += writable_problems(run("objdump", "-t", shared))
    return tree.report(found, f"symbols ({len(exported)} exported)")


def compiled(source: str, folder: str) -> str:
    """A shared library made from source, to try the rules on."""
    path = Path(folder) / "probe.so"
    command = ["cc", "-x", "c", "-shared", "-fPIC", "-O0", "-o", str(path), "-"]
    subprocess.run(command, input=source, text=True, check=True)
    return str(path)


def self_test() -> int:
    """Each rule refuses what it must, on libraries compiled here."""
    source = """
    #include <stdlib.h>
    static int hidden_state; static const char *const text[] = {"a"}; int dfn_count;
    int ef_one(int x) { hidden_state += x; return hidden_state + (text[0] != 0); }
    void other(void) { dfn_count++; abort(); }
    """
    with tempfile.TemporaryDirectory() as folder:
        bad = compiled(source, folder)
        exported = {n for _, n in names(run("nm", "-D", "--defined-only", bad))}
        needed = {n for _, n in names(run("nm", "-D", "-u", bad))}
        writable = writable_problems(run("objdump", "-t", bad))
        good = compiled("int ef_one(int x) { return x; }", folder)
        fine = writable_problems(run("objdump", "-t", good))
    one = {"ef_one"}
    missing = [] if any("hidden_state" in p for p in writable) else ["hidden_state not found"]
    return tree.expect(
        [
            ("equal", False, export_problems(one, one, one)),
            ("not listed", True, export_problems(one, set(), one)),
            ("not declared", True, export_problems(one, one, set())),
            ("gone", True, export_problems(set(), one, one)),
            ("foreign export", True, export_problems(exported, exported, exported)),
            ("archive", True, archive_problems(exported)),
            ("archive fine", False, archive_problems({"ef_a", "dfn_b"})),
            ("abort", True, need_problems(needed)),
            ("no abort", False, need_problems({"memcpy", "__stack_chk_fail"})),
            ("writable", True, writable),
            ("writable static", False, missing),
            ("nothing writable", False, fine),
            ("header is read", False, [] if "ef_version" in declared() else ["no ef_version"]),
        ]
    )


def main() -> int:
    """See the top of the file."""
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    if len(sys.argv) == 3 and sys.argv[2] == "--update":
        exported = sorted(n for _, n in names(run("nm", "-D", "--defined-only", sys.argv[1])))
        LIST.write_text("".join(n + "\n" for n in exported), encoding="utf-8")
        print(f"{LIST}: {len(exported)} names")
        return 0
    if len(sys.argv) != 3:
        print(__doc__)
        return 2
    return check(sys.argv[1], sys.argv[2])


if __name__ == "__main__":
    raise SystemExit(main())
