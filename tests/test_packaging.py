"""The wheel holds `interlock` alone, with its Lua, and needs redis-py alone."""

import os
import re
import subprocess
import sys
import venv
import zipfile

from workers.local_stack.children import ROOT


def test_wheel_holds_interlock_alone_and_works_in_an_empty_environment(tmp_path):
    subprocess.run([sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path), str(ROOT)], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read(next(name for name in names if name.endswith("METADATA"))).decode()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"interlock"}
    assert "interlock/py.typed" in names
    assert "interlock/_protocol/lua/lock_acquire.lua" in names
    assert "interlock/testing.py" in names
    assert "Provides-Extra: testing" in metadata
    assert not [name for name in names if name.endswith("entry_points.txt")]  # pytest loads no plugin of ours by itself
    needs = [
        line for line in re.findall(r"^Requires-Dist: (.*)$", metadata, flags=re.MULTILINE) if "extra ==" not in line
    ]
    assert len(needs) == 1
    assert needs[0].startswith("redis")

    venv.create(tmp_path / "empty", with_pip=True)
    python = tmp_path / "empty" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", str(wheel)], check=True)
    code = "import interlock\nwith interlock.Lock() as held: print(held)"
    said = subprocess.run(
        [python, "-c", code], cwd=tmp_path, env={"REDIS_URL": os.environ["REDIS_URL"]}, capture_output=True, check=True
    )
    assert said.stdout == b"True\n"


def test_repository_names_no_index_and_no_lock_file_that_does():
    text = (ROOT / "requirements.txt").read_text()
    assert "http:" not in text and "https:" not in text
    assert not (ROOT / "poetry.lock").exists()
    assert not (ROOT / "pylock.toml").exists()
