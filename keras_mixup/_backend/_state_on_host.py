"""Keep a random state where the host can read it without waiting for an accelerator."""

from keras_mixup._backend._current import FRAMEWORK


class StateOnHost:
    """Know the words of a random state, a variable on any device, and write them.

    The variable stays what is saved, loaded, sent to other processes and assigned by hand. Its tensor and the version
    of it are remembered with the words: if anyone else has written it since, it is read once.
    """

    def __init__(self):
        self._words = self._tensor = self._version = None
        self._recorded = False

    def read(self, state):
        """Return the words; `None` where they must be drawn from on the device."""
        tensor = state.value
        self._recorded = self._recorded or not FRAMEWORK.draws_on_host(tensor)
        if self._recorded:  # the recorded work may write the state again, and nothing tells
            return None
        version = FRAMEWORK.version(tensor)
        if version is None:
            return FRAMEWORK.words_of(tensor)
        if tensor is self._tensor and version == self._version:
            return self._words
        return FRAMEWORK.words_of(tensor) if FRAMEWORK.has_values(tensor) else None

    def write(self, state, words):
        """Write the words, of which a copy is kept."""
        state.assign(FRAMEWORK.send(FRAMEWORK.state_of(words), state.value))
        self.keep(state, words)

    def keep(self, state, words):
        """Know that these words have been written."""
        self._tensor = state.value
        self._version = FRAMEWORK.version(self._tensor)
        self._words = words
