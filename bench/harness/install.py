"""Install the packages of the other locks into a folder of the bench's own.

The bench adds the folder to the end of its path. So every lock runs on the same interpreter and on the project's
redis-py, and the project's environment stays as it is. A second environment would not do: one that `venv` makes does
not see the packages of the first, and would need all of them again. The folder is called .venv because git ignores that
name.
"""

import hashlib
import importlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
FOLDER = HERE / ".venv" / f"peers-{sys.version_info.major}.{sys.version_info.minor}"
LIST = HERE / "requirements.txt"
WITHIN = 300.0  # seconds for pip


class InstallError(Exception):
    """Packages cannot be installed; the text says in one line why."""


def ensure() -> str | None:
    """Install the packages that are missing; return None, or one line that says why that failed."""
    stamp = FOLDER / "installed"
    wanted = hashlib.sha256(sys.version.encode() + LIST.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return None
    print(f"installing bench/{LIST.name} into {FOLDER.relative_to(HERE.parent)} ...", flush=True)
    try:
        FOLDER.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=FOLDER.parent) as fresh:
            # --no-deps: the locks use the project's own redis-py
            pip(sys.executable, LIST, "--no-deps", "--target", fresh)
            (Path(fresh) / stamp.name).write_text(wanted)
            shutil.rmtree(FOLDER, ignore_errors=True)
            shutil.copytree(fresh, FOLDER)
    except InstallError as error:
        return str(error)
    except OSError as error:
        return f"cannot install into {FOLDER.relative_to(HERE.parent)}: {error.strerror}"
    importlib.invalidate_caches()
    return None


def pip(python: str, listed: Path, *options: str) -> None:
    """Have the pip of a Python install a list of pinned requirements.

    Raises:
        InstallError: pip failed, or took too long.
    """
    command = [
        python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", *options,
        "--requirement", str(listed),
    ]  # fmt: skip
    run(command, "pip")


def run(command: list[str], name: str) -> None:
    """Run a step of an installation. Raises InstallError, with its last error, if it fails or takes too long."""
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=WITHIN)  # noqa: S603  no word of it comes from a user
    except subprocess.CalledProcessError as error:
        raise InstallError(f"{name} failed: {_last_line(error.stderr or error.stdout)}") from error
    except subprocess.TimeoutExpired as error:
        raise InstallError(f"{name} took longer than {WITHIN:.0f} s") from error


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.startswith("ERROR")] or text.splitlines() or ["no reason given"]
    return lines[-1].strip()
