"""Canaille with everything in memory, on 127.0.0.1 only: python canaille_provider.py PORT"""

import datetime
import os
import sys

from joserfc.jwk import RSAKey

port = int(sys.argv[1])
# The tests speak http, on this machine only.
os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"

from canaille import create_app
from canaille.app import models
from canaille.backends import Backend

names = {"kid": "k1", "use": "sig", "alg": "RS256"}
key = RSAKey.generate_key(2048, parameters=names, private=True).as_dict(private=True)
app = create_app(
    {
        "SECRET_KEY": "not a secret",
        "SERVER_NAME": f"127.0.0.1:{port}",
        "PREFERRED_URL_SCHEME": "http",
        "SESSION_COOKIE_SECURE": False,
        "WTF_CSRF_ENABLED": False,
        "CANAILLE": {
            "DATABASE": "memory",
            "LOGGING": {"version": 1, "root": {"level": "ERROR"}, "disable_existing_loggers": True},
        },
        "CANAILLE_OIDC": {"ACTIVE_JWKS": [key], "TRUSTED_DOMAINS": ["127.0.0.1"]},
    },
    backend=None,
)
with app.app_context():
    store = Backend.instance
    user = models.User(
        formatted_name="Alice A",
        family_name="A",
        user_name="alice",
        emails=["alice@example.test"],
        password="password1",
    )
    store.save(user)
    common = {
        "client_id_issued_at": datetime.datetime.now(datetime.timezone.utc),
        "client_name": "test",
        "client_uri": "http://127.0.0.1:9/",
        "redirect_uris": ["http://127.0.0.1:9/callback"],
        "response_types": ["code"],
    }
    page = models.Client(
        client_id="spa",
        token_endpoint_auth_method="none",
        grant_types=["authorization_code"],
        scope=["openid", "profile"],
        **common,
    )
    store.save(page)
    api = models.Client(
        client_id="rs",
        client_secret="rs-secret",
        token_endpoint_auth_method="client_secret_basic",
        grant_types=["client_credentials"],
        scope=["openid"],
        **common,
    )
    store.save(api)
    # Whom the tokens of the page are for.
    page.audience = [page, api]
    store.save(page)

app.run("127.0.0.1", port, threaded=False, use_reloader=False)
