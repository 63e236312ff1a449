"""The tutorial's programs in its order, then further ones, and what each shows on one machine."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Program:
    """One program in examples/."""

    name: str
    tutorial: str  # what the tutorial shows on one machine
    counting: bool = False  # whether it takes the number of updates as its argument
    timed: bool = False  # whether it makes fewer updates than the tutorial if those would take too long here


PROGRAMS = (
    Program("threads", "numbers and letters, mixed"),
    Program("race_condition", "-2774, or 313, or ...", counting=True, timed=True),
    Program("lock", "0", counting=True),
    Program("semaphore", "3 at most inside"),
    Program("processes", "Square: 100, Cube: 1000"),
    Program("shared_value", "0", counting=True),
    # the tutorial shows no program for these: the text says what the standard library's show
    Program("condition", "3 at most in the buffer"),
    Program("shared_queue", "0 to 9, in order"),
    Program("pipe", "0 to 9, in order"),
    Program("shared_array", "each update counted"),
    Program("event", "all go on when it is set"),
    Program("barrier", "nobody is a round ahead"),
    Program("primes", "pi(10^8) = 5,761,455"),
    Program("mandelbrot", "one process, one colour"),
)
