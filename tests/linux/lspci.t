#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Debian's cloud and standard kernels on PCI: pciutils' lspci shows the devices as they are, and
# those that QEMU's q35 has, too, as there. The kernels have no warning that they do not have in
# q35.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Stock;
use Test::More;

my $lspci = fetch('pciutils') . '/usr/bin/lspci';
my @modules = qw(nvme virtio_pci virtio_blk virtio_net virtio_console virtio_rng virtio_balloon vmw_vsock_virtio_transport);
my @kernels = qw(linux-image-cloud-amd64 linux-image-amd64);

# Slot => class and ID, driver, regions, MSI-X vectors.
my @virtio = ('virtio-pci', '0: 64-bit 16K, 2: 32-bit 4K');
my %devices = (
    '01.0' => [ '00ff: 1af4:1044 (rev 01)', @virtio, 2 ],
    '02.0' => [ '0100: 1af4:1042 (rev 01)', @virtio, 10 ],
    '03.0' => [ '0200: 1af4:1041 (rev 01)', @virtio, 10 ],
    '04.0' => [ '0780: 1af4:1043 (rev 01)', @virtio, 3 ],
    '05.0' => [ '00ff: 1af4:1045 (rev 01)', @virtio, 5 ],
    '06.0' => [ '00ff: 1234:11e8 (rev 10)', '', '0: 32-bit 1M', 0 ],
    '07.0' => [ '0280: 1af4:1053 (rev 01)', @virtio, 4 ],
    '08.0' => [ '0108: 1af4:10f0 (rev 01) (prog-if 02)', 'nvme', '0: 64-bit 8K, 2: 32-bit 4K', 17 ],
);
my $modern = 'disable-legacy=on,addr=';
my @theirs = ('-drive if=none,id=d,file=disk.img,format=raw,snapshot=on -netdev user,id=u', "-device virtio-rng-pci,${modern}1 -device virtio-blk-pci,drive=d,${modern}2",
    "-device virtio-net-pci,romfile=,netdev=u,${modern}3 -device virtio-serial-pci,${modern}4 -device virtio-balloon-pci,${modern}5 -device edu,addr=6",
    '-drive if=none,id=n,file=disk.img,format=raw,snapshot=on -device nvme,drive=n,serial=1,addr=8');
my $script = "truncate -s 1M disk.img\n";
for my $package (@kernels) {
    kernel($package);
    initrd($package, <<'END', modules => \@modules, programs => [$lspci]);
until [ -b /dev/nvme0n1 ]; do usleep 10000; done # it is probed later
lspci -n | sed 's/^/list: /'
echo '-- values'; lspci -nvvv 2>/tmp/errors; grep -v libkmod /tmp/errors
echo '-- window'; sed -n 's/^ *\([0-9a-f]*-[0-9a-f]*\) : PCI Bus 0000:00.*/\1/p' /proc/iomem
echo '-- ecam'; dmesg | sed -n 's/.*\(PCI: MMCONFIG at .*\)/\1/p'
echo '-- warnings'; dmesg -r | grep '^<[0-4]>'
END
    config("$package.ini", { initrd => $package }, device('rng0', 'virtio-rng', slot => 1),
        device('blk0', 'virtio-blk', path => 'disk.img', temporary => 'yes', slot => 2), device('net0', 'virtio-net', backend => 'user', slot => 3),
        device('hvc0', 'virtio-console', slot => 4), device('balloon0', 'virtio-balloon', slot => 5), device('edu0', 'edu', slot => 6),
        device('vsock0', 'virtio-vsock', path => 'v', slot => 7), device('nvme0', 'nvme', path => 'disk.img', temporary => 'yes', slot => 8));
    $script .= "echo '-- machine'; $minivmm -c $package.ini --log warn || exit\necho '-- machine'; " . q35($package, 1, @theirs) . "\n";
}
my ($out, $err) = inside('lspci', 500, $script);
my (undef, @said) = split /^-- machine\n/m, $out;
for my $package (@kernels) {
    my ($ours, $theirs) = map { [ split /^-- \w+\n/m, $_ // '' ] } splice @said, 0, 2;
    my ($list, $values, $window, $ecam, $warnings) = @$ours;
    my $common = sub { join '', grep { !/00:(?:00|07|08|1f)\./ } $_[0] =~ /^list: .*\n/mg };
    is($common->($list), $common->($theirs->[0] // ''), "$package: the list is as in q35");
    no warnings 'portable';
    my @windows = map { [ map { hex } split /-/ ] } split ' ', $window // '';
    my %blocks = ($values // '') =~ /^00:([\da-f.]+) (.*?)(?=\n\n|\n?\z)/msg;
    for my $slot (sort keys %devices) {
        my ($is, $driver, $regions, $vectors) = @{ $devices{$slot} };
        my $block = $blocks{$slot} // '';
        my @regions = $block =~ /^\tRegion (\d): Memory at ([\da-f]+) \((\d\d-bit), non-prefetchable\) \[size=(\d+[KM])\]$/mg;
        my ($bad, @found) = '';
        while (my ($number, $at, $width, $size) = splice @regions, 0, 4) {
            push @found, "$number: $width $size";
            my $bytes = $size =~ /K/ ? ($size =~ s/K//r) << 10 : ($size =~ s/M//r) << 20;
            $bad .= "region $number at $at " if hex($at) % $bytes || !grep { hex $at >= $_->[0] && hex($at) + $bytes - 1 <= $_->[1] } @windows;
        }
        is($block =~ s/\n.*//sr, $is, "$package, $slot: class and ID");
        is(join(', ', @found) . $bad, $regions, "$package, $slot: regions, inside the bridge's windows");
        is(($block =~ /^\tKernel driver in use: (\S+)$/m)[0] // '', $driver, "$package, $slot: its driver");
        my ($count) = $block =~ /^\tCapabilities: \[\w+\] MSI-X: Enable\+ Count=(\d+) Masked-$/m;
        is($count // 0, $vectors, "$package, $slot: MSI-X");
        like($block, qr/^\tInterrupt: pin A routed to IRQ \d+$/m, "$package, $slot: a line");
        like($block, qr/^\tCapabilities: \[\w+\] Express \(v2\) Root Complex Integrated Endpoint/m, "$package, $slot: PCI Express");
    }
    like($ecam // '', qr/\APCI: MMCONFIG at \[.*\] reserved in E820$/, "$package: ECAM is reserved");
    unlike($values // '', qr/denied|!!!|broken|ignored|virtual\]|disabled\]|unassigned|invalid|lspci:/, "$package: nothing is wrong");
    is(news($warnings // '', $theirs->[4] // ''), '', "$package: no warning that q35 does not have");
}
diag($out, $err) if !Test::More->builder->is_passing;
done_testing;
