"""Servers, workers and their embedded PostgreSQL are killed or frozen under load."""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.faults.impatient import impatient
from tests.faults.load import under_load
from tests.support.folders import temporary_folder
from tests.support.ports import free_port
from tests.support.servers import Server, started, url_of, workers_of
from tests.support.worlds import mortal_world, postmaster_of

pytestmark = pytest.mark.long

TIMES = 2
FROZEN_SECONDS = 3


def test_killed_workers(own_database: str) -> None:
    with (
        impatient(DATABASE_URL=own_database, ERRAND_WORKERS="2") as (server, url),
        under_load(lambda: [url]) as load,
    ):
        for _ in range(TIMES):
            workers_of(server)[0].kill()
            load.flows()


def test_killed_server() -> None:
    with mortal_world(TIMES, alone=False) as world, under_load(lambda: [world.url]) as load:
        for _ in range(TIMES):
            world.strikes(database=False, after=0)
            load.flows()


def test_killed_postgresql() -> None:
    with mortal_world(TIMES, alone=False) as world, under_load(lambda: [world.url]) as load:
        for _ in range(TIMES):
            world.strikes(database=True, after=0)
            load.flows()


def test_killed_embedded_postgresql() -> None:
    with (
        temporary_folder() as folder,
        impatient(ERRAND_DATA_DIR=str(folder / "data"), DATABASE_URL="") as (_, url),
        under_load(lambda: [url]) as load,
    ):
        for _ in range(TIMES):
            os.kill(postmaster_of(folder / "data"), signal.SIGKILL)
            load.flows()


def test_killed_server_with_an_embedded_postgresql() -> None:
    with temporary_folder() as folder:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        server = on_port(port, folder / "data")
        with under_load(lambda: [url]) as load:
            for _ in range(TIMES):
                server.kill()
                server.communicate(timeout=30)
                server = on_port(port, folder / "data")
                load.flows()
        server.terminate()
        server.communicate(timeout=30)


def on_port(port: int, folder: Path) -> Server:
    server = started("--port", str(port), "--data-dir", str(folder), DATABASE_URL="")
    url_of(server)
    return server


def test_frozen_server(own_database: str) -> None:
    with (
        impatient(DATABASE_URL=own_database) as (frozen, one),
        impatient(DATABASE_URL=own_database) as (_, other),
        under_load(lambda: [other, one]) as load,
    ):
        frozen.send_signal(signal.SIGSTOP)
        try:
            time.sleep(FROZEN_SECONDS)
        finally:
            frozen.send_signal(signal.SIGCONT)
        load.flows()
