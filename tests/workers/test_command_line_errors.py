"""An error of the operating system is one line, and speaks of folders only if it is one of a folder."""

import errno
import os

import pytest

from workers.local_stack import cli


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/x"),
            "No space left on device: /x; TMPDIR names the folder",
        ),
        (BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)), "Broken pipe\n"),
        (ConnectionError("MariaDB does not answer"), "MariaDB does not answer\n"),
        (TimeoutError("waited in vain"), "waited in vain\n"),
    ],
    ids=["full", "pipe", "connection", "time-out"],
)
def test_error_of_the_system_is_said_what_helps(error, said, monkeypatch, capsys):
    """`TMPDIR` helps against a full disk, and not against a broken pipe."""

    def fails(**_):
        raise error

    monkeypatch.setattr(cli, "cli", fails)
    assert cli._exit_code() == 1
    assert capsys.readouterr().err.startswith(f"error: {said}")
