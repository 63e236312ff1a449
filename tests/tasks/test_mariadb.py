"""The pool, the migrations and the errors of tasks/stock/, on a real server."""

import asyncio
import socket
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import aiomysql
import buyers
import pymysql
import pytest
from mariadb_server import PASSWORD, QUOTED, asked, plain, through
from peers import joined, peers, wait_until
from proxy import Proxy

from tasks import stock
from tasks.celery_app import environment
from tasks.stock import mariadb, schema

CONNECTIONS = "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'seller'"


@pytest.fixture(autouse=True)
def url(mariadb, monkeypatch):
    monkeypatch.setenv("INTERLOCK_MARIADB_URL", mariadb)
    return mariadb


async def ask(question):
    async with mariadb.connection() as connection, connection.cursor() as cursor:
        await cursor.execute(question)
        return await cursor.fetchone()


# --- the pool ---


def test_thousand_at_once_share_ten_connections_which_end_with_the_loop(url):
    async def main():
        await asyncio.gather(*(ask("SELECT 1") for _ in range(1000)))
        return asked(url, CONNECTIONS)[0][0]

    assert asyncio.run(main()) <= mariadb.MARIADB_CONNECTIONS_MAX + 1
    assert not mariadb._open
    wait_until(lambda: asked(url, CONNECTIONS) == ((1,),), what="the end of all but the one that asks")


def test_connection_that_the_server_ended_is_replaced(url):
    async def main():
        (first,) = await ask("SELECT CONNECTION_ID()")
        asked(url, f"KILL CONNECTION {first}")
        (opened,) = mariadb._open.values()
        (idle,) = opened[1].pool._free
        while not idle._reader.at_eof():
            await asyncio.sleep(0.01)
        return first, (await ask("SELECT CONNECTION_ID()"))[0]

    first, second = asyncio.run(asyncio.wait_for(main(), 30))
    assert first != second


@pytest.mark.parametrize("end", [RuntimeError, asyncio.CancelledError])
def test_transaction_that_does_not_end_well_changes_nothing(url, request, end):
    item = request.node.name

    async def main():
        await stock.put_on_sale(item, 3)
        with pytest.raises(end):
            async with mariadb.connection() as connection, mariadb.transaction(connection) as cursor:
                await cursor.execute(stock.WRITE, (item,))
                raise end
        return await stock.read_stock(item)

    assert asyncio.run(main()) == {"stock": 3, "sold": []}


def test_whatever_a_name_holds_is_a_name(url):
    item = "'; DROP TABLE orders; -- %s \\"

    async def main():
        await stock.put_on_sale(item, 1)
        assert await stock.sell(item, f"order of {item}", lambda: buyers.pause("")) == 1
        return await stock.read_stock(item)

    assert asyncio.run(main()) == {"stock": 0, "sold": [1]}


def test_order_that_is_delivered_again_or_twice_at_once_sells_once(url, request):
    item = request.node.name

    async def main():
        await stock.put_on_sale(item, 5)
        runs = [stock.sell(item, item, lambda: buyers.pause("")) for _ in range(4)]
        assert await asyncio.gather(*runs) == [5] * 4
        assert await stock.sell(item, item, lambda: buyers.pause("")) == 5
        return await stock.read_stock(item)

    assert asyncio.run(main()) == {"stock": 4, "sold": [5]}


def test_sale_whose_commit_gets_no_answer_is_found_when_it_is_made_again(url, request, monkeypatch):
    item = request.node.name
    asyncio.run(stock.put_on_sale(item, 5))
    real = mariadb.transaction

    @asynccontextmanager
    async def unanswered(connection):
        async with real(connection) as cursor:
            yield cursor
            proxy.lose_next_reply()

    with Proxy(url) as proxy:
        monkeypatch.setenv("INTERLOCK_MARIADB_URL", through(proxy, url))
        monkeypatch.setattr(mariadb, "transaction", unanswered)
        with pytest.raises(ConnectionError, match="Lost connection"):
            asyncio.run(stock.sell(item, item, lambda: buyers.pause("")))
        assert asyncio.run(stock.sell(item, item, lambda: buyers.pause(""))) == 5
        assert asyncio.run(stock.read_stock(item)) == {"stock": 4, "sold": [5]}
        assert proxy.lost == 1


def test_item_that_is_not_on_sale_is_said_so(url):
    with pytest.raises(LookupError, match="there is no item 'nothing': enqueue put_on_sale first"):
        asyncio.run(stock.sell("nothing", "order", lambda: buyers.pause("")))


# --- migrations ---


@pytest.fixture
def empty(url):
    """A database in which nothing was ever made, as an address."""
    asked(url, "DROP DATABASE IF EXISTS other")
    asked(url, "CREATE DATABASE other")
    yield url.replace("/interlock", "/other")
    asked(url, "DROP DATABASE other")


def migrate(url, folder):
    async def main():
        parts = environment.MARIADB_URL.fullmatch(url)
        connection = await aiomysql.connect(
            host=parts["host"], port=int(parts["port"]), user=parts["user"], password=PASSWORD, db=parts["database"],
            autocommit=True, init_command="SET SESSION sql_notes = 0",
        )  # fmt: skip
        try:
            return await schema.apply(connection, folder)
        finally:
            connection.close()

    return asyncio.run(main())


def migrate_and_note(url, folder):
    with buyers.plain() as note:
        note.rpush("applied", *(migrate(url, folder) or ["none"]))


def test_migrations_are_applied_once_though_all_workers_start_together(client, url, empty, tmp_path):
    """The second file fails if it is run twice."""
    (tmp_path / "0002_fill.sql").write_text("INSERT INTO t VALUES (1, SLEEP(0.3));")
    (tmp_path / "0001_make.sql").write_text("CREATE TABLE t (a INT PRIMARY KEY, b INT); CREATE TABLE u (a INT);\n")
    with peers(migrate_and_note, [(empty, tmp_path)] * 8, start=buyers.START) as workers:
        joined(workers)
    applied = client.lrange("applied", 0, -1)
    assert sorted(applied) == ["0001_make.sql", "0002_fill.sql"] + ["none"] * 7
    (tmp_path / "0003_more.sql").write_text("INSERT INTO u VALUES (7)")
    assert migrate(empty, tmp_path) == ["0003_more.sql"]
    assert asked(url, "SELECT a FROM other.u") == ((7,),)


def test_migration_that_fails_is_applied_again_when_it_is_mended(url, empty, tmp_path):
    path = tmp_path / "0001_make.sql"
    path.write_text("CREATE TABLE IF NOT EXISTS t (a INT); CREATE TABEL u (a INT);")
    with pytest.raises(pymysql.err.ProgrammingError, match="TABEL u"):
        migrate(empty, tmp_path)
    path.write_text(path.read_text().replace("TABEL", "TABLE"))
    assert migrate(empty, tmp_path) == [path.name]


def test_shipped_migrations_may_be_applied_again(url, empty):
    assert migrate(empty, schema.FOLDER) == [path.name for path in sorted(schema.FOLDER.iterdir())]
    asked(url, "DELETE FROM other.migrations")
    assert migrate(empty, schema.FOLDER)
    assert migrate(empty, schema.FOLDER) == []


# --- errors: one line each, and none tells the password ---


def said_by(call, error):
    with pytest.raises(error) as raised:
        asyncio.run(call)
    text = str(raised.value)
    assert PASSWORD not in text
    assert QUOTED not in text
    assert "secret" not in text
    assert "\n" not in text
    return text


def test_variable_that_is_not_set_is_one_line(monkeypatch):
    monkeypatch.delenv("INTERLOCK_MARIADB_URL")
    said = said_by(ask("SELECT 1"), ValueError)
    assert said.startswith("INTERLOCK_MARIADB_URL is not set: it must be mysql://user:password@host:port/database")


@pytest.mark.parametrize(
    "text",
    ["secret", "mysql://u:secret@h", "mysql://u:secret@h:x/d", "mysql://u:secret@h:65536/d", "http://u:secret@h:1/d",
     "mysql://secret@h:1/d", "mysql://u:sec@ret@h:1/d", "mysql://u:secret@h:1/d?ssl=1", "mysql://u:secret@h:1/d/e",
     "mysql://u:secret@:1/d", "mysql://u:secret@h:1/d\n", "mysql://u:secret@h:٣/d"],
)  # fmt: skip
def test_variable_that_is_wrong_is_one_line(monkeypatch, text):
    monkeypatch.setenv("INTERLOCK_MARIADB_URL", text)
    said = said_by(ask("SELECT 1"), ValueError)
    assert said.startswith("INTERLOCK_MARIADB_URL must be mysql://user:password@host:port/database")


@pytest.mark.parametrize(
    "text", ["mysql://u:p@db/d", "mysql://u:%40@[::1]:3306/d", "mysql://u:p@db-1.example.org:1/a-b"]
)
def test_variable_that_is_right_is_taken(text):
    assert environment.mariadb_url({"INTERLOCK_MARIADB_URL": text}) == text
    assert environment.mariadb_url({"INTERLOCK_MARIADB_URL": ""}) is None


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [(QUOTED, "secret", "Access denied for user 'seller'"), ("/interlock", "/nowhere", "nowhere"),
     ("//seller", "//nobody", "Access denied for user 'nobody'")],
)  # fmt: skip
def test_what_the_server_refuses_is_one_line(url, monkeypatch, old, new, reason):
    monkeypatch.setenv("INTERLOCK_MARIADB_URL", url.replace(old, new))
    said = said_by(ask("SELECT 1"), ConnectionError)
    assert said.startswith("MariaDB at mysql://")
    assert reason in said
    assert said.endswith("does it run, is INTERLOCK_MARIADB_URL right?")


def test_nobody_at_the_address_is_one_line(monkeypatch):
    monkeypatch.setenv("INTERLOCK_MARIADB_URL", "mysql://u:secret@127.0.0.1:1/d")
    said = said_by(ask("SELECT 1"), ConnectionError)
    assert "MariaDB at mysql://u:***@127.0.0.1:1/d: Can't connect" in said


def test_somebody_who_never_answers_is_one_line(monkeypatch):
    monkeypatch.setattr(mariadb, "ANSWERED_WITHIN", 0.3)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("INTERLOCK_MARIADB_URL", f"mysql://u:secret@127.0.0.1:{silent.getsockname()[1]}/d")
        said_by(asyncio.wait_for(ask("SELECT 1"), 20), ConnectionError)


def test_answer_that_does_not_come_is_one_line(url, monkeypatch):
    monkeypatch.setattr(mariadb, "ANSWERED_WITHIN", 1.0)
    said = said_by(ask("SELECT SLEEP(60)"), ConnectionError)
    assert "no answer within 1 s" in said


def test_row_that_another_transaction_keeps_is_one_line(url, monkeypatch, request):
    monkeypatch.setattr(mariadb, "ROW_WITHIN", 1)
    item = request.node.name
    asyncio.run(stock.put_on_sale(item, 1))
    with plain(urlsplit(url).port) as other, other.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute(stock.WRITE, (item,))
        said = said_by(stock.sell(item, item, lambda: buyers.pause("")), ConnectionError)
    assert "Lock wait timeout exceeded" in said


@pytest.mark.parametrize(
    ("code", "helps"),
    [(1205, "try again"), (1213, "try again"), (1040, "max_connections"), (1114, "space"), (2003, "does it run")],
)
def test_error_of_the_server_is_said_what_helps(code, helps):
    """A lock that is waited for too long is not a server that is away."""
    assert helps in mariadb.remedy(pymysql.err.OperationalError(code, "why"))
