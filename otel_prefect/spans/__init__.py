"""Spans of this process: in the trace of their run, told of at their start, of the process itself."""
