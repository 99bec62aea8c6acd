#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# A stock kernel runs a script that draws a progress bar. In the middle, the machine is saved to a
# file and ended. The file is moved to a folder that has nothing else of the machine, where another
# process continues the bar.
use v5.14;
use warnings;
use lib 'tests/lib';

use Minivmm;
use Stock;
use Test::More;

kernel();
initrd('initrd', <<'END');
bar=
for percent in 0 5 10 15 20 25 30 35 40 45 50 55 60 65 70 75 80 85 90 95 100; do
	printf '\r[%-20s] %3d%%' "$bar" $percent
	bar=$bar#
	usleep 200000
done
echo; echo 'done'
END
my $bar = join('', map { sprintf "[%-20s] %3d%%", '#' x $_, $_ * 5 } 0 .. 20) . "\ndone\n";
config('x.ini', {});
my ($out, $err) = inside('a progress bar', 300, <<"END");
mkdir here/there one && cp x.ini initrd one && cd one
(
	await ' 40%' out
	$minivmm ctl vm.sock pause && $minivmm ctl vm.sock snapshot bar.snap && $minivmm ctl vm.sock quit
) >told 2>&1 &
$minivmm -c x.ini --log error --set control.socket=vm.sock >out || exit
wait
cat out; echo; echo '--'
mv bar.snap ../here/there && cd ../here/there && rm -r ../../one && ls
exec $minivmm -r bar.snap --log error
END
my ($before, $after) = split /^--\n/m, $out;
my $first = ($before // '') =~ /(\[ {20}\]   0%.*)\n\z/s ? $1 : '';    # up to any byte
my ($files, $rest) = ($after // '') =~ /\A(bar\.snap\n)(.*)/s;
ok($first =~ / 40%/ && $first !~ /100%/, 'the bar up to the middle') or diag($before);
is($files, "bar.snap\n", 'the folder has only the snapshot');
is($first . ($rest // '') =~ s/^\[.*reboot: Power down\n//mr, $bar, 'the restored machine continues the bar') or diag($out, $err);

done_testing;
