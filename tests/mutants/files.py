"""Bugs in how files are read, unpacked, checked and loaded."""

from typing import Final

from tests.mutants.mutant import Mutant

_INGEST: Final = "tests/integration/test_ingest.py::"
_LOADERS: Final = "tests/integration/test_ingest_loaders.py::"
_QUARANTINE: Final = "tests/integration/test_quarantine.py::"
_SAME: Final = "tests/integration/test_same_file.py::"
_UNPACKING: Final = "tests/unit/test_unpacking.py::"

_TWICE_IN_ONE: Final = (_INGEST + "test_an_id_twice_in_one_file",)
_RESUMED: Final = (
    _LOADERS + "test_a_chunk_committed_before_its_step_failed_is_not_written_again",
)
_PUT_ASIDE: Final = (
    _QUARANTINE + "test_a_file_that_does_not_is_put_aside_and_nothing_of_it_is_loaded",
)

MUTANTS: Final = (
    Mutant(
        34,
        "compressed file read without a cap",
        "ingestion/sources/inflate.py",
        "out = inflater.decompress(piece, _OUT_BYTES)",
        "out = inflater.decompress(piece)",
        (_UNPACKING + "test_a_bomb_is_refused_before_it_is_large",),
    ),
    Mutant(
        50,
        "ratio of what comes out to what went in unbounded",
        "ingestion/sources/inflate.py",
        "given > self.limits.ratio * taken:",
        "taken < 0:",
        (_UNPACKING + "test_a_bomb_is_refused_by_its_ratio",),
    ),
    Mutant(
        51,
        "name in a zip trusted",
        "ingestion/sources/zipped.py",
        "        if _is_unsafe(name):\n",
        "        if not name:\n",
        (_UNPACKING + "test_a_zip_of_anything_but_one_plain_file_is_refused",),
    ),
    Mutant(
        52,
        "local header of a zip trusted",
        "ingestion/sources/zip_directory.py",
        "    if (method, header[_LOCAL.size :], name_size) != (\n",
        "    if (method, entry.raw_name, name_size) != (\n",
        (_UNPACKING + "test_a_zip_that_contradicts_itself_is_refused",),
    ),
    Mutant(
        53,
        "chunk written again when its step is",
        "ingestion/loaders.py",
        "rows = [row for row in rows if row.line > begun]",
        "rows = list(rows)",
        _RESUMED,
    ),
    Mutant(
        54,
        "rejects written again when their step is",
        "ingestion/loaders.py",
        "rejects = [reject for reject in rejects if reject.line > begun]",
        "rejects = list(rejects)",
        _RESUMED,
    ),
    Mutant(
        55,
        "loader does not write down how far it is",
        "ingestion/loaders.py",
        "written_line = GREATEST(written_line, %(line)s)",
        "written_line = written_line",
        _RESUMED,
    ),
    Mutant(
        56,
        "repeated id of a chunk counted as inserted",
        "ingestion/loader.py",
        "    inserted = len(firsts) - len(known)\n",
        "    inserted = len(rows) - len(known)\n",
        _TWICE_IN_ONE,
    ),
    Mutant(
        57,
        "repeated id of a chunk overwrites the first",
        "ingestion/loader.py",
        "{row.txn_id: row for row in reversed(rows)}",
        "{row.txn_id: row for row in rows}",
        _TWICE_IN_ONE,
    ),
    Mutant(
        58,
        "file in quarantine posted all the same",
        "ingestion/validating.py",
        "    closed = replace(progress, phase=Phase.CLOSED)\n",
        "    closed = progress.checked()\n",
        _PUT_ASIDE,
    ),
    Mutant(
        59,
        "totals compared only while rows are posted",
        "ingestion/recognising.py",
        "return Phase.VALIDATING if source.has_totals else Phase.LOADING",
        "return Phase.LOADING",
        _PUT_ASIDE,
    ),
    Mutant(
        60,
        "reversal of camt turned round",
        "ingestion/sources/camt/entries.py",
        "        return direction\n",
        '        flipped = {"C": "D", "D": "C"}\n'
        "        return flipped[direction] if self._is_reversal() else direction\n",
        ("tests/unit/test_camt.py::test_a_reversal_moves_money_the_way_it_says",),
    ),
    Mutant(
        61,
        "object looked at anew when a load goes on",
        "ingestion/handlers.py",
        "        progress = Progress.from_json(assignment.checkpoint)\n",
        "        progress = Progress.from_json(assignment.checkpoint)\n"
        "        item = storage.store().stat(progress.item.key)\n"
        '        object.__setattr__(progress, "item", item)\n',
        (_INGEST + "test_a_file_replaced_in_between_is_refused",),
    ),
    Mutant(
        62,
        "tag of a released file not compared",
        "ingestion/handlers.py",
        "    if (item.size, item.etag) != (file.size, file.etag):\n",
        "    if item.size != file.size:\n",
        (_QUARANTINE + "test_only_what_was_looked_at_is_loaded",),
    ),
    Mutant(
        63,
        "digest not compared, only the size",
        "ingestion/recognising.py",
        "    first = known.order_by",
        "    known = _loaded(source, progress.item.size)\n    first = known.order_by",
        (_SAME + "test_one_byte_makes_another_file",),
    ),
    Mutant(
        64,
        "connections of the loaders closed by the wrong thread",
        "ingestion/loaders.py",
        "thread.submit(_close_own)",
        "thread.submit(connection.close)",
        (_LOADERS + "test_the_loaders_leave_no_connection_behind",),
    ),
    Mutant(
        65,
        "loader does not wait for the one before",
        "ingestion/loaders.py",
        "before.result()  # the ids in it have to be seen",
        "pass",
        (_LOADERS + "test_a_loader_waits_for_the_one_before",),
    ),
)
