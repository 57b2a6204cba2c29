#!/bin/sh
# Pin the certificate of an FTPS server for lftp by its fingerprint: two lines for each host in the rc, and no other file.
#
#   fingerprint.sh [--replace] [--expect SHA256] HOST [PORT]
#
# lftp takes a SHA-1 fingerprint as closure: it then skips every check for this one certificate, whichever host shows it.
set -eu
umask 077
export LC_ALL=C

die() { echo "fingerprint.sh: $*; nothing was changed" >&2; exit 1; }

replace=no expect=
while :; do
    case ${1-} in
        --replace) replace=yes; shift ;;
        --expect) expect=$(printf '%s' "${2-}" | tr -d ':' | tr a-f A-F); shift 2 ;;
        *) break ;;
    esac
done
host=${1-} port=${2-21}
case $host in '' | -* | *[!A-Za-z0-9.:-]*) die "the first argument is not a host name" ;; esac
case $port in '' | *[!0-9]*) die "the second argument is not a port" ;; esac
case $HOME in *[\ \"\'\;\&\|\>\\]*) die "lftp reads no rc in a HOME with such a path" ;; esac
[ -z "${LFTP_HOME-}${XDG_CONFIG_HOME-}" ] || die "unset LFTP_HOME and XDG_CONFIG_HOME"
[ -d "$HOME/.lftp" ] || [ ! -e "$HOME/.config/lftp/rc" ] || die "move ~/.config/lftp/rc to ~/.lftp/rc: lftp reads one of them"
rc=$HOME/.lftp/rc
if [ -L "$rc" ]; then rc=$(readlink -f "$rc") || die "~/.lftp/rc is a link that leads nowhere"; fi
[ ! -e "$rc" ] || [ -w "$rc" ] || die "$rc may not be written"

case $host in *:*) address=[$host] ;; *) address=$host ;; esac
case $host in *:*) kind=ip ;; *[!0-9.]*) kind=hostname ;; *) kind=ip ;; esac
said=$(timeout -k 1 8 openssl s_client -starttls ftp -connect "$address:$port" </dev/null 2>/dev/null) || die "$host does not talk FTPS on port $port"
pem=$(printf '%s\n' "$said" | openssl x509 2>/dev/null) || die "$host shows no certificate"
digest() { printf '%s\n' "$pem" | openssl x509 -noout -fingerprint "-$1" | cut -d= -f2; }
sha1=$(digest sha1) sha256=$(digest sha256)
echo "The certificate of $host has the SHA-256 fingerprint"
echo "  $sha256"
[ -z "$expect" ] || [ "$expect" = "$(echo "$sha256" | tr -d :)" ] || die "that is not the fingerprint that was expected"
printf '%s\n' "$pem" | openssl x509 -noout -checkend 0 >/dev/null || die "it has expired"

exec 9<"$HOME"
flock -w 10 9 || die "another run is at work"
set_line="set ssl:verify-certificate/$sha1 no"
old=$({ [ ! -e "$rc" ] || cat "$rc"; } | grep -A 1 -xF "# certificate of $host:" | sed -n 's|^set ssl:verify-certificate/\([0-9A-F:]*\) no$|\1|p')
[ -z "$old" ] || [ "$old" = "$sha1" ] || [ "$replace" = yes ] ||
    die "the certificate of $host has changed, or was renewed: look at its fingerprint, then use --replace"

# With these lines as the last ones that lftp reads, no check may be off except for fingerprints.
others="set ftp:ssl-force yes
set ftp:ssl-allow-anonymous yes
set ftp:ssl-protect-data yes
set ftp:ssl-allow yes"
asked() { timeout 10 lftp -c "$1
set -a" </dev/null 2>/dev/null; }
switches() { grep -E '^set ssl:(verify-certificate|check-hostname)' | grep -Ev '^set ssl:verify-certificate/([0-9A-F]{2}:){19}[0-9A-F]{2} no$'; }
expected=$(printf 'set ssl:check-hostname yes\nset ssl:verify-certificate yes\n')
now=$(asked "") || die "lftp does not start"
after=$(asked "$set_line
$others")
[ "$(printf '%s\n' "$after" | switches | sort)" = "$expected" ] || die "lftp's settings switch a check off or on for some hosts: remove 'set ssl:verify-certificate' and 'ssl:check-hostname' from every rc"

new=$set_line
[ "$old" = "$sha1" ] || new="# certificate of $host:
$set_line"
if [ "$(printf '%s\n' "$now" | grep -cxF "$set_line
$others")" -lt 5 ] || [ "$old" != "$sha1" ]; then
    if [ -e "$HOME/.lftp" ]; then made=no; else mkdir "$HOME/.lftp" && made=yes; fi
    stage=$(mktemp "$(dirname "$rc")/.rc.XXXXXX") || die "cannot write beside $rc"
    trap 'rm -f "$stage"; [ $made = no ] || rmdir "$HOME/.lftp" 2>/dev/null || :' EXIT
    trap 'exit 129' HUP INT TERM
    if [ -e "$rc" ]; then
        chmod --reference="$rc" "$stage"
        # Remove the old pin, two lines of ours; keep all else, byte for byte.
        awk -v mark="# certificate of $host:" -v old="set ssl:verify-certificate/$old no" -v gone="$([ "$old" = "$sha1" ] || echo yes)" '
            held { held = 0; if ($0 == old) next; print mark }
            $0 == mark && gone { held = 1; next }
            { print }
            END { if (held) print mark }' "$rc" >"$stage"
    fi
    printf '%s\n' "$new" "$others" >>"$stage"
    mv "$stage" "$rc"
fi
echo "Pinned. lftp checks neither name nor dates of it, and accepts it from any host: a fingerprint names no host."
