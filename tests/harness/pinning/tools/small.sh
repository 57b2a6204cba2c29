#!/bin/sh
# A small right tool: openssl fetches, the rc is written in one rename.
set -eu
host=$1 port=$2
dir=$HOME/.lftp
umask 077
pem=$(echo QUIT | timeout 10 openssl s_client -starttls ftp -connect "$host:$port" -servername "$host" 2>/dev/null | openssl x509) || { echo "cannot fetch" >&2; exit 1; }
printf '%s\n' "$pem" | openssl x509 -noout -fingerprint -sha256
mkdir -p "$dir"
pin=$dir/$host.crt
if [ -e "$pin" ] && [ "$(cat "$pin")" != "$pem" ]; then echo "the certificate has changed" >&2; exit 1; fi
printf '%s\n' "$pem" > "$pin.new"; mv "$pin.new" "$pin"
line="set ssl:ca-file \"$pin\""
grep -qxF "$line" "$dir/rc" 2>/dev/null || { { cat "$dir/rc" 2>/dev/null || true; echo "$line"; } > "$dir/rc.new"; mv "$dir/rc.new" "$dir/rc"; }
