"""Changing settings of an emulator while it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_avala.emulator.limits import RateLimiter, parse_limits

if TYPE_CHECKING:
    from airflow_provider_avala.emulator.emulator import Emulator

KINDS: Mapping[str, tuple[type, ...]] = {
    "rate_limits": (str, list, tuple, type(None)),
    "inference_rate_limits": (str, list, tuple, type(None)),
    "export_seconds": (int, float),
    "dataset_seconds": (int, float),
    "url_seconds": (int, float),
    "max_exports": (int,),
    "max_uploads": (int,),
    "max_body_bytes": (int,),
    "page_limit": (int,),
    "download": (str,),
    "upload_mode": (str,),
    "upload_quota": (int,),
    "strict_slash": (bool,),
    "strict": (bool,),
    "strict_exports": (bool,),
    "auto_label_seconds": (int, float),
    "honour_idempotency_key": (bool,),
}


def tune(emulator: Emulator, settings: Mapping[str, Any]) -> None:
    """Change settings from now on: all of them, or none when one is wrong.

    :param settings: fields of :class:`~.emulator.Settings`, without those that are fixed at the start
        (``dialect``, ``api_key``, ``clock``). New rate limits start with empty windows.
    :raises ValueError: names the setting and what it must be.
    """
    for name, value in settings.items():
        _check(name, value)
    changed = replace(emulator.settings, **settings)
    limiter = RateLimiter(
        standard=parse_limits(changed.rate_limits), inference=parse_limits(changed.inference_rate_limits)
    )
    emulator.settings = changed
    if not settings.keys().isdisjoint(("rate_limits", "inference_rate_limits")):
        emulator.limiter = limiter
    for name, apply in _followers(emulator).items():
        if name in settings:
            apply(settings[name])


def _check(name: str, value: Any) -> None:
    if name not in KINDS:
        raise ValueError(f"{name}: not a setting that can be changed; there are {', '.join(sorted(KINDS))}")
    kinds = KINDS[name]
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        words = " or ".join("none" if kind is type(None) else kind.__name__ for kind in kinds)
        raise ValueError(f"{name}={value!r}: must be {words}")
    if isinstance(value, (int, float)) and value < 0:
        raise ValueError(f"{name}={value!r}: must not be negative")


def _followers(emulator: Emulator) -> dict[str, Callable[[Any], None]]:
    """Map the settings that live on elsewhere to what carries them there."""
    options, storage = emulator.export_service.options, emulator.storage_options
    uploads = emulator.upload_options
    return {
        "dataset_seconds": lambda value: setattr(emulator, "dataset_seconds", value),
        "export_seconds": lambda value: setattr(options, "seconds", value),
        "auto_label_seconds": lambda value: setattr(emulator, "auto_label_seconds", value),
        "max_exports": lambda value: setattr(options, "max_running", value),
        "strict": lambda value: setattr(options, "strict", value),
        "strict_exports": lambda value: setattr(options, "strict", value),
        "url_seconds": lambda value: setattr(storage, "url_seconds", value),
        "upload_mode": lambda value: setattr(uploads, "mode", value),
        "upload_quota": lambda value: setattr(uploads, "quota", value),
    }
