"""``python -m tests.again COMMAND...``: run it, and once more if it fails while the machine stood still.

The exit code is that of the last run.
"""

import contextlib
import subprocess
import sys
import time
from collections.abc import Sequence

from tests.stalls import Stalls


def main(command: Sequence[str]) -> int:
    with contextlib.closing(Stalls()) as stalls:
        began = time.monotonic()
        code = subprocess.run(command, check=False).returncode
        if code and stalls.since(began):
            print(f"failed ({code}) while the machine stood still: once more", file=sys.stderr, flush=True)
            code = subprocess.run(command, check=False).returncode
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) if sys.argv[1:] else __doc__)
