# The first screen that a learner sees: at most 80 columns.
PS1='\u@classroom:\w\$ '
alias ls='ls --color=auto'
HISTFILE=
cd ~/.lftp 2>/dev/null

read -r _ _ _ classroom_user _ classroom_password <~/.netrc
cat <<EOF
FTPS classroom: lftp $(lftp --version | sed -n '1s/.*Version \([^ ]*\).*/\1/p'), $(openssl version | cut -d' ' -f1,2).
You are $classroom_user on all hosts, password $classroom_password: not secret; lftp has both.
Begin with the document's server:  lftp example.com  then  ls  (exit: leave).
You are in ~/.lftp, the folder of the document's rc:  nano rc
More hosts, each a lesson (docs/classroom.md): mismatched.example.com, and also
expired, not-yet-valid, rotated, issued, intercepted, stripped and vsftpd.
EOF
[ ! -x /usr/local/bin/check ] || echo 'Is exercise 3 solved?  check 3  attacks to find out.  Start over:  fresh'
unset classroom_user classroom_password
