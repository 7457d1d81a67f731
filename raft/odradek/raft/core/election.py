"""Elections: when to campaign, whom to vote for, who has won.
 Decides the randomised deadline, whether a vote or a pre-vote may be granted, and counts ballots. Does not
change roles or terms (`raft` does). Invariants: at most one vote per term (the caller keeps `vote` durable);
while a leader was heard within the election timeout no vote for another is granted, so a node that was cut
off, or removed, cannot disturb a working group. Source: Raft thesis 3.4, 3.6, 4.2.3, 9.6.
"""

from .config import RaftConfig
from .log_view import LogView
from .quorum import Configuration, VoteResult
from .types import NO_NODE, HardState, Random


class Election:
    """Deadline, contact with the leader, and the ballots of the campaign under way."""

    __slots__ = (
        "_contact_ms",
        "_lost_delay_ms_max",
        "_lost_leader_id",
        "_lost_ms",
        "_random",
        "_timeout_ms",
        "_votes",
        "deadline_ms",
    )

    def __init__(self, config: RaftConfig, random: Random, now_ms: int) -> None:
        self._timeout_ms = config.election_timeout_ms
        self._lost_delay_ms_max = config.leader_lost_delay_ms_max
        # The leader of whose loss there was a hint, and when; NO_NODE once any leader was heard.
        self._lost_leader_id = NO_NODE
        self._lost_ms = 0
        self._random = random
        self._contact_ms: int | None = None
        self._votes: dict[int, bool] = {}
        self.deadline_ms = 0
        self.reset_deadline(now_ms)

    def reset_deadline(self, now_ms: int) -> None:
        """Called for exactly three reasons: word from the leader, a vote granted, a campaign begun (or an
        office left).

        Why not for every message: a candidate that cannot win would otherwise keep everyone from campaigning.
        """
        self.deadline_ms = now_ms + self._random.randrange(self._timeout_ms, 2 * self._timeout_ms)

    def on_leader_contact(self, leader_id: int, now_ms: int) -> None:
        if leader_id == self._lost_leader_id and now_ms < self._lost_ms + self._lost_delay_ms_max:
            # Its last words, which were under way when the connection broke. One who lives will speak again.
            return
        self._contact_ms = now_ms
        self._lost_leader_id = NO_NODE
        self.reset_deadline(now_ms)

    def on_leader_lost(self, leader_id: int, now_ms: int) -> None:
        """A hint that the leader is gone. Its promise is void here; the others keep theirs until they know."""
        self._contact_ms = None
        self._lost_leader_id, self._lost_ms = leader_id, now_ms
        self.deadline_ms = min(self.deadline_ms, now_ms + self._random.randrange(0, self._lost_delay_ms_max))

    def on_voter_found(self, now_ms: int) -> None:
        """There is another voter to be asked, and nobody leads: do not wait out a silence that means nothing."""
        self.deadline_ms = min(
            self.deadline_ms, now_ms + self._random.randrange(0, 2 * self._lost_delay_ms_max)
        )

    def forget_leader(self) -> None:
        self._contact_ms = None

    def has_lease(self, now_ms: int) -> bool:
        """A leader was heard so recently that it still has its quorum's promise."""
        return self._contact_ms is not None and now_ms < self._contact_ms + self._timeout_ms

    def begin(self, now_ms: int) -> None:
        self._votes.clear()
        self.reset_deadline(now_ms)
        if self._lost_leader_id != NO_NODE and now_ms < self._lost_ms + self._timeout_ms:
            # Why again so soon: the others may hear of the loss a little later, or have asked at the same time.
            delay_ms = self._lost_delay_ms_max
            self.deadline_ms = min(self.deadline_ms, now_ms + self._random.randrange(delay_ms, 2 * delay_ms))

    def record(self, voter: int, granted: bool) -> None:
        """The first answer of a voter counts, a repeated one does not."""
        self._votes.setdefault(voter, granted)

    def result(self, configuration: Configuration) -> VoteResult:
        return configuration.vote_result(self._votes)


def is_up_to_date(log: LogView, last_index: int, last_term: int) -> bool:
    """A log that ends with (last_index, last_term) holds at least what `log` holds."""
    return (last_term, last_index) >= (log.last_term, log.last_index)


def may_vote(hard_state: HardState, leader_id: int, candidate: int) -> bool:
    """No other vote was given in this term, and the term has no leader yet."""
    if hard_state.damaged:
        return False
    return hard_state.vote == candidate or (hard_state.vote == NO_NODE and leader_id == NO_NODE)
