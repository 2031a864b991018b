"""The tracing process: a request on standard input, its record on standard output."""

import json
import signal
import sys

from steerd.trace.process.run import run
from steerd.trace.process.sockets import TraceError
from steerd.trace.request import LIMIT, Request


def main() -> int:
    """Run one trace. What can be foreseen ends as a record with an ``error``, and with code 0."""
    signal.alarm(round(LIMIT))  # in case the daemon, which would kill us, is gone
    request = Request.from_json(sys.stdin.read())
    try:
        record = run(request)
    except TraceError as error:
        record = {"path": request.path, "error": str(error)}
    json.dump(record, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
