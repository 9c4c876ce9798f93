"""The embedded PostgreSQL and Valkey: real, private, and the same again after a crash."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from services.operator_cli.errors import ServerError
from services.operator_cli.runner import ports
from services.operator_cli.runner.memory import pages_mib, usable_bytes
from services.operator_cli.runner.postgres import EmbeddedPostgres, ways_to_start
from services.operator_cli.runner.supervisor import Supervisor
from tests.servers import TEST_SETTINGS, Postgres, Server, new_supervisor
from tests.waiting import wait_for


def _embedded(directory: Path) -> EmbeddedPostgres:
    return EmbeddedPostgres(
        directory=directory,
        port=ports.choose(None),
        password="it's a \"pass'word\" / %",
        environment=dict(os.environ),
        log_path=directory / "postgres.log",
        settings=TEST_SETTINGS,
    )


def _run(embedded: EmbeddedPostgres) -> Supervisor:
    supervisor = new_supervisor()
    supervisor.start(embedded.spec())
    supervisor.await_answers(["postgres"], 60)
    return supervisor


def test_data_survives_a_killed_server(own_postgres: Postgres) -> None:
    """After `kill -9` and a new start the committed row is there, on the same port."""
    url = own_postgres.server.url
    with psycopg.connect(url) as connection:
        connection.execute("create table kept as select 7 as number")
    os.kill(own_postgres.server.pid, signal.SIGKILL)
    own_postgres.server.stop()
    own_postgres.server.start()
    with psycopg.connect(url) as connection:
        assert connection.execute("select number from kept").fetchone() == (7,)


def test_pages_are_kept_in_a_share_of_the_memory_unless_said_otherwise(own_postgres: Postgres) -> None:
    """The size goes by the machine; what is asked for goes before it."""
    plain = replace(own_postgres.embedded, settings={})
    assert f"--shared_buffers={pages_mib(usable_bytes())}MB" in plain.spec().argv
    asked = replace(plain, settings={"shared_buffers": "64MB"})
    assert [option for option in asked.spec().argv if "shared_buffers" in option] == ["--shared_buffers=64MB"]


def test_database_needs_the_password(own_postgres: Postgres) -> None:
    """Another account of the machine reaches the port, but gets no further."""
    wrong = own_postgres.embedded.url().replace(own_postgres.embedded.password, "wrong")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(wrong)


def test_database_listens_on_loopback_alone(own_postgres: Postgres) -> None:
    """No other machine, and no socket file, leads to the database."""
    listening = {
        connection.laddr.ip
        for connection in psutil.Process(own_postgres.server.pid).net_connections("all")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {ports.LOOPBACK}


def test_cluster_is_durable_and_its_log_quiet(tmp_path: Path) -> None:
    """As run for an operator, a commit is on disk before it is answered, and the log names nobody."""
    quiet = EmbeddedPostgres(
        directory=tmp_path,
        port=ports.choose(None),
        password="p",
        environment=dict(os.environ),
        log_path=tmp_path / "postgres.log",
        settings={},
    )
    quiet.prepare()
    supervisor = _run(quiet)
    with psycopg.connect(quiet.url("postgres"), autocommit=True) as connection:
        for name in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums"):
            assert connection.execute(f"show {name}").fetchone() == ("on",)
        connection.execute("create table member (id text primary key)")
        connection.execute("insert into member values ('MARKED-ID')")
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute("insert into member values ('MARKED-ID')")
    supervisor.stop_all()
    log = quiet.log_path.read_text()
    assert "duplicate key value" in log
    assert "MARKED-ID" not in log


def test_cluster_is_made_in_the_next_way_when_the_best_fails(tmp_path: Path) -> None:
    """Where the kernel refuses one way of not being root, another makes a cluster that runs."""
    embedded = _embedded(tmp_path)
    embedded.prepare(ways=[(os.geteuid(), ("--no-such-way",)), ways_to_start()[-1]])
    supervisor = _run(embedded)
    owner = psutil.Process(supervisor.pid("postgres")).uids().effective
    supervisor.stop_all()
    assert owner == embedded.data_path.stat().st_uid == ways_to_start()[-1][0]


def test_cluster_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    """When every way fails, the message says so and a later try starts clean."""
    embedded = _embedded(tmp_path)
    with pytest.raises(ServerError, match=r"(?s)Set DATABASE_URL.*no-such-way"):
        embedded.prepare(ways=[(os.geteuid(), ("--no-such-way",))])
    assert not embedded.data_path.exists()


def test_lock_file_of_a_dead_server_does_not_block_the_next(own_postgres: Postgres, tmp_path: Path) -> None:
    """A server that was killed together with its runner comes back, though its lock file is still there."""
    embedded = own_postgres.embedded
    server = psutil.Process(own_postgres.server.pid)
    server.kill()
    wait_for(lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE)
    assert (embedded.data_path / "postmaster.pid").exists()
    own_postgres.server.stop()
    own_postgres.server.start()
    assert embedded.answers()


def test_counters_server_needs_the_password_and_evicts_nothing(own_valkey: Server) -> None:
    """Valkey refuses strangers and says when it is full rather than forgetting."""
    with (
        redis.Redis(
            port=redis.Redis.from_url(own_valkey.url).connection_pool.connection_kwargs["port"]
        ) as stranger,
        pytest.raises(redis.AuthenticationError),
    ):
        stranger.ping()
    with redis.Redis.from_url(own_valkey.url, decode_responses=True) as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("appendonly") == {"appendonly": "yes"}


def test_counters_survive_a_killed_server(own_valkey: Server) -> None:
    """After `kill -9` and a new start, what was written is there again."""
    with redis.Redis.from_url(own_valkey.url) as client:
        client.set("kept", "7")
        client.waitaof(1, 0, 5000)
    os.kill(own_valkey.pid, signal.SIGKILL)
    own_valkey.stop()
    own_valkey.start()
    with redis.Redis.from_url(own_valkey.url) as client:
        assert client.get("kept") == b"7"
