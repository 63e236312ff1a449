"""Where programs that tests start find the project, and the modules that lie here."""

import os
from pathlib import Path

SUPPORT = Path(__file__).parent
PYTHONPATH = os.pathsep.join(map(str, [SUPPORT.parent.parent, SUPPORT]))
