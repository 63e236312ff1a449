"""Makes the virtual environment that `make` uses, once, as in `python3 deploy/install.py .venv`.

Safe to run twice at the same time: the second waits for the first. Runs again when what is to be installed has changed.
"""

import fcntl
import hashlib
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST = (3, 11)


def main() -> None:
    """Install, unless what is there is what is wanted."""
    if sys.version_info < OLDEST:
        sys.exit(
            f"Python {'.'.join(map(str, OLDEST))} or later is needed, this is {sys.version.split()[0]}: "
            "name another, as in `make demo PYTHON=python3.12`"
        )
    folder = Path(sys.argv[1]).absolute()
    folder.parent.mkdir(parents=True, exist_ok=True)
    stamp = folder / "installed"
    wanted = hashlib.sha256(sys.version.encode())
    for name in ("pyproject.toml", "requirements.txt"):
        wanted.update((ROOT / name).read_bytes())
    with folder.with_name(folder.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_text() == wanted.hexdigest():
            return
        print(f"installing into {sys.argv[1]} ...", flush=True)
        run(sys.executable, "-m", "venv", "--clear", str(folder), hint="install Python's venv (Debian: python3-venv)")
        pip = (str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        hint = "is a package index reached?"
        run(*pip, "--require-hashes", "--requirement", str(ROOT / "requirements.txt"), hint=hint)
        run(*pip, "--no-deps", "--editable", str(ROOT), hint=hint)
        stamp.write_text(wanted.hexdigest())


def run(*command: str, hint: str) -> None:
    """Run a command; if it fails, end with one line that says what to do."""
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    code = done.returncode
    if code:
        sys.stderr.write(done.stderr)
        sys.exit(f"{' '.join(command[1:4])} failed with exit code {code}: {hint}")


if __name__ == "__main__":
    main()
