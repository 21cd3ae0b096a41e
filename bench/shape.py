"""What is measured, the same for everybody: lengths, widths and queues."""

STEPS = 5
WIDTH = 100
FINISHED_RUNS = 1_000_000
SEARCHED_ENTRIES = 100_000
EVENTS = 100_000
SCHEDULED_EVENTS = 100_000
STARTED_AT_ONCE = 10_000
ENGINE_QUEUES = tuple(f"bench-{number}" for number in range(STEPS))
PEER_QUEUE = "peer-alone"
PEER_QUEUES = tuple(f"peer-{number}" for number in range(STEPS))
