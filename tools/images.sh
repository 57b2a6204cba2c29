#!/bin/sh
# Has the Debian base images of all containers: fetched, or made by .ci/base-images where no registry can be reached and
# we are root on Debian. Quick, and silent, when all are there. Where they cannot be had, or there is no engine, a
# sentence says so, and what needs them is skipped or says it again.
set -eu
cd "$(dirname "$0")/.."
say() { printf 'images: %s\n' "$*"; }

{ command -v docker && docker info; } >/dev/null 2>&1 || exit 0

missing=
for suite in bookworm bullseye trixie sid; do
    docker image inspect "debian:$suite-slim" >/dev/null 2>&1 || missing="$missing $suite"
done
[ -n "$missing" ] || exit 0

say "fetching the base images of Debian's$missing"
left=
for suite in $missing; do
    # Where the first cannot be fetched, nor can the others.
    [ -z "$left" ] && docker pull -q "debian:$suite-slim" >/dev/null 2>&1 || left="$left $suite"
done
[ -n "$left" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    say "no registry has$left; as root on Debian, .ci/base-images makes them. What needs them is skipped"
    exit 0
fi
say "no registry has$left; making them with .ci/base-images"
.ci/base-images $left || say "not all could be made, see above; what needs them is skipped"
