from jobs.handlers import Kind

INGEST = Kind(name="ingest", handler=lambda a: iter(()))
