# What a learner sees first.
PS1='\u@classroom:\w\$ '
alias ls='ls --color=auto'
HISTFILE=

version=$(lftp --version | sed -n 's/^LFTP | Version \([^ ]*\).*/\1/p')
cat <<EOF
The FTPS classroom: lftp ${version}, $(openssl version | cut -d' ' -f1,2). Begin with: lftp example.com   then: ls
Hosts: example.com, and with .example.com behind them: mismatched expired
       not-yet-valid rotated issued intercepted vsftpd. On each one thing is wrong, or not.
You are in ~/.lftp, where the file rc belongs: nano rc. User $CLASSROOM_USER, password $CLASSROOM_PASSWORD
(~/.netrc says so to lftp). The lessons: docs/classroom.md. exit forgets all of it.
EOF
unset version
