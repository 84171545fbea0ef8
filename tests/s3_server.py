"""An S3 of one's own, and Airflow's connection to it."""

from __future__ import annotations

import atexit
import json
import os
from functools import cache

import boto3
from moto.server import ThreadedMotoServer

CONN_ID = "s3_here"
REGION = "us-east-1"
KEYS = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}


@cache
def s3_client() -> boto3.client:
    """Start it, define the connection, and give a client of its own, to see what is really there.

    There is one for the whole run, because Airflow keeps what it has once connected to.
    """
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    atexit.register(server.stop)
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    os.environ[f"AIRFLOW_CONN_{CONN_ID.upper()}"] = json.dumps(
        {
            "conn_type": "aws",
            "login": KEYS["aws_access_key_id"],
            "password": KEYS["aws_secret_access_key"],
            "extra": {"endpoint_url": url, "region_name": REGION},
        }
    )
    return boto3.client("s3", endpoint_url=url, region_name=REGION, **KEYS)
