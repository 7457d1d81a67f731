#!/bin/sh
# What a container does with its environment before the node reads it: the habits of the apache/kafka image.
#
#   * /mnt/shared/config/server.properties is read when it is there; KAFKA_* variables win over it.
#   * Without KAFKA_LISTENERS, they are KAFKA_ADVERTISED_LISTENERS on every address.
#   * Without anything, it is one node that clients on the same machine reach at localhost:9092.
#   * Arguments are those of the `odradek` command, in place of `start`.
set -eu

config=/mnt/shared/config/server.properties
data=/var/lib/odradek

if [ "$#" -gt 0 ]; then
    exec odradek "$@"
fi

is_set() { # whether the file says something about a setting
    [ -f "$config" ] && grep -Eq "^[[:space:]]*$1[[:space:]]*[=:]" "$config"
}

if [ -z "${KAFKA_LOG_DIRS:-}${KAFKA_LOG_DIR:-}" ] && ! is_set 'log\.dirs?'; then
    export KAFKA_LOG_DIRS=$data
fi

if [ -z "${KAFKA_LISTENERS:-}" ] && ! is_set listeners; then
    if [ -n "${KAFKA_ADVERTISED_LISTENERS:-}" ]; then
        KAFKA_LISTENERS=$(printf '%s' "$KAFKA_ADVERTISED_LISTENERS" | sed -E 's#://(\[[^]]*\]|[^:,]*):#://0.0.0.0:#g')
        export KAFKA_LISTENERS
    elif [ -z "${KAFKA_PROCESS_ROLES:-}" ] && ! is_set 'process\.roles'; then
        export KAFKA_LISTENERS=PLAINTEXT://0.0.0.0:9092
        export KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://localhost:9092
    fi
fi

if [ -f "$config" ]; then
    exec odradek start --config "$config"
fi
exec odradek start
