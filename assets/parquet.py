"""Streams a whole filtered list as Parquet: COPY's CSV, turned into columns by Arrow, a row group at a time.

No figure passes a binary float: a column of figures is a decimal with as many places as its longest one has, found in
the snapshot that the rows come from; figures too long for any decimal of Parquet stay texts.
"""

from __future__ import annotations

import io
from collections.abc import Generator, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from assets import filters
from assets.export import Export, Wanted

GROUP = 65_536
BLOCK = 1 << 20
#: Digits of the decimals that Parquet's readers know: nearly all read the first, some the second.
DIGITS = ((38, pa.decimal128), (76, pa.decimal256))
KINDS = {
    "bigint": pa.int64(),
    "int": pa.int32(),
    "text": pa.string(),
    "boolean": pa.bool_(),
    "timestamptz": pa.timestamp("us", tz="UTC"),
}


class Parquet:
    """The bytes of the file. Iterate it once; `close` may come at any time."""

    def __init__(self, wanted: Wanted, sql: str, values: list[Any]) -> None:
        self._kinds: dict[str, pa.DataType] = {}
        self._rows = Export(sql, values, lambda cursor: self._kinds.update(kinds_of(wanted, cursor)))
        self._chunks = self._written()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._chunks)

    def close(self) -> None:
        """The connection is closed, and what PostgreSQL was doing for it is over."""
        self._chunks.close()
        self._rows.close()

    def _written(self) -> Generator[bytes, None, None]:
        schema = pa.schema(self._kinds.items())
        file = Sink()
        with pa.parquet.ParquetWriter(pa.PythonFile(file, "w"), schema, compression="zstd") as writer:
            yield file.taken()
            waiting: list[pa.RecordBatch] = []
            for batch in batches(self._rows, schema):
                waiting.append(batch.cast(schema))
                if sum(map(len, waiting)) >= GROUP:
                    writer.write_table(pa.Table.from_batches(waiting, schema))
                    waiting.clear()
                    yield file.taken()
            if waiting:
                writer.write_table(pa.Table.from_batches(waiting, schema))
        yield file.taken()


def kinds_of(wanted: Wanted, cursor: Any) -> dict[str, pa.DataType]:
    """What kind of column each field is."""
    fields = {name: wanted.table.fields[name] for name in wanted.columns}
    figures = [name for name, field in fields.items() if field.type == "numeric"]
    kinds = {name: KINDS[field.type] for name, field in fields.items() if field.type != "numeric"}
    if figures:
        where, values, needs = filters.where(wanted.found)
        most = ", ".join(f"max(scale({sql})), max(abs({sql}))" for sql in (fields[name].sql for name in figures))
        cursor.execute(f"SELECT {most} FROM {wanted.table.source} {wanted.table.joined(needs)} WHERE {where}", values)
        found = cursor.fetchone()
        kinds |= {name: decimal(*found[2 * place : 2 * place + 2]) for place, name in enumerate(figures)}
    return {name: kinds[name] for name in fields}


def decimal(places: int | None, largest: Any) -> pa.DataType:
    """The smallest decimal that holds figures of so many places up to the largest; a text, where none does."""
    before = len(str(int(largest or 0)))
    for digits, kind in DIGITS:
        if before + (places or 0) <= digits:
            return kind(digits, places or 0)
    return pa.string()


def batches(rows: Export, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    # Arrow reads decimals of 76 digits from texts, though not from CSV.
    read_as = {field.name: pa.string() if pa.types.is_decimal256(field.type) else field.type for field in schema}
    # An empty cell without quotes is null; a text that is empty has quotes.
    converted = pa.csv.ConvertOptions(
        column_types=read_as, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
    )
    reading = pa.csv.ReadOptions(block_size=BLOCK, use_threads=False)
    # A line is empty where a null is the only cell.
    parsing = pa.csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False)
    with pa.csv.open_csv(io.BufferedReader(Pipe(rows), BLOCK), reading, parsing, converted) as reader:
        yield from reader


class Pipe(io.RawIOBase):
    """An export as a file to read from."""

    def __init__(self, rows: Export) -> None:
        self._rows, self._left = rows, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._left or next(self._rows, b"")
        count = min(len(data), len(buffer))
        buffer[:count], self._left = data[:count], data[count:]
        return count


class Sink(io.RawIOBase):
    """A file to write to, whose bytes are taken away as they come."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._length = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        self._length += len(self._parts[-1])
        return len(self._parts[-1])

    def tell(self) -> int:
        return self._length

    def taken(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)
