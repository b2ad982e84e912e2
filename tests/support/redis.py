"""A Redis for the tests of rate limits."""

import shutil
import signal
import socket
import subprocess
from contextlib import closing, suppress

import pytest
from redis import Redis as SyncRedis

from tests.support.polling import eventually
from tests.support.ports import free_port

REDIS = shutil.which("redis-server")

needs_redis = pytest.mark.skipif(
    REDIS is None, reason="there is no redis-server here: `apt install redis-server` brings it"
)


class Redis:
    """A Redis of the test's own, which keeps nothing."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self.starts()

    def starts(self) -> None:
        options = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(
            [str(REDIS), "--port", str(self.port), *options], stdout=subprocess.DEVNULL
        )
        assert eventually(self._listens)

    def _listens(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False

    def run(self, *command: str) -> None:
        with closing(SyncRedis.from_url(self.url)) as client:
            client.execute_command(*command)  # type: ignore[no-untyped-call]

    def hangs(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def goes_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def dies(self) -> None:
        self._process.kill()
        self._process.wait()
