"""What several tests plant."""

from __future__ import annotations

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
