"""The peers' packages, in a folder of the bench's own.

A folder that the bench adds to the end of its path, not a second environment: one made by `venv` does not see the
packages of the environment that made it, and would need all of the project's installed again. So every lock runs on the
same interpreter and on the project's redis-py, and the project's environment stays as it is. The folder is called
.venv because git ignores that name already.
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


def ensure() -> str | None:
    """Install what is missing; None, or one line that says why that failed."""
    stamp = FOLDER / "installed"
    wanted = hashlib.sha256(sys.version.encode() + LIST.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return None
    print(f"installing bench/{LIST.name} into {FOLDER.relative_to(HERE.parent)} ...", flush=True)
    try:
        FOLDER.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=FOLDER.parent) as fresh:
            _pip(Path(fresh))
            (Path(fresh) / stamp.name).write_text(wanted)
            shutil.rmtree(FOLDER, ignore_errors=True)
            shutil.copytree(fresh, FOLDER)
    except subprocess.CalledProcessError as error:
        return f"pip failed: {_last_line(error.stderr)}"
    except subprocess.TimeoutExpired:
        return f"pip took longer than {WITHIN:.0f} s"
    except OSError as error:
        return f"cannot install into {FOLDER.relative_to(HERE.parent)}: {error.strerror}"
    importlib.invalidate_caches()
    return None


def _pip(folder: Path) -> None:
    # --no-deps: redis is the project's own
    command = [
        sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps",
        "--require-hashes", "--target", str(folder), "--requirement", str(LIST),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=WITHIN)  # noqa: S603  fixed words


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.startswith("ERROR")] or text.splitlines() or ["no reason given"]
    return lines[-1].strip()
