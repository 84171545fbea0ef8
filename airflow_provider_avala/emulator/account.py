"""The owner of the key, signing up, and the inference endpoint."""

from __future__ import annotations

import secrets
import uuid
from typing import TYPE_CHECKING

from airflow_provider_avala.emulator import seeds
from airflow_provider_avala.emulator.endpoints import Call, Endpoint
from airflow_provider_avala.emulator.envelopes import Json
from airflow_provider_avala.emulator.kinds import slugify
from airflow_provider_avala.emulator.schema import Field, Shape

if TYPE_CHECKING:
    from airflow_provider_avala.emulator.emulator import Emulator

NAME = Field(max_length=150, default="")
SIGNUP = Shape(
    "signup",
    {
        "email": Field(required=True, format="email", max_length=254),
        "password": Field(required=True, max_length=128),
        "first_name": NAME,
        "last_name": NAME,
    },
)
SIGNED_UP = Shape("signed_up", {"user": Field(dict, required=True), "api_key": Field(required=True)})
USER = Shape(
    "user",
    {
        "uid": Field(required=True),
        "username": Field(required=True),
        "email": Field(),
        "first_name": Field(default=""),
        "last_name": Field(default=""),
        "in_waitlist": Field(bool, default=False),
        "organization": Field(dict),
    },
)


class Account:
    """Who the key belongs to. Accounts made by signing up see the same data: there is one tenant."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator

    def endpoints(self) -> list[Endpoint]:
        """List the endpoints."""
        return [
            Endpoint("GET", "/users/me", self.me, "Show the owner of the key", gives=USER),
            Endpoint("POST", "/signup", self.sign_up, "Make an account and its key", takes=SIGNUP, gives=SIGNED_UP,
                     status=201, form="free", anonymous=True),
            Endpoint("POST", "/inference/invoke", self.infer, "Infer with a made-up model", form="free"),
        ]  # fmt: skip

    def me(self, call: Call) -> Json:
        """Answer GET /users/me/."""
        key = call.request.headers.get("x-avala-api-key", "")
        user = self.emulator.accounts.get(key) or {
            "uid": seeds.SEED_USER_ID,
            "username": self.emulator.username,
            "email": self.emulator.person["email"],
            "first_name": "",
            "last_name": "",
            "in_waitlist": False,
        }
        organization = {
            "uid": seeds.SEED_ORGANIZATION_ID,
            "slug": seeds.SEED_OWNER,
            "plan": self.emulator.plan,
        }
        return {**user, "organization": organization}

    def sign_up(self, call: Call) -> Json:
        """Answer POST /signup/: a new user with a key that works."""
        taken = {user["username"] for user in self.emulator.accounts.values()} | {self.emulator.username}
        user = {
            "uid": str(uuid.uuid4()),
            "username": slugify(call.body["email"].partition("@")[0], taken.__contains__),
            **{name: call.body[name] for name in ("email", "first_name", "last_name")},
            "in_waitlist": False,
        }
        key = f"avk_{secrets.token_hex(20)}"
        self.emulator.accounts[key] = user
        return {"user": user, "api_key": key}

    def infer(self, call: Call) -> Json:
        """Answer POST /inference/invoke/: echo the input with a made-up prediction."""
        return {"predictions": [{"label": "emulated", "score": 1.0}], "input": call.body}
