#!/bin/sh
# Makes the certificates that tls.yml mounts, in the folder `secrets` of the checkout, or in another:
#   sh deploy/compose/make-certificates.sh [FOLDER]
# The authority (tls_ca.crt, and its key, which no container gets) is made once and lasts ten years. Each run makes a new
# certificate for Redis, for 397 days: run this again before it ends, then `docker compose ... restart redis`.
# The rights of the files: see make-secrets.sh.
set -eu
umask 022

root=$(cd "$(dirname "$0")/../.." && pwd)
folder=${1:-$root/secrets}
command -v openssl >/dev/null || { echo "error: openssl is missing: install it" >&2; exit 1; }
mkdir -p "$folder"
chmod 700 "$folder"
cd "$folder"

key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1"; }

if [ ! -s tls_ca.crt ]; then
  key tls_ca.key
  openssl req -x509 -new -key tls_ca.key -days 3650 -subj "/CN=interlock's certificate authority" -out tls_ca.crt \
    -addext keyUsage=critical,keyCertSign,cRLSign
fi
key tls_redis.key
openssl req -new -key tls_redis.key -subj /CN=redis -out tls_redis.csr
# The names by which containers, and this machine, call Redis.
printf 'subjectAltName=DNS:redis,DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n' >tls_redis.ext
openssl x509 -req -in tls_redis.csr -CA tls_ca.crt -CAkey tls_ca.key -CAcreateserial -days 397 -extfile tls_redis.ext \
  -out tls_redis.crt 2>tls.log || { cat tls.log >&2; exit 1; }
rm tls_redis.csr tls_redis.ext tls.log
chmod 600 tls_ca.key
chmod 644 tls_redis.key
