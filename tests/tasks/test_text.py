"""What tasks say, and what they are called with, is shown line by line, whatever it holds."""

import inspect

import pytest

import interlock
from tasks import app, say
from tasks.celery_app.description import description
from tasks.support.output import PRINTED


@app.task(name="tests.say_all")
def say_all():
    for text in ("a\nb\r\nc", "", "caf\udce9.txt", "tab\t[/x]"):
        say(text)


def test_what_is_said_arrives_line_by_line_and_can_be_printed(capsys):
    """One line is one line for whoever watches: also one with the name of a file that is not UTF-8."""
    result = say_all.apply()
    assert result.successful(), result.traceback
    kept = app.backend.get_task_meta(result.id)
    assert kept["status"] == PRINTED
    assert kept["result"]["texts"] == ["a", "b", "c", "", "caf\\udce9.txt", "tab\t[/x]"]
    assert kept["result"]["number"] == 6
    assert capsys.readouterr().out.splitlines() == kept["result"]["texts"]
    app.backend.forget(result.id)


def test_arguments_are_described_on_one_line():
    """What Flower, logs and `status` show of a call."""

    class Wide:
        def __repr__(self):
            return "[[1 2]\n [3 4]]"

    def task(lock, matrix):
        """Only its parameters matter."""

    call = inspect.signature(task).bind(interlock.Lock(name="two\nlines\0"), Wide())
    assert description(call) == "(lock=Lock two\\nlines\\x00, matrix=[[1 2]\\n [3 4]])"


def test_id_of_a_task_that_redis_cannot_keep_is_an_error_in_the_producer(client):
    for send in (
        lambda: say_all.apply_async(task_id="caf\udce9.txt"),
        lambda: app.send_task(say_all.name, (), {}, None, None, "caf\udce9.txt"),
    ):
        with pytest.raises(ValueError, match=r"^task_id must be text that UTF-8 can hold, not 'caf\\udce9\.txt': of"):
            send()
    assert not client.exists("cpu")
