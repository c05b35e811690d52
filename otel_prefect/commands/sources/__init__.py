"""Where commands read a run from: ``source`` says what a source is, ``options`` which one is asked for."""
