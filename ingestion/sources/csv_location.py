"""Where the files of the CSV source are: a path, a pattern, or an address that is downloaded to a temporary file.

Everything downloaded or unpacked is on disk, never in memory, and gone when the sweep is over.
"""

from __future__ import annotations

import glob
import gzip
import os
import shutil
import stat
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from io import FileIO
from urllib.parse import unquote, urlsplit

from ingestion.errors import Malformed, Refused, Unavailable
from ingestion.source import Http

#: What must be installed to read from a store.
STORES = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs"}
GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Location:
    """One file to read."""

    name: str
    """As people are told of it, without secrets; the same for the same file in every sweep."""
    path: str
    """Where its bytes are now."""
    written_at: datetime | None = None
    """When a server says that it was last written; None asks the file system."""
    is_local: bool = True
    """False for a copy that was made for this sweep."""


@contextmanager
def located(path: str, http: Http) -> Iterator[list[Location]]:
    """The files that CSV_SOURCE_PATH stands for, in the order of their names. Raises Refused, Unavailable."""
    scheme = urlsplit(path).scheme.lower() if "://" in path else ""
    if not path.strip():
        raise Refused("CSV_SOURCE_PATH names no file.")
    if scheme in ("http", "https"):
        file = http.download(path)
        try:
            yield [Location(without_secrets(path), file.path, file.last_modified or file.received_at, is_local=False)]
        finally:
            with suppress(FileNotFoundError):
                os.unlink(file.path)
    elif scheme in STORES:
        with _copied_from_store(path, scheme) as location:
            yield [location]
    elif scheme == "file":
        yield _local(unquote(path[len("file://") :]))
    elif scheme:
        raise Refused(f"{without_secrets(path)}: {scheme}:// is no address that a CSV can be read from.")
    else:
        yield _local(path)


def _local(path: str) -> list[Location]:
    path = os.path.expanduser(path)
    if os.path.isdir(path):
        raise Refused(f"{path} is a directory; name a file in it, or a pattern such as {os.path.join(path, '*.csv')}.")
    if os.path.lexists(path) or not glob.has_magic(path):
        return [Location(_shown(path), path)]
    found = sorted(name for name in glob.glob(path, recursive=True) if not os.path.isdir(name))
    if not found:
        raise Refused(f"No file matches {path}.")
    return [Location(_shown(name), name) for name in found]


def _shown(path: str) -> str:
    """A path as text that any database takes, whatever bytes it is made of."""
    return os.fsencode(path).decode("utf-8", "replace")


def without_secrets(url: str) -> str:
    """The address without user, password, query and fragment, where keys and signatures are."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"


@contextmanager
def _copied_from_store(url: str, scheme: str) -> Iterator[Location]:
    name = without_secrets(url)
    try:
        fsspec = import_module("fsspec")
    except ImportError:
        raise Refused(f"{name} needs the packages fsspec and {STORES[scheme]}: pip install {STORES[scheme]}.") from None
    with tempfile.NamedTemporaryFile(prefix="csv-") as copy:
        try:
            system, key = fsspec.core.url_to_fs(url)
            facts = system.info(key)
            with system.open(key, "rb") as remote:
                shutil.copyfileobj(remote, copy, 1 << 20)
        except ImportError:
            raise Refused(f"{name} needs the package {STORES[scheme]}: pip install {STORES[scheme]}.") from None
        except FileNotFoundError:
            raise Refused(f"There is no file {name}.") from None
        except PermissionError:
            raise Refused(f"{name} can't be read with the credentials that are set.") from None
        except Exception as error:  # each store has errors of its own, and their texts may hold keys
            raise Unavailable(f"{name} could not be read: {type(error).__name__}.") from None
        copy.flush()
        written_at = facts.get("LastModified") or facts.get("mtime") or facts.get("updated")
        if isinstance(written_at, str):
            written_at = datetime.fromisoformat(written_at)
        if not isinstance(written_at, datetime):
            written_at = datetime.now(UTC)
        yield Location(name, copy.name, written_at.astimezone(UTC), is_local=False)


@contextmanager
def opened(location: Location) -> Iterator[tuple[FileIO, FileIO]]:
    """The file as it lies there, and as it is to be read: the same, or what is unpacked from it. Raises Refused."""
    with ExitStack() as stack:
        try:
            packed = stack.enter_context(FileIO(location.path, opener=_without_waiting))
        except OSError as error:
            if isinstance(error, FileNotFoundError):
                raise Refused(f"There is no file {location.name}.") from None
            raise Refused(f"{location.name} can't be read: {error.strerror}.") from None
        if not stat.S_ISREG(os.fstat(packed.fileno()).st_mode):
            raise Refused(f"{location.name} is no regular file.")
        if os.pread(packed.fileno(), len(GZIP), 0) != GZIP:
            yield packed, packed
            return
        plain = stack.enter_context(tempfile.TemporaryFile(prefix="csv-", buffering=0))
        try:
            with gzip.GzipFile(fileobj=packed) as unpacking:
                shutil.copyfileobj(unpacking, plain, 1 << 20)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise Malformed(f"{location.name} is cut off or damaged: {error}.") from None
        except OSError as error:
            raise Unavailable(f"{location.name} could not be unpacked: {error.strerror}.") from None
        yield packed, plain


def _without_waiting(path: str, flags: int) -> int:
    """Opens without waiting for a writer, if the path turns out to be a pipe."""
    return os.open(path, flags | os.O_NONBLOCK)
