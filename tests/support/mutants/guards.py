"""Broken twins of methods: each without one of its guards."""

import inspect
import sys
import textwrap
from contextlib import contextmanager

import pytest


@contextmanager
def without(guards, twin):
    """The method without that guard; None: as it is."""
    with pytest.MonkeyPatch.context() as patch:
        if twin is not None:
            owner, method, guard, instead = guards[twin]
            source = textwrap.dedent(inspect.getsource(getattr(owner, method)))
            assert source.count(guard) == 1
            names = dict(vars(sys.modules[owner.__module__]))
            exec(source.replace(guard, instead), names)
            patch.setattr(owner, method, names[method])
        yield
