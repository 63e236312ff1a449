"""The tables in MariaDB: plain SQL files in `migrations/`, each applied once, in the order of their names."""

from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "migrations"
OTHERS_WITHIN = 10  # seconds that another worker's migrations may take


async def apply(connection: Any, folder: Path = FOLDER) -> list[str]:
    """Apply the files that the table `migrations` does not name yet. Returns their names.

    One worker at a time does so, under a lock of the database. That lock is enough, for all changes are made in there,
    and it ends with its connection. If a worker dies after it applied a file and before it noted the name, the next one
    applies the file again; so each file must allow that. If this fails, it closes the connection.

    Raises:
        pymysql.err.MySQLError: the server refused a file.
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
                while await cursor.nextset():  # raises the error of the file's next statement
                    pass
                await cursor.execute("INSERT INTO migrations (name) VALUES (%s)", (path.name,))
            await cursor.execute("DO RELEASE_LOCK(LEFT(CONCAT('migrations of ', DATABASE()), 64))")
            return [path.name for path in new]
    except BaseException:
        connection.close()
        raise
