#!/bin/sh
# Sets up what the Makefile's targets need: lftp and openssl from the system's package manager if they are missing, a
# virtual environment in .venv, and in it the locked packages that ftps-lab needs. Quick and silent if nothing is missing.
# `setup.sh dev` then adds what `make test` and `make check` need, and `setup.sh pages` what tests of pages in a browser
# and the documentation site need, so that people who only run the lab need not wait for them.
set -eu
cd "$(dirname "$0")/.."

# command    refresh its lists        install                                   packages
managers='
apt-get | apt-get update -qq        | apt-get install -y -qq --no-install-recommends | lftp openssl faketime python3-venv
dnf     | :                         | dnf install -y -q                              | lftp openssl libfaketime
apk     | apk update -q             | apk add -q                                     | lftp openssl libfaketime
pacman  | pacman -Sy --noconfirm -q | pacman -S --noconfirm -q                       | lftp openssl libfaketime
zypper  | zypper -nq refresh        | zypper -nq install                             | lftp openssl libfaketime
brew    | :                         | brew install -q                                | lftp openssl libfaketime
'

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 3; }

case $(pwd) in
    *'"'*) fail "the path of this checkout contains a double quote, with which pip's scripts do not start: move it" ;;
esac

find_python() {
    for python in "${PYTHON:-python3}" python3.14 python3.13 python3.12 python3.11; do
        if command -v "$python" >/dev/null 2>&1 && "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
            command -v "$python"
            return
        fi
    done
}

install_programs() {
    line=$(printf '%s\n' "$managers" | while IFS='|' read -r command rest; do
        command=$(echo $command)
        if [ -n "$command" ] && command -v "$command" >/dev/null 2>&1; then
            printf '%s\n' "$rest"
            break
        fi
    done)
    [ -n "$line" ] || fail "missing: $1. This machine has none of apt-get, dnf, apk, pacman, zypper and brew: install them yourself, then run this again"
    refresh=$(printf '%s' "$line" | cut -d'|' -f1)
    install=$(printf '%s' "$line" | cut -d'|' -f2)
    packages=$(printf '%s' "$line" | cut -d'|' -f3)
    sudo=
    case $install in
        *brew*) ;;  # refuses to run as root
        *) if [ "$(id -u)" != 0 ]; then
               command -v sudo >/dev/null 2>&1 || fail "missing: $1. Installing needs root, and sudo is missing: as root, run:$install $packages"
               sudo=sudo
           fi ;;
    esac
    say "missing: $1; running: $sudo$install $packages"
    export DEBIAN_FRONTEND=noninteractive
    # Each word of the table's cells is one argument: no quotes on purpose.
    $sudo $refresh >/dev/null </dev/null || say "could not refresh the package lists; trying with the old ones"
    said=$($sudo $install $packages 2>&1 </dev/null) || {
        printf '%s\n' "$said" >&2
        fail "installing failed, see above; install $1 yourself, then run this again"
    }
}

pip_install() {
    .venv/bin/python -m pip install --quiet --disable-pip-version-check "$@"
}

# pip_check LOCK: fails if the lock lacks a package that its packages need.
pip_check() {
    said=$(.venv/bin/python -m pip --disable-pip-version-check check 2>&1) || {
        printf '%s\n' "$said" >&2
        fail "$1 lacks packages that pyproject.toml requires, see above; run: make lock"
    }
}

# add NAME LOCK BELOW: adds the packages of a lock to the environment whose stamp is BELOW.
add() {
    stamp=.venv/.ready-$1
    state=$(cat "$2" "$3" | cksum)
    [ "$(cat "$stamp" 2>/dev/null || :)" != "$state" ] || return 0
    say "adding the packages of $2 to .venv"
    pip_install --require-hashes --no-deps --no-build-isolation -r "$2"
    pip_check "$2"
    printf '%s\n' "$state" >"$stamp"
}

case ${1:-} in
    dev) add dev requirements.lock .venv/.ready; exit 0 ;;
    pages) add pages requirements-pages.lock .venv/.ready-dev; exit 0 ;;
esac

python=$(find_python)
[ -n "$python" ] || fail "no Python 3.11 or newer was found as python3 or python3.11 to python3.14: install one, or name it: PYTHON=/path/to/python3 make run"

missing=
command -v lftp >/dev/null 2>&1 || [ -n "${FTPS_LAB_LFTP:-}" ] || missing="lftp"
command -v openssl >/dev/null 2>&1 || missing="$missing openssl"
"$python" -c 'import ensurepip, venv' 2>/dev/null || missing="$missing python3-venv"
[ -z "$missing" ] || install_programs "$(echo $missing)"

stamp=.venv/.ready
runtime=lab/images/lab/requirements.lock
state=$(cat $runtime lab/images/lab/build.lock pyproject.toml | cksum)
if [ "$(cat "$stamp" 2>/dev/null || :)" != "$state" ]; then
    say "making .venv with $("$python" --version) and the packages of $runtime"
    "$python" -m venv --clear .venv
    # --no-deps: the lock is complete. Without this option, pip 23.2 (Python 3.11's own) fails once a package that another
    # one requires with an extra has a newer release (pypa/pip#12345). `pip check` fails if the lock is incomplete.
    # Without build isolation, packages that come as source are built with the locked build.lock, not the newest tools.
    pip_install --require-hashes --no-deps --only-binary :all: -r lab/images/lab/build.lock
    pip_install --require-hashes --no-deps --no-build-isolation -r "$runtime"
    # The project itself, editable; build.lock has what builds it, so pip fetches nothing else.
    pip_install --no-deps --no-build-isolation --editable .
    # Python 3.11 reads this file in the locale's encoding, in LC_ALL=C only ASCII. So its paths are relative to the file:
    # the names of the folders above may have other characters.
    for paths in .venv/lib*/python*/site-packages/_editable_impl_ftps_lab.pth; do
        [ ! -e "$paths" ] || printf '../../../../%s\n' lab harness >"$paths"
    done
    pip_check "$runtime"
    printf '%s\n' "$state" >"$stamp"
fi
