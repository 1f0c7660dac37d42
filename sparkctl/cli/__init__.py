"""Commands: options in, a call, a report out. Click lives only here."""
