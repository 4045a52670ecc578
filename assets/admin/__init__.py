"""The admin's pages about assets: what is known of a coin, why its listings are one, and a person's word on that."""

from assets.admin import asset, candidate, decision, event, listing, quote

__all__ = ["asset", "candidate", "decision", "event", "listing", "quote"]
