"""Greetings in a few languages."""

GREETINGS = {"en": "good morning", "de": "guten Morgen", "fr": "bonjour"}


def greet(language):
    """The greeting in `language`; ends the job when there is none."""
    if language not in GREETINGS:
        raise SystemExit(f"no greeting in {language!r}: choose one of {', '.join(GREETINGS)}")
    return GREETINGS[language]
