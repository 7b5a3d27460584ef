"""Verbs that a second word tells from a shorter one: `evaluate places` beside `evaluate`."""

from typing import Any

from .exits import Verbs


class TwoWordVerbs(Verbs):
    """Commands whose name may be of two words, beside one whose name is the first of them.

    A group of commands cannot have arguments of its own, which `evaluate QUERIES` has. Where the first
    argument is meant to be a file of the second word's name, write ``./places``.
    """

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the first two words name, or else the first."""
        name = " ".join(args[:2])
        command = self.get_command(ctx, name) if len(args) > 1 else None
        return (name, command, args[2:]) if command is not None else super().resolve_command(ctx, args)
