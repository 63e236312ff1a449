"""The image: small, without tools, and labelled. `make test-compose` makes it by `make image`."""

import json
import subprocess

import pytest

import interlock
from workers.local_stack.children import ROOT

BASE = "python:3.13-slim"  # of deploy/Dockerfile
ADDED_MAX = 150_000_000  # bytes


def docker(*words, check=True):
    done = subprocess.run(["docker", *words], capture_output=True, text=True, check=False, timeout=120)
    assert not check or done.returncode == 0, done.stderr
    return done


def inspected(image):
    return json.loads(docker("image", "inspect", image).stdout)[0]


def in_the_image(*command):
    return docker("run", "--rm", "--network", "none", "interlock", *command, check=False)


def test_image_adds_less_than_150_mb_to_its_base(capsys):
    whole, base = inspected("interlock")["Size"], inspected(BASE)["Size"]
    with capsys.disabled():
        print(f"\n  the image: {(whole - base) / 1e6:.0f} MB beyond the {base / 1e6:.0f} MB of its base")
    assert 0 < whole - base < ADDED_MAX


def test_labels_say_version_and_commit():
    labels = inspected("interlock")["Config"]["Labels"]
    assert labels["org.opencontainers.image.version"] == interlock.__version__
    described = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    commit = subprocess.run(described, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    assert labels["org.opencontainers.image.revision"] == commit


def test_image_with_a_wrong_version_is_not_built():
    file = str(ROOT / "deploy" / "Dockerfile")
    done = docker("build", "--force-rm", "--file", file, "--build-arg", "VERSION=0.0.0", str(ROOT), check=False)
    assert done.returncode != 0
    assert f"error: VERSION must be {interlock.__version__}, as the code says, not 0.0.0" in done.stdout + done.stderr


def test_nobody_is_root_in_it():
    assert inspected("interlock")["Config"]["User"] == "interlock"
    assert in_the_image("id", "-u").stdout.strip() == "10001"


@pytest.mark.parametrize("tool", ["pip", "pip3", "gcc", "cc", "make", "git"])
def test_tool_is_not_in_it(tool):
    assert in_the_image("python", "--version").returncode == 0
    assert in_the_image("sh", "-c", f"command -v {tool}").returncode != 0


@pytest.mark.parametrize("module", ["pip", "ensurepip"])
@pytest.mark.parametrize("python", ["python", "/usr/local/bin/python"])
def test_nothing_that_installs_packages_is_in_it(python, module):
    assert f"No module named {module}" in in_the_image(python, "-m", module).stderr


def test_it_holds_no_secret_and_no_history():
    listed = in_the_image("ls", "-A", "/app").stdout.split()
    assert sorted(listed) == ["deploy", "examples", "interlock", "tasks", "workers"]
