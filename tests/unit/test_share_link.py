"""The connection to a broker leaves nothing open, whenever it is given up."""

import asyncio
import contextlib
import gc
import socket
from pathlib import Path

import pytest

from steerd.share.mqtt.link import linked


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("again", range(4))
def test_a_connection_that_is_given_up_twice_leaves_no_socket_behind(turns, again):
    async def run(port):
        connected = asyncio.Event()

        async def use():
            async with linked("127.0.0.1", port, None, lambda *_: None, within=10.0):
                connected.set()
                await asyncio.sleep(60.0)

        task = asyncio.create_task(use())
        await connected.wait()
        for pause in (turns, again):
            for _ in range(pause):
                await asyncio.sleep(0)
            task.cancel()
        # The loop ends here, whatever is still going on.

    def opened():
        """By what they are: another test's that is collected only now is not missed."""
        gc.collect()
        found = set()
        for entry in Path("/proc/self/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # the folder's own
                found.add(str(entry.readlink()))
        return {one for one in found if one.startswith("socket:")}

    with socket.create_server(("127.0.0.1", 0)) as broker:
        before = opened()
        asyncio.run(run(broker.getsockname()[1]))
        assert opened() <= before
