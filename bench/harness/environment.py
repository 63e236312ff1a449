"""Virtual environments of the bench's own: one for each program that must not share the project's packages.

An environment has its packages alone, none of the project's. Its list is bench/requirements-<name>.txt, and its folder
is in bench/.venv, which git ignores and `make clean` removes.
"""

import fcntl
import hashlib
import sys
from pathlib import Path

from bench.harness.install import HERE, InstallError, pip, run


def ensure(name: str) -> Path:
    """Make an environment, unless it is there and its list has not changed; return the folder of its programs.

    Two runs at the same time are safe: the second one waits for the first.

    Raises:
        InstallError: it cannot be made; the text says in one line why.
    """
    listed = HERE / f"requirements-{name}.txt"
    folder = HERE / ".venv" / f"{name}-{sys.version_info.major}.{sys.version_info.minor}"
    programs, stamp = folder / "bin", folder / "installed"
    wanted = hashlib.sha256(sys.version.encode() + listed.read_bytes()).hexdigest()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with folder.with_name(f"{folder.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if stamp.exists() and stamp.read_text() == wanted:
                return programs
            print(f"installing bench/{listed.name} into {folder.relative_to(HERE.parent)} ...", flush=True)
            run([sys.executable, "-m", "venv", "--clear", str(folder)], "venv")
            pip(str(programs / "python"), listed)
            stamp.write_text(wanted)
    except OSError as error:
        raise InstallError(f"cannot install into {folder.relative_to(HERE.parent)}: {error.strerror}") from error
    return programs
