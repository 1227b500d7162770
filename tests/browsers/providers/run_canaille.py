"""Canaille (Flask, Authlib, joserfc) with its own login page, in memory, on 127.0.0.1.

python run_canaille.py PORT REDIRECT_URI POST_LOGOUT_REDIRECT_URI
"""

import datetime
import os
import sys

port, redirect_uri, home = int(sys.argv[1]), sys.argv[2], sys.argv[3]
os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"

from canaille import create_app
from canaille.app import models
from canaille.backends import Backend
from joserfc.jwk import RSAKey

key = RSAKey.generate_key(2048, parameters={"kid": "k1", "use": "sig", "alg": "RS256"}, private=True)
app = create_app(
    {
        "SECRET_KEY": "for this test alone",
        "SERVER_NAME": f"127.0.0.1:{port}",
        "PREFERRED_URL_SCHEME": "http",
        "SESSION_COOKIE_SECURE": False,
        "CANAILLE": {
            "DATABASE": "memory",
            "LOGGING": {"version": 1, "root": {"level": "ERROR"}, "disable_existing_loggers": False},
        },
        "CANAILLE_OIDC": {
            "REQUIRE_NONCE": True,
            "ACTIVE_JWKS": [key.as_dict(private=True)],
            "TRUSTED_DOMAINS": ["127.0.0.1"],
        },
    },
    backend=None,
)
with app.app_context():
    backend = Backend.instance
    backend.save(
        models.User(
            formatted_name="Alice Adams",
            family_name="Adams",
            user_name="alice",
            emails=["alice@corp.example"],
            password="a good password",
        )
    )
    now = datetime.datetime.now(datetime.timezone.utc)
    common = {"client_id_issued_at": now, "redirect_uris": [redirect_uri], "client_uri": home}
    page = models.Client(
        client_id="page",
        client_name="Page",
        token_endpoint_auth_method="none",
        grant_types=["authorization_code", "refresh_token"],
        response_types=["code"],
        scope=["openid", "profile", "email", "offline_access"],
        post_logout_redirect_uris=[home],
        **common,
    )
    backend.save(page)
    page.audience = [page]
    backend.save(page)
app.run("127.0.0.1", port, threaded=False, use_reloader=False)
