"""All benchmarks, one after the other, as each runs without arguments; or those that are named.

    python -m benchmarks [NAME ...]

Not among them: `live`, which takes half an hour, GStreamer and Chromium, and `pictures`, which measures nothing.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

from .common import ROOT

NAMES = (
    "perceive",
    "plain_loop",
    "bound",
    "fused",
    "agreement",
    "flows",
    "vectors",
    "dff",
    "policies",
    "cuts",
    "long_run",
)


def main() -> None:
    """Run them; those that failed are named at the end."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(NAMES)}")
    names = parser.parse_args().names or NAMES
    unknown = sorted({*names} - {*NAMES})
    if unknown:
        parser.error(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(NAMES)}")
    commands = {name: [sys.executable, "-m", f"benchmarks.{name}"] for name in names}
    failed = [name for name in names if subprocess.run(commands[name], cwd=ROOT, check=False).returncode]
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
