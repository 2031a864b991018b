"""A way to a reflector that drops, doubles and delays by the count: ``python -m tests.lab.relay JSON``.

``{"listen": [address, port], "target": [address, port], "out": {...}, "back": {...}}``; each direction may have
``drop`` (every so many), ``double`` (every so many) and ``delay`` (seconds, every second packet).
"""

import json
import select
import socket
import sys
import time
from typing import Any


class Direction:
    def __init__(self, drop: int = 0, double: int = 0, delay: float = 0.0) -> None:
        self.drop, self.double, self.delay = drop, double, delay
        self.count = 0

    def copies(self) -> int:
        self.count += 1
        if self.delay and self.count % 2:
            time.sleep(self.delay)
        if self.drop and self.count % self.drop == 0:
            return 0
        return 2 if self.double and self.count % self.double == 0 else 1


def main(options: dict[str, Any]) -> None:
    out, back = Direction(**options.get("out", {})), Direction(**options.get("back", {}))
    front = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    front.bind(tuple(options["listen"]))
    behind = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    behind.connect(tuple(options["target"]))
    asker: Any = None
    print("ready", flush=True)
    while True:
        for ready in select.select([front, behind], [], [])[0]:
            if ready is front:
                data, asker = front.recvfrom(9000)
                for _ in range(out.copies()):
                    behind.send(data)
            else:
                data = behind.recv(9000)
                for _ in range(back.copies()):
                    front.sendto(data, asker)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
