"""Measure the locks turn by turn: a turn is one lock's, with fresh processes, and a round has a turn for each lock."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from bench.harness import noise
from bench.harness.crew import Crew, CrewError
from bench.harness.noise import FAR_PINGS, Noise
from bench.harness.running import order
from bench.harness.server import Server, Spent
from bench.locks.contended import Contended, sections
from bench.locks.uncontended import Uncontended, cycles, round_trips

UNLIMITED = 10**9  # cycles
WATCHED = 20  # cycles whose commands are counted


@dataclass(frozen=True)
class Plan:
    """How much is measured. Times are in seconds."""

    turns: int = 3  # of each lock
    processes: int = 8
    hold: float = 0.001
    delay: float = 0.0013  # each way, in the proxy
    uncontended: float = 1.2  # each window of one process
    near: float = 2.5  # the window of all processes, on loopback
    far: float = 3.5  # the same, through the proxy
    pings: float = 0.6  # the window in which the proxy is checked


QUICK = Plan(turns=1, uncontended=0.4, near=0.6, far=0.8, pings=0.3)


@dataclass(frozen=True)
class Network:
    """What the proxy can do: the round trip of one client, and the PINGs a second of all processes at once."""

    near_rtt_us: float
    far_rtt_us: float
    near_pings: float
    far_pings: float
    parser: str

    def used(self, processes: int) -> float:
        """Return the PINGs through the proxy over what its round trip allows: less than 1 if the proxy is too slow."""
        return self.far_pings * self.far_rtt_us / 1e6 / processes


@dataclass(frozen=True)
class Turn:
    """What one turn of one lock showed. Near is on loopback, far is through the proxy."""

    lock: str
    number: int
    before: Noise
    after: Noise
    near_rtt_us: float
    far_rtt_us: float
    commands: dict[str, float]  # what the client sends in a cycle
    near_alone: Uncontended
    far_alone: Uncontended
    round_trips: float  # of a cycle, uncontended
    near: Contended
    far: Contended
    alone_spent: Spent  # by the server for a cycle, uncontended on loopback
    near_spent: Spent  # by the server for a section, contended
    far_spent: Spent


def network(server: Server, far_port: int, plan: Plan) -> Network:
    """Check the proxy with as many processes as will measure."""
    rates: list[float] = []
    with Crew(plan.processes) as crew:
        for port in (server.port, far_port):
            crew.prepare(noise.pings, port)
            window, counts = crew.go(plan.pings)
            rates.append(sum(counts) / window.seconds)
        crew.prepare(noise.parser, members=1)
        _, (parser,) = crew.go(0)
    near, far = noise.ping(server.port, noise.PINGS), noise.ping(far_port, FAR_PINGS)
    return Network(median(near), median(far), near_pings=rates[0], far_pings=rates[1], parser=parser)


def turn(lock: str, number: int, server: Server, far_port: int, plan: Plan) -> Turn:
    """Measure one lock once.

    Raises:
        CrewError: the lock failed, or a process did not end.
    """
    before = noise.look(server.port)
    far_rtt = median(noise.ping(far_port, FAR_PINGS))
    with Crew(plan.processes) as crew:
        crew.prepare(cycles, lock, server.port, WATCHED, members=1)
        with server.watched() as counts:
            crew.go(plan.uncontended)
        near_alone, alone_spent = _alone(crew, lock, server, server.port, plan)
        far_alone, _ = _alone(crew, lock, server, far_port, plan)
        near, near_spent = _together(crew, lock, server, server.port, plan.near, plan)
        far, far_spent = _together(crew, lock, server, far_port, plan.far, plan)
    return Turn(
        lock=lock,
        number=number,
        before=before,
        after=noise.look(server.port),
        near_rtt_us=before.ping_p50_us,
        far_rtt_us=far_rtt,
        commands={name: count / WATCHED for name, count in counts.items()},
        near_alone=near_alone,
        far_alone=far_alone,
        round_trips=round_trips(near_alone, far_alone, before.ping_p50_us, far_rtt),
        near=near,
        far=far,
        alone_spent=alone_spent,
        near_spent=near_spent,
        far_spent=far_spent,
    )


def _alone(crew: Crew, lock: str, server: Server, port: int, plan: Plan) -> tuple[Uncontended, Spent]:
    crew.prepare(cycles, lock, port, UNLIMITED, members=1)
    before = server.spent()
    _, (took,) = crew.go(plan.uncontended)
    return Uncontended.of(took), server.spent().since(before, len(took))


def _together(crew: Crew, lock: str, server: Server, port: int, seconds: float, plan: Plan) -> tuple[Contended, Spent]:
    crew.prepare(sections, lock, port, plan.hold)
    before = server.spent()
    window, made = crew.go(seconds)
    figures = Contended.of(made, window)
    return figures, server.spent().since(before, figures.sections)


def all_turns(
    locks: Sequence[str], server: Server, far_port: int, plan: Plan, tell: Callable[[str], None]
) -> tuple[list[Turn], dict[str, str]]:
    """Measure all turns; return those of the locks that worked, and the other locks with why they failed."""
    turns: list[Turn] = []
    failed: dict[str, str] = {}
    for number in range(plan.turns):
        for lock in order(locks, number):
            if lock in failed:
                continue
            tell(f"turn {number + 1} of {plan.turns}: {lock}")
            try:
                turns.append(turn(lock, number + 1, server, far_port, plan))
            except CrewError as error:
                failed[lock] = str(error)
    return [each for each in turns if each.lock not in failed], failed
