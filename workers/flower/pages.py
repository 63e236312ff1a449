"""The base of our pages in Flower: the login, who may change something, and calls that block."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, ParamSpec, TypeVar
from urllib.parse import urlsplit

import redis
from flower.views import BaseHandler
from kombu.exceptions import OperationalError
from tornado.web import HTTPError, RequestHandler

from interlock import InterlockError, NameTakenError, address

Parameters = ParamSpec("Parameters")
Answer = TypeVar("Answer")
LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")


class NotPossibleError(Exception):
    """What was asked for cannot be done with what there is: the message says why, in one line."""


class Page(BaseHandler):  # type: ignore[misc]
    """A page of ours."""

    @property
    def has_login(self) -> bool:
        """Whether somebody must log in to see this Flower."""
        options = self.application.options
        return bool(options.basic_auth or options.auth)

    @property
    def refused(self) -> str:
        """Why this request may change nothing; '' if it may.

        Without a login, whoever reaches Flower could. So it may then be reached only as this machine: a page of
        another origin whose name leads here (DNS rebinding) is another host.
        """
        if self.application.options.read_only:
            return "Flower is in read-only mode: start it without --read-only to change something"
        if not self.has_login and urlsplit(f"//{self.request.host}").hostname not in LOCAL_HOSTS:
            return "without a login, Flower changes something only for its own machine: set FLOWER_BASIC_AUTH"
        return ""

    @property
    def may_change(self) -> bool:
        """Whether the page shows buttons that change something."""
        return not self.refused

    def check_xsrf_cookie(self) -> None:
        """Refuse a request that another site made: as Flower does, and by the token also if there is no login."""
        super().check_xsrf_cookie()
        if not self.has_login:
            if self.request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
                raise HTTPError(403, "Cross-site request forbidden")
            RequestHandler.check_xsrf_cookie(self)

    def check_may_change(self) -> None:
        """Raise HTTPError 403 if this request may change nothing."""
        if self.refused:
            raise HTTPError(403, self.refused)

    def render_page(self, template: str, title: str, tab: str, script: str, **values: Any) -> None:
        """Write a page that extends `page.html`.

        Args:
            template: its file.
            title: the window's.
            tab: the entry of the navigation to which it belongs.
            script: the file of its script.
            **values: what the template names.
        """
        self.render(template, title=title, tab=tab, script=script, **values)

    def argument(self, name: str) -> str:
        """Return an argument of the request as it is, or ''.

        Flower's `get_argument` escapes it, and the templates escape it again; Tornado's replaces control characters.

        Raises:
            HTTPError: 400, it is not UTF-8.
        """
        values = self.request.arguments.get(name, [b""])
        try:
            return bytes(values[-1]).decode()
        except UnicodeDecodeError as error:
            raise HTTPError(400, f"{name} must be UTF-8") from error

    async def blocking(
        self, call: Callable[Parameters, Answer], *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> Answer:
        """Make a call that blocks, in another thread.

        Raises:
            HTTPError: 409, the call does not fit what there is; 503, Redis does not answer, or refuses. With one line.
        """
        try:
            return await asyncio.get_running_loop().run_in_executor(None, partial(call, *args, **kwargs))
        except (NameTakenError, NotPossibleError) as error:
            raise HTTPError(409, str(error)) from error
        except InterlockError as error:
            raise HTTPError(503, str(error)) from error
        except (redis.RedisError, OperationalError, OSError) as error:
            said = address.unreachable(address.masked(address.url()), error)
            raise HTTPError(503, said) from error


class Data(Page):
    """What a script of our pages asks for: JSON, or one line of text that says what is wrong."""

    def write_error(self, status_code: int, **options: Any) -> None:
        """Write the reason as text."""
        error = options.get("exc_info", (None, None, None))[1]
        if status_code == 401 or not isinstance(error, HTTPError):
            super().write_error(status_code, **options)
            return
        self.set_header("Content-Type", "text/plain; charset=UTF-8")
        self.finish(error.get_message())
