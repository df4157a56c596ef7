"""Includes go down the layers only, and each outside library has one door.

    base < combine, kernels < image < model < pipeline, plan < detect < face < api

Reads the #include lines of lib/, kernels/, include/ and examples/. To add a layer, add its
folder to LAYERS; to use an outside library, name the one file that includes it in DOORS.
"""

from __future__ import annotations

import re
from pathlib import Path

import tree

LAYERS = {
    "lib/base": 0,
    "lib/combine": 1,
    "kernels": 1,
    "lib/image": 2,
    "lib/model": 3,
    "lib/pipeline": 4,
    "lib/plan": 4,
    "lib/detect": 5,
    "lib/face": 6,
    "lib/video": 2,
    "lib/api": 7,
}
# What lib/ may see of kernels/, and kernels/ of lib/.
KERNELS_FOR_LIB = {"kernels/kernels.h", "kernels/cpu.h", "kernels/pack.h"}
LIB_FOR_KERNELS = {"lib/base/attr.h"}
GENERATED = {"dfn_config.h"}

# Header -> the files that may include it.
DOORS = [
    (r"cblas.*|openblas.*", r"kernels/gemm_openblas\.c"),
    (r"xxhash\.h", r"lib/base/hash\.c"),
    (r"png.*\.h", r"lib/image/png(_encode|_hooks)?\.[ch]"),
    (r"jpeglib\.h|jerror\.h|turbojpeg\.h", r"lib/image/jpeg\.c"),
    (r"stb/.*|stb_.*", r"lib/image/stb\.c"),
    (r"(\w*intrin|cpuid)\.h", r"kernels/(x86/.*|simd/vec_.*|cpu\.c)"),
    (r"arm_neon\.h|sys/auxv\.h|asm/hwcap\.h", r"kernels/(arm/.*|simd/vec_.*|cpu\.c)"),
    (
        r"pthread\.h|threads\.h|stdatomic\.h|semaphore\.h",
        r"lib/(base|model|pipeline|plan)/.*|kernels/cpu\.c",
    ),
    # Worker threads block the host's signals; nothing else has to do with them.
    (r"signal\.h", r"lib/base/(crew|pool)\.c"),
    (r"locale\.h|stdio_ext\.h|syslog\.h", r"(?!)"),
]
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"]', re.MULTILINE)


def layer_of(path: str) -> int | None:
    """Rank of the layer that a path lies in."""
    return next((rank for name, rank in LAYERS.items() if path.startswith(name + "/")), None)


def project_problem(path: str, header: str, exists: bool) -> str | None:
    """What is wrong with `path` including the project's own `header`."""
    if header in GENERATED:
        return "must not depend on a build" if path.startswith("include/") else None
    if path.startswith("examples/"):
        timing = path == "examples/dfnet/bench.c" and header == "benchmarks/bench.h"
        if header != "dfnet/dfnet.h" and not header.startswith("examples/") and not timing:
            return "an example shows what users can do: only the public header"
        return None
    if path.startswith("include/"):
        return "the public header needs nothing of the project"
    if not exists:
        return "is not a path from the project's root"
    if header == "dfnet/dfnet.h":
        return "kernels know nothing of the interface" if path.startswith("kernels/") else None
    mine, theirs = layer_of(path), layer_of(header)
    if theirs is None:
        return "is in no layer"
    if path.startswith("kernels/"):
        if not header.startswith("kernels/") and header not in LIB_FOR_KERNELS:
            return f"kernels may include only {', '.join(sorted(LIB_FOR_KERNELS))} of lib/"
        return None
    if header.startswith("kernels/") and header not in KERNELS_FOR_LIB:
        return f"lib/ reaches kernels through {', '.join(sorted(KERNELS_FOR_LIB))} only"
    if mine is None:
        return "the including file is in no layer: add its folder to LAYERS"
    if theirs == mine and Path(header).parts[:2] != Path(path).parts[:2]:
        return "neighbours of one layer do not know each other"
    return "goes up the layers" if theirs > mine else None


def system_problem(path: str, header: str) -> str | None:
    """What is wrong with `path` including the outside `header`."""
    if path.startswith("include/") and header not in ("stddef.h", "stdint.h"):
        return "the public header needs stddef.h and stdint.h only"
    if not path.startswith(("lib/", "kernels/")):
        return None
    for pattern, door in DOORS:
        if re.fullmatch(pattern, header) and not re.fullmatch(door, path):
            who = "no file of the library" if door == "(?!)" else f"only {door}"
            return f"{who} may include it"
    return None


def problems_of(path: str, text: str, root: Path | None) -> list[str]:
    """All problems of one file; with root None every project path counts as existing."""
    found = []
    for match in INCLUDE.finditer(tree.without_comments(text, keep_strings=True)):
        mark, header = match.groups()
        if mark == '"' or header.startswith("dfnet/"):
            exists = (
                root is None or (root / header).exists() or (root / "include" / header).exists()
            )
            problem = project_problem(path, header, exists)
        else:
            problem = system_problem(path, header)
        if problem:
            line = text.count("\n", 0, match.start()) + 1
            found.append(f"{path}:{line}: includes {header}: {problem}")
    return found


def check(root: Path) -> int:
    """Checks the tree."""
    found = []
    for file in tree.files(root, (".c", ".h", ".def"), ("include", "lib", "kernels", "examples")):
        path = file.relative_to(root).as_posix()
        found += problems_of(path, file.read_text(encoding="utf-8"), root)
    return tree.report(found, "layers")


def self_test() -> int:
    """Each rule refuses what it must and lets the rest pass."""
    cases = [
        ("down", False, "lib/plan/run.c", '#include "lib/model/model.h"'),
        ("up from base to rules", True, "lib/base/mem.c", '#include "lib/combine/rule.h"'),
        ("neighbour", True, "lib/pipeline/parse.c", '#include "lib/plan/plan.h"'),
        ("own", False, "lib/plan/run.c", '#include "lib/plan/plan.h"'),
        ("up", True, "lib/model/model.c", '#include "lib/plan/plan.h"'),
        ("up from base", True, "lib/base/mem.c", '#include "kernels/kernels.h"'),
        ("kernel inside", True, "lib/plan/lower.c", '#include "kernels/x86/simd_avx2.h"'),
        ("kernel door", False, "lib/plan/lower.c", '#include "kernels/kernels.h"'),
        ("kernel to lib", True, "kernels/ref/conv.c", '#include "lib/base/mem.h"'),
        ("kernel to attr", False, "kernels/ref/conv.c", '#include "lib/base/attr.h"'),
        ("kernel to interface", True, "kernels/cpu.c", '#include "dfnet/dfnet.h"'),
        ("blas", True, "lib/plan/run.c", "#include <cblas.h>"),
        ("blas door", False, "kernels/gemm_openblas.c", "#include <cblas.h>"),
        ("xxhash", True, "lib/model/read.c", "#include <xxhash.h>"),
        ("intrinsics", True, "lib/image/resize.c", "#include <immintrin.h>"),
        ("locale", True, "lib/model/json.c", "#include <locale.h>"),
        ("public", True, "include/dfnet/dfnet.h", "#include <stdbool.h>"),
        ("public configuration", True, "include/dfnet/dfnet.h", '#include "dfn_config.h"'),
        ("example", True, "examples/a.c", '#include "lib/base/mem.h"'),
        ("no layer", True, "lib/plan/run.c", '#include "tests/support/support.h"'),
        ("commented", False, "lib/base/mem.c", '/* #include "lib/api/api.h" */'),
    ]
    return tree.expect(
        [(name, bad, problems_of(path, text, None)) for name, bad, path, text in cases]
    )


if __name__ == "__main__":
    raise SystemExit(tree.main(check, self_test))
