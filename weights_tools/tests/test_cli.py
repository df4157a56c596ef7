"""The command line as users meet it: exit codes, messages, help."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pth_writer as pw
import pytest
import source_states as ss

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = dict(os.environ, PYTHONPATH=str(ROOT), PYTHONIOENCODING="utf-8")
    return subprocess.run(
        [sys.executable, "-m", "weights_tools", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment,
        check=False,
    )


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    return pw.save(folder / "tf_efficientnet_b0.pth", ss.tree("timm", "b0", 2))


def test_convert_then_info(tmp_path, source):
    done = run("convert", source, "-o", "m.safetensors", "--dtype", "f16", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "variant   b0, outputs 2" in done.stdout and "eps 0.001; padding same" in done.stdout
    shown = run("info", tmp_path / "m.safetensors")
    assert shown.returncode == 0 and "blocks.15.project.weight" in shown.stdout
    facts = json.loads(run("info", tmp_path / "m.safetensors", "--json").stdout)
    assert facts["variant"] == "b0" and facts["fake"] == 1
    quiet = run("convert", source, "-o", tmp_path / "n", "--dtype", "f16", "-q")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
    assert (tmp_path / "n").read_bytes() == (tmp_path / "m.safetensors").read_bytes()


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("frobnicate",),
        ("convert",),
        ("convert", "x"),
        ("convert", "x", "-o", "y", "--dtype", "f8"),
        ("convert", "x", "-o", "y", "--padding", "valid"),
        ("convert", "x", "-o", "y", "--padding", "fixed:"),
        ("convert", "x", "-o", "y", "--input", "224"),
        ("convert", "x", "-o", "y", "--input", "8x8"),
        ("convert", "x", "-o", "y", "--mean", "1,2"),
        ("convert", "x", "-o", "y", "--mean", "1,2,nan"),
        ("convert", "x", "-o", "y", "--std", "1,0,1"),
        ("convert", "x", "-o", "y", "--fake", "-1"),
        ("convert", "x", "-o", "y", "--filter", "nearest"),
        ("convert", "x", "-o", "y", "--resize", "shorter"),
        ("convert", "x", "-o", "y", "--thresholds", ".7,.3"),
        ("convert", "x", "-o", "y", "--temperature", "0"),
        ("convert", "x", "-o", "y", "--reference", "1,2,3"),
        ("convert", "x", "-o", "y", "--bn-eps", "2"),
        ("convert", "x", "-o", "y", "--face-pad", "1,2,256"),
        ("convert", "x", "-o", "y", "--lab", "z"),
        ("info",),
    ],
)
def test_wrong_usage_ends_with_1(arguments):
    done = run(*arguments)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("usage: ") and "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [(), ("convert",), ("info",), ("verify",)])
def test_help_starts_with_examples(command):
    done = run(*command, "--help")
    assert done.returncode == 0 and done.stdout.startswith("examples:\n")
    assert "python3 -m weights_tools" in done.stdout.splitlines()[2]


def refused(done, *words):
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


def test_refused_input_ends_with_2_and_one_sentence(tmp_path):
    tree = ss.tree("efficientnet_pytorch", "b0", 1)
    tree["_fc.weight"] = pw.tensor(np.zeros((1, 1279), np.float32))
    bad = pw.save(tmp_path / "bad.pth", tree)
    out = tmp_path / "out"
    refused(
        run("convert", bad, "-o", out),
        "bad.pth",
        "tensor _fc.weight: has shape [1, 1279], expected [1, 1280]",
    )
    refused(run("convert", tmp_path / "absent", "-o", out), "absent", "cannot be opened")
    refused(run("info", bad), "bad.pth")
    refused(run("info", tmp_path / "absent"), "absent")
    assert not out.exists()


def test_unnamed_timm_checkpoint_stops_and_says_so(tmp_path, source):
    other = tmp_path / "best.pth"
    other.write_bytes(source.read_bytes())
    refused(run("convert", other, "-o", tmp_path / "out"), "best.pth", "--name tf_efficientnet_b0")
    done = run("convert", other, "-o", tmp_path / "out", "--name", "tf_efficientnet_b0")
    assert done.returncode == 0


def test_hostile_checkpoint_on_the_command_line(tmp_path):
    canary = tmp_path / "canary"
    body = b"\x80\x02cos\nsystem\n(" + pw.text(f"touch {canary}") + b"tR."
    bad = tmp_path / "bad\nname.pth"
    bad.write_bytes(pw.zip_bytes(None, pickle=body))
    refused(run("convert", bad, "-o", tmp_path / "out"), "'os.system'", "bad\\x0aname.pth")
    assert not canary.exists()


def test_unwritable_output(tmp_path, source):
    done = run("convert", source, "-o", tmp_path / "no" / "folder" / "out")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "No such file or directory" in done.stderr


def test_output_to_a_closed_pipe(tmp_path, source):
    run("convert", source, "-o", tmp_path / "m")
    command = f"{sys.executable} -m weights_tools info {tmp_path / 'm'} | head -1"
    done = subprocess.run(
        command, shell=True, capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.stdout.startswith("file") and done.stderr == ""
