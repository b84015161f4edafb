"""A job of several files: this one, a package below lib/, and a text beside them."""

import os

from greeting import greet
from greeting.words import count_words

# The job runs in the folder that holds the Towerfile.
with open("texts/tower.txt", encoding="utf-8") as file:
    text = file.read()

print(greet(os.environ.get("language", "en")))
for word, count in count_words(text, most=3):
    print(f"{word:10} {count}")
