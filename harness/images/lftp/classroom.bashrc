# What a learner sees first: at most 80 columns.
PS1='\u@classroom:\w\$ '
alias ls='ls --color=auto'
HISTFILE=

cat <<EOF
FTPS classroom: lftp $(lftp --version | sed -n '1s/.*Version \([^ ]*\).*/\1/p'), $(openssl version | cut -d' ' -f1,2). User $CLASSROOM_USER, password $CLASSROOM_PASSWORD.
Begin at the document's server:  lftp example.com  and there  ls  (exit: leave).
You are in ~/.lftp, where the document's rc belongs:  nano rc
More hosts, each a lesson (docs/classroom.md): mismatched.example.com, and so on
with expired, not-yet-valid, rotated, issued, intercepted and vsftpd.
EOF
