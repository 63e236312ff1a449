"""The examples in docstrings are run."""

import doctest
import importlib
import pkgutil

import pytest

import interlock

MODULES = ["interlock", *(f"interlock.{module.name}" for module in pkgutil.iter_modules(interlock.__path__))]


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_a_module_show_what_they_say(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_every_primitive_has_an_example():
    found = doctest.DocTestFinder()
    for kind in (interlock.Lock, interlock.RLock, interlock.Semaphore, interlock.Value, interlock.RawValue):
        assert any(test.examples for test in found.find(kind)), kind
