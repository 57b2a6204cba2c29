"""Plays chapters, one after the other: a stream of parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftps_harness.teach.demo.parts import Part

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ftps_harness.teach.demo.chapters import Chapter
    from ftps_harness.teach.demo.stage import Stage


def play(chapters: Sequence[Chapter], stage: Stage) -> Iterator[Part]:
    """Yield the parts of some chapters as they happen.

    A chapter's answer is shown only if the evidence agrees with it.

    Raises:
        LabError: A server failed.
        HarnessError: lftp or openssl cannot be started.
    """
    for number, chapter in enumerate(chapters, 1):
        before = len(stage.wrong)
        yield Part("title", (f"{number}. {chapter.title}",))
        yield Part("text", (chapter.why,))
        yield Part("question", (chapter.predict,), "Predict first", pause=True)
        for act in chapter.acts:
            yield from stage.play(act)
        if len(stage.wrong) == before:
            yield Part("answer", (chapter.answer,), "What happened", pause=True)
