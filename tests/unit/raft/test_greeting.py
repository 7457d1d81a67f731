"""Who is let in, and which of two processes with one id."""

import pytest

from odradek.raft.greeting import PROTOCOL_VERSION, SUSPECTS_MAX, Greeter, Hello, Refusal

HERE = 1
PEERS = {1: ("one", 9093), 2: ("two", 9093), 3: ("three", 9093)}
OLD, NEW, OTHER = 100, 200, 300


def greeter() -> Greeter:
    return Greeter(HERE, PEERS)


def hello(
    node_id: int = 2,
    cluster_id: str = "abc",
    incarnation: int = OLD,
    to: int = HERE,
    version: int = PROTOCOL_VERSION,
) -> Hello:
    return Hello(version, cluster_id, node_id, incarnation, to)


def test_a_peer_of_the_cluster_is_welcome() -> None:
    assert greeter().judge(hello(), "abc") is None


@pytest.mark.parametrize(("theirs", "ours"), [("", "abc"), ("abc", ""), ("", "")])
def test_a_cluster_that_is_not_founded_yet_is_no_reason(theirs: str, ours: str) -> None:
    assert greeter().judge(hello(cluster_id=theirs), ours) is None


@pytest.mark.parametrize(
    ("stranger", "sentence"),
    [
        (hello(cluster_id="xyz"), "node 2 belongs to cluster xyz, node 1 to cluster abc"),
        (hello(node_id=HERE), "node id 1 is used twice: by the caller and by the node it called"),
        (hello(node_id=4), "node 4 is not among the peers of node 1"),
        (
            hello(to=3),
            "node 2 looks for node 3 at the address of node 1: the voters' addresses differ between the nodes",
        ),
        (
            hello(version=PROTOCOL_VERSION + 1),
            "node 2 speaks version 2 of the Raft protocol, node 1 speaks version 1",
        ),
    ],
    ids=["cluster", "own id", "unknown id", "misdirected", "version"],
)
def test_strangers_are_refused_with_a_sentence(stranger: Hello, sentence: str) -> None:
    assert greeter().judge(stranger, "abc") == Refusal(sentence)


def test_a_node_whose_peers_change() -> None:
    judge = greeter()
    judge.set_peers({2: PEERS[2], 4: ("four", 9093)})
    assert judge.judge(hello(node_id=4), "abc") is None
    assert judge.judge(hello(node_id=3), "abc") is not None


# -- two processes, one id


def test_a_restarted_node_whose_death_was_not_noticed() -> None:
    judge = greeter()
    judge.on_link_up(2, OLD)
    refusal = judge.judge(hello(incarnation=NEW), "abc")
    assert refusal is not None and refusal.is_passing and refusal.redial
    judge.on_link_down(2)
    judge.on_link_up(2, NEW)
    assert judge.judge(hello(incarnation=NEW), "abc") is None
    assert not judge.is_heard(2, OLD), "its old stream may not linger"


def test_the_address_is_dialled_once_per_suspect() -> None:
    judge = greeter()
    judge.on_link_up(2, OLD)
    refusals = [judge.judge(hello(incarnation=NEW), "abc") for _ in range(3)]
    assert [refusal is not None and refusal.redial for refusal in refusals] == [True, False, False]


def test_an_impostor_is_refused_for_good_and_costs_one_dial() -> None:
    judge = greeter()
    judge.on_link_up(2, OLD)
    judge.judge(hello(incarnation=OTHER), "abc")
    judge.on_link_down(2)
    judge.on_link_up(2, OLD)
    sentence = "node id 2 is used twice: another process answers at two:9093, the address of that node"
    assert judge.judge(hello(incarnation=OTHER), "abc") == Refusal(sentence)
    judge.on_link_down(2)
    assert judge.judge(hello(incarnation=OTHER), "abc") == Refusal(sentence), "also while the node is away"
    assert judge.judge(hello(incarnation=OLD), "abc") is None


def test_an_impostor_that_came_first_loses_its_stream() -> None:
    judge = greeter()
    assert judge.judge(hello(incarnation=OTHER), "abc") is None, "nobody knows better yet"
    assert judge.is_heard(2, OTHER)
    judge.on_link_up(2, OLD)
    assert not judge.is_heard(2, OTHER)
    assert judge.judge(hello(incarnation=OTHER), "abc") is not None


def test_an_impostor_that_moves_into_the_address_is_the_node() -> None:
    judge = greeter()
    judge.on_link_up(2, OLD)
    assert not judge.is_heard(2, NEW)
    judge.on_link_down(2)
    judge.on_link_up(2, NEW)
    assert judge.judge(hello(incarnation=NEW), "abc") is None


def test_a_stream_of_a_node_that_is_no_peer_any_more_is_not_heard() -> None:
    judge = greeter()
    judge.set_peers({3: PEERS[3]})
    assert not judge.is_heard(2, OLD)
    judge.on_link_up(2, OLD)  # late news
    judge.on_link_down(2)
    assert not judge.is_heard(2, OLD)


def test_a_peer_that_moves_is_met_anew() -> None:
    judge = greeter()
    judge.on_link_up(2, OLD)
    judge.set_peers(PEERS)
    assert judge.judge(hello(incarnation=NEW), "abc") is not None
    judge.set_peers(PEERS | {2: ("elsewhere", 9093)})
    assert judge.judge(hello(incarnation=NEW), "abc") is None


def test_no_crowd_of_impostors_is_remembered() -> None:
    judge = greeter()
    judge.on_link_up(2, OLD)
    for incarnation in range(1000, 1000 + 10 * SUSPECTS_MAX):
        judge.judge(hello(incarnation=incarnation), "abc")
        judge.is_heard(2, incarnation)
    peer = judge._peers[2]
    assert len(peer.suspects) == len(peer.impostors) == SUSPECTS_MAX
