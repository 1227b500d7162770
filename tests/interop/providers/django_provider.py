"""django-oauth-toolkit in one file, on 127.0.0.1 only: python django_provider.py PORT"""

import os
import sys
import tempfile
from wsgiref.simple_server import WSGIRequestHandler, make_server

import django
from django.conf import settings

port = int(sys.argv[1])
folder = tempfile.TemporaryDirectory()
settings.configure(
    SECRET_KEY="not a secret",
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "oauth2_provider",
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": os.path.join(folder.name, "database"),
        }
    },
    OAUTH2_PROVIDER={
        "SCOPES": {"read": "read", "write": "write", "introspection": "introspect"},
        "ACCESS_TOKEN_EXPIRE_SECONDS": 300,
    },
)
django.setup()

from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.http import JsonResponse
from django.urls import include, path
from oauth2_provider.models import get_application_model


def metadata(request):
    """The toolkit's own document comes with OpenID Connect only."""
    issuer = f"http://127.0.0.1:{port}/o"
    return JsonResponse({"issuer": issuer, "jwks_uri": f"{issuer}/keys"})


urlpatterns = [
    path("o/.well-known/openid-configuration", metadata),
    path("o/", include("oauth2_provider.urls", namespace="oauth2_provider")),
]


class Silent(WSGIRequestHandler):
    def log_message(self, *_):
        pass


call_command("migrate", verbosity=0)
application = get_application_model()
user = User.objects.create_user("alice", "alice@example.test", "password1")
for name in ("machine", "rs"):
    application.objects.create(
        client_id=name,
        name=name,
        user=user,
        client_type=application.CLIENT_CONFIDENTIAL,
        authorization_grant_type=application.GRANT_CLIENT_CREDENTIALS,
        client_secret=f"{name}-secret",
    )
make_server("127.0.0.1", port, get_wsgi_application(), handler_class=Silent).serve_forever()
