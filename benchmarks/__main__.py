"""`python -m benchmarks`: all of them, one after the other."""

import subprocess
import sys

for name in ("perceive", "plain_loop", "bound", "fused", "agreement", "long_run"):
    subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=True)
