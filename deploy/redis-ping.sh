#!/bin/sh
# The health check of Redis in compose: fails also while Redis reads its log. What logs in where comes from the environment:
# REDISCLI_AUTH or REDISCLI_AUTH_FILE (the password), REDISCLI_USER, REDISCLI_CACERT (then over TLS).
if [ -n "${REDISCLI_AUTH_FILE:-}" ]; then
  REDISCLI_AUTH=$(cat "$REDISCLI_AUTH_FILE") || exit 1
  export REDISCLI_AUTH
fi
exec redis-cli -e ${REDISCLI_USER:+--user "$REDISCLI_USER"} ${REDISCLI_CACERT:+--tls --cacert "$REDISCLI_CACERT"} ping
