#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Debian's stock kernel with an SSH server behind a vsock: one warm machine, eight branches, and a
# command by ssh in each, through ctl connect.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Stock;
use Test::More;

my $branches = 8;
kernel('linux-image-amd64'); # the cloud kernel has no driver for a generation id
my $dropbear = fetch('dropbear-bin') . '/usr/sbin/dropbear';

# The init and the function of README. initrd() has the first lines itself.
my ($recipe) = slurp("$top/README.md") =~ /^### A command in each branch.*?\n(.*?)^(?:##|An )/ms;
my ($init) = $recipe =~ /^    \$ cat init\n(.*?)^    \$ /ms;
my ($guest) = $recipe =~ /^    \$ (guest\(\).*?\}\n)/ms;
$init =~ s/^ +(?:mount .*|load)\n//mg;
$guest =~ s{\./minivmm}{$minivmm};
initrd('initrd', "echo 'the server is ready'\n$init", modules => [qw(virtio_pci vmw_vsock_virtio_transport virtio_rng vmgenid)], programs => [ $dropbear, 'socat' ]);

my $script = <<"END";
minivmm() { $minivmm "\$@"; }
minivmm -c $configs/ssh.ini --set boot.image=$image --set boot.initrd=initrd --set 'boot.cmdline=console=ttyS0 quiet panic=-1' \\
	--set device.serial0.output=file:console >machine 2>&1 &
await 'the server is ready' console || exit 1
$guest
END
$script .= <<'END';
guest vm 'echo "in $(uname -s)"; echo branched >/file; exit 7' </dev/null
echo "vm: $?"
head -c 1000003 /dev/urandom >data
guest vm 'cat >/data; wc -c </data; cat /data' <data >back
echo "copied: $?"
{ wc -c <data; cat data; } | cmp - back && echo 'the same bytes'
minivmm ctl vm.sock connect vsock0 23 </dev/null
echo "refused: $?"
END
$script .= 'minivmm ctl vm.sock branch ' . join(' ', map { "b$_.sock" } 0 .. $branches - 1) . " >replies; echo \"branches: \$?\"\n";
$script .= "guest b$_ 'echo \"branch $_: \$(cat /file)\"; echo of $_ >/file; dmesg | grep -c machine.fork; head -c 8 /proc/sys/kernel/random/uuid; echo; exit 1$_' </dev/null; echo \"status: \$?\"\n"
  for 0 .. $branches - 1;
$script .= <<'END';
guest vm 'cat /file; sync; poweroff -f' </dev/null
wait $!
cat machine
END
$script .= "minivmm ctl b$_.sock quit\n" for 0 .. $branches - 1;
my ($out, $err) = inside('ssh', 300, $script);
like($out, qr/^in Linux\nvm: 7\n/m, 'a command by ssh: its output and its status') or diag($out, $err);
like($out, qr/^copied: 0\nthe same bytes\n/m, 'a million bytes there and back');
like($out, qr/^refused: 1\nbranches: 0\n/m, 'a port without a server; the branches');
like($err, qr/^minivmm: cannot connect to port 23 of vsock0: the guest refuses it: no program listens on that port$/m, 'the reason');
my %random;
for my $i (0 .. $branches - 1) {
    my ($random) = $out =~ /^branch $i: branched\n1\n(\w{8})\nstatus: 1$i\n/m;
    ok($random, "branch $i: its output and its status") or diag($out, $err);
    $random{ $random // '' }++;
}
is(scalar keys %random, $branches, 'the branches have different random numbers');
like($out, qr/^branched\n/m, q{the machine's own file is as it was});

done_testing;
