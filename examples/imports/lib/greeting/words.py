"""Counting words."""

import collections
import re


def count_words(text, most):
    """The `most` frequent words of `text` with their counts, the most frequent first."""
    words = re.findall(r"[a-z]+", text.lower())
    return collections.Counter(words).most_common(most)
