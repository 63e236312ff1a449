"""MariaDB for coroutines: a pool of connections for each event loop, to the server that INTERLOCK_MARIADB_URL names."""

import asyncio
import weakref
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import unquote

import aiomysql
from pymysql.constants import CLIENT
from pymysql.err import InterfaceError, OperationalError

from interlock import address
from interlock._text import one_line
from tasks.celery_app import environment
from tasks.stock import schema

MARIADB_CONNECTIONS_MAX = 10  # of a process: by default a server allows 151, for all its clients together
ANSWERED_WITHIN = 20.0  # seconds for all statements in one `connection()`, the opening included (the driver's own
# time-out ends with TCP's handshake: it would wait for ever for a server that accepts and then says nothing)
ROW_WITHIN = 15  # seconds that a statement waits for a row that another transaction has locked


@dataclass
class _Database:
    """The pool of one event loop."""

    url: str
    pool: Any
    turns: asyncio.Semaphore  # one for each connection: a wait for it is not yet a wait for an answer
    opening: asyncio.Lock = field(default_factory=asyncio.Lock)
    migrated: bool = False


Opened: TypeAlias = tuple[AsyncGenerator[_Database, None], _Database]
_open: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Opened] = weakref.WeakKeyDictionary()


@asynccontextmanager
async def connection() -> AsyncIterator[Any]:
    """Borrow a connection from this loop's pool. A statement outside a `transaction` commits by itself.

    The tables exist: the first task to connect applies the migrations.

    Raises:
        ValueError: INTERLOCK_MARIADB_URL is not set, or wrong.
        ConnectionError: the server does not answer, or refuses; the text is one line.
    """
    database = await _database()
    try:
        async with database.turns, asyncio.timeout(ANSWERED_WITHIN), database.pool.acquire() as connected:
            if not database.migrated:
                async with database.opening:
                    if not database.migrated:
                        await schema.apply(connected)
                        database.migrated = True
            yield connected
    except (OperationalError, InterfaceError, TimeoutError) as error:
        reason = one_line(str(error.args[-1])) if error.args else f"no answer within {ANSWERED_WITHIN:.0f} s"
        where = address.masked(database.url)
        raise ConnectionError(f"MariaDB at {where}: {reason}; {remedy(error)}") from error


@asynccontextmanager
async def transaction(connected: Any) -> AsyncIterator[Any]:
    """Yield a cursor whose statements are committed together, or not at all.

    An error closes the connection, so the server rolls back, whatever state the connection was in.
    """
    try:
        await connected.begin()
        async with connected.cursor() as cursor:
            yield cursor
        await connected.commit()
    except BaseException:
        connected.close()
        raise


def remedy(error: Exception) -> str:
    """Return what helps against an error of the driver or of the server."""
    code = error.args[0] if error.args else 0
    if code in (1205, 1213):
        return "another transaction was in the way: try again"
    if code in (1040, 1203, 1226):
        return "end some of its connections, or raise its max_connections"
    if code in (1021, 1114):
        return "free some space on its disk"
    return "does it run, is INTERLOCK_MARIADB_URL right?"


async def _database() -> _Database:
    loop = asyncio.get_running_loop()
    if loop not in _open:
        url = environment.mariadb_url()
        if url is None:
            raise ValueError(f"INTERLOCK_MARIADB_URL is not set: it must be {environment.MARIADB_FORM}")
        opened = _opened(loop, url)
        _open[loop] = opened, await opened.asend(None)  # asend() suspends nobody: no other task opens one
    return _open[loop][1]


async def _opened(loop: asyncio.AbstractEventLoop, url: str) -> AsyncGenerator[_Database, None]:
    """Yield a pool, and close it when the loop ends: asynchronous generators are closed then."""
    parts = environment.MARIADB_URL.fullmatch(url)
    assert parts is not None
    pool = await aiomysql.create_pool(
        host=parts["host"].strip("[]"),
        port=int(parts["port"] or 3306),
        user=unquote(parts["user"]),
        password=unquote(parts["password"]),
        db=parts["database"],
        minsize=0,
        maxsize=MARIADB_CONNECTIONS_MAX,
        pool_recycle=600,  # s without use: a server closes a connection after eight hours, a proxy perhaps sooner
        autocommit=True,
        charset="utf8mb4",
        client_flag=CLIENT.FOUND_ROWS,  # an UPDATE counts the rows that its WHERE matched, changed or not
        init_command=f"SET SESSION innodb_lock_wait_timeout = {ROW_WITHIN}, sql_notes = 0",
    )
    try:
        yield _Database(url, pool, asyncio.Semaphore(MARIADB_CONNECTIONS_MAX))
    finally:
        _open.pop(loop, None)
        pool.terminate()
        await pool.wait_closed()
