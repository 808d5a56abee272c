"""The streaming pipeline: sources, stages, sinks, the graph that runs them, and the command line."""
