# SPDX-License-Identifier: BSD-2-Clause
# What tests of Debian's stock kernel share: the kernel, an initramfs, a config, running a script
# where such a kernel can be booted, and what the kernel warns of.
package Stock;

use v5.14;
use warnings;

use Exporter 'import';
use Minivmm;
use Test::More;

our @EXPORT = qw(kernel initrd device config inside shows microvm warnings_of news $kernel $image);

our ($kernel, $image);    # the folder of tests/svm/fetch, and the kernel in it

# Fetches a kernel's package; without one, there is nothing to test. Makes the folder "here", which
# is shared with what runs inside.
sub kernel {
    my ($package) = @_;
    $package //= 'linux-image-cloud-amd64';
    my ($status, $out, $err) = run([ "$top/tests/svm/fetch", $package ], timeout => 300);
    plan skip_all => "no package $package can be fetched here" if $status;
    chomp($kernel = $out);
    ($image) = glob "$kernel/boot/{vmlinuz-*,xen-*.gz}";
    mkdir 'here';
}

# An initramfs by that name, whose init is the script, with all file systems mounted; which ends by
# switching the machine off. With kernel modules, which are loaded, and with programs of this
# machine's.
sub initrd {
    my ($name, $script, %with) = @_;
    my @programs = map { ('-p', $_) } @{ $with{programs} // [] };
    spew('init', "mount -t proc proc /proc\nmount -t sysfs sys /sys\nmount -t devtmpfs dev /dev\nload\nmkdir /mnt\n${script}poweroff -f\n");
    my ($status, $out, $err) =
      run([ "$top/tests/svm/initrd", @programs, $kernel, 'init', $name, @{ $with{modules} // [] } ]);
    return is($status, 0, "an initramfs: $name") || diag($err);
}

# A virtio device's section. Each has registers and an interrupt line of its own, above a PC's;
# another line can be given.
my ($address, $irq) = (0xd000_0000, 15);

sub device {
    my ($name, $plugin, %keys) = @_;
    $address += 0x200;
    $keys{address} //= sprintf '0x%x', $address;
    $keys{irq} //= ++$irq;
    return "\n[device $name]\nplugin = $plugin\n" . join '', map { "$_ = $keys{$_}\n" } sort keys %keys;
}

# Writes a config: a machine with a serial console, power, and the devices. Of its own keys: initrd,
# cpus, memory, cmdline (more words), boot (all lines of the section), serial and power (more lines
# of theirs), more (other sections).
sub config {
    my ($name, $own, @devices) = @_;
    my %is = (initrd => 'initrd', cpus => 1, memory => '256M', cmdline => 'quiet', serial => "output = stdio\n", power => '', more => '', %$own);
    $is{boot} //= "image = $image\ninitrd = $is{initrd}\ncmdline = console=ttyS0 panic=-1 $is{cmdline}\n";
    ($address, $irq) = (0xd000_0000, 15);
    spew($name, join '', "[vm]\nmemory = $is{memory}\ncpus = $is{cpus}\nirqchip = on\n\n[boot]\n$is{boot}\n",
        "[device serial0]\nplugin = serial\nirq = 4\n$is{serial}\n[device power]\nplugin = power\n$is{power}\n$is{more}", @devices);
}

# For scripts: waits for a text in a file, but not for ever.
my $await = <<'END';
await() {
	n=0
	until grep -aq -- "$1" "$2" 2>/dev/null; do
		sleep 0.5; n=$((n + 1)) # a look takes a while itself, where QEMU emulates all
		[ $n -lt 240 ] || { echo "no $1 in $2:"; tail -n 20 "$2"; return 1; }
	done
}
END

# Runs a script where Linux can be booted, for so many seconds at most. The folder "here" is shared
# with it; what it writes elsewhere may be gone afterwards. What it says, without carriage returns,
# and what it says on stderr.
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

# For scripts: the command that boots the same kernel in QEMU's microvm, to compare with.
sub microvm {
    my ($initrd, $cpus, @more) = @_;
    return "qemu-system-x86_64 -M microvm,acpi=on,pit=off,pic=off,rtc=on -accel kvm -cpu host -smp $cpus -m 256 -nodefaults -no-user-config "
      . "-display none -serial stdio -no-reboot -kernel $image -initrd $initrd -append 'console=ttyS0 panic=-1 quiet' @more </dev/null";
}

# What a kernel warned of: those lines of "dmesg -r" in the text that are warnings or worse, without
# times and numbers, and how each really reads. That a timer or a clock was looked at late is said
# of the host.
sub warnings_of {
    my ($text) = @_;
    my @lines = grep { !/\] hrtimer: interrupt took|\] clocksource: Long readout interval/ } $text =~ /^(<[0-4]>\[.*)$/mg;
    return map { s/^<\d>\[ *[\d.]+\] //r =~ s/\b(?:0x)?(?:[0-9a-f]*\d[0-9a-f]*|[0-9a-f]{2})\b/N/gr => $_ } @lines;
}

# Those that the first has and the second has not.
sub news {
    my ($text, $reference) = @_;
    my (%ours, %theirs);
    %ours = warnings_of($text);
    %theirs = warnings_of($reference);
    return join "\n", map { $ours{$_} } grep { !exists $theirs{$_} } sort keys %ours;
}

1;
