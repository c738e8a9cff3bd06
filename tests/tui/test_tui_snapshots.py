"""What a snapshot takes over from the one before is what it would have found by itself."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mmfuse_runs.records import RunRecord
from mmfuse_tui.snapshot import StoreSnapshot, notices

STATES = st.sampled_from(["running", "queued", "finished", "crashed"])


def record(number: int, state: str, damaged: bool) -> RunRecord:
    return RunRecord(f"r{number}", state=state, damaged=damaged, created=-float(number))


@given(st.data(), st.lists(st.tuples(STATES, st.booleans()), max_size=12))
def test_states_ids_and_live_runs_follow_from_the_snapshot_before(data, drawn):
    before = tuple(record(number, *run) for number, run in enumerate(drawn))
    after = tuple(
        record(int(run.id[1:]), *data.draw(st.tuples(STATES, st.booleans()))) if data.draw(st.booleans()) else run
        for run in before[: data.draw(st.integers(0, len(before))) or None]
    )
    old, new, fresh = StoreSnapshot(before), StoreSnapshot(after), StoreSnapshot(after)

    new.learn_from(old)

    assert +new.counts == fresh.counts and new.by_id == fresh.by_id
    assert sorted(run.id for run in new.live) == sorted(run.id for run in fresh.live)
    assert notices(old, new) == notices(old, fresh)


def test_of_several_runs_that_ended_the_oldest_is_told_first():
    old = StoreSnapshot(tuple(record(number, "running", False) for number in range(3)))
    new = StoreSnapshot(tuple(record(number, "finished", False) for number in range(3)))

    assert [notice.message.split(" ")[0] for notice in notices(old, new)] == ["r2", "r1", "r0"]
