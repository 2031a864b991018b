"""A real mosquitto in the gateway's namespace, and a client of the lab's own, connected by a socket in the file system:
namespaces do not separate that, so nothing that the gateway does to its network keeps it away."""

import contextlib
import json
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from steerd.lab import namespaces
from steerd.lab.enclosure import LabError

PORT = 1883
_START = 5.0  # seconds
_WAIT = 5.0  # seconds


class Broker:
    """Listens on an ``address``, port `PORT`. ``latest``: last payloads by topic. LabError: it does not start."""

    def __init__(self, namespace: str, directory: Path, address: str = "127.0.0.1") -> None:
        self.url = f"mqtt://{address}:{PORT}"
        program = shutil.which("mosquitto")
        if program is None:
            raise LabError("the lab needs mosquitto (on Debian: apt-get install mosquitto)")
        self.latest: dict[str, bytes] = {}
        self._program = program
        self._namespace = namespace
        self._socket = directory / "mqtt.sock"
        self._config = directory / "mosquitto.conf"
        self._log = directory / "mosquitto.log"
        # `user root`: in a user namespace there is no other to change to.
        self._config.write_text(
            f"user root\nallow_anonymous true\npersistence false\nlog_dest file {self._log}\n"
            f"listener {PORT} {address}\nlistener 0 {self._socket}\n"
        )
        self._process: subprocess.Popen[Any] | None = None
        self._connected = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, "lab", transport="unix", protocol=MQTTProtocolVersion.MQTTv5)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = lambda *_: self._connected.clear()
        self._client.on_message = self._on_message
        self.start()
        self._client.connect(str(self._socket))
        self._client.loop_start()

    def start(self) -> None:
        """Start the broker, with nothing retained."""
        if self._process:
            return
        with self._log.open("a") as log:
            self._process = namespaces.spawn(self._namespace, [self._program, "-c", str(self._config)], stderr=log)
        for _ in range(int(_START / 0.01)):
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as attempt:
                attempt.connect(str(self._socket))
                return
            time.sleep(0.01)
        raise LabError(f"mosquitto does not start: {self._log.read_text() if self._log.exists() else 'no log'}")

    def stop(self) -> None:
        """Kill the broker: its clients see the connection end, and what it retained is lost."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self, frozen: bool) -> None:
        """Stop it, or let it go on, without its connections ending."""
        if self._process:
            self._process.send_signal(signal.SIGSTOP if frozen else signal.SIGCONT)

    def publish(self, topic: str, payload: Mapping[str, Any] | bytes, *, retain: bool = True) -> None:
        """Publish with QoS 1 and wait until the broker has it. A mapping goes as JSON. Raises `LabError`."""
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        if not self._connected.wait(_WAIT):
            raise LabError("the broker is not there")
        published = self._client.publish(topic, data, qos=1, retain=retain)
        published.wait_for_publish(_WAIT)
        if not published.is_published():
            raise LabError(f"the broker did not take {topic}")

    def close(self) -> None:
        """Disconnect, and end the broker."""
        self._client.disconnect()
        self._client.loop_stop()
        self.stop()

    def _on_connect(self, client: Client, *_: Any) -> None:
        client.subscribe("#", qos=1)
        self._connected.set()

    def _on_message(self, _: Client, __: Any, message: MQTTMessage) -> None:
        self.latest[message.topic] = bytes(message.payload)
