#!/bin/sh
# Pin the certificate of an FTPS server for lftp.
#
#   right.sh [--replace] [--expect SHA256] [--implicit] HOST [PORT]
#
# ssl:ca-file is one setting for all hosts, so all pins are in one file, each below a line with its host. The new files
# are written to a copy of HOME, shown to lftp, and moved into place only if lftp reads them as meant.
set -eu
umask 077
export LC_ALL=C

die() { echo "right.sh: $*" >&2; exit 1; }

replace=no expect= tls='-starttls ftp' usual=21
while :; do
    case ${1-} in
        --replace) replace=yes ;;
        --expect) expect=$(printf '%s' "${2-}" | tr -d ': ' | tr a-f A-F); [ ${#expect} -eq 64 ] || die "--expect needs a SHA-256 fingerprint"; shift ;;
        --implicit) tls='' usual=990 ;;
        *) break ;;
    esac
    shift
done
host=${1-} port=${2-$usual}
case $host in '' | -* | *[!A-Za-z0-9.:-]*) die "not a host name" ;; esac
case $port in '' | *[!0-9]*) die "not a port" ;; esac
[ -z "${LFTP_HOME-}${XDG_CONFIG_HOME-}" ] || die "LFTP_HOME or XDG_CONFIG_HOME is set: not supported"

# lftp reads ~/.config/lftp only while there is no ~/.lftp.
folder=.lftp
[ -d "$HOME/.lftp" ] || [ ! -d "$HOME/.config/lftp" ] || folder=.config/lftp
rc=$(readlink -f "$HOME/$folder/rc") && pins=$(readlink -f "$HOME/$folder/pins.crt") || {
    rc=$HOME/$folder/rc pins=$HOME/$folder/pins.crt # there is no such folder yet
}
[ ! -e "$rc" ] || [ -w "$rc" ] || die "$folder/rc is read-only; nothing was changed"

exec 9<"$HOME"
flock -w 15 9 || die "another pinning tool is at work in HOME"
stage=$(mktemp -d "$HOME/.pinning.XXXXXX") || die "cannot write to HOME"
trap 'rm -rf "$stage"' EXIT
trap 'exit 129' HUP INT TERM

# One connection: what is shown, compared and stored is the same certificate.
case $host in
    *:*) address=[$host] name=-noservername check=-verify_ip ;;
    *[!0-9.]*) address=$host name="-servername $host" check=-verify_hostname ;;
    *) address=$host name=-noservername check=-verify_ip ;;
esac
# shellcheck disable=SC2086 # the options are several words
said=$(timeout 8 openssl s_client $tls $name -connect "$address:$port" </dev/null 2>/dev/null) ||
    die "no certificate from $host, port $port: not reachable, not FTPS, or too slow"
pem=$(printf '%s\n' "$said" | openssl x509 2>/dev/null) || die "no certificate from $host, port $port"
fingerprint=$(printf '%s\n' "$pem" | openssl x509 -noout -fingerprint -sha256)
echo "$host, SHA-256 ${fingerprint#*=}"

[ -z "$expect" ] || [ "$expect" = "$(printf '%s' "${fingerprint#*=}" | tr -d :)" ] ||
    die "this is not the certificate with the expected fingerprint; nothing was changed"
printf '%s\n' "$pem" >"$stage/leaf"
why=$(openssl verify -partial_chain -trusted "$stage/leaf" "$check" "$host" "$stage/leaf" 2>&1) ||
    die "lftp would refuse this certificate:$(printf '%s' "$why" | sed -n 's/^error [0-9]* at [^:]*://p'); nothing was changed"

mkdir -p "$stage/$folder"
[ ! -d "$HOME/$folder" ] || cp -RL "$HOME/$folder/." "$stage/$folder" 2>/dev/null || : # what the rc may source
for file in .lftprc "$folder/rc" "$folder/pins.crt"; do
    [ ! -e "$HOME/$file" ] || cat "$HOME/$file" >"$stage/$file"
done
new=$stage/$folder/pins.crt
[ -e "$new" ] || : >"$new"
known=$(awk -v want="# $host" '$0 == want { on = 1; next } on { print } /-END/ { on = 0 }' "$new")
if [ "$known" != "$pem" ]; then
    if [ -n "$known" ] && [ "$replace" = no ]; then
        key=$(printf '%s\n' "$known" | openssl x509 -noout -pubkey)
        [ "$key" != "$(printf '%s\n' "$pem" | openssl x509 -noout -pubkey)" ] || die "the certificate of $host was renewed with the same key; --replace takes it"
        die "the certificate of $host has changed; ask its owner for the fingerprint, then use --replace"
    fi
    awk -v want="# $host" '$0 == want { skip = 1 } ! skip { print } /-END/ { skip = 0 }' "$new" >"$stage/kept"
    { cat "$stage/kept" && printf '# %s\n%s\n' "$host" "$pem"; } >"$new"
fi

lines="set ssl:ca-file \"~/$folder/pins.crt\"
set ftp:ssl-force yes
set ftp:ssl-allow-anonymous yes
set ftp:ssl-protect-data yes
set ftp:ssl-allow yes"
in_effect() { # lftp, asked about the copy: our lines count, and no check is off for any host
    settings=$(HOME=$stage timeout 10 lftp -c 'set -a' </dev/null 2>/dev/null) || return 1
    ! printf '%s\n' "$settings" | grep -Ei '^set ssl:(verify-certificate|check-hostname)' | grep -qEiv ' (yes|on|true|1)$' || return 1
    [ "$(printf '%s\n' "$settings" | grep -cxF -e "set ssl:ca-file $new" -e "set ssl:ca-file \"$new\"" -e "set ftp:ssl-force yes" \
        -e "set ftp:ssl-allow-anonymous yes" -e "set ftp:ssl-protect-data yes" -e "set ftp:ssl-allow yes")" -eq 5 ]
}
if ! in_effect; then
    if [ -n "$(tail -c 1 "$stage/$folder/rc" 2>/dev/null)" ]; then echo >>"$stage/$folder/rc"; fi
    printf '%s\n' "$lines" >>"$stage/$folder/rc"
    in_effect || die "lftp does not take these lines in $folder/rc: something there, in ~/.lftprc or in the path of HOME is against it, such as 'set ssl:verify-certificate no'; nothing was changed"
fi

mkdir -p "$HOME/$folder"
[ ! -e "$rc" ] || chmod --reference="$rc" "$stage/$folder/rc"
cmp -s "$new" "$pins" || mv "$new" "$pins"
cmp -s "$stage/$folder/rc" "$rc" || mv "$stage/$folder/rc" "$rc"
echo "pinned. ssl:ca-file replaces the system's trust store for all hosts: other FTPS hosts need a pin too."
[ "$(openssl x509 -noout -issuer_hash -in "$stage/leaf")" = "$(openssl x509 -noout -subject_hash -in "$stage/leaf")" ] ||
    echo "an authority issued it: an lftp built with OpenSSL refuses such a pin."
