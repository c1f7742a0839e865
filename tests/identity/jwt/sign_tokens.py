#!/usr/bin/python3
"""Signs tokens with PyJWT for jwt_interop_test.cc: prints one JSON object with a key set, the tokens by
algorithm, and the same tokens as an attacker would bend them."""
import base64
import hashlib
import hmac
import json
import sys

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

claims = json.loads(sys.argv[1])


def number(value, size=None):
    size = size or (value.bit_length() + 7) // 8
    return base64.urlsafe_b64encode(value.to_bytes(size, "big")).rstrip(b"=").decode()


def public_jwk(key, kid):
    numbers = key.public_key().public_numbers()
    if isinstance(key, rsa.RSAPrivateKey):
        return {"kty": "RSA", "kid": kid, "use": "sig", "n": number(numbers.n), "e": number(numbers.e)}
    size = (key.curve.key_size + 7) // 8
    return {"kty": "EC", "kid": kid, "use": "sig", "crv": f"P-{key.curve.key_size}",
            "x": number(numbers.x, size), "y": number(numbers.y, size)}


rsa_key = rsa.generate_private_key(65537, 2048)
keys = {
    "RS256": rsa_key, "RS384": rsa_key, "RS512": rsa_key, "PS256": rsa_key, "PS384": rsa_key, "PS512": rsa_key,
    "ES256": ec.generate_private_key(ec.SECP256R1()), "ES384": ec.generate_private_key(ec.SECP384R1()),
    "ES512": ec.generate_private_key(ec.SECP521R1()),
}
tokens = {alg: jwt.encode(claims, key, algorithm=alg, headers={"kid": alg}) for alg, key in keys.items()}
header, payload, signature = tokens["RS256"].split(".")


def encode(value):
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


# The public key as the secret of an HMAC: the classic confusion.
public_pem = rsa_key.public_key().public_bytes(serialization.Encoding.PEM,
                                               serialization.PublicFormat.SubjectPublicKeyInfo)
confused = encode({"alg": "HS256", "kid": "RS256", "typ": "JWT"}) + "." + payload
mac = hmac.new(public_pem, confused.encode(), hashlib.sha256).digest()
bent = {
    "symmetric_algorithm": confused + "." + encode(mac),
    "algorithm_none": jwt.encode(claims, None, algorithm="none"),
    "bad_signature": header + "." + encode({**claims, "sub": "root"}) + "." + signature,
    "unknown_key_id": jwt.encode(claims, rsa_key, algorithm="RS256", headers={"kid": "other"}),
    "forbidden_header": jwt.encode(claims, rsa_key, algorithm="RS256", headers={"kid": "RS256", "jku": "https://evil.example"}),
    "expired": jwt.encode({**claims, "exp": claims["iat"] - 3600}, rsa_key, algorithm="RS256", headers={"kid": "RS256"}),
    "wrong_audience": jwt.encode({**claims, "aud": "billing"}, rsa_key, algorithm="RS256", headers={"kid": "RS256"}),
}
print(json.dumps({"jwks": {"keys": [public_jwk(key, alg) for alg, key in keys.items()]}, "tokens": tokens, "bent": bent}))
