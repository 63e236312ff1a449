"""What users set is checked at start; settings follow from it."""

import os
import subprocess
import sys

import pytest

from tasks.celery_app import environment
from tasks.celery_app.settings import as_celery_says, certificates, settings


@pytest.mark.parametrize("text", ["-1", "0", "4", "x", "1.5", "99999999999", "٣٠٠"])
def test_wrong_number_is_one_line_that_says_what_is_allowed(text):
    with pytest.raises(ValueError, match=r"INTERLOCK_TASK_SECONDS_MAX must be a whole number from 5 to 86400, not"):
        environment.read({"INTERLOCK_TASK_SECONDS_MAX": text})


def test_transport_takes_its_settings_from_the_environment():
    made = settings(environment.read({"INTERLOCK_VISIBILITY_SECONDS": "7", "INTERLOCK_DELIVERIES_MAX": "3"}))
    options = made["broker_transport_options"]
    assert (options["visibility_timeout"], options["deliveries_max"]) == (7, 3)


@pytest.mark.parametrize(
    ("variable", "value"), [("REDIS_URL", "nonsense"), ("INTERLOCK_PREFIX", "{"), ("INTERLOCK_RESULT_SECONDS", "-3")]
)
def test_command_line_says_in_one_line_which_variable_is_wrong(variable, value):
    said = subprocess.run(
        [sys.executable, "-m", "workers", "status"],
        env={**os.environ, variable: value},
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 1
    assert said.stderr.startswith(f"error: {variable} must")
    assert said.stderr.count("\n") == 1


def test_address_is_put_in_celerys_words():
    assert as_celery_says("redis://h:1/2") == "redis://h:1/2"
    assert as_celery_says("rediss://h:1/2") == "rediss://h:1/2?ssl_cert_reqs=required"
    assert as_celery_says("rediss://h:1/2?ssl_cert_reqs=none") == "rediss://h:1/2?ssl_cert_reqs=none"
    assert as_celery_says("unix:///tmp/s?db=3") == "redis+socket:///tmp/s?virtual_host=3"


def test_flower_hears_of_certificates_what_the_address_says():
    address = "rediss://h:1/2?ssl_ca_certs=/ca.crt&ssl_check_hostname=false"
    wanted = {"ssl_cert_reqs": "required", "ssl_ca_certs": "/ca.crt", "ssl_check_hostname": False}
    assert certificates(as_celery_says(address)) == wanted
    assert certificates("redis://h:1/2") is None
