#!/bin/sh
# Gets the Debian base images of all containers: fetches them, or makes them with .ci/base-images if no registry can be
# reached and we are root on Debian. Quick and silent if none is missing. If it cannot get them, it says so, and
# everything that needs them is skipped or reports it again. Without an engine, it does nothing.
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
    # If the first cannot be fetched, the others cannot either.
    [ -z "$left" ] && docker pull -q "debian:$suite-slim" >/dev/null 2>&1 || left="$left $suite"
done
[ -n "$left" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    say "no registry has$left; as root on Debian, .ci/base-images makes them. Everything that needs them is skipped"
    exit 0
fi
say "no registry has$left; making them with .ci/base-images"
.ci/base-images $left || say "could not make all of them, see above; everything that needs them is skipped"
