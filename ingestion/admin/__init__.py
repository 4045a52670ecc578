"""The admin's pages about ingestion: what ran, what came in as received, what could not be read; and the hand on it."""

from ingestion.admin import backfill, checkpoint, drift, gate, page, reject, run, source

__all__ = ["backfill", "checkpoint", "drift", "gate", "page", "reject", "run", "source"]
