"""Value and RawValue against a model: what C would hold, what was committed last, and what a section wrote since."""

import ctypes
from multiprocessing.sharedctypes import typecode_to_type

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule
from parties import Machine, anyone, marks, run, same

import interlock

C_TYPES = {**typecode_to_type, "?": ctypes.c_bool}
GONE = interlock.GoneError
GUARDED, RAW = (0, 1), 2  # two values under one lock, and one that has none
ALL = (*GUARDED, RAW)
CONTENTS = {  # what the type can hold, if with overflow; and what some can not
    **dict.fromkeys(C_TYPES, st.integers(-(2**70), 2**70)),
    "?": st.booleans(), "c": st.binary(min_size=1, max_size=1), "u": st.characters(exclude_categories=()),
    "f": st.floats(), "d": st.floats(),
}  # fmt: skip
ODD = st.one_of(*CONTENTS.values(), st.none(), st.binary(max_size=2))


def writes(numbers):
    """One of these values, and what to write to it."""
    return st.runner().flatmap(lambda machine: st.sampled_from(numbers).flatmap(lambda n: _write_to(machine, n)))


def _write_to(machine, number):
    fits = CONTENTS[machine.typecodes[number]]
    return st.tuples(st.just(number), st.integers(0, 4).flatmap(lambda odd: fits if odd else ODD))


class Values(Machine):
    """Writes under the lock are its holder's alone until its release; then all are stored, or none if one is gone."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind

    @initialize(typecodes=st.tuples(*[st.sampled_from(sorted(C_TYPES))] * 3))
    def make(self, typecodes):
        self.typecodes = typecodes
        self.look = self.kind(client=self.parties[0].client, linger=0)
        self.locks = {party: self.kind(name=self.look.name, client=party.client, linger=0) for party in self.parties}
        self.values = {party: [self.made(party, number) for number in ALL] for party in self.parties}
        self.committed = [C_TYPES[typecode]().value for typecode in typecodes]
        self.written_last = list(self.committed)  # without what was added since
        self.added = [[0, 0] for _ in ALL]  # before who holds began, and since
        self.holder, self.written = None, {}
        self.queue = []  # who waits for the lock, with what it does then: a function that says its answer

    def made(self, party, number, first=None):
        """The value of that number as a party has it: made anew, or found."""
        name, typecode = f"{self.look.name} {number}", self.typecodes[number]
        if number == RAW:
            return interlock.RawValue(typecode, first, name=name, client=party.client, ttl=60)
        return interlock.Value(typecode, first, name=name, lock=self.locks[party], ttl=60)

    def held(self, number, content):
        """What C holds after that was written, or the type of what ctypes raises."""
        try:
            held = C_TYPES[self.typecodes[number]](content).value
            if self.typecodes[number] == "u":
                held.encode()  # half of a surrogate pair is no text
        except Exception as error:
            return type(error)
        return held

    def seen(self, party, number):
        """What that party reads."""
        if party is self.holder and number in self.written:
            return self.written[number]
        if party is self.holder and number in GUARDED and self.committed[number] is not GONE:
            return self.sum(number, self.added[number][0])
        return self.committed[number]

    def sum(self, number, added):
        """What it holds when that is added to what was written last."""
        return (
            C_TYPES[self.typecodes[number]](self.written_last[number] + added).value
            if added
            else self.written_last[number]
        )

    def commit(self, number, held):
        """It is written by who holds: what was added before is part of it."""
        self.written_last[number], self.added[number][0] = held, 0
        self.committed[number] = self.sum(number, self.added[number][1])

    def leave(self):
        """The holder gives the lock up, and so does, at once, whoever waits for it only to write: what each answers."""
        gone = any(self.committed[number] is GONE for number in self.written)
        if not gone:
            for number, held in self.written.items():
                self.commit(number, held)
        for added in self.added:
            added[:] = sum(added), 0
        self.written, self.holder = {}, None
        return GONE if gone else None

    def write_in_a_section(self, number, held, exchange):
        """The answer of a write without the lock, when its turn has come."""
        replaced = self.committed[number] if exchange else None
        if replaced is GONE or isinstance(held, type):
            return GONE if replaced is GONE else held
        self.written = {number: held}
        return self.leave() or replaced

    def hand_over(self):
        while self.queue and self.holder is None:
            party, turn = self.queue.pop(0)
            expected = turn()
            assert same(party.answer(), expected)

    def enter(self, party):
        self.holder = party
        return True

    @rule(party=anyone)
    def acquire_now(self, party):
        if party is not self.holder:
            got = self.holder is None
            assert party.ask(lambda: self.locks[party].acquire(blocking=False)) is got
            if got:
                self.holder = party

    @rule(party=anyone)
    def acquire(self, party):
        if party is not self.holder:
            self._in_turn(party, self.locks[party].acquire, lambda: self.enter(party))

    @precondition(lambda self: self.holder)
    @rule()
    def release(self):
        party = self.holder
        assert party.ask(self.locks[party].release) is self.leave()
        self.hand_over()

    @rule(party=anyone, number=st.sampled_from(ALL))
    def read(self, party, number):
        assert same(party.ask(lambda: self.values[party][number].value), self.seen(party, number))

    @rule(party=anyone, write=writes(ALL), exchange=st.booleans())
    def write(self, party, write, exchange):
        """With exchange, and what was there is the answer. Who does not hold the lock takes it for that, in turn."""
        self._write(party, *write, exchange)

    @rule(party=anyone, number=st.sampled_from(GUARDED), n=st.one_of(st.integers(-(2**70), 2**70), st.floats(-9, 9)))
    def add(self, party, number, n):
        """Nobody waits for the lock, whoever holds it."""
        held, typecode = self.held(number, n), self.typecodes[number]
        expected = TypeError if isinstance(held, type) or typecode in "cu?" else None
        if expected is None and self.seen(party, number) is GONE:
            expected = GONE
        assert party.ask(lambda: self.values[party][number].add(n)) is expected
        if expected is not None:
            return
        if party is self.holder:
            self.written[number] = self.held(number, self.seen(party, number) + n)
        else:
            self.added[number][self.holder is not None] += n
            self.committed[number] = self.sum(number, sum(self.added[number]))

    @precondition(lambda self: self.holder)
    @rule(some=st.lists(writes(GUARDED), min_size=1, max_size=4), exchange=st.booleans())
    def write_some_under_the_lock(self, some, exchange):
        for number, content in some:
            self._write(self.holder, number, content, exchange)

    def _write(self, party, number, content, exchange):
        value, held = self.values[party][number], self.held(number, content)

        def call():
            if exchange:
                return value.exchange(content)
            value.value = content
            return None

        if number == RAW:
            replaced = self.committed[RAW]
            expected = held if isinstance(held, type) else GONE if replaced is GONE else replaced if exchange else None
            assert same(party.ask(call), expected)
            if not isinstance(held, type) and replaced is not GONE:
                self.committed[RAW] = held
        elif party is self.holder:
            replaced = self.seen(party, number) if exchange else None
            expected = GONE if replaced is GONE else held if isinstance(held, type) else replaced
            assert same(party.ask(call), expected)
            if not isinstance(expected, type):
                self.written[number] = held
        elif isinstance(held, type) and not exchange:
            assert party.ask(call) is held, "without waiting for the lock"
        else:
            self._in_turn(party, call, lambda: self.write_in_a_section(number, held, exchange))

    def _in_turn(self, party, call, turn):
        self.queue.append((party, turn))
        party.begin(call)
        if self.holder is None:
            self.hand_over()
        else:
            self.waits(party, lambda: len(self.look.statistics().waiters) == len(self.queue))

    @precondition(lambda self: GONE not in self.committed)
    @rule(party=anyone, number=st.sampled_from(ALL))
    def unlink_one(self, party, number):
        assert party.ask(self.values[party][number].unlink) is None
        self.committed[number] = GONE

    @rule(party=anyone, write=writes(ALL))
    def make_again(self, party, write):
        """It begins with that if it was gone; else it is found with what it holds."""
        number, content = write
        held = self.held(number, content) if content is not None else C_TYPES[self.typecodes[number]]().value
        made = party.ask(lambda: self.made(party, number, content))
        if isinstance(held, type):
            assert made is held
            return
        self.values[party][number] = made
        if self.committed[number] is GONE:
            self.committed[number] = self.written_last[number] = held
            self.added[number] = [0, 0]

    @invariant()
    def who_waits_and_holds_is_as_the_model_says(self):
        seen = self.look.statistics()
        assert marks(seen.waiters) == [party.mark for party, _ in self.queue]
        assert marks(holder.who for holder in seen.holders) == [
            party.mark for party in self.parties if party is self.holder
        ]

    @invariant()
    def all_read_what_was_committed_last(self):
        for party in self.idle():
            if party is not self.holder:
                read = [party.ask(lambda value=value: value.value) for value in self.values[party]]
                assert same(read, self.committed)

    def let_go(self):
        for party in self.idle():
            party.ask(self.locks[party].release)

    def unlink(self):
        self.let_go()
        for value in self.values[self.parties[0]]:
            value.unlink()


@pytest.mark.parametrize("kind", [interlock.Lock, interlock.RLock])
def test_values_hold_what_c_holds_and_show_what_was_committed_last(kind):
    """Whatever five parties do, in any order."""
    run(Values, kind)


@pytest.mark.parametrize("twin", ["grants_though_held", "stores_what_is_left", "stores_the_last_alone"])
def test_steps_are_found_that_show_a_broken_value(twin):
    """The test above fails for each of these."""
    run(Values, interlock.RLock, twin=twin)
