"""What Airflow reads about this provider."""

from __future__ import annotations

from typing import Any


def get_provider_info() -> dict[str, Any]:
    """Describe the provider; its connection fields are the one table that both kinds of form are made from."""
    return {
        "package-name": "airflow-provider-avala",
        "name": "Avala",
        "description": "Label data on `Avala <https://avala.ai/>`__: upload items, create, await and download exports.",
        "integrations": [
            {
                "integration-name": "Avala",
                "external-doc-url": "https://avala.ai/docs",
                "tags": ["service"],
            }
        ],
        "hooks": [
            {"integration-name": "Avala", "python-modules": ["airflow_provider_avala.hooks.avala"]},
        ],
        "operators": [
            {"integration-name": "Avala", "python-modules": ["airflow_provider_avala.operators.avala"]},
        ],
        "sensors": [
            {"integration-name": "Avala", "python-modules": ["airflow_provider_avala.sensors.avala"]},
        ],
        "triggers": [
            {"integration-name": "Avala", "python-modules": ["airflow_provider_avala.triggers.avala"]},
        ],
        "config": {
            "avala": {
                "description": "How the Avala provider keeps the limits of API keys.",
                "options": {
                    "state_dir": {
                        "description": (
                            "Absolute path of the directory, on a local disk, whose small files keep the limits"
                            " among all processes of a host. Empty: one for each user below the system's"
                            " temporary directory."
                        ),
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "/var/lib/airflow/avala",
                        "default": "",
                    },
                    "poll_share": {
                        "description": (
                            "The part of a key's request limits that waiting sensors and triggers may use up,"
                            " above 0 and at most 1."
                        ),
                        "version_added": "0.1.0",
                        "type": "float",
                        "example": None,
                        "default": "0.5",
                    },
                },
            }
        },
        "connection-types": [
            {
                "connection-type": "avala",
                "hook-class-name": "airflow_provider_avala.hooks.avala.AvalaHook",
                "hook-name": "Avala",
                "ui-field-behaviour": {
                    "hidden-fields": ["login", "port", "schema"],
                    "relabeling": {"host": "Base URL", "password": "API key"},
                    "placeholders": {
                        "host": "https://api.avala.ai/api/v1",
                        "password": "avk_...",
                    },
                },
                "conn-fields": {
                    "dialect": {
                        "label": "API dialect",
                        "description": "Which generation of the API to speak; auto decides by the base URL.",
                        "schema": {
                            "type": ["string", "null"],
                            "enum": ["auto", "current", "legacy"],
                            "default": "auto",
                        },
                    },
                    "timeout": {
                        "label": "Timeout (s)",
                        "description": "Seconds without a byte after which one request is given up. Default: 30.",
                        "schema": {"type": ["number", "null"], "exclusiveMinimum": 0},
                    },
                    "max_retry_seconds": {
                        "label": "Retry for (s)",
                        "description": "Seconds in which a failed request may be retried; 0: never. Default: 120.",
                        "schema": {"type": ["number", "null"], "minimum": 0},
                    },
                    "rate_limits": {
                        "label": "Rate limits",
                        "description": "Requests per seconds that the key is allowed. Default: 100/60,20/1.",
                        "schema": {"type": ["string", "null"]},
                    },
                    "inference_rate_limits": {
                        "label": "Inference rate limits",
                        "description": "The same for inference calls. Default: 10/60.",
                        "schema": {"type": ["string", "null"]},
                    },
                    "rate_limit_share": {
                        "label": "Share of the rate limits",
                        "description": "This host's part of them, if several use the key. Default: 1.",
                        "schema": {"type": ["number", "null"], "exclusiveMinimum": 0, "maximum": 1},
                    },
                    "rate_limit_store": {
                        "label": "Rate limit store",
                        "description": "Where the limits are kept: empty for this host, memory, or a redis:// URL.",
                        "schema": {"type": ["string", "null"], "format": "password"},
                    },
                    "rate_limit_store_fallback": {
                        "label": "Rate limit fallback",
                        "description": "Keep the limits on this host while Redis cannot be used.",
                        "schema": {"type": ["boolean", "null"], "default": False},
                    },
                    "max_concurrent_uploads": {
                        "label": "Concurrent uploads",
                        "description": "Uploads in flight at a time. Default: 10.",
                        "schema": {"type": ["integer", "null"], "minimum": 1},
                    },
                    "max_concurrent_exports": {
                        "label": "Concurrent exports",
                        "description": "Exports running at a time. Default: 5.",
                        "schema": {"type": ["integer", "null"], "minimum": 1},
                    },
                    "verify": {
                        "label": "Verify TLS",
                        "description": "true, false, or the path of a CA bundle. Default: true.",
                        "schema": {"type": ["string", "null"]},
                    },
                    "proxies": {
                        "label": "Proxies",
                        "description": 'A JSON object such as {"https": "http://proxy:3128"}.',
                        "schema": {"type": ["string", "null"], "format": "password"},
                    },
                    "web_url": {
                        "label": "Web app",
                        "description": "Where links in the UI lead. Default: https://avala.ai.",
                        "schema": {"type": ["string", "null"]},
                    },
                    "allow_insecure_http": {
                        "label": "Allow plain HTTP",
                        "description": "Send the key unencrypted to other machines; loopback is always allowed.",
                        "schema": {"type": ["boolean", "null"], "default": False},
                    },
                },
            }
        ],
    }
