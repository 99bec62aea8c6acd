# SPDX-License-Identifier: BSD-2-Clause
# Shared code of the tests of Debian's stock kernel: the kernel, an initramfs, a config, running a
# script where the kernel boots, and the kernel's warnings.
package Stock;

use v5.14;
use warnings;

use Exporter 'import';
use Minivmm;
use Test::More;

our @EXPORT = qw(fetch kernel initrd device config inside shows microvm q35 warnings_of news $kernel $image);

our ($kernel, $image);    # the folder of tests/svm/fetch, and the kernel in it

# Fetches a package; skips the test if that fails, but not in CI. Returns the folder.
sub fetch {
    my ($package) = @_;
    my ($status, $out, $err) = run([ "$top/tests/svm/fetch", $package ], timeout => 900);
    die "no package $package: $err" if $status && $ENV{CI};
    plan skip_all => "no package $package can be fetched here" if $status;
    chomp $out;
    return $out;
}

# Fetches the package of a kernel. Creates the folder "here", which inside() shares.
sub kernel {
    my ($package) = @_;
    $kernel = fetch($package // 'linux-image-cloud-amd64');
    ($image) = glob "$kernel/boot/{vmlinuz-*,xen-*.gz}";
    mkdir 'here';
}

# Builds an initramfs. Its init mounts the file systems, loads the kernel modules, runs the script
# and powers off. Keys: modules, of the kernel; programs, of this machine or a folder of fetch;
# files, other kernel modules.
sub initrd {
    my ($name, $script, %with) = @_;
    my @options = (map({ ('-p', $_) } @{ $with{programs} // [] }), map { ('-m', $_) } @{ $with{files} // [] });
    spew('init', "mount -t proc proc /proc\nmount -t sysfs sys /sys\nmount -t devtmpfs dev /dev\nload\nmkdir /mnt\n${script}poweroff -f\n");
    my ($status, $out, $err) =
      run([ "$top/tests/svm/initrd", @options, $kernel, 'init', $name, @{ $with{modules} // [] } ]);
    return is($status, 0, "an initramfs: $name") || diag($err);
}

# Returns the section of a virtio device. Each device has its own registers and interrupt line,
# above those of a PC; a key can set another line. With the key slot it is a PCI device.
my ($address, $irq) = (0xd000_0000, 15);

sub device {
    my ($name, $plugin, %keys) = @_;
    if (!$keys{slot}) {
        $address += 0x200;
        $keys{address} //= sprintf '0x%x', $address;
        $keys{irq} //= ++$irq;
    }
    return "\n[device $name]\nplugin = $plugin\n" . join '', map { "$_ = $keys{$_}\n" } sort keys %keys;
}

# Writes a config: a machine with a serial console, power, and the devices. Keys of $own: initrd,
# cpus, memory, cmdline (more words), boot (the whole section), serial and power (more lines of
# their sections), more (more sections).
sub config {
    my ($name, $own, @devices) = @_;
    my %is = (initrd => 'initrd', cpus => 1, memory => '256M', cmdline => 'quiet', serial => "output = stdio\n", power => '', more => '', %$own);
    $is{boot} //= "image = $image\ninitrd = $is{initrd}\ncmdline = console=ttyS0 panic=-1 $is{cmdline}\n";
    ($address, $irq) = (0xd000_0000, 15);
    spew($name, join '', "[vm]\nmemory = $is{memory}\ncpus = $is{cpus}\nirqchip = on\n\n[boot]\n$is{boot}\n",
        "[device serial0]\nplugin = serial\nirq = 4\n$is{serial}\n[device power]\nplugin = power\n$is{power}\n$is{more}", @devices);
}

# For scripts: waits for a text in a file, with a time-out.
my $await = <<'END';
await() {
	n=0
	until grep -aq -- "$1" "$2" 2>/dev/null; do
		sleep 0.5; n=$((n + 1)) # a poll itself is slow in QEMU's emulation
		[ $n -lt 240 ] || { echo "no $1 in $2:"; tail -n 20 "$2"; return 1; }
	done
}
END

# Runs a script where Linux boots, with a time limit in seconds. The script shares the folder
# "here"; other files may be lost at its end. Returns stdout without carriage returns, and stderr.
sub inside {
    my ($what, $seconds, $script) = @_;
    spew('inside.sh', "$await\n$script");
    my ($status, $out, $err) =
      run([ "$top/tests/linux/run", '-t', $seconds, '-w', 'here', 'sh', 'inside.sh' ], timeout => $seconds + 30);
    $out =~ s/\r//g;
    is($status, 0, "$what: ends well") or diag($out, $err);
    return ($out, $err);
}

sub shows {
    my ($text, $pattern, $name) = @_;
    return like($text, $pattern, $name) || diag($text);
}

# For scripts: the command that boots the same kernel in QEMU, for comparison: in its microvm, or in
# its PC with PCI Express.
sub qemu {
    my ($machine, $initrd, $cpus, @more) = @_;
    return "qemu-system-x86_64 -M $machine -accel kvm -cpu host -smp $cpus -m 256 -nodefaults -no-user-config "
      . "-display none -serial stdio -no-reboot -kernel $image -initrd $initrd -append 'console=ttyS0 panic=-1 quiet' @more </dev/null";
}

sub microvm { return qemu('microvm,acpi=on,pit=off,pic=off,rtc=on', @_) }
sub q35 { return qemu('q35', @_) }

# Returns the warnings in a kernel log: the lines of "dmesg -r" with level warning or worse, without
# times and numbers => the original line. Warnings that a timer or clock was read late are left out:
# they depend on the host.
sub warnings_of {
    my ($text) = @_;
    my @lines = grep { !/\] hrtimer: interrupt took|\] clocksource: Long readout interval/ } $text =~ /^(<[0-4]>\[.*)$/mg;
    return map { s/^<\d>\[ *[\d.]+\] //r =~ s/\b(?:0x)?(?:[0-9a-f]*\d[0-9a-f]*|[0-9a-f]{2})\b/N/gr => $_ } @lines;
}

# Returns the warnings of the first log that the second does not have.
sub news {
    my ($text, $reference) = @_;
    my (%ours, %theirs);
    %ours = warnings_of($text);
    %theirs = warnings_of($reference);
    return join "\n", map { $ours{$_} } grep { !exists $theirs{$_} } sort keys %ours;
}

1;
