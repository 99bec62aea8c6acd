# SPDX-License-Identifier: BSD-2-Clause
# Parses, changes and writes snapshot files with valid checksums. Written from the description in
# core/snapshot/format.h and core/base/record.h alone, so that it also tests the description.
package Snapshot;

use v5.14;
use warnings;

use Minivmm qw(slurp spew);

my $HEADER = 'a8 L4 Q4 a16 a16 L2';
my @HEADER = qw(magic version header_size sections page_size memory_offset memory_size table_offset table_size id parent
  parent_checksum checksum);
my $ROW = 'a4 L3 Q2';
my @ROW = qw(tag index flags checksum offset length);

my @crc_table = map {
    my $c = $_;
    $c = $c & 1 ? $c >> 1 ^ 0x82f63b78 : $c >> 1 for 1 .. 8;
    $c;
} 0 .. 255;

sub crc32c {
    my ($bytes) = @_;
    my $crc = 0xffffffff;
    $crc = $crc_table[($crc ^ $_) & 255] ^ $crc >> 8 for unpack 'C*', $bytes;
    return $crc ^ 0xffffffff;
}

# Returns { header fields, rows => [ { row fields, data } ], memory }.
sub load {
    my ($class, $file) = @_;
    my $self = $class->load_meta($file);
    $self->{memory} = substr slurp($file), $self->{memory_offset}, $self->{memory_size};
    return $self;
}

# The same without memory, which can be large.
sub load_meta {
    my ($class, $file) = @_;
    my $self = bless {}, $class;
    open my $in, '<:raw', $file or die "$file: $!";
    read $in, my ($header), 4096;
    @$self{@HEADER} = unpack $HEADER, $header;
    seek $in, $self->{table_offset}, 0;
    read $in, my ($table), $self->{table_size};
    for my $i (0 .. $self->{sections} - 1) {
        my %row;
        @row{@ROW} = unpack $ROW, substr $table, 32 * $i, 32;
        $row{data} = substr $table, $row{offset}, $row{length};
        die "$file: $row{tag} $row{index}: wrong checksum" if crc32c($row{data}) != $row{checksum};
        push @{ $self->{rows} }, \%row;
    }
    return $self;
}

# Returns the header and the table as in a file.
sub pack_meta {
    my ($self, %header) = @_;
    my ($table, $body) = ('', '');
    my $at = 32 * @{ $self->{rows} };
    for my $row (@{ $self->{rows} }) {
        @$row{qw(offset length checksum)} = ($at, length $row->{data}, crc32c($row->{data}));
        $at += $row->{length};
        $table .= pack $ROW, @$row{@ROW};
        $body .= $row->{data};
    }
    %header = (%$self, sections => scalar @{ $self->{rows} }, table_size => $at, %header, checksum => 0);
    $header{checksum} = crc32c(pack($HEADER, @header{@HEADER}) . $table);
    return (pack($HEADER, @header{@HEADER}), $table . $body);
}

# Writes everything except memory to the file that was loaded.
sub save_meta {
    my ($self, $file) = @_;
    my ($header, $table) = $self->pack_meta;
    open my $out, '+<:raw', $file or die "$file: $!";
    print $out $header;
    seek $out, $self->{table_offset}, 0;
    print $out $table;
    close $out or die "$file: $!";
    truncate $file, $self->{table_offset} + length $table;
}

# Writes a file with valid sizes and checksums. %over: header fields with other values.
sub save {
    my ($self, $file, %over) = @_;
    my $length = length $self->{memory};
    my ($header, $table) =
      $self->pack_meta(memory_offset => 4096, memory_size => $length, table_offset => 4096 + $length, %over);
    spew($file, pack('a4096', $header) . $self->{memory} . $table);
}

sub row {
    my ($self, $tag, $index) = @_;
    my ($row) = grep { $_->{tag} eq $tag && $_->{index} == $index } @{ $self->{rows} };
    return $row // die "no section $tag $index";
}

# Parses a record: [ { type, name, value } ]. value: bytes; an array for a group or list.
sub records {
    my ($bytes) = @_;
    my @items;
    for (my $at = 0; $at < length $bytes;) {
        my ($type, $name, $count) = unpack 'C C/a L', substr $bytes, $at;
        my $size = $count * ({ 2 => 2, 3 => 4, 4 => 8 }->{ $type & 0x7f } // 1);
        $at += 6 + length $name;
        my $value = substr $bytes, $at, $size;
        push @items, { type => $type, name => $name, count => $count, value => $value };
        $items[-1]{value} = records($value) if ($type & 0x7f) == 7 || ($type & 0x7f) == 8;
        $at += $size;
    }
    return \@items;
}

sub bytes {
    my ($items) = @_;
    my $bytes = '';
    for my $item (@$items) {
        my $value = ref $item->{value} ? bytes($item->{value}) : $item->{value};
        my $count = ref $item->{value} ? length $value : $item->{count};
        $bytes .= pack('C C/a L', @$item{qw(type name)}, $count) . $value;
    }
    return $bytes;
}

# Changes one item of a section. The path has the names of the items ("state", "receive"); a number
# selects an element of a list. change is called with the item.
sub change {
    my ($self, $tag, $index, $path, $change) = @_;
    my $row = $self->row($tag, $index);
    my $tree = records($row->{data});
    my $items = $tree;
    my $item;
    for my $name (@$path) {
        ($item) = $name =~ /^\d+$/ ? $items->[$name] : grep { $_->{name} eq $name } @$items;
        die "$tag $index: no $name" if !$item;
        $items = $item->{value};
    }
    $change->($item);
    $row->{data} = bytes($tree);
}

1;
