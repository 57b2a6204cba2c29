#!/bin/bash
# Pin the certificate of an FTPS server for lftp: a file for each host, and a bundle of them for ssl:ca-file.
#
#   right.bash [--replace] [--expect SHA256] [--implicit] HOST [PORT]
#
# Every file is written beside the one that it replaces and renamed; the rc comes last, so that it never names what is
# not there.
set -euo pipefail
umask 077
export LC_ALL=C
shopt -s nullglob

die() { printf 'right.bash: %s\n' "$*" >&2; exit 1; }

replace='' expect='' starttls=(-starttls ftp) port=21
while [[ ${1-} == --* ]]; do
    case $1 in
        --replace) replace=yes ;;
        --implicit) starttls=() port=990 ;;
        --expect)
            expect=${2-}; expect=${expect//:/}; expect=${expect^^}; shift
            [[ $expect =~ ^[0-9A-F]{64}$ ]] || die "--expect needs a SHA-256 fingerprint" ;;
        *) die "unknown option; there are --replace, --expect SHA256 and --implicit" ;;
    esac
    shift
done
host=${1-} port=${2-$port}
[[ $host =~ ^[A-Za-z0-9:][A-Za-z0-9.:-]*$ ]] || die "the first argument is not a host name"
[[ $port =~ ^[0-9]+$ ]] || die "the second argument is not a port"
[[ -z ${LFTP_HOME-}${XDG_CONFIG_HOME-} ]] || die "unset LFTP_HOME and XDG_CONFIG_HOME first"
[[ $HOME != *[$' \t\n"\';&|>\\']* ]] || die "lftp reads no rc in a HOME with such a path; nothing was changed"
[[ -d $HOME/.lftp || ! -e $HOME/.config/lftp/rc ]] ||
    die "there is ~/.config/lftp/rc, which a new ~/.lftp would hide: move it to ~/.lftp/rc first"

work=$(mktemp -d "$HOME/.pinning-XXXXXX") || die "cannot write to HOME"
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP

# --- what the server shows, in one connection -----------------------------------------------------------------------

address=$host sni=(-servername "$host") check=(-verify_hostname "$host")
if [[ $host == *:* ]]; then address="[$host]"; fi
if [[ $host == *:* || $host =~ ^[0-9.]+$ ]]; then sni=(-noservername) check=(-verify_ip "$host"); fi
timeout 8 openssl s_client "${starttls[@]}" "${sni[@]}" -connect "$address:$port" </dev/null >"$work/said" 2>/dev/null ||
    die "$host, port $port: no TLS connection, or too slow"
openssl x509 -in "$work/said" -out "$work/new" 2>/dev/null || die "$host, port $port: no certificate"
sha256=$(openssl x509 -in "$work/new" -noout -fingerprint -sha256)
sha256=${sha256#*=}
printf 'SHA-256 fingerprint of %s: %s\n' "$host" "$sha256"
[[ -z $expect || $expect == "${sha256//:/}" ]] || die "another fingerprint was expected; nothing was changed"
if ! why=$(openssl verify -partial_chain -trusted "$work/new" "${check[@]}" "$work/new" 2>&1); then
    [[ $why =~ lookup:([a-zA-Z\ ]+) ]] || true
    die "lftp would refuse this certificate: ${BASH_REMATCH[1]-it is not valid}; nothing was changed"
fi

# --- what is there already ------------------------------------------------------------------------------------------

exec {lock}<"$HOME"
flock -w 15 "$lock" || die "another run did not end"
pins=$HOME/.lftp/pins rc=$HOME/.lftp/rc bundle=$HOME/.lftp/pins.crt
if [[ -e $pins/$host.crt ]] && ! cmp -s "$pins/$host.crt" "$work/new"; then
    old=$(openssl x509 -in "$pins/$host.crt" -noout -pubkey) || die "$pins/$host.crt is not a certificate"
    same=''
    [[ $old != "$(openssl x509 -in "$work/new" -noout -pubkey)" ]] || same=' (a renewal: the same key)'
    [[ -n $replace ]] || die "the certificate of $host has changed$same; compare the fingerprint, then use --replace"
fi
{ [[ ! -e $rc ]] || cat "$rc"; } >"$work/rc"
[[ ! -e $rc || -w $rc ]] || die "$rc is read-only; nothing was changed"

# --- what will be there ---------------------------------------------------------------------------------------------

for file in "$pins"/*.crt; do
    [[ $file == "$pins/$host.crt" ]] || cat "$file"
done >"$work/bundle"
cat "$work/new" >>"$work/bundle"
wanted() { # lftp's settings, where the pins are in a file
    printf 'set ssl:ca-file %s\nset ftp:ssl-force yes\nset ftp:ssl-allow-anonymous yes\nset ftp:ssl-protect-data yes\nset ftp:ssl-allow yes\n' "$1"
}
settings() { HOME=$HOME timeout 10 lftp -c "${1-}"$'\nset -a' </dev/null 2>/dev/null; }
safe() { # nothing is switched off, and our lines are in effect
    ! grep -Ei '^set ssl:(verify-certificate|check-hostname)' <<<"$1" | grep -Eiqv ' (yes|on|true|1)$' &&
        [[ -z $(wanted "$2" | grep -vxFf <(printf '%s\n' "$1")) ]]
}
now=$(settings) || die "lftp does not start"
if ! safe "$now" "$bundle"; then
    safe "$(settings "$(wanted "$work/bundle")")" "$work/bundle" ||
        die "an rc of lftp switches a check off, such as 'set ssl:verify-certificate no': remove that line first"
    [[ ! -s $work/rc || -z $(tail -c 1 "$work/rc") ]] || echo >>"$work/rc"
    wanted "$bundle" >>"$work/rc"
fi

install_file() { # a rename, beside what a link leads to; the mode stays
    local target
    target=$(readlink -f "$2")
    ! cmp -s "$1" "$target" || return 0
    [[ ! -e $target ]] || chmod --reference="$target" "$1"
    mv "$1" "$target" || die "cannot write $2"
}
mkdir -p "$pins"
install_file "$work/bundle" "$bundle"
install_file "$work/new" "$pins/$host.crt"
install_file "$work/rc" "$rc"
echo "pinned; ssl:ca-file is for all hosts: lftp now refuses every other FTPS server that is not pinned"
