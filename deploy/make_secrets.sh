#!/bin/sh
# Makes the secrets of compose.yaml in deploy/secrets, once; what is there stays.
#
# The folder is closed to others. Its files are readable, since containers open them under users of their
# own, and nobody else gets as far as to them.
set -eu
cd "$(dirname "$0")"
umask 077
mkdir -p secrets
chmod 0700 secrets

random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }

if [ ! -e secrets/qdrant.yaml ]; then
    full=$(random)
    readonly_key=$(random)
    printf 'service:\n  api_key: %s\n  read_only_api_key: %s\n' "$full" "$readonly_key" > secrets/qdrant.yaml
    printf '%s' "$full" > secrets/placeprint_qdrant_api_key
    printf '%s' "$readonly_key" > secrets/qdrant_read_only_key
fi
[ -e secrets/grafana_password ] || random > secrets/grafana_password
# Prometheus asks with a key of the service's own: placeprint keys create prometheus --scope read
[ -e secrets/prometheus_key ] || : > secrets/prometheus_key
chmod 0444 secrets/*
echo "secrets are in $(pwd)/secrets"
