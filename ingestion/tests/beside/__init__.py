"""Everybody at the same rows at once, at random: who there is (`actors`), and what must be left behind (`referee`)."""
