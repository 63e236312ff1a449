"""Makes the virtual environment that `make` uses, as in `python3 deploy/install.py .venv requirements.txt`.

It installs each named list of requirements once, and again when the list has changed. Two runs at the same time are
safe: the second waits for the first. If a run is stopped half-way, the next run makes the environment anew.
"""

import fcntl
import hashlib
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parent.parent
OLDEST = (3, 11)


def main(folder: Path, *lists: str) -> None:
    """Install the lists of requirements into the folder."""
    if sys.version_info < OLDEST:
        sys.exit(
            f"Python {'.'.join(map(str, OLDEST))} or later is needed, this is {sys.version.split()[0]}: "
            "name another, as in `make demo PYTHON=python3.12`"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(folder.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name in lists:
            install(folder, name)


def install(folder: Path, name: str) -> None:
    """Install a list of requirements, unless it is installed. The first list makes the environment."""
    stamp = folder / f"{name}.installed"
    wanted = hashlib.sha256(sys.version.encode())
    for path in (ROOT / "pyproject.toml", ROOT / name):
        wanted.update(path.read_bytes())
    if stamp.exists() and stamp.read_text() == wanted.hexdigest():
        return
    print(f"installing {name} into {folder} ...", flush=True)
    base = name == "requirements.txt"
    if base:
        run(sys.executable, "-m", "venv", "--clear", str(folder), hint="install Python's venv (Debian: python3-venv)")
    pip = (str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    hint = "is a package index reached, and is there space on the disk?"
    run(*pip, "--require-hashes", "--requirement", str(ROOT / name), hint=hint)
    if base:
        run(*pip, "--no-deps", "--editable", str(ROOT), hint=hint)
    stamp.write_text(wanted.hexdigest())


def run(*command: str, hint: str) -> None:
    """Run a command; if it fails, end with one line that says what to do."""
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.stderr.write(done.stderr)
        sys.exit(f"{' '.join(command[1:4])} failed with exit code {done.returncode}: {hint}")


def stop(number: int, _: FrameType | None) -> None:
    """End at once, and the command that runs with it."""
    sys.exit(128 + number)


if __name__ == "__main__":
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, stop)
    try:
        main(Path(sys.argv[1]), *sys.argv[2:])
    except OSError as error:
        sys.exit(f"cannot install into {sys.argv[1]}: {error.strerror}: make {error.filename} writable")
