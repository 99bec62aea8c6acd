/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of magic numbers. */
#include "base/magic.h"

#include <string.h>

#define ALL (MAGIC_KERNEL | MAGIC_INITRD | MAGIC_DISK)
#define KEPT (ALL | MAGIC_OUTPUT)
#define NOT_INITRD (MAGIC_KERNEL | MAGIC_DISK) /* a kernel unpacks an initrd itself */

#define CONVERT "convert it with qemu-img convert -O raw"
/* To stdout: most of these programs refuse a file without their suffix otherwise. */
#define DECOMPRESS(program) "decompress it with " program " -dc FILE >NEW"
#define EXTRACT "extract the kernel from it with dumpimage"
#define REBUILD "build an ELF file or a bzImage"
#define NO_FIRMWARE "minivmm has no firmware that could start it; use an ELF file or a bzImage"

#define ROW(wrong, offset, bytes, name, remedy)                                                    \
	{                                                                                          \
		name, remedy, wrong, offset, bytes, sizeof(bytes) - 1                              \
	}

/* A file of lzma(1): properties, the size of the dictionary, an unknown length. */
#define LZMA(dictionary)                                                                           \
	ROW(NOT_INITRD, 0, "\x5d" dictionary "\xff\xff\xff\xff\xff\xff\xff\xff",                   \
	    "compressed with lzma", DECOMPRESS("xz --format=lzma"))

/*
 * A magic number is also the beginning of some machine code, so these are as long as the formats
 * allow. MAGIC_INITRD is set only where no kernel unpacks the format.
 */
static const struct magic rows[] = {
	/* compressed files */
	ROW(NOT_INITRD, 0, "\x1f\x8b\x08", "compressed with gzip", DECOMPRESS("gzip")),
	ROW(NOT_INITRD, 0,
	    "\xfd"
	    "7zXZ",
	    "compressed with xz", DECOMPRESS("xz")),
	ROW(NOT_INITRD, 0, "\x28\xb5\x2f\xfd", "compressed with zstd", DECOMPRESS("zstd")),
	/* pzstd begins with a skippable frame, which the unpacker of a kernel does not know. */
	ROW(ALL, 0, "\x50\x2a\x4d\x18", "compressed with zstd by pzstd", DECOMPRESS("zstd")),
	ROW(NOT_INITRD, 0, "BZh", "compressed with bzip2", DECOMPRESS("bzip2")),
	ROW(NOT_INITRD, 0, "\x04\x22\x4d\x18", "compressed with lz4", DECOMPRESS("lz4")),
	ROW(NOT_INITRD, 0, "\x02\x21\x4c\x18", "compressed with lz4", DECOMPRESS("lz4")),
	ROW(NOT_INITRD, 0, "\x89LZO\0\r\n\x1a\n", "compressed with lzop", DECOMPRESS("lzop")),
	ROW(ALL, 0, "LZIP\x01", "compressed with lzip", DECOMPRESS("lzip")),
	/* The dictionaries of lzma -0 to -9: 256K to 64M. */
	LZMA("\0\0\x04\0"),
	LZMA("\0\0\x10\0"),
	LZMA("\0\0\x20\0"),
	LZMA("\0\0\x40\0"),
	LZMA("\0\0\x80\0"),
	LZMA("\0\0\0\x01"),
	LZMA("\0\0\0\x02"),
	LZMA("\0\0\0\x04"),
	/* archives */
	ROW(ALL, 0, "PK\x03\x04", "a zip archive", "unpack it with unzip"),
	ROW(ALL, 0, "7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it with 7z x"),
	ROW(ALL, 0, "\xed\xab\xee\xdb", "an RPM package", "unpack it with rpm2cpio and cpio -i"),
	/* Linux does not unpack it, but it is a usual RAM disk of other kernels. */
	ROW(NOT_INITRD, 257, "ustar", "a tar archive", "unpack it with tar -x"),
	ROW(MAGIC_KERNEL, 0, "070701", "a cpio archive", "name it in [boot] initrd"),
	ROW(MAGIC_KERNEL, 0, "070702", "a cpio archive", "name it in [boot] initrd"),
	ROW(ALL, 0, "!<arch>\ndebian", "a Debian package", "unpack it with dpkg-deb -x"),
	/* disk images */
	ROW(KEPT, 0, "QFI\xfb", "a qcow2 disk image", CONVERT),
	ROW(KEPT, 0, "QED\0", "a QED disk image", CONVERT),
	ROW(KEPT, 0, "KDMV", "a VMDK disk image", CONVERT),
	ROW(KEPT, 0, "# Disk Descriptor", "the descriptor of a VMDK disk image", CONVERT),
	ROW(KEPT, 0, "conectix", "a VHD disk image", CONVERT),
	ROW(KEPT, 0, "vhdxfile", "a VHDX disk image", CONVERT),
	ROW(KEPT, 64, "\x7f\x10\xda\xbe", "a VDI disk image", CONVERT),
	ROW(KEPT, 0, "WithoutFreeSpace", "a Parallels disk image", CONVERT),
	ROW(KEPT, 0, "WithouFreSpacExt", "a Parallels disk image", CONVERT),
	ROW(MAGIC_KERNEL | MAGIC_OUTPUT, 32769, "CD001", "an ISO 9660 image",
	    "name it as path of a virtio-blk device with readonly = yes, and boot the kernel that "
	    "is "
	    "on it"),
	/* programs and kernels for other loaders */
	ROW(MAGIC_KERNEL, 0, "MZ\0\0zimg", "an EFI zboot image",
	    "extract the kernel from it: a bzImage or an ELF file"),
	ROW(MAGIC_KERNEL, 0, "MZ", "an EFI application or a program for DOS or Windows",
	    NO_FIRMWARE),
	ROW(ALL, 0, "\x27\x05\x19\x56", "a uImage of U-Boot",
	    "remove its header of 64 bytes with dd bs=64 skip=1"),
	ROW(ALL, 0, "\xd0\x0d\xfe\xed", "a device tree or a FIT image of U-Boot", EXTRACT),
	ROW(ALL, 0, "ANDROID!", "a boot image of Android", "unpack it with unpack_bootimg"),
	ROW(MAGIC_KERNEL, 0, "\x07\x01\x64\0", "an a.out executable", REBUILD),
	ROW(MAGIC_KERNEL, 0, "\x08\x01\x64\0", "an a.out executable", REBUILD),
	ROW(MAGIC_KERNEL, 0, "\x0b\x01\x64\0", "an a.out executable", REBUILD),
	ROW(MAGIC_KERNEL, 0, "\xcc\0\x64\0", "an a.out executable", REBUILD),
	ROW(MAGIC_KERNEL, 0, "\xfe\xed\xfa\xce", "a Mach-O executable", REBUILD),
	ROW(MAGIC_KERNEL, 0, "\xfe\xed\xfa\xcf", "a Mach-O executable", REBUILD),
	ROW(MAGIC_KERNEL, 0, "\xce\xfa\xed\xfe", "a Mach-O executable", REBUILD),
	ROW(MAGIC_KERNEL, 0, "\xcf\xfa\xed\xfe", "a Mach-O executable", REBUILD),
	ROW(MAGIC_KERNEL, 0, "\xca\xfe\xba\xbe", "a Mach-O executable", REBUILD),
	ROW(MAGIC_KERNEL, 0, "#!", "a script", "name the kernel that it starts"),
	ROW(KEPT, 0, "MINIVMM\x1a", "a snapshot of minivmm", "restore it with minivmm -r"),
	ROW(KEPT, 0, "MINIVMM\x1e", "a snapshot stream of minivmm",
	    "restore it with minivmm -r - <FILE"),
	ROW(KEPT, 0, "MVMMOVL\x1a", "an overlay of a virtio-blk device",
	    "name the disk below it as path, and it as overlay"),
	/* What minivmm reads, and an output does not overwrite. A guest's output may be compressed.
	 */
	ROW(MAGIC_OUTPUT, 0,
	    "\x7f"
	    "ELF",
	    "an ELF file", ""),
	ROW(MAGIC_OUTPUT, 514, "HdrS", "a Linux kernel", ""),
	ROW(MAGIC_OUTPUT, 510, "\x55\xaa", "a disk with a boot sector", ""),
	ROW(MAGIC_OUTPUT, 512, "EFI PART", "a disk with a partition table", ""),
	ROW(MAGIC_OUTPUT, 1080, "\x53\xef", "an ext4 file system", ""),
	ROW(MAGIC_OUTPUT, 0, "XFSB", "an XFS file system", ""),
	{ .name = NULL },
};

const struct magic *
magic_find(enum magic_use use, const uint8_t *head, size_t length)
{
	for (const struct magic *m = rows; m->name; m++)
		if (m->wrong & use && length >= m->offset + m->length &&
		    !memcmp(head + m->offset, m->bytes, m->length))
			return m;
	return NULL;
}
