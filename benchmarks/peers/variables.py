"""The environment variables by which the harness tells workers and producers things."""

from typing import Final

#: Folder in which the workers of a peer write what they did.
RECORDS: Final = "BENCH_RECORDS"

#: Celery: a JSON file with the names of the queues, the default one first; set if each
#: alias has a queue; set if results are kept.
QUEUES: Final = "BENCH_QUEUES"
PER_TENANT: Final = "BENCH_PER_TENANT"
RESULTS: Final = "BENCH_RESULTS"

#: Our product: the address of the web process; a JSON file with a key for each alias.
URL: Final = "BENCH_URL"
KEYS: Final = "BENCH_KEYS"

#: Temporal: the address of the server.
ADDRESS: Final = "BENCH_ADDRESS"
#: Slots of one worker process.
SLOTS: Final = "BENCH_SLOTS"
