from odradek.node.interbroker.lease import Lease


class Clock:
    now = 1_000

    def __call__(self) -> int:
        return self.now


def test_it_is_held_for_a_session_from_when_the_confirmed_heartbeat_left() -> None:
    clock = Clock()
    lease = Lease(2_000, clock, is_alone=False)
    assert not lease.is_held()
    clock.now = 5_000
    lease.renew(sent_ms=4_000)
    clock.now = 5_999
    assert lease.is_held()
    clock.now = 6_000
    assert not lease.is_held()


def test_an_older_confirmation_that_comes_late_does_not_shorten_it() -> None:
    clock = Clock()
    lease = Lease(2_000, clock, is_alone=False)
    lease.renew(900)
    lease.renew(500)
    clock.now = 2_800
    assert lease.is_held()


def test_a_fenced_node_does_not_hold_it() -> None:
    lease = Lease(2_000, Clock(), is_alone=False)
    lease.renew(1_000)
    lease.drop()
    assert not lease.is_held()


def test_who_is_alone_holds_it_always() -> None:
    assert Lease(2_000, Clock(), is_alone=True).is_held()
