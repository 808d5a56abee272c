"""GStreamer: pipelines by their text, buffers as arrays, encoders by their elements. Loaded only when used."""
