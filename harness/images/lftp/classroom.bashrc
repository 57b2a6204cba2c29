# What a learner sees first: at most 80 columns.
PS1='\u@classroom:\w\$ '
alias ls='ls --color=auto'
HISTFILE=
cd ~/.lftp 2>/dev/null

read -r _ _ _ classroom_user _ classroom_password <~/.netrc
cat <<EOF
FTPS classroom: lftp $(lftp --version | sed -n '1s/.*Version \([^ ]*\).*/\1/p'), $(openssl version | cut -d' ' -f1,2).
You are $classroom_user on all hosts, password $classroom_password: no secret, and lftp knows both.
Begin at the document's server:  lftp example.com  and there  ls  (exit: leave).
You are in ~/.lftp, where the document's rc belongs:  nano rc
More hosts, each a lesson (docs/classroom.md): mismatched.example.com, and so on
with expired, not-yet-valid, rotated, issued, intercepted, stripped and vsftpd.
EOF
[ ! -x /usr/local/bin/check ] || echo 'Solved an exercise?  check 3  says so by attack.  Begin anew:  fresh'
unset classroom_user classroom_password
