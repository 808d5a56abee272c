"""The live page: pictures, figures and controls of a run in a browser, served by a process of its own."""
