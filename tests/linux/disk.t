#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Disks with Debian's stock kernel: a live snapshot while a file system is written, and two clones
# of it. See tests/lib/Disks.pm.
use v5.14;
use warnings;
use lib 'tests/lib';

use Disks;
use Minivmm;
use Stock;
use Test::More;

kernel();
clones('virtio-blk', ios => [qw(sync threads io_uring)], modules => [qw(virtio_mmio virtio_blk virtio_console)], interrupts => 'virtio0');
done_testing;
