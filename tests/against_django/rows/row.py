"""What a row is: a short scene that is played on Django and on Cloakroom; its name says what it shows.

A row asserts nothing by itself: what it records must be equal in both columns, or be listed in `differences`.
"""

ROWS = []
DOG = ("set", "cat", "dog")
UNKNOWN = "0123456789abcdefghijklmnopqrstuv"


class Row:
    """A scene with a name and the settings it needs of both servers."""

    def __init__(self, play, settings, arguments):
        self.settings = settings
        self._play = play
        self._arguments = arguments
        words = [play.__name__.replace("_", " "), *map(label, arguments)]
        self.name = " ".join(words) + (f" ({settings})" if settings else "")

    def play(self, scene):
        """What the browsers of this scene saw, line by line."""
        self._play(scene, *self._arguments)
        return scene.steps


def label(argument):
    """An argument as part of a row's name: short, and visible whatever it holds."""
    text = str(argument)
    if not text.isascii() or not text.isprintable() or text.strip() != text or not text:
        text = ascii(argument)
    return text if len(text) <= 40 else f"{text[:5]}... of {len(text)} letters"


def row(settings="", each=((),)):
    """Makes a function a row, or one row for each tuple of arguments."""

    def add(play):
        ROWS.extend(Row(play, settings, arguments) for arguments in each)
        return play

    return add


def one(*values):
    """Each value as the only argument of a row."""
    return [(value,) for value in values]
