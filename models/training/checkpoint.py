"""The state of a run as a file that is whole whenever the machine stops."""

from __future__ import annotations

import os
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from keywarp.engines.errors import UsageError


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """``settings``: what a run has to have in common with the one that wrote it. ``state``: all else."""

    settings: dict[str, Any]
    state: dict[str, Any]

    def write(self, path: Path) -> None:
        """Write all of it or nothing, the file before it staying until then."""
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            torch.save({"settings": self.settings, "state": self.state}, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)

    @classmethod
    def read(cls, path: Path, settings: dict[str, Any]) -> Checkpoint:
        """A checkpoint of a run with these settings. Raises UsageError for any other, or a file that is none."""
        advice = "name another folder with --out, or remove it"
        try:
            content = torch.load(path, weights_only=True, map_location="cpu")
        except OSError as error:
            raise UsageError(f"checkpoint '{path}' cannot be read: {error.strerror or error}") from error
        except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
            raise UsageError(f"'{path}' is no checkpoint of a training run; {advice}") from error
        if not isinstance(content, dict) or not {"settings", "state"} <= content.keys():
            raise UsageError(f"'{path}' is no checkpoint of a training run; {advice}")
        found = cls(content["settings"], content["state"])
        if found.settings != settings:
            raise UsageError(
                f"'{path}' is of a run with other settings ({found._differences(settings)}); {advice}"
            )
        return found

    def _differences(self, settings: dict[str, Any]) -> str:
        names = sorted(set(self.settings) | set(settings))
        return "; ".join(
            f"{name}: {self.settings.get(name)!r} then, {settings.get(name)!r} now"
            for name in names
            if self.settings.get(name) != settings.get(name)
        )
