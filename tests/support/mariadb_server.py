"""A real MariaDB for tests: Debian's or Homebrew's server, on a free port, with a temporary folder of its own."""

import getpass
import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pymysql
import pytest
from peers import wait_until

from workers.local_stack import redis_server

USER, PASSWORD, DATABASE = "seller", "p@ss/w:rd", "interlock"
QUOTED = "p%40ss%2Fw%3Ard"
PLACES = f"{os.environ['PATH']}{os.pathsep}/usr/sbin"


def program(name):
    path = shutil.which(name, path=PLACES)
    if path is None:
        pytest.skip(f"{name} is missing: install mariadb-server")
    return path


def plain(port):
    """A plain client, for what tests look at."""
    return pymysql.connect(
        host="127.0.0.1", port=port, user=USER, password=PASSWORD, database=DATABASE, autocommit=True
    )


def asked(url, question, *arguments):
    """The rows that a question of a test's own is answered with."""
    with plain(urlsplit(url).port) as connection, connection.cursor() as cursor:
        cursor.execute(question, arguments)
        return cursor.fetchall()


def through(proxy, url):
    """The address behind a proxy."""
    return url.replace(f":{urlsplit(url).port}/", f":{proxy.port}/")


@contextmanager
def running():
    """The server, as its address; it ends by its process id."""
    install, server = program("mariadb-install-db"), program("mariadbd")
    folder = Path(tempfile.mkdtemp(prefix="interlock-mariadb-"))
    data, port, me = folder / "data", redis_server.free_port(), f"--user={getpass.getuser()}"
    first = folder / "first.sql"
    first.write_text(
        f"CREATE DATABASE {DATABASE};\n"
        f"CREATE USER {USER}@'%' IDENTIFIED BY '{PASSWORD}';\n"
        f"GRANT ALL ON {DATABASE}.* TO {USER}@'%';\n"
        f"GRANT ALL ON other.* TO {USER}@'%';\n"
    )
    try:
        subprocess.run(
            [install, "--no-defaults", me, f"--datadir={data}", "--auth-root-authentication-method=normal",
             "--skip-test-db"],
            check=True, capture_output=True,
        )  # fmt: skip
        command = [
            server, "--no-defaults", me, f"--datadir={data}", f"--socket={folder / 's'}", f"--port={port}",
            "--bind-address=127.0.0.1", "--skip-name-resolve", "--skip-log-bin", f"--init-file={first}",
            "--innodb-flush-log-at-trx-commit=2", # a crash of the machine is not what is tried
        ]  # fmt: skip
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            wait_until(lambda: _answers(port) or process.poll() is not None, what="the start of MariaDB")
            assert process.poll() is None, (folder / "log").read_text()[-2000:]
            yield f"mysql://{USER}:{QUOTED}@127.0.0.1:{port}/{DATABASE}"
        finally:
            process.terminate()
            process.wait(30)
    finally:
        shutil.rmtree(folder)


def _answers(port):
    try:
        plain(port).close()
    except pymysql.err.OperationalError:
        return False
    return True
