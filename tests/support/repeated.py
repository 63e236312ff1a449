"""Tests that are repeated, as their faults show now and then."""

import pytest


def turns(times, quickly=1):
    """So many turns for `parametrize`, of which `make test` takes the first ones alone."""
    return [*range(quickly), *(pytest.param(turn, marks=pytest.mark.long) for turn in range(quickly, times))]
