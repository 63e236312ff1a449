"""MariaDB for coroutines: one pool of connections for each process and event loop, where INTERLOCK_MARIADB_URL says."""

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

CONNECTIONS_MAX = 10  # of a process: a server allows all its clients 151, unless it is told otherwise
ANSWERED_WITHIN = 20.0  # seconds for all that is asked in one `connection()`, its opening included (the driver's own
# time-out ends with TCP's handshake: who accepts and then says nothing would be waited for)
ROW_WITHIN = 15  # seconds that another's transaction may keep a row


@dataclass
class _Database:
    """The pool of one event loop."""

    url: str
    pool: Any
    turns: asyncio.Semaphore  # as many as connections: who waits for one is not yet waiting for an answer
    opening: asyncio.Lock = field(default_factory=asyncio.Lock)
    migrated: bool = False


Opened: TypeAlias = tuple[AsyncGenerator[_Database, None], _Database]
_open: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Opened] = weakref.WeakKeyDictionary()


@asynccontextmanager
async def connection() -> AsyncIterator[Any]:
    """A connection of this loop's pool. What is asked outside a `transaction` is committed by itself.

    The tables are there: the first to come applies the migrations.

    Raises:
        ValueError: INTERLOCK_MARIADB_URL is not set, or wrong.
        ConnectionError: the server does not answer, or refuses; in one line.
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
    """A cursor whose statements are committed together, or none of them.

    On an error the connection is closed, and so rolled back by the server, whatever state it was in.
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
        _open[loop] = opened, await opened.asend(None)  # which suspends nobody: no other opens it meanwhile
    return _open[loop][1]


async def _opened(loop: asyncio.AbstractEventLoop, url: str) -> AsyncGenerator[_Database, None]:
    """A pool, closed when the loop ends: asyncio.run, and the worker, end all asynchronous generators then."""
    parts = environment.MARIADB_URL.fullmatch(url)
    assert parts is not None
    pool = await aiomysql.create_pool(
        host=parts["host"].strip("[]"),
        port=int(parts["port"] or 3306),
        user=unquote(parts["user"]),
        password=unquote(parts["password"]),
        db=parts["database"],
        minsize=0,
        maxsize=CONNECTIONS_MAX,
        pool_recycle=600,  # s without use: a server closes after eight hours, what is in between may sooner
        autocommit=True,
        charset="utf8mb4",
        client_flag=CLIENT.FOUND_ROWS,  # an UPDATE counts the rows that its WHERE found, changed or not
        init_command=f"SET SESSION innodb_lock_wait_timeout = {ROW_WITHIN}, sql_notes = 0",
    )
    try:
        yield _Database(url, pool, asyncio.Semaphore(CONNECTIONS_MAX))
    finally:
        _open.pop(loop, None)
        pool.terminate()
        await pool.wait_closed()
