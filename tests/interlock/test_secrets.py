"""Secrets: given in a variable or in a file, and a wrong one is a line that does not show it."""

import os
import subprocess
import sys

import pytest
from guarded_server import guarded_server

import interlock
from interlock import address
from interlock._secrets import secret

PASSWORD = "s3:cr/e@t%+ ä"


@pytest.fixture(autouse=True)
def no_address_known():
    """A process reads the login once for each value of REDIS_URL."""
    yield
    address._with_login.cache_clear()


def written(folder, text, name="secret"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


@pytest.mark.parametrize(
    ("text", "value"),
    [("s", "s"), ("s\n", "s"), ("s\r\n", "s"), (" s \n", " s "), ("s\nt\n", None), ("\n", None), ("s\n\n", None)],
)
def test_last_line_end_of_a_file_is_no_part_of_the_secret(tmp_path, text, value):
    variables = {"SECRET_FILE": written(tmp_path, text)}
    if value is not None:
        assert secret("SECRET", variables) == value
    else:
        with pytest.raises(ValueError, match=r"must hold the secret as one line|is empty"):
            secret("SECRET", variables)


def test_empty_variable_is_as_none(tmp_path):
    assert secret("SECRET", {"SECRET": "", "SECRET_FILE": ""}) is None
    assert secret("SECRET", {"SECRET": "s", "SECRET_FILE": ""}) == "s"
    assert secret("SECRET", {"SECRET": "", "SECRET_FILE": written(tmp_path, "s")}) == "s"


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda folder: written(folder, ""), "is empty: write the secret into it"),
        (lambda folder: str(folder / "none"), r"cannot be read \(No such file or directory\): name a file that"),
        (lambda folder: str(folder), r"cannot be read \(Is a directory\): name a file that"),
        (lambda folder: written(folder, b"hidden\xff"), "must hold text in UTF-8"),
        (lambda folder: written(folder, "hidden" * 20_000), "as one line, and holds more"),
        (lambda folder: "\0", r"cannot be read \(embedded null byte\)"),
    ],
)
def test_file_that_cannot_be_used_is_one_line_that_does_not_show_it(tmp_path, made, said):
    with pytest.raises(ValueError, match=said) as caught:
        secret("SECRET", {"SECRET_FILE": made(tmp_path)})
    assert str(caught.value).startswith("SECRET_FILE: ")
    assert "\n" not in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_variable_and_file_at_once_are_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"^SECRET and SECRET_FILE are both set: unset one of them$"):
        secret("SECRET", {"SECRET": "s", "SECRET_FILE": written(tmp_path, "s")})


@pytest.mark.parametrize(
    ("given", "user", "password", "is_url"),
    [
        ("redis://h:1/2", "", "p@/", "redis://:p%40%2F@h:1/2"),
        ("redis://h:1/2", "u", "p", "redis://u:p@h:1/2"),
        ("redis://u@h:1/2", "", "p", "redis://u:p@h:1/2"),
        ("redis://u:p@h:1/2", "u", "p", "redis://u:p@h:1/2"),
        ("redis://:p@h:1/2", "u", "", "redis://u:p@h:1/2"),
        ("rediss://[::1]:1/2?ssl_ca_certs=/c", "u", "p", "rediss://u:p@[::1]:1/2?ssl_ca_certs=/c"),
        ("unix:///tmp/s?db=3", "", "p", "unix://:p@/tmp/s?db=3"),
        ("", "u", "p", address.DEFAULT_URL),
    ],
)
def test_user_and_password_complete_an_address(monkeypatch, given, user, password, is_url):
    for name, value in {"REDIS_URL": given, "REDIS_USERNAME": user, "REDIS_PASSWORD": password}.items():
        monkeypatch.setenv(name, value)
    assert address.url() == is_url


@pytest.mark.parametrize(("name", "value"), [("REDIS_USERNAME", "v"), ("REDIS_PASSWORD", "q")])
def test_two_users_or_passwords_are_an_error(monkeypatch, name, value):
    monkeypatch.setenv("REDIS_URL", "redis://u:p@h:1/2")
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=rf"^REDIS_URL and {name} give two: leave one of them out$"):
        address.url()


def test_file_of_an_address_that_holds_none_is_not_shown(tmp_path, monkeypatch):
    monkeypatch.delenv("REDIS_URL")
    monkeypatch.setenv("REDIS_URL_FILE", written(tmp_path, "hidden"))
    with pytest.raises(ValueError, match="the file that REDIS_URL_FILE names must hold redis://") as caught:
        address.url()
    assert "hidden" not in str(caught.value)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    with guarded_server(tmp_path_factory.mktemp("guarded"), PASSWORD) as addresses:
        yield addresses
        interlock.close()


@pytest.mark.parametrize("way", ["port", "socket"])
def test_lock_logs_in_with_the_password_of_a_file(tmp_path, guarded, way):
    code = "import interlock; lock = interlock.Lock(); print(lock.acquire()); lock.release(); interlock.close()"
    own = {key: value for key, value in os.environ.items() if key not in address.VARIABLES}

    def said(text):
        files = {"REDIS_PASSWORD_FILE": written(tmp_path, text), "REDIS_URL_FILE": written(tmp_path, url, "url")}
        return subprocess.run(
            [sys.executable, "-c", code], env={**own, **files}, capture_output=True, text=True, check=False, timeout=60
        )

    url = guarded[way]
    assert said(f"{PASSWORD}\n").stdout == "True\n"
    wrong = said("wrong\n")
    assert wrong.returncode == 1
    assert "(from REDIS_URL_FILE) refuses" in wrong.stderr.splitlines()[-1]
    assert "wrong" not in wrong.stderr.splitlines()[-1].replace("WRONGPASS", "")
