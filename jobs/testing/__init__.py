"""Tests of workflows: run them in the test's own process, and kill them wherever they can be.

    def test_a_refused_payment_is_undone(db):
        run = run_inline(create_order, order, company="acme", services={Supplier: FakeSupplier()})

        assert run.status == "failed"
        assert_compensated(run, ["reserve-stock", "create-order"])


    @pytest.mark.parametrize("point", crash_points())
    def test_an_order_survives_a_kill(db, point):
        run = run_inline(create_order, order, company="acme", crash_at=point)

        assert recover(run).status == "succeeded"

No broker and no worker: the statements, the code of the steps and the order of things are those of
production. Give the test Django's database, by pytest-django's `db` or `transactional_db`.
"""

from jobs.testing.compensations import assert_compensated
from jobs.testing.inline import recover, run_inline, without_messages
from jobs.testing.kills import Kill, Killed, crash_points, killed_at, recorded_points
from jobs.testing.rest import StillWaiting

__all__ = [
    "Kill",
    "Killed",
    "StillWaiting",
    "assert_compensated",
    "crash_points",
    "killed_at",
    "recorded_points",
    "recover",
    "run_inline",
    "without_messages",
]
