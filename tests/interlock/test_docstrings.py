"""The examples in docstrings are run."""

import doctest
import importlib
import pkgutil

import pytest

import interlock
from interlock._primitive import Primitive

MODULES = ["interlock", *(f"interlock.{module.name}" for module in pkgutil.iter_modules(interlock.__path__))]


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_a_module_show_what_they_say(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_every_primitive_has_an_example():
    found = doctest.DocTestFinder()
    for name in interlock.__all__:
        kind = getattr(interlock, name)
        if not (isinstance(kind, type) and issubclass(kind, Primitive)) or kind is interlock.BoundedSemaphore:
            continue  # as Semaphore's
        assert any(test.examples for test in found.find(kind)), kind
