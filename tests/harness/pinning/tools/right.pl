#!/usr/bin/perl
# Pin the certificate of an FTPS server for lftp, with Perl's own modules and openssl.
#
#   right.pl [--replace] [--expect SHA256] [--implicit] HOST [PORT]
#
# The rc gets one block, between two comment lines; it is moved to the end if a later line contradicts it.
use strict;
use warnings;
use filetest "access";    # root, too, asks the file system
use Digest::SHA qw(sha256_hex);
use Fcntl qw(:flock);
use File::Temp;
use Getopt::Long;
use IPC::Open3;
use MIME::Base64;

my $BLOCK = qr/^# pinned certificates: begin\n.*?^# pinned certificates: end\n/ms;
my $PEM   = qr/-----BEGIN CERTIFICATE-----\n(.*?)-----END CERTIFICATE-----\n/s;

sub fail { print STDERR "right.pl: @_; nothing was pinned\n"; exit 1 }

# Exit code and standard output of a program; it gets little to read, and is killed when it takes too long.
sub run {
    my ($input, @command) = @_;
    open my $null, '>', '/dev/null' or fail("cannot open /dev/null: $!");
    my $pid = open3(my $in, my $out, '>&' . fileno $null, 'timeout', '8', @command);
    local $SIG{PIPE} = 'IGNORE';
    print $in $input;
    close $in;
    local $/;
    my $said = <$out> // '';
    waitpid $pid, 0;
    return ($?, $said);
}

sub slurp {
    my ($path) = @_;
    return '' unless -e $path;
    open my $file, '<:raw', $path or fail("cannot read $path: $!");
    local $/;
    return <$file> // '';
}

sub write_to {
    my ($path, $data) = @_;
    open my $file, '>:raw', $path or fail("cannot write $path: $!");
    print {$file} $data and $file->flush and $file->sync and close $file or fail("cannot write $path: $!");
}

umask 077;
my ($replace, $expect, $implicit) = (0, '', 0);
Getopt::Long::Configure('require_order', 'no_auto_abbrev');
GetOptions('replace' => \$replace, 'expect=s' => \$expect, 'implicit' => \$implicit) or fail('unknown option');
my ($host, $port) = @ARGV;
$port //= $implicit ? 990 : 21;
fail('this is not a host name') unless defined $host && $host =~ /\A[A-Za-z0-9:][A-Za-z0-9.:-]*\z/;
fail('this is not a port') unless $port =~ /\A[0-9]{1,5}\z/;
fail('unset LFTP_HOME and XDG_CONFIG_HOME first') if $ENV{LFTP_HOME} || $ENV{XDG_CONFIG_HOME};
my $home   = $ENV{HOME};
my $folder = !-d "$home/.lftp" && -d "$home/.config/lftp" ? "$home/.config/lftp" : "$home/.lftp";
my ($rc, $pins) = ("$folder/rc", "$folder/pins.crt");
fail("$rc is read-only") if -e $rc && !-w $rc;

# What the server shows, in one connection.
my $ip = $host =~ /:|\A[0-9.]+\z/;
my $address = $host =~ /:/ ? "[$host]" : $host;
my ($status, $said) = run('', 'openssl', 's_client', ($implicit ? () : ('-starttls', 'ftp')),
    ($ip ? '-noservername' : ('-servername', $host)), '-connect', "$address:$port");
fail("$host, port $port: no FTPS, or too slow") if $status || $said !~ $PEM;
my $pem    = "-----BEGIN CERTIFICATE-----\n$1-----END CERTIFICATE-----\n";
my $sha256 = uc sha256_hex(decode_base64($1));
$| = 1;
print "SHA-256 of the certificate of $host: ", join(':', $sha256 =~ /../g), "\n";
(my $wanted = uc $expect) =~ s/[: ]//g;
fail('another fingerprint was expected') if $expect && $wanted ne $sha256;

my $stage = File::Temp->newdir('.pinning-XXXXXX', DIR => $home);
$SIG{$_} = sub { exit 130 } for qw(INT TERM HUP);
write_to("$stage/leaf", $pem);
my ($unusable) = run('', 'openssl', 'verify', '-partial_chain', '-trusted', "$stage/leaf",
    ($ip ? '-verify_ip' : '-verify_hostname'), $host, "$stage/leaf");
fail('lftp would refuse this certificate: another name, or outside its dates') if $unusable;

# What is pinned already. The folder is locked, because each file in it is replaced.
open my $lock, '<', $home or fail("cannot open HOME: $!");
flock $lock, LOCK_EX or fail("cannot lock HOME: $!");
my %pinned = slurp($pins) =~ /^# (\S+)\n(-----BEGIN.*?-----END CERTIFICATE-----\n)/msg;
my $old = $pinned{$host} // $pem;
if ($old ne $pem && !$replace) {
    my ($was, $is) = map { (run($_, 'openssl', 'x509', '-noout', '-pubkey'))[1] } $old, $pem;
    fail('the certificate was renewed, the key is the same; use --replace') if $was eq $is;
    fail('the certificate has changed: compare its fingerprint, then use --replace');
}
$pinned{$host} = $pem;
my $bundle = join '', map { "# $_\n$pinned{$_}" } sort keys %pinned;

# The new rc, tried before it is moved into place: the folder for LFTP_HOME holds it under a name that lftp reads.
sub block {
    my ($path) = @_;
    return "# pinned certificates: begin\nset ssl:ca-file \"$path\"\nset ftp:ssl-force yes\n"
        . "set ftp:ssl-allow-anonymous yes\nset ftp:ssl-protect-data yes\nset ftp:ssl-allow yes\n# pinned certificates: end\n";
}

sub in_effect {
    my ($text) = @_;
    my $tried = $text;
    my ($ours, $theirs) = (block($pins), block("$stage/pins.crt"));
    $tried =~ s/\Q$ours\E/$theirs/;
    write_to("$stage/rc", $tried);
    local $ENV{LFTP_HOME} = "$stage";
    my (undef, $settings) = run('', 'lftp', '-c', 'set -a');
    my %is = $settings =~ /^set (\S+) "?(.*?)"?$/mg;
    return 0 if grep { /^ssl:(verify-certificate|check-hostname)/ && $is{$_} !~ /\A(yes|on|true|1)\z/i } keys %is;
    return ($is{'ssl:ca-file'} // '') eq "$stage/pins.crt"
        && !grep { ($is{$_} // '') ne 'yes' } qw(ftp:ssl-force ftp:ssl-allow-anonymous ftp:ssl-protect-data ftp:ssl-allow);
}

write_to("$stage/pins.crt", $bundle);
my $text = slurp($rc);
if (index($text, block($pins)) < 0 || !in_effect($text)) {
    $text =~ s/$BLOCK//;
    $text .= "\n" if $text ne '' && $text !~ /\n\z/;
    $text .= block($pins);
    in_effect($text) or fail("lftp does not take what would be added to $rc, or a line such as "
        . "'set ssl:verify-certificate no' there or in ~/.lftprc is against it");
}
write_to("$stage/rc", $text);

-d $folder || mkdir $folder or fail("cannot make $folder: $!");
for my $name ('pins.crt', 'rc') {
    my $target = -l "$folder/$name" ? readlink "$folder/$name" : $name;
    $target = "$folder/$target" unless $target =~ m{\A/};
    next if -e $target && slurp($target) eq slurp("$stage/$name");
    chmod((stat $target)[2] & 07777, "$stage/$name") if -e $target;
    rename "$stage/$name", $target or fail("cannot write $target: $!");
}
print "Pinned. ssl:ca-file replaces the system store: all other hosts need a pin too.\n";
print "An lftp with OpenSSL accepts no pin that was issued by an authority.\n" if $said !~ /^ 0 s:(.*)\n\s+i:\1\n/m;
