"""A worker's pools: prefork, and solo for debugging."""

from tests.platform.conftest import Workers


def test_the_solo_pool_works_and_says_what_it_is_for(workers: Workers) -> None:
    workers.start("alone", "--pool", "solo")

    workers.run_tasks("alone", task="probe.go-on")

    log = (workers.services.processes.logs / "alone.log").read_text()
    assert "the solo pool is for debugging" in log
