"""Make tokens and signed links that cannot be guessed.

openeo-driver's own basic token is the user's name in base64.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field

from itsdangerous import BadSignature, URLSafeSerializer
from openeo_driver.errors import TokenInvalidException
from openeo_driver.urlsigning import UrlSigner
from openeo_driver.users import User
from openeo_driver.users.auth import HttpAuthHandler

__all__ = ["DEFAULT_USER", "LINKS", "PASSWORD_VARIABLE", "USER_VARIABLE", "Account"]

USER_VARIABLE, PASSWORD_VARIABLE = "KAPPAMASK_USER", "KAPPAMASK_PASSWORD"
DEFAULT_USER = "kappamask"
LINK_LIFETIME = 7 * 24 * 3600
"""Seconds that a link to a result stays valid, as on Copernicus Data Space."""


@dataclass(frozen=True)
class Account:
    """The one user of a back-end."""

    user: str
    password: str = field(repr=False)
    secret: str = field(default_factory=secrets.token_hex, repr=False)
    """Key of this back-end's tokens."""

    def valid(self, user: str, password: str) -> bool:
        """Whether these are the user's credentials."""
        same_user = hmac.compare_digest(user.encode(), self.user.encode())
        return hmac.compare_digest(password.encode(), self.password.encode()) and same_user

    def protect_handler(self, handler: HttpAuthHandler) -> None:
        """Make a handler give out signed tokens, and take no others."""
        signer = URLSafeSerializer(self.secret)

        def resolve(access_token: str) -> User:
            try:
                return User(str(signer.loads(access_token)), internal_auth_data={"authentication_method": "Basic"})
            except BadSignature:
                raise TokenInvalidException from None

        handler.build_basic_access_token = signer.dumps
        handler.resolve_basic_access_token = resolve


class LinkSigner(UrlSigner):  # type: ignore[misc]
    """Signs links with HMAC-SHA256."""

    def _sign_with_secret(self, *token_key_parts: str) -> str:
        return hmac.new(self._secret.encode(), "\n".join(token_key_parts).encode(), hashlib.sha256).hexdigest()


LINKS = LinkSigner(secret=secrets.token_hex(), expiration=LINK_LIFETIME)
"""One for the whole process: openeo-driver's configuration knows but one signer."""
