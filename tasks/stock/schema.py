"""The tables in MariaDB: plain SQL files in tasks/stock/migrations/, each applied once, in the order of their names."""

from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "migrations"
OTHERS_WITHIN = 10  # seconds that another worker's migrations may take


async def apply(connection: Any, folder: Path = FOLDER) -> list[str]:
    """Apply the files that the table `migrations` does not name yet. Returns their names.

    One worker at a time does, under a lock of the database's own: all that is changed is in there, so its lock is
    enough, and goes with its connection. A worker that dies between a file and its note applies the file again; so each
    file must allow that. A connection on which this fails is closed.

    Raises:
        pymysql.err.MySQLError: what the server says of a file.
        TimeoutError: another worker still applies them.
    """
    try:
        async with connection.cursor() as cursor:
            lock = "SELECT GET_LOCK(LEFT(CONCAT('migrations of ', DATABASE()), 64), %s)"
            await cursor.execute(lock, (OTHERS_WITHIN,))
            if await cursor.fetchone() != (1,):
                raise TimeoutError(f"another worker has been applying migrations for {OTHERS_WITHIN} s: try again")
            await cursor.execute("CREATE TABLE IF NOT EXISTS migrations (name VARCHAR(100) NOT NULL PRIMARY KEY)")
            await cursor.execute("SELECT name FROM migrations")
            known = {name for (name,) in await cursor.fetchall()}
            new = [path for path in sorted(folder.glob("*.sql")) if path.name not in known]
            for path in new:
                await cursor.execute(path.read_text(encoding="utf-8"))
                while await cursor.nextset():  # a file holds several statements: an error of a later one comes here
                    pass
                await cursor.execute("INSERT INTO migrations (name) VALUES (%s)", (path.name,))
            await cursor.execute("DO RELEASE_LOCK(LEFT(CONCAT('migrations of ', DATABASE()), 64))")
            return [path.name for path in new]
    except BaseException:
        connection.close()
        raise
