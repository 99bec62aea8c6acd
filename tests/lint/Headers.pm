# SPDX-License-Identifier: BSD-2-Clause
# Parses the declarations of C headers for tests/lint/ranks. The patterns rely on the layout of
# clang-format. They find the types of members, parameters and local variables, but not those of
# casts and calls.
package Headers;
use strict;
use warnings;

my $braces = qr/(?<braces>\{(?:[^{}]++|(?&braces))*+\})/;
my $parentheses = qr/(?<parentheses>\((?:[^()]++|(?&parentheses))*+\))/;
our $index = qr/(?<index>\[(?:[^][]++|(?&index))*+\])/;

# names: name => { module, kind, file, line }; kind: macro, tag, constant, function, variable.
# structs: tag => { module, open, members: name => tag of its type, or '' }. open: the comment above
# the struct has the words "plain data" or "filled by the caller".
sub new {
    return bless { names => {}, structs => {} };
}

sub blank {
    my ($text) = @_;
    return $text =~ s/[^\n]/ /gr;
}

# Returns the text with blanks in place of strings, and of comments unless keep_comments is set.
sub code {
    my ($text, $keep_comments) = @_;
    return $text =~ s{(?<comment>/\*.*?\*/|//[^\n]*)|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'}
        { $+{comment} && $keep_comments ? $& : blank($&) }gser;
}

sub line_of {
    my ($text, $offset) = @_;
    return 1 + (substr($text, 0, $offset) =~ tr/\n//);
}

# Learns a header, or the structs of a .c file.
sub learn {
    my ($self, $file, $module, $text) = @_;
    my $code = code($text);
    $self->structs_of($module, $text, $code);
    $self->names_of($file, $module, $code) if $file =~ /\.h$/;
}

sub structs_of {
    my ($self, $module, $text, $code) = @_;
    while ($code =~ /\b(?:struct|union)\s+(\w+)\s*$braces/g) {
        my ($tag, $body) = ($1, substr $+{braces}, 1, -1);
        my ($comment) = substr($text, 0, $-[0]) =~ m{.*(/\*.*?\*/)\s*$}s;
        my $open = ($comment // '') =~ s/[\s*]+/ /gr =~ /\b(?:plain data|filled by the caller)\b/i;
        $self->{structs}{$tag} = { module => $module, open => $open, members => {} };
        $self->members_of($tag, $tag, $body);
    }
}

# A nested struct without a tag gets the tag "outer.member". Without a member's name, its members
# belong to the outer struct.
sub members_of {
    my ($self, $outer, $tag, $body) = @_;
    while ($body =~ /\G((?:[^;{}]++|$braces)*+);/g) {
        my ($declaration, $inner) = ($1, $+{braces});
        my $flat = $declaration =~ s/$braces/ /r;
        my ($kind, $type) = $flat =~ /\b(struct|union)\b(?:\s+(\w+))?/;
        if ($kind && $inner) {
            my ($member) = declarators($flat =~ s/\b$kind\b//r);
            my $anonymous = !defined $member || $declaration =~ /\}\s*$/;
            $type = $anonymous ? $tag : "$outer.$member";
            $self->{structs}{$type} //= { %{ $self->{structs}{$tag} }, members => {} };
            $self->members_of($outer, $type, substr $inner, 1, -1);
            next if $anonymous;
            $flat =~ s/\b$kind\b//;
        }
        $self->{structs}{$tag}{members}{$_} = $type // '' for declarators($flat);
    }
}

# "int a, *b[2], (*c)(int)": a, b and c.
sub declarators {
    my ($text) = @_;
    return map { /\(\s*\*\s*(\w+)/ || /(\w+)\s*(?:$index\s*)*(?::\s*\w+\s*)?$/ ? $1 : () }
        split /,/, $text =~ s/\)\s*$parentheses/)/gr;
}

sub names_of {
    my ($self, $file, $module, $code) = @_;
    my $enter = sub {
        my ($kind, $name, $offset) = @_;
        $self->{names}{$name} //= { module => $module, kind => $kind, file => $file,
                        line => line_of($code, $offset) };
    };
    $enter->('macro', $1, $-[1]) while $code =~ /^#define\s+(?!\w+_H\s)(\w+)/mg;
    $enter->('tag', $1, $-[1]) while $code =~ /^\s*(?:struct|union|enum)\s+(\w+)\s*\{/mg;
    while ($code =~ /\benum\b[\w\s]*$braces/g) {
        my ($body, $offset) = ($+{braces}, $+[0] - length $+{braces});
        $enter->('constant', $1, $offset + $-[1]) while $body =~ /[{,]\s*(\w+)/g;
    }
    my $flat = $code =~ s/^#(?:[^\n]*\\\n)*[^\n]*/blank($&)/gmer;
    $flat =~ s/$braces\s*;?/";" . blank(substr $&, 1)/ge;
    $flat =~ s/__attribute__\s*$parentheses/blank($&)/ge;
    while ($flat =~ /\G([^;]*);/g) {
        my ($declaration, $offset) = ($1, $-[1]);
        my $kind = $declaration =~ /^\s*(?:typedef|_Static_assert)\b/ ? undef
            : $declaration =~ /(\w+)\s*\(/ ? 'function'
            : $declaration =~ /^\s*extern\b.*?(\w+)\s*(?:\[.*)?$/s ? 'variable' : undef;
        $enter->($kind, $1, $offset + $-[1]) if $kind;
    }
}

# Returns the types of a function's parameters and local variables that are structs: name => tag.
sub variables {
    my ($function) = @_;
    my %type;
    while ($function =~ /\bstruct\s+(\w+)\b(?!\s*\{)((?:(?!\bstruct\b)[^;(){}=])*)/g) {
        my ($tag, $rest) = ($1, $2);
        $type{$_} //= $tag for $rest =~ /(?:^|,)[\s*]*(?:const\b)?[\s*]*(\w+)\s*(?=,|\[|$)/g;
    }
    return \%type;
}

# Returns the structs in the accesses "->a.b[i]->c", from the one with this tag. Each has its tag,
# the operator (-> or .), the member's name, and the index "[i]" after it.
sub steps {
    my ($self, $tag, $accesses) = @_;
    my @steps;
    while ($accesses =~ /(->|\.)\s*(\w+)((?:$index)*)/g) {
        my ($by, $member, $at, $struct) = ($1, $2, $3, $self->{structs}{$tag});
        last unless $struct && defined $struct->{members}{$member};
        push @steps, { %$struct, tag => $tag, by => $by, member => $member, at => $at };
        $tag = $struct->{members}{$member};
    }
    return @steps;
}

1;
