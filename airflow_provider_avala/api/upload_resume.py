"""Which parts are missing, given what an earlier attempt has noted."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from airflow_provider_avala.api.errors import AvalaUploadError
from airflow_provider_avala.api.jsonl import Part
from airflow_provider_avala.api.part_outcomes import OnUnknown
from airflow_provider_avala.api.upload_journal import Progress, Range
from airflow_provider_avala.api.upload_report import LineRanges, UploadSummary


def missing_parts(
    parts: Iterator[Part],
    earlier: Progress,
    dataset_id: str,
    on_unknown: OnUnknown,
    resume: Callable[[Part], None],
) -> Iterator[Part]:
    """Give out the parts that are to be sent, none of them before it is certain that the source is still the same.

    An earlier attempt accepts parts nearly in order, so few are missing among the accepted ones; they are held back
    until all of those have been seen.

    :param parts: all parts of the source, in order.
    :param earlier: what an earlier attempt has noted.
    :param dataset_id: for messages.
    :param on_unknown: what to do about a part of unknown outcome.
    :param resume: told of each part that was accepted.
    :raises AvalaUploadError: if the source is not the same, or an outcome is unknown and that is to stop the upload.
    """
    seen: dict[int, Range] = {}
    held: list[Part] = []
    for part in parts if earlier.last else ():
        if known := earlier.range_of(part.number):
            found = seen.get(known.first)
            seen[known.first] = Range.of(part) if found is None else found | Range.of(part)
            resume(part)
            part.content.close()
        else:
            held.append(part)
        if part.number >= earlier.last:
            break
    same = all(seen.get(each.first) == each for each in earlier.accepted)
    digests = {part.number: part.digest for part in held}
    if not same or any(digests.get(number) != digest for number, digest in earlier.sending.items()):
        raise _changed(earlier, dataset_id)
    doubtful = [part for part in held if part.number in earlier.sending]
    if doubtful and on_unknown == "fail":
        raise AvalaUploadError(
            f"the upload to dataset {dataset_id} cannot go on: an earlier attempt ended while it sent"
            f" {LineRanges(doubtful)}, which may or may not have been stored. Look in Avala, and delete them if they"
            " are there; then set on_unknown='retry' and clear the task, which sends them again and goes on with what"
            f" is missing. Avala accepted {earlier.items} items before.",
            summary=_accepted(earlier, dataset_id),
            unknown_parts=len(doubtful),
        )
    yield from held
    yield from parts


def _changed(earlier: Progress, dataset_id: str) -> AvalaUploadError:
    return AvalaUploadError(
        f"the upload to dataset {dataset_id} cannot go on: the source has changed since an earlier attempt of it, or"
        f" the size of the parts has (it was {earlier.part_size} bytes). Avala accepted {earlier.items} items in"
        f" {earlier.parts} parts before, {earlier.bytes} bytes of JSONL, and {len(earlier.sending)} parts may or"
        " may not have been stored. Bring the old source back, and the size of the parts, and clear the task: it goes"
        " on with what is missing. Or delete those items in Avala, and trigger a new run of the DAG, which uploads the"
        " whole of the new source.",
        summary=_accepted(earlier, dataset_id),
        unknown_parts=len(earlier.sending),
    )


def _accepted(earlier: Progress, dataset_id: str) -> UploadSummary:
    return UploadSummary(dataset_id, earlier.items, earlier.parts, earlier.bytes, resumed_parts=earlier.parts)
