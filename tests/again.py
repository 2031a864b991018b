"""``python -m tests.again TIMES COMMAND...``: run it, and while it fails again, so many times at most.

For what lives in real time, whatever the reason. The exit code is that of the last run.
"""

import subprocess
import sys
from collections.abc import Sequence


def main(times: int, command: Sequence[str]) -> int:
    code = subprocess.run(command, check=False).returncode
    for time in range(1, times + 1):
        if not code:
            break
        print(f"\n*** {' '.join(command)} FAILED ({code}): again, {time} of {times} ***\n", file=sys.stderr, flush=True)
        code = subprocess.run(command, check=False).returncode
        if not code:
            print(f"\n*** {' '.join(command)} failed, and passed in run {time + 1} ***\n", file=sys.stderr, flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]) if sys.argv[2:] else __doc__)
