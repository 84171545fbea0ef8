"""What several tests plant, and send."""

from __future__ import annotations

import hashlib
from pathlib import Path

FRAMES = [
    {
        "key": f"frame-{number}",
        "model": "pinhole",
        "device_position": {"x": number, "y": 0.5, "z": 0},
        "device_heading": {"x": 0, "y": 0, "z": 0, "w": 1},
        "images": [
            {
                "image_url": f"https://storage.avala.ai/{number}.jpg",
                "camera_id": "front",
                "position": {"x": 1, "y": 2, "z": 3},
                "heading": {"x": 0, "y": 0, "z": 0, "w": 1},
                "width": 1920,
                "height": 1080,
                "fx": 1000.5,
                "fy": 1001.5,
                "cx": 960,
                "cy": 540,
            }
        ],
    }
    for number in range(3)
]


def write_files(folder: Path, files: dict[str, bytes]) -> Path:
    """Write files with their folders; return the outermost."""
    for name, content in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return folder


def digests(files: dict[str, bytes]) -> dict[str, str]:
    """Return the files' SHA-256, by name."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
