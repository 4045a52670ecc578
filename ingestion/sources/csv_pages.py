"""The pages of one file: from where the last sweep stopped, if what lies before that is still the same.

A page is an exact slice of the file. A file that is replaced, cut short or written over while it is read is noticed
before a page of it is given away, so that no page ever holds rows of two versions.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from io import FileIO

from ingestion.errors import Malformed, Unavailable
from ingestion.source import Page
from ingestion.sources.csv_cursor import SETTLED_SECONDS, Mark, PrefixDigest
from ingestion.sources.csv_dialect import Dialect, dialect_of
from ingestion.sources.csv_location import Location, opened
from ingestion.sources.csv_records import Cutter
from ingestion.sources.csv_text import CHUNK, LineReader, Unreadable, runs_of_one_encoding
from ingestion.sources.json_items import GENESIS

#: A page is closed at this size (bytes) even if it holds fewer rows than asked for.
MAX_PAGE = 1 << 23


def pages_of(
    location: Location, mark: Mark | None, batch_size: int, ends_at: int | None
) -> Iterator[tuple[Page | None, Mark]]:
    """The file's pages behind the mark, each with the mark behind it, then the mark at its end alone.

    One of them ends at the record `ends_at`, counted from the mark.
    """
    with opened(location) as (original, file):
        stat = _stat(original) if location.is_local else ()
        if mark and mark.ended and stat and mark.stat == stat:
            return
        reading = _Reading(location, original, file, batch_size, ends_at)
        if reading.goes_on(mark):
            yield from reading.pages()
        else:
            yield None, reading.mark(ended=True)


def _stat(file: FileIO) -> tuple[int, ...]:
    facts = os.fstat(file.fileno())
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns


class _Reading:
    """One walk through one open file."""

    dialect: Dialect
    lines: LineReader

    def __init__(
        self, location: Location, original: FileIO, file: FileIO, batch_size: int, ends_at: int | None
    ) -> None:
        self.location, self.original, self.file, self.batch_size = location, original, file, batch_size
        self.left = ends_at
        """So many records further a page must end."""
        self.looked_at, self.stat = time.time(), _stat(original)
        self.digest = PrefixDigest()
        self.offset = 0
        """Behind the last page, or what was skipped since."""
        self.rows = 0
        self.records: list[str] = []
        """The page in the making: the text of each record, with the blank lines before it."""
        self.size = 0
        self.blank = ""
        self.tail = ""
        self.cutter: Cutter | None = None

    def goes_on(self, mark: Mark | None) -> bool:
        """Finds where to begin: behind the mark, or at the first row. False when nothing lies behind the mark."""
        trusted = bool(mark and mark.stat == self.stat)
        digest = mark.prefix(self.file.fileno(), trusted=trusted) if mark else None
        if mark and digest and os.fstat(self.file.fileno()).st_size == mark.offset:
            self.digest, self.offset, self.rows = digest, mark.offset, mark.rows
            self.understood, self.tail = mark.understood, mark.tail
            return False
        self.dialect = (
            Dialect.of(mark.dialect) if trusted and mark and mark.dialect else dialect_of(self.file, self.location.name)
        )
        self.understood = self.dialect.digest()
        if mark and digest and mark.understood == self.understood and self._continues(mark):
            self.digest, self.offset, self.rows = digest, mark.offset, mark.rows
        else:
            self.offset = self.dialect.data_at
            self.digest.advance(self.file.fileno(), self.offset)
        self.before = self.digest.hexdigest()
        self.lines = LineReader(
            self.file.fileno(), self.offset, self.dialect.codec, self.dialect.layout(), self.location.name
        )
        return True

    def _continues(self, mark: Mark) -> bool:
        """False when what lies behind the mark may belong to the last row before it, which was not whole then."""
        if not mark.tail or os.fstat(self.file.fileno()).st_size == mark.size:
            return True
        more = os.pread(self.file.fileno(), 4, mark.offset).decode(self.dialect.codec, "ignore")
        return mark.tail == "line" and more[:1] in ("\r", "\n")

    def pages(self) -> Iterator[tuple[Page | None, Mark]]:
        """Every page, as soon as it is full, and the mark at the end."""
        pending: list[str] = []
        self.cutter = cutter = Cutter(self.dialect.layout(), self.dialect.codec)
        for lines, unreadable in self.lines.blocks():
            pending += lines
            yield from self._cut(cutter, pending, final=unreadable is not None)
            if unreadable is not None:
                yield from self._close()
                yield self._alone(unreadable)
        yield from self._cut(cutter, pending, final=True)
        yield from self._close()
        if not self.rows:
            raise Malformed(f"{self.location.name} holds a header and no row.")
        self.tail = "line" if self.lines.unended_line else ""
        self._check_same()
        yield None, self.mark(ended=self.file is not self.original or self.lines.position == self.stat[2])

    def _cut(self, cutter: Cutter, pending: list[str], *, final: bool) -> Iterator[tuple[Page, Mark]]:
        """Moves what is whole from the pending lines into pages."""
        done = 0
        for start, end, _, _ in cutter.cut(pending, final=final):
            text = pending[start] if end - start == 1 else "".join(pending[start:end])
            if start > done or self.blank:
                self.blank += "".join(pending[done:start])
                text = self._behind_blank(text)
            self.records.append(text)
            self.size += len(text)
            done = end
            if len(self.records) in (self.batch_size, self.left) or self.size >= MAX_PAGE:
                yield from self._close()
        self.blank += "".join(pending[done : cutter.consumed])
        del pending[: cutter.consumed]
        if len(self.blank) > CHUNK or not self.records:
            yield from self._close()

    def _behind_blank(self, text: str) -> str:
        """A page begins with a record; inside it, blank lines stay where they are."""
        if self.records:
            text = self.blank + text
        else:
            self.offset += len(self.blank.encode(self.dialect.codec))
        self.blank = ""
        return text

    def _close(self) -> Iterator[tuple[Page, Mark]]:
        """Gives the page in the making away, in as many pieces as it has encodings; skips the blank lines behind it."""
        for encoding, texts in runs_of_one_encoding(self.records, self.dialect.codec):
            body = "".join(texts).encode(self.dialect.codec)
            self.offset += len(body)
            yield self._page(body, encoding, len(texts))
        self.offset += len(self.blank.encode(self.dialect.codec))
        self.records, self.size, self.blank = [], 0, ""

    def _alone(self, unreadable: Unreadable) -> tuple[Page, Mark]:
        """A line that can't be kept, as a page of its own that shows what it was."""
        self.offset += unreadable.size
        return self._page(unreadable.shown.encode(), "utf-8", 1, unreadable=unreadable.trouble)

    def _page(self, body: bytes, encoding: str, records: int, **more: str) -> tuple[Page, Mark]:
        self._check_same()
        now = datetime.now(UTC)
        written_at = self.location.written_at or datetime.fromtimestamp(self.stat[3] / 1e9, UTC)
        dialect, name = self.dialect, self.location.name
        meta = {
            "file": name,
            "first_row": self.rows + 1,
            # A clock that is off, or a time that packing set to zero, is no time: then it is when the file was seen.
            "observed_at": (written_at if GENESIS < written_at < now else now).isoformat(),
            "header": dialect.header,
            "delimiter": dialect.delimiter,
            "quotechar": dialect.quotechar,
            "newline": dialect.newline,
            "least": dialect.least,
            **asdict(dialect.meaning),
            **more,
        }
        self.rows += records
        if self.left is not None:
            self.left -= records
        self.digest.advance(self.file.fileno(), self.offset)
        page = Page(body, None, name, now, encoding=encoding, meta=meta, records=records)
        return page, self.mark()

    def mark(self, *, ended: bool = False) -> Mark:
        """Where reading stands."""
        settled = self.location.is_local and time.time() - self.stat[3] / 1e9 > SETTLED_SECONDS
        self.digest.advance(self.file.fileno(), self.offset)
        return Mark(
            offset=self.offset,
            rows=self.rows,
            chain=self.digest.chain.hex(),
            digest=self.digest.hexdigest(),
            understood=self.understood,
            dialect={} if ended else self.dialect.facts(),
            ended=ended,
            tail="quote" if self.cutter and self.cutter.is_open else self.tail if ended else "",
            size=os.fstat(self.file.fileno()).st_size,
            stat=self.stat if settled else (),
        )

    def _check_same(self) -> None:
        """Raises Unavailable, which the next attempt cures, when the file is not what it was when it was opened."""
        name = self.location.name
        if not self.location.is_local or self.file is not self.original:
            return
        try:
            now = os.stat(self.location.path)
        except OSError:
            raise Unavailable(f"{name} was taken away while it was read.") from None
        if (now.st_dev, now.st_ino) != self.stat[:2]:
            raise Unavailable(f"{name} was replaced while it was read.")
        # A change within the grain of the file's clock leaves its time as it is: a young file is compared byte by byte.
        young = abs(self.looked_at - self.stat[3] / 1e9) < SETTLED_SECONDS
        looked_at, stat = time.time(), _stat(self.original)
        if stat == self.stat and not young:
            return
        digest = PrefixDigest()
        digest.advance(self.file.fileno(), self.lines.start)
        if digest.hexdigest() != self.before or not self.lines.is_still_there():
            raise Unavailable(f"{name} was written over while it was read.")
        self.looked_at, self.stat = looked_at, stat
