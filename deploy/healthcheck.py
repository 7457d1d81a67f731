"""Whether the node in this container serves: exit code 0, or 1 with the reasons. For Docker's HEALTHCHECK."""

import http.client
import os
import sys

TIMEOUT_S = 4


def main() -> int:
    address = os.environ.get("KAFKA_ODRADEK_HTTP_LISTENER", "")
    host, _, port = address.rpartition(":")
    if not port:
        sys.stdout.write("KAFKA_ODRADEK_HTTP_LISTENER is empty: nobody can be asked\n")
        return 1
    here = {"0.0.0.0": "127.0.0.1", "[::]": "::1"}.get(host, host.strip("[]"))
    connection = http.client.HTTPConnection(here, int(port), timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/healthz/ready")
        answer = connection.getresponse()
        sys.stdout.write(answer.read().decode())
        return 0 if answer.status == 200 else 1
    except OSError as error:
        sys.stdout.write(f"no answer from {address}: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
