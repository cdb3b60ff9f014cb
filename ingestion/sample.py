"""A small UPI file in which every fate of a row occurs, for trying the kind out."""

import io
from typing import Final

from ingestion import storage
from jobs.handlers import JSONDict

_PATH: Final = "sample/upi.csv"
#: A repeated and a contradicted payment stand apart from the first, so that in small
#: chunks (`INGEST_CHUNK_ROWS`) they meet a row that is already committed.
_TEXT: Final = """\
txn_id,rrn,payer_vpa,payee_vpa,amount,currency,status,txn_timestamp,remarks
S1,600000000001,asha@okbank,shop@okbank,10.00,INR,SUCCESS,2026-01-15 10:00:00,
S2,600000000002,asha@okbank,shop@okbank,20.00,INR,FAILED,2026-01-15 10:00:01,
S3,600000000003,asha@okbank,shop@okbank,1e5,INR,SUCCESS,2026-01-15 10:00:02,
S4,600000000004,asha@okbank,shop@okbank,"1,040.50",INR,PENDING,2026-01-15 10:00:03,
S5,600000000005,asha@okbank,shop@okbank,50.00,INR,SUCCESS,2026-01-15 10:00:04,
S1,600000000001,asha@okbank,shop@okbank,10.00,INR,SUCCESS,2026-01-15 10:00:00,
S2,600000000002,asha@okbank,shop@okbank,99.00,INR,FAILED,2026-01-15 10:00:01,
S6,600000000006,asha@okbank,shop@okbank,60.00,INR,SUCCESS,2026-01-15 10:00:05,
S7,600000000007,asha@okbank,nobody,70.00,INR,SUCCESS,2026-01-15 10:00:06,
S5,600000000005,asha@okbank,shop@okbank,50.00,INR,SUCCESS,2026-01-15 10:00:04,
S8,600000000008,asha@okbank,shop@okbank,80.00,INR,REVERSED,2026-01-15 10:00:07,
"""


def put(tenant: str) -> JSONDict:
    """Write the file into the tenant's store and return the payload that loads it.

    Raises StoreUnavailableError.
    """
    key = storage.object_key(tenant, _PATH)
    storage.store().write(key, io.BytesIO(_TEXT.encode()))
    return {"s3_path": _PATH, "source": "UPI"}
