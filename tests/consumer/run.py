"""Builds and runs consumer.c the way users do, against an installed library.

    run.py MODE --source ROOT --work FOLDER --version X.Y.Z [--option -Dname=value]... -- CC...

MODE  shared      pkg-config, shared library
      static      pkg-config --static, with the archive only
      cmake       find_package(dfnet), both targets, from a tree that was moved
      subproject  meson subproject
      staged      DESTDIR: what is installed where, and no trace of the build in it

The library is built and installed once into FOLDER/prefix, which later runs reuse; a lock
lets meson start all modes at the same time. Called by meson.build beside this file. To
add a way of using the library, write a function and list it in MODES. Exit status 77:
skipped, with the reason.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
SKIPPED = 77


class Failure(Exception):
    """A step that did not do what a user needs."""


@dataclass
class Setting:
    """What every mode needs to know."""

    source: Path
    work: Path
    version: str
    options: list[str]
    compiler: list[str]

    @property
    def prefix(self) -> Path:
        """Where the library is installed for these tests."""
        return self.work / "prefix"


def run(command: list[str], where: Path | None = None, extra: dict[str, str] | None = None) -> str:
    """Output of a command; Failure with all it said if it fails."""
    env = {k: v for k, v in os.environ.items() if k not in ("DFNET_MODEL", "DESTDIR")}
    # What meson tells its tests about itself must not reach another meson.
    env = {k: v for k, v in env.items() if not k.startswith(("MESON", "NINJA"))}
    env |= extra or {}
    done = subprocess.run(
        [str(c) for c in command], cwd=where, env=env, capture_output=True, text=True, check=False
    )
    if done.returncode:
        shown = " ".join(str(c) for c in command)
        raise Failure(f"{shown}\nstatus {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Only one process at a time works on folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def setup(s: Setting, source: Path, build: Path, arguments: list[str]) -> None:
    """Configures and compiles; configures anew where an earlier run was cut off."""
    if not (build / "build.ninja").exists():
        shutil.rmtree(build, ignore_errors=True)
        command = ["meson", "setup", str(build), str(source), *arguments]
        run(command, extra={"CC": " ".join(s.compiler)})
    run(["meson", "compile", "-C", str(build)])


def installed(s: Setting) -> Path:
    """Builds and installs; the build folder."""
    build = s.work / "prefix-build"
    with locked(s.work):
        arguments = [f"--prefix={s.prefix}", "--buildtype=release", "-Dtests=false", *s.options]
        setup(s, s.source, build, arguments)
        # Only what changed: another mode may be reading the prefix at this moment.
        run(["meson", "install", "-C", str(build), "--only-changed", "--quiet"])
    return build


def library_folder(prefix: Path) -> Path:
    """lib, lib64 or lib/TRIPLET."""
    found = sorted(prefix.rglob("libdfnet.a"))
    if len(found) != 1:
        raise Failure(f"{len(found)} libdfnet.a below {prefix}")
    return found[0].parent


def pkg_config(folder: Path, *arguments: str) -> list[str]:
    """Flags of dfnet.pc in folder/pkgconfig, the system's packages behind it."""
    extra = {"PKG_CONFIG_PATH": str(folder / "pkgconfig")}
    return run(["pkg-config", *arguments, "dfnet"], extra=extra).split()


def judge(s: Setting, program: Path, models: Path | None, libraries: Path | None) -> None:
    """Runs the program and checks its three lines; models: where the model must lie."""
    extra = {"LD_LIBRARY_PATH": str(libraries)} if libraries else {}
    version, path, name = run([str(program)], extra=extra).splitlines()
    major, minor, patch = (int(n) for n in s.version.split("."))
    if version != f"{major:02x}{minor:02x}{patch:02x}":
        raise Failure(f"ef_version() says {version}, expected {s.version}")
    if models and not Path(path).is_relative_to(models):
        raise Failure(f"loads {path}, which is not the installed model")
    print(f"{program.name}: version {version}, model {name} from {path}")


def needs_libdfnet(program: Path) -> bool:
    """True if the program looks for libdfnet.so when it starts."""
    return "libdfnet" in run(["readelf", "-d", str(program)])


def shared(s: Setting, folder: Path) -> None:
    """pkg-config, shared."""
    installed(s)
    libraries = library_folder(s.prefix)
    flags = pkg_config(libraries, "--cflags", "--libs")
    program = folder / "consumer"
    run([*s.compiler, str(HERE / "consumer.c"), "-o", str(program), *flags])
    if not needs_libdfnet(program):
        raise Failure("is not linked with libdfnet.so")
    judge(s, program, s.prefix, libraries)


def static(s: Setting, folder: Path) -> None:
    """pkg-config --static, where there is no libdfnet.so."""
    installed(s)
    moved = folder / "prefix"
    shutil.copytree(s.prefix, moved, symlinks=True)
    libraries = library_folder(moved)
    for file in libraries.glob("libdfnet.so*"):
        file.unlink()
    pc = libraries / "pkgconfig" / "dfnet.pc"
    text = pc.read_text(encoding="utf-8")
    pc.write_text(re.sub(r"^prefix=.*", f"prefix={moved}", text, flags=re.M), encoding="utf-8")
    flags = pkg_config(libraries, "--static", "--cflags", "--libs")
    program = folder / "consumer"
    run([*s.compiler, str(HERE / "consumer.c"), "-o", str(program), *flags])
    if needs_libdfnet(program):
        raise Failure("needs libdfnet.so")
    judge(s, program, s.prefix, None)


def cmake(s: Setting, folder: Path) -> None:
    """find_package() from a tree that was moved after its installation."""
    if not shutil.which("cmake"):
        print("skipped: no cmake")
        raise SystemExit(SKIPPED)
    installed(s)
    moved = folder / "elsewhere"
    shutil.copytree(s.prefix, moved, symlinks=True)
    project = folder / "project"
    shutil.copytree(HERE / "cmake", project)
    shutil.copy(HERE / "consumer.c", project)
    build = folder / "build"
    # Ninja is there wherever meson is; make need not be.
    configure = ["cmake", "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release"]
    # Named outright: without dpkg-dev meson installs to lib64, where Debian's CMake does not look.
    config = next(Path(moved).rglob("dfnetConfig.cmake"))
    prefix = f"-Ddfnet_DIR={config.parent}"
    run(
        [*configure, "-S", str(project), "-B", str(build), prefix],
        extra={"CC": s.compiler[-1]},
    )
    run(["cmake", "--build", str(build)])
    judge(s, build / "shared", s.prefix, None)
    judge(s, build / "static", s.prefix, None)
    if needs_libdfnet(build / "static") or not needs_libdfnet(build / "shared"):
        raise Failure("the CMake targets link the wrong library")
    for wanted in ("0.2", "1.0"):
        text = (project / "CMakeLists.txt").read_text(encoding="utf-8")
        (project / "CMakeLists.txt").write_text(
            re.sub(r"dfnet [\d.]+ REQUIRED", f"dfnet {wanted} REQUIRED", text), encoding="utf-8"
        )
        try:
            run([*configure, "-S", str(project), "-B", str(folder / wanted), prefix])
        except Failure:
            continue
        raise Failure(f"version {s.version} is taken for {wanted}")


def subproject(s: Setting, folder: Path) -> None:
    """A copy of nothing: the sources appear as subprojects/dfnet of another project."""
    project, build = s.work / "subproject", s.work / "subproject-build"
    with locked(s.work / "subproject-lock"):
        if not (project / "subprojects" / "dfnet").exists():
            (project / "subprojects").mkdir(parents=True, exist_ok=True)
            (project / "subprojects" / "dfnet").symlink_to(s.source, target_is_directory=True)
        for file in (HERE / "subproject" / "meson.build", HERE / "consumer.c"):
            shutil.copy(file, project)
        setup(s, project, build, ["--buildtype=debug"])
    judge(s, build / "consumer", None, None)


def staged(s: Setting, folder: Path) -> None:
    """As packagers do: everything below DESTDIR, nothing of it in the files' texts."""
    build = installed(s)
    with locked(s.work):
        run(["meson", "install", "-C", str(build), "--quiet", "--destdir", str(folder)])
    root = folder / s.prefix.relative_to("/")
    files = {p.relative_to(root).as_posix() for p in root.rglob("*") if not p.is_dir()}
    needed = {
        r"include/dfnet/dfnet\.h",
        r"share/dfnet/default\.safetensors",
        r"share/dfnet/pipelines/selimsef\.pipeline",
        r"lib\S*/libdfnet\.a",
        r"lib\S*/libdfnet\.so",
        rf"lib\S*/libdfnet\.so\.{re.escape(s.version)}",
        r"lib\S*/pkgconfig/dfnet\.pc",
        r"lib\S*/cmake/dfnet/dfnetConfig\.cmake",
        r"lib\S*/cmake/dfnet/dfnetConfigVersion\.cmake",
    }
    for pattern in sorted(needed):
        if not any(re.fullmatch(pattern, name) for name in files):
            raise Failure(f"not installed: {pattern}; there is {sorted(files)}")
    for name in sorted(files):
        data = (root / name).read_bytes()
        if str(folder).encode() in data:
            raise Failure(f"{name} names the staging folder")
        if name.endswith((".pc", ".cmake", ".h")) and str(s.source).encode() in data.replace(
            str(s.prefix).encode(), b""
        ):
            raise Failure(f"{name} names the source folder")
    print(f"{len(files)} files, all where they belong")


MODES: dict[str, Callable[[Setting, Path], None]] = {
    "shared": shared,
    "static": static,
    "cmake": cmake,
    "subproject": subproject,
    "staged": staged,
}


def main() -> int:
    """See the top of the file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("mode", choices=MODES)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--option", action="append", default=[])
    parser.add_argument("compiler", nargs="+")
    a = parser.parse_args()
    s = Setting(a.source.resolve(), a.work.resolve(), a.version, a.option, a.compiler)
    with tempfile.TemporaryDirectory(prefix="dfnet-consumer-") as folder:
        try:
            MODES[a.mode](s, Path(folder).resolve())
        except Failure as failure:
            print(failure)
            return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
