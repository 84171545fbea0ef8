"""What Airflow reads about this provider."""

from __future__ import annotations

from typing import Any

_ASSET_URIS = {
    "schemes": ["avala"],
    "handler": "airflow_provider_avala.assets.avala.sanitize_uri",
    "factory": "airflow_provider_avala.assets.avala.create_asset",
    "to_openlineage_converter": "airflow_provider_avala.assets.avala.convert_asset_to_openlineage",
}


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
        "extra-links": ["airflow_provider_avala.links.avala.AvalaLink"],
        "asset-uris": [_ASSET_URIS],
        "dataset-uris": [_ASSET_URIS],  # what Airflow 2 reads
        "cli": ["airflow_provider_avala.cli.airflow.get_cli_commands"],
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
                        "password": "avk_..., from Mission Control > Settings > Security",
                        "dialect": "auto",
                        "timeout": "30",
                        "max_retry_seconds": "120",
                        "max_concurrent_uploads": "10",
                        "max_concurrent_exports": "5",
                        "rate_limits": "100/60,20/1",
                        "inference_rate_limits": "10/60",
                        "rate_limit_share": "1",
                        "verify": "true",
                        "web_url": "https://avala.ai",
                    },
                },
                "conn-fields": {
                    "dialect": {
                        "label": "API generation",
                        "description": "auto: legacy for server.avala.ai, current for any other base URL.",
                        "schema": {
                            "type": ["string", "null"],
                            "enum": ["auto", "current", "legacy"],
                            "default": "auto",
                        },
                    },
                    "timeout": {
                        "label": "Timeout in seconds",
                        "description": "How long a request may go without receiving a byte. Default: 30.",
                        "schema": {"type": ["number", "null"], "exclusiveMinimum": 0},
                    },
                    "max_retry_seconds": {
                        "label": "Retry for seconds",
                        "description": "How long a failed request may be retried; 0: never. Default: 120.",
                        "schema": {"type": ["number", "null"], "minimum": 0},
                    },
                    "max_concurrent_uploads": {
                        "label": "Uploads at a time",
                        "description": "How many may be in flight with this key. Default: 10.",
                        "schema": {"type": ["integer", "null"], "minimum": 1},
                    },
                    "max_concurrent_exports": {
                        "label": "Exports at a time",
                        "description": "How many may run with this key. Default: 5.",
                        "schema": {"type": ["integer", "null"], "minimum": 1},
                    },
                    "rate_limits": {
                        "label": "Rate limits",
                        "description": "Requests/seconds allowed to the key. Default: 100/60,20/1.",
                        "schema": {"type": ["string", "null"]},
                    },
                    "inference_rate_limits": {
                        "label": "Inference rate limits",
                        "description": "The same for inference calls. Default: 10/60.",
                        "schema": {"type": ["string", "null"]},
                    },
                    "rate_limit_share": {
                        "label": "Share of the limits",
                        "description": "This host's part, up to 1, where several hosts use the key. Default: 1.",
                        "schema": {"type": ["number", "null"], "exclusiveMinimum": 0, "maximum": 1},
                    },
                    "rate_limit_store": {
                        "label": "Rate limit store",
                        "description": "Where use is counted: on this host (empty), in memory, or at a redis:// URL.",
                        "schema": {"type": ["string", "null"], "format": "password"},
                    },
                    "rate_limit_store_fallback": {
                        "label": "Do without Redis",
                        "description": "Count on this host while Redis cannot be used, instead of failing.",
                        "schema": {"type": ["boolean", "null"], "default": False},
                    },
                    "verify": {
                        "label": "Verify TLS",
                        "description": "true, false, or the path of a CA bundle. Default: true.",
                        "schema": {"type": ["string", "null"]},
                    },
                    "proxies": {
                        "label": "Proxies",
                        "description": 'A JSON object, such as {"https": "http://proxy:3128"}.',
                        "schema": {"type": ["string", "null"], "format": "password"},
                    },
                    "allow_insecure_http": {
                        "label": "Allow plain HTTP",
                        "description": "Send the key unencrypted to other machines. This machine is always allowed.",
                        "schema": {"type": ["boolean", "null"], "default": False},
                    },
                    "web_url": {
                        "label": "Web app",
                        "description": "Where links in Airflow's UI lead. Default: https://avala.ai.",
                        "schema": {"type": ["string", "null"]},
                    },
                },
            }
        ],
    }
